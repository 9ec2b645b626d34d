"""Hash policies, compiled: a request to the 64 bits that a hash balancer chooses a host by (Envoy:
envoy.config.route.v3.RouteAction.HashPolicy)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xxhash

from twistproxy.api.filter_state import FilterState
from twistproxy.http.cookies import cookie_value
from twistproxy.http.message import RequestHead
from twistproxy.model.hash_policy import (
    CookieHash,
    FilterStateHash,
    HashPolicy,
    HeaderHash,
    QueryParameterHash,
    SourceAddressHash,
)
from twistproxy.route.substitution import Substitution

_MASK = 0xFFFFFFFFFFFFFFFF

#: A request and its stream to a hash, or None where the request has nothing of the kind.
_Method = Callable[[RequestHead, Any], "int | None"]


class HashPolicies:
    """The policies of one route, asked in their order.

    `hash(head, stream)` → 0 to 2**64 - 1, or None if none of them applies.  A cookie that the client is to get is
    added to the `cookies` of `stream.extra()`.  `settings`: what they were made from.
    """

    __slots__ = ("_methods", "settings")

    def __init__(self, policies: tuple[HashPolicy, ...]) -> None:
        self.settings = policies
        self._methods = [(_compiled(policy), policy.terminal) for policy in policies]

    def hash(self, head: RequestHead, stream: Any) -> int | None:
        found: int | None = None
        for method, terminal in self._methods:
            new = method(head, stream)
            if new is not None:
                # The turn by one bit keeps two equal hashes from making none.
                old = 0 if found is None else (found << 1 | found >> 63) & _MASK
                found = old ^ new
            if terminal and found is not None:
                break
        return found


def _compiled(policy: HashPolicy) -> _Method:
    if isinstance(policy, HeaderHash):
        return _header(policy)
    if isinstance(policy, CookieHash):
        return _cookie(policy)
    if isinstance(policy, QueryParameterHash):
        return _query_parameter(policy.name.encode())
    if isinstance(policy, FilterStateHash):
        return _filter_state(policy.key)
    assert isinstance(policy, SourceAddressHash)
    return _source_address


def _header(policy: HeaderHash) -> _Method:
    name = policy.name.encode()
    pseudo = {b":authority": "authority", b"host": "authority", b":path": "path", b":method": "method"}.get(
        name
    )
    rewrite = None if policy.pattern is None else Substitution(policy.pattern, policy.substitution)

    def method(head: RequestHead, stream: Any) -> int | None:
        if pseudo is not None:
            values = [getattr(head, pseudo)]
        elif name in head.index:
            values = head.get_all(name)
        else:
            return None
        if rewrite is not None:
            values = [rewrite.apply(value) for value in values]
        found = 0
        # Sorted, for the order in which they come says nothing.
        for value in sorted(values):
            found = xxhash.xxh64_intdigest(value, found)
        return found

    return method


def _cookie(policy: CookieHash) -> _Method:
    name = policy.name.encode()
    ttl = policy.ttl
    tail = f"; Max-Age={ttl}" if ttl else ""
    tail += f"; Path={policy.path}" if policy.path else ""
    for key, value in policy.attributes:
        tail += f"; {key}={value}" if value else f"; {key}"
    tail_bytes = (tail + "; HttpOnly").encode()

    def method(head: RequestHead, stream: Any) -> int | None:
        value = cookie_value(head, name)
        if not value:
            if ttl is None:
                return None
            connection = stream.connection
            ends = f"{connection.remote_text}{connection.local_text}".encode()
            value = b"%016x" % xxhash.xxh64_intdigest(ends)
            stream.extra().cookies.append(name + b'="' + value + b'"' + tail_bytes)
        return int(xxhash.xxh64_intdigest(value))

    return method


def _query_parameter(name: bytes) -> _Method:
    def method(head: RequestHead, stream: Any) -> int | None:
        query = head.path.partition(b"?")[2]
        for pair in query.split(b"&"):
            key, _, value = pair.partition(b"=")
            if key == name:
                return int(xxhash.xxh64_intdigest(value))
        return None

    return method


def _filter_state(key: str) -> _Method:
    def method(head: RequestHead, stream: Any) -> int | None:
        state: FilterState | None = stream.filter_state
        found = None if state is None else state.get(key)
        return None if found is None else found.hash()

    return method


def _source_address(head: RequestHead, stream: Any) -> int | None:
    host: str = stream.client_host()
    return int(xxhash.xxh64_intdigest(host.encode())) if host else None
