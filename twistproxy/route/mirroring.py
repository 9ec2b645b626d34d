"""Mirror policies, compiled: whether a request is copied, where to, and what the copy looks like (Envoy:
envoy.config.route.v3.RouteAction.RequestMirrorPolicy)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twistproxy.http.headers import first_value
from twistproxy.http.known_headers import SINGLE_REQUEST
from twistproxy.http.message import RequestHead
from twistproxy.model.header_rules import HeaderRules
from twistproxy.model.http_filters import Mutation
from twistproxy.model.mirror import MirrorSettings
from twistproxy.observe.access_log import Clocks
from twistproxy.route.header_rules import compile_edits

_INTERNAL = b"x-envoy-internal"
_XFF = b"x-forwarded-for"


class MirrorPolicy:
    """One policy of a route."""

    __slots__ = ("_cluster", "_cluster_header", "_host", "_mutations", "_settings", "_suffix")

    def __init__(self, settings: MirrorSettings, clocks: Clocks) -> None:
        self._settings = settings
        self._cluster = settings.cluster
        self._cluster_header = settings.cluster_header.lower().encode()
        self._host = settings.host.encode()
        self._suffix = settings.suffix
        self._mutations = [_mutation(one, clocks) for one in settings.mutations]

    def wants(self, stream: Any) -> bool:
        """Whether this request is one of the share that is copied."""
        settings = self._settings
        if settings.numerator >= settings.denominator and not settings.runtime_key:
            return True
        wanted: bool = stream.context.runtime.feature_enabled(
            settings.runtime_key, settings.numerator, settings.denominator, stream.random_value()
        )
        return wanted

    def cluster(self, head: RequestHead) -> str:
        """The name of the cluster; "" if the header that names it is not there."""
        name = self._cluster_header
        return first_value(head, name).decode("utf-8", "replace") if name else self._cluster

    def copy(self, head: RequestHead, stream: Any, own_address: bytes) -> RequestHead:
        """The copy's head, from the head as it goes to the upstream."""
        copied = RequestHead(
            head.method,
            head.path,
            head.authority,
            list(head.items),
            dict(head.index),
            head.version,
            head.scheme,
        )
        if self._mutations:
            # Operators see what the copy is so far.
            original, stream.head = stream.head, copied
            for mutate in self._mutations:
                mutate(copied, stream)
            stream.head = original
        if self._host:
            copied.authority = self._host
        elif self._suffix:
            copied.authority = _shadow(copied.authority)
        copied.set(_INTERNAL, b"true")
        forwarded = copied.get(_XFF)
        copied.set(_XFF, own_address if forwarded is None else forwarded + b"," + own_address)
        return copied


def _mutation(mutation: Mutation, clocks: Clocks) -> Callable[[RequestHead, Any], None]:
    if isinstance(mutation, HeaderRules):
        edits = compile_edits([(mutation, None)], clocks, SINGLE_REQUEST)
        return _nothing if edits is None else edits.apply_to_request
    matches = mutation.matches
    return lambda head, stream: head.remove_matching(matches)


def _nothing(head: RequestHead, stream: Any) -> None:
    """The mutation changes nothing."""


def _shadow(authority: bytes) -> bytes:
    """The name with "-shadow" behind it, before the port if there is one."""
    name, colon, port = authority.rpartition(b":")
    return name + b"-shadow:" + port if colon and port.isdigit() else authority + b"-shadow"
