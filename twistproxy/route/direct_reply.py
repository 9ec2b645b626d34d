"""The answers that a route gives by itself (envoy.config.route.v3.DirectResponseAction)."""

from __future__ import annotations

from typing import Any

from twistproxy.http.headers import Header
from twistproxy.http.message import RequestHead
from twistproxy.model.route import DirectResponse
from twistproxy.observe.access_log import Clocks
from twistproxy.observe.body_format import BodyFormat
from twistproxy.route.redirect import location_of


class DirectReply:
    """A compiled direct response.

    status        of the answer
    content_type  of its body if its format says so, whatever header rules say; else b""
    """

    __slots__ = ("_body", "_format", "content_type", "status")

    def __init__(self, settings: DirectResponse, clocks: Clocks) -> None:
        self.status = settings.status
        self._body = settings.body
        self._format = None if settings.format is None else BodyFormat(settings.format, clocks)
        self.content_type = b"" if self._format is None else self._format.content_type

    def body(self, stream: Any) -> bytes:
        return self._body if self._format is None else self._format.render(stream, self._body)

    def headers(self, head: RequestHead) -> tuple[Header, ...]:
        """What the answer to this request has before header rules: a location where RFC 9110 section 10.2.2 knows
        one."""
        if self.status == 201 or self.status // 100 == 3:
            return ((b"location", location_of(head)),)
        return ()
