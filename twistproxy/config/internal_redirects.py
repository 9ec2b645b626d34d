"""`internal_redirect_policy` of a route, and its deprecated form, to `model.internal_redirect`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.model.internal_redirect import (
    AllowListedRoutes,
    GateInState,
    InternalRedirectSettings,
    PreviousRoutes,
    RedirectPredicate,
    SafeCrossScheme,
)

_PREFIX = "envoy.extensions.internal_redirect."
#: Copied from a response they would say something wrong about the request's content or connection.
_FRAMING = frozenset(
    ("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


def build_internal_redirects(action: Reader) -> InternalRedirectSettings | None:
    """`action`: the envoy.config.route.v3.RouteAction.  None if redirects are the client's business."""
    policy = action.message("internal_redirect_policy")
    if policy is None:
        handled = action.enum("internal_redirect_action") == "HANDLE_INTERNAL_REDIRECT"
        most = action.integer("max_internal_redirects", 1)
        return InternalRedirectSettings(most=most) if handled else None
    # Envoy does not say which of the codes it leaves out.
    statuses = frozenset(policy.integers("redirect_response_codes")) & _REDIRECTS
    names = [name.lower() for name in policy.strings("response_headers_to_copy")]
    for at, name in enumerate(names):
        if name.startswith(":") or name == "host":
            policy.problem(
                ":-prefixed headers or Hosts may not be specified here.", f"response_headers_to_copy[{at}]"
            )
        elif name in _FRAMING:
            policy.problem(f"{name} belongs to the response's own framing", f"response_headers_to_copy[{at}]")
    found = [_predicate(one) for one in policy.messages("predicates")]
    return InternalRedirectSettings(
        most=policy.integer("max_internal_redirects", 1),
        statuses=statuses if policy.has("redirect_response_codes") else frozenset((302,)),
        cross_scheme=policy.boolean("allow_cross_scheme_redirect"),
        headers_to_copy=tuple(names),
        predicates=tuple(one for one in found if one is not None),
    )


def _predicate(reader: Reader) -> RedirectPredicate | None:
    """envoy.config.core.v3.TypedExtensionConfig."""
    reader.ignore("name")
    config = reader.unpack("typed_config")
    kind = "" if config is None else config.type_name.removeprefix(_PREFIX)
    if config is not None and kind == "allow_listed_routes.v3.AllowListedRoutesConfig":
        return AllowListedRoutes(frozenset(config.strings("allowed_route_names")))
    if kind == "previous_routes.v3.PreviousRoutesConfig":
        return PreviousRoutes()
    if kind == "safe_cross_scheme.v3.SafeCrossSchemeConfig":
        return SafeCrossScheme()
    if config is not None and kind == "filter_state.v3.FilterStateConfig":
        return GateInState(config.string("redirect_enabled_key"), config.boolean("redirect_if_absent"))
    reader.problem("is not implemented", "typed_config")
    return None
