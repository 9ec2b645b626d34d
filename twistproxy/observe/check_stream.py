"""What operators in the headers of a health check's request see in place of a stream."""

from __future__ import annotations

from twistproxy.http.message import VERSION_TEXT, RequestHead, ResponseHead

#: Envoy says that its checks come from here.
_NOWHERE = "127.0.0.1:0"


class _Host:
    __slots__ = ("address_text",)

    def __init__(self, address_text: str) -> None:
        self.address_text = address_text


class _Connection:
    __slots__ = ("direct_text", "local_text", "remote_text")

    def __init__(self) -> None:
        self.direct_text = self.local_text = self.remote_text = _NOWHERE


class CheckStream:
    """The part of `stream.Stream` that a health check has.  An operator that asks for more raises AttributeError.

    head     the request
    address  of the host, as text
    start    monotonic seconds
    """

    __slots__ = (
        "cluster",
        "connection",
        "details",
        "end",
        "flags",
        "head",
        "host",
        "remote_text",
        "response",
        "route",
        "start",
        "upstream_connection",
    )

    def __init__(self, head: RequestHead, address: str, start: float) -> None:
        self.head = head
        self.host = _Host(address)
        self.start = start
        self.connection = _Connection()
        self.remote_text = _NOWHERE
        self.cluster = ""
        self.details = ""
        self.end = 0.0
        self.flags = 0
        self.response: ResponseHead | None = None
        self.route = None
        self.upstream_connection = None

    def protocol(self) -> str | None:
        return VERSION_TEXT[self.head.version]

    def stream_id(self) -> str | None:
        return None

    def request_sent_at(self) -> float:
        return 0.0

    def response_sent_at(self) -> float:
        return 0.0
