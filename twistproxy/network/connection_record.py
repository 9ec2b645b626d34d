"""What the access logs of a listener tell of a connection (Envoy: Listener.access_log)."""

from __future__ import annotations

from typing import Any, cast

from twistproxy.http.message import VERSION_TEXT, RequestHead
from twistproxy.network.connection_life import ConnectionLife
from twistproxy.observe import flags
from twistproxy.stream.context import Connection, Context
from twistproxy.stream.record import StreamRecord


class ConnectionRecord(StreamRecord):
    """A connection that has ended, in the shape of a stream: bytes are all of them, and of requests nothing is told."""

    __slots__ = ("_protocol",)

    def __init__(self, context: Context, life: ConnectionLife, flag: int) -> None:
        """`flag`: the response flags of the connection."""
        super().__init__(context, cast(Connection, life), cast(Any, None))
        codec = life.codec
        codec.meter = None  # of its last request
        self.head = RequestHead(b"", b"", b"", [], {})
        self.start = life.opened_at
        self.end = context.monotonic()
        self.bytes_received = codec.bytes_received
        self.bytes_sent = codec.bytes_sent
        self.flags = flag
        unreadable = flag & flags.DPE and not life.requests
        self._protocol = None if unreadable or not codec.bytes_received else VERSION_TEXT[1]

    def log_type(self) -> str:
        """Envoy's connections end without one."""
        return "NotSet"

    def protocol(self) -> str | None:
        """None where the client never spoke HTTP."""
        return self._protocol
