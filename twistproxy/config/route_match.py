"""envoy.config.route.v3.RouteMatch to `model.route`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.values import regex
from twistproxy.model.route import RouteMatch


def build_match(reader: Reader) -> RouteMatch:
    """What of a request a route asks for."""
    kind = reader.oneof("path_specifier")
    case_sensitive = reader.boolean("case_sensitive", True)
    if kind == "prefix":
        return RouteMatch(prefix=reader.string("prefix"), case_sensitive=case_sensitive)
    if kind == "path":
        return RouteMatch(path=reader.string("path"), case_sensitive=case_sensitive)
    if kind == "path_separated_prefix":
        return RouteMatch(
            path_separated_prefix=reader.string("path_separated_prefix"), case_sensitive=case_sensitive
        )
    if kind == "safe_regex":
        return RouteMatch(regex=regex(reader.message_or_empty("safe_regex")), case_sensitive=case_sensitive)
    if kind is not None:
        reader.problem("is not implemented so far", kind)
        reader.ignore(kind)
    return RouteMatch(prefix="/")
