"""`path_rewrite_policy` of a route, and which rewrites of the path go together."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.host_rewrite import check_format
from twistproxy.model.route import ClusterAction, RedirectAction, RouteAction, RouteMatch
from twistproxy.route.uri_template import TemplateError, TemplateRewrite, UriTemplate

_TEMPLATE = "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig"


def build_path_rewrite(reader: Reader) -> str | None:
    """The template of envoy.path.rewrite.uri_template, None without one.  `reader`: of the action."""
    policy = reader.message("path_rewrite_policy")
    if policy is None:
        return None
    policy.ignore("name")
    config = policy.unpack("typed_config")
    if config is None or config.type_name != _TEMPLATE:
        policy.refuse("typed_config", "is not implemented; UriTemplateRewriteConfig is")
        return None
    return config.string("path_template_rewrite")


def build_path_format(reader: Reader) -> str:
    """`path_rewrite`, a text with operators; "" without one.  `reader`: of the RouteAction."""
    text = reader.string("path_rewrite")
    check_format(reader, "path_rewrite", text)
    return text


def check_path_rewrite(reader: Reader, match: RouteMatch, action: RouteAction) -> None:
    """What Envoy refuses about the path rewrites of a route.  `reader`: of the Route."""
    if isinstance(action, RedirectAction) and action.prefix_rewrite and match.template is not None:
        reader.message_or_empty("redirect").problem(
            "Cannot use redirect.prefix_rewrite with path_match_policy", "prefix_rewrite"
        )
    if not isinstance(action, ClusterAction):
        return
    route = reader.message_or_empty("route")
    rewrites = (action.prefix_rewrite, action.regex_rewrite, action.template_rewrite, action.path_format)
    if sum(bool(one) for one in rewrites) > 1:
        route.problem("Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy")
    if action.prefix_rewrite is not None and match.template is not None:
        route.problem("Cannot use prefix_rewrite with matcher extension", "prefix_rewrite")
    if action.template_rewrite is None:
        return
    if match.template is None:
        route.problem(
            "unable to use envoy.path.rewrite.uri_template.uri_template_rewriter extension without "
            "envoy.path.match.uri_template.uri_template_matcher extension",
            "path_rewrite_policy",
        )
        return
    try:
        TemplateRewrite(action.template_rewrite, UriTemplate(match.template))
    except TemplateError as error:
        route.problem(
            f"path_rewrite_policy.path_template_rewrite {action.template_rewrite} is invalid: {error}",
            "path_rewrite_policy",
        )
