"""Header rules as configured (`request_headers_to_add` and its likes), compiled by `route.header_rules`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HeaderToAdd:
    """envoy.config.core.v3.HeaderValueOption.

    name        in lower case
    value       with `%…%` operators
    action      a name of HeaderAppendAction
    keep_empty  the header is added with an empty value too
    """

    name: str
    value: str
    action: str = "APPEND_IF_EXISTS_OR_ADD"
    keep_empty: bool = False


@dataclass(frozen=True, slots=True)
class HeaderRules:
    """What is done to the headers of one message; removing comes first.  Names to remove in lower case."""

    add: tuple[HeaderToAdd, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleLevel:
    """The rules of one level: of a route configuration, a virtual host, a route or a weighted cluster."""

    request: HeaderRules = field(default_factory=HeaderRules)
    response: HeaderRules = field(default_factory=HeaderRules)


NO_RULES = RuleLevel()
