"""The headers of a check's request."""

from __future__ import annotations

from twistproxy.api.clock import Clock
from twistproxy.http.headers import Header
from twistproxy.http.known_headers import SINGLE_REQUEST
from twistproxy.http.message import HttpVersion, RequestHead
from twistproxy.model.header_rules import HeaderRules
from twistproxy.observe.access_log import Clocks
from twistproxy.observe.check_stream import CheckStream
from twistproxy.route.header_rules import compile_edits

_USER_AGENT = (b"user-agent", b"Envoy/HC")


class RequestHeads:
    """Makes the heads of one host's requests: always the same, but for operators in `rules`.

    authority  the Host
    where      the host's own address, as operators tell it
    first      fields that come before the others
    """

    __slots__ = ("_authority", "_clock", "_edits", "_first", "_method", "_path", "_version", "_where")

    def __init__(
        self,
        clock: Clock,
        method: str,
        path: str,
        authority: str,
        rules: HeaderRules,
        where: str,
        first: tuple[Header, ...] = (),
        version: HttpVersion = HttpVersion.HTTP11,
    ) -> None:
        self._clock = clock
        self._method = method.encode()
        self._path = path.encode()
        self._authority = authority.encode()
        self._edits = compile_edits([(rules, None)], Clocks(clock.wall, clock.monotonic), SINGLE_REQUEST)
        self._where = where
        self._first = first
        self._version = version

    def make(self) -> RequestHead:
        items = [*self._first, _USER_AGENT]
        head = RequestHead(self._method, self._path, self._authority, items, dict(items), self._version)
        if self._edits is not None:
            self._edits.apply_to_request(head, CheckStream(head, self._where, self._clock.monotonic()))
        return head
