"""envoy.config.route.v3.RouteAction.HashPolicy to `model.hash_policy`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.values import regex
from twistproxy.model.hash_policy import (
    CookieHash,
    FilterStateHash,
    HashPolicy,
    HeaderHash,
    QueryParameterHash,
    SourceAddressHash,
)


def build_hash_policies(readers: list[Reader]) -> tuple[HashPolicy, ...]:
    """Those that say something, in order."""
    found = [_policy(reader) for reader in readers]
    return tuple(policy for policy in found if policy is not None)


def _policy(reader: Reader) -> HashPolicy | None:
    kind = reader.oneof("policy_specifier")
    terminal = reader.boolean("terminal")
    if kind == "header":
        return _header(reader.message_or_empty("header"), terminal)
    if kind == "cookie":
        return _cookie(reader.message_or_empty("cookie"), terminal)
    if kind == "query_parameter":
        return QueryParameterHash(reader.message_or_empty("query_parameter").string("name"), terminal)
    if kind == "connection_properties":
        wanted = reader.message_or_empty("connection_properties").boolean("source_ip")
        return SourceAddressHash(terminal) if wanted else None
    if kind == "filter_state":
        return FilterStateHash(reader.message_or_empty("filter_state").string("key"), terminal)
    return None


def _header(reader: Reader, terminal: bool) -> HeaderHash:
    name = reader.string("header_name").lower()
    rewrite = reader.message("regex_rewrite")
    if rewrite is None:
        return HeaderHash(name, terminal=terminal)
    pattern = regex(rewrite.message_or_empty("pattern"))
    return HeaderHash(name, pattern, rewrite.string("substitution"), terminal)


def _cookie(reader: Reader, terminal: bool) -> CookieHash:
    ttl = reader.duration("ttl")
    attributes = tuple((one.string("name"), one.string("value")) for one in reader.messages("attributes"))
    path = reader.string("path")
    return CookieHash(reader.string("name"), None if ttl is None else int(ttl), path, attributes, terminal)
