"""envoy.config.route.v3.RouteMatch to `model.route`."""

from __future__ import annotations

from typing import Any

from twistproxy.config.fields import Reader
from twistproxy.config.matchers import header_matchers, metadata_matcher, string_matcher
from twistproxy.config.values import cidr, regex
from twistproxy.http.condition import Condition
from twistproxy.model.route import RouteMatch
from twistproxy.route.conditions import (
    Cookie,
    DynamicMetadata,
    FilterStateAddress,
    FilterStateText,
    GrpcRequest,
    QueryParameter,
    RuntimeFraction,
    TlsContext,
)
from twistproxy.route.uri_template import TemplateError, UriTemplate

_TEMPLATE = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
_DENOMINATORS = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}


def build_match(reader: Reader) -> RouteMatch:
    """What of a request a route asks for."""
    path: dict[str, Any] = {"prefix": "/"}
    kind = reader.oneof("path_specifier")
    if kind in ("prefix", "path", "path_separated_prefix"):
        path = {kind: reader.string(kind)}
    elif kind == "safe_regex":
        path = {"regex": regex(reader.message_or_empty("safe_regex"))}
    elif kind == "connect_matcher":
        reader.message("connect_matcher")
        path = {"connect": True}
    elif kind == "path_match_policy":
        template = _template(reader.message_or_empty("path_match_policy"))
        path = path if template is None else {"template": template}
    case_sensitive = reader.boolean("case_sensitive", True)
    return RouteMatch(**path, case_sensitive=case_sensitive, conditions=_conditions(reader))


def _template(reader: Reader) -> str | None:
    reader.ignore("name")
    config = reader.unpack("typed_config")
    if config is None or config.type_name != _TEMPLATE:
        reader.refuse("typed_config", "is not implemented; UriTemplateMatchConfig is")
        return None
    text = config.string("path_template")
    try:
        UriTemplate(text)
    except TemplateError as error:
        config.problem(f"path_match_policy.path_template {text} is invalid: {error}", "path_template")
        return None
    return text


def _conditions(reader: Reader) -> tuple[Condition, ...]:
    """In the order in which Envoy looks at them."""
    found: list[Condition] = []
    fraction = reader.message("runtime_fraction")
    if fraction is not None:
        share = fraction.message_or_empty("default_value")
        found.append(
            RuntimeFraction(
                fraction.string("runtime_key"),
                share.integer("numerator", 0),
                _DENOMINATORS.get(share.enum("denominator"), 100),
            )
        )
    if reader.message("grpc") is not None:
        found.append(GrpcRequest())
    found += header_matchers(reader)
    found += [_query_parameter(one) for one in reader.messages("query_parameters")]
    found += [_cookie(one) for one in reader.messages("cookies")]
    tls = reader.message("tls_context")
    if tls is not None:
        found.append(TlsContext(tls.choice("presented"), tls.choice("validated")))
    found += [DynamicMetadata(metadata_matcher(one)) for one in reader.messages("dynamic_metadata")]
    found += [_filter_state(one) for one in reader.messages("filter_state")]
    return tuple(found)


def _filter_state(reader: Reader) -> Condition:
    """envoy.type.matcher.v3.FilterStateMatcher."""
    key = reader.string("key")
    if reader.oneof("matcher") != "address_match":
        return FilterStateText(key, string_matcher(reader.message_or_empty("string_match")))
    addresses = reader.message_or_empty("address_match")
    ranges = tuple(cidr(one) for one in addresses.messages("ranges"))
    return FilterStateAddress(key, ranges, addresses.boolean("invert_match"))


def _cookie(reader: Reader) -> Cookie:
    value = string_matcher(reader.message_or_empty("string_match"))
    return Cookie(reader.string("name"), value, reader.boolean("invert_match"))


def _query_parameter(reader: Reader) -> QueryParameter:
    name = reader.string("name")
    kind = reader.oneof("query_parameter_match_specifier")
    if kind == "string_match":
        return QueryParameter(name, string_matcher(reader.message_or_empty("string_match")))
    return QueryParameter(name, present=reader.boolean("present_match") if kind else True)
