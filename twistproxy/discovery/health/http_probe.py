"""HTTP/1.1 checks: one request, and what its response says (Envoy: HttpHealthCheckerImpl)."""

from __future__ import annotations

from twistproxy.api.clock import Clock
from twistproxy.api.codec import ResetReason
from twistproxy.api.transport import ConnectAttempt, Connects, Transport
from twistproxy.codec.h1_client import Http1ClientConnection
from twistproxy.codec.h1_extended import ExtendedClientConnection
from twistproxy.discovery.health.http_verdict import judge, kept
from twistproxy.discovery.health.probe import Failure, Results
from twistproxy.discovery.health.request_head import RequestHeads
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import ResponseHead
from twistproxy.model.address import Address
from twistproxy.model.health_check import HttpCheck
from twistproxy.model.http1 import UpstreamHttp1Settings


class HttpProbe:
    """See `probe.Probe`; also what waits for a connection, owns it and decodes its responses."""

    __slots__ = (
        "_address",
        "_attempt",
        "_check",
        "_clock",
        "_connect_timeout",
        "_connection",
        "_connector",
        "_content",
        "_heads",
        "_http1",
        "_response",
        "_results",
        "_reusable",
        "_reuse",
        "_waiting",
    )

    def __init__(
        self,
        clock: Clock,
        connector: Connects,
        address: Address,
        check: HttpCheck,
        heads: RequestHeads,
        http1: UpstreamHttp1Settings,
        connect_timeout: float,
        reuse: bool,
        results: Results,
    ) -> None:
        self._clock = clock
        self._connector = connector
        self._address = address
        self._check = check
        self._heads = heads
        self._http1 = http1
        self._connect_timeout = connect_timeout
        self._reuse = reuse
        self._results = results
        self._attempt: ConnectAttempt | None = None
        self._connection: Http1ClientConnection | None = None
        self._waiting = False
        self._reusable = False
        self._response: ResponseHead | None = None
        self._content = b""

    # ---- `Probe`

    def begin(self) -> None:
        self._waiting = True
        if self._connection is None:
            self._attempt = self._connector.connect(self._address, self._connect_timeout, self)
        else:
            self._send(self._connection)

    def give_up(self) -> None:
        self.close()

    def close(self) -> None:
        self._waiting = False
        attempt, self._attempt = self._attempt, None
        connection, self._connection = self._connection, None
        if attempt is not None:
            attempt.cancel()
        if connection is not None:
            connection.reset()

    # ---- `ConnectCallbacks`

    def connected(self, transport: Transport) -> Http1ClientConnection:
        self._attempt = None
        kind = ExtendedClientConnection if self._http1.extended else Http1ClientConnection
        self._connection = connection = kind(transport, self, self._http1, self._clock.monotonic())
        transport.registerProducer(connection, True)
        self._send(connection)
        return connection

    def connect_failed(self, reason: str, timed_out: bool) -> None:
        self._attempt = None
        if self._waiting:
            self._waiting = False
            self._results.failed(Failure.NETWORK)

    def _send(self, connection: Http1ClientConnection) -> None:
        self._response = None
        self._content = b""
        head = self._heads.make()
        content = self._check.send
        if content:
            head.set(b"content-length", b"%d" % len(content))
        connection.new_stream(self)
        connection.encode_headers(head, not content)
        if content:
            connection.encode_data(content, True)

    # ---- owner of the connection

    def stream_done(self, connection: Http1ClientConnection, reusable: bool) -> None:
        self._reusable = reusable and self._reuse

    def connection_lost(self, connection: Http1ClientConnection, reason: str) -> None:
        if connection is self._connection:
            self._connection = None

    # ---- `ResponseDecoder`

    def decode_1xx(self, head: ResponseHead) -> None:
        """The response is still to come."""

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        self._response = head
        if end_stream:
            self._complete(head)

    def decode_data(self, data: bytes, end_stream: bool) -> None:
        self._content = kept(self._check, self._content, data)
        if end_stream:
            assert self._response is not None
            self._complete(self._response)

    def flush(self) -> None:
        """Nothing waits."""

    def decode_trailers(self, trailers: HeaderMap) -> None:
        assert self._response is not None
        self._complete(self._response)

    def on_reset(self, reason: ResetReason, detail: str) -> None:
        self._connection = None
        if self._waiting:
            self._waiting = False
            self._results.failed(Failure.NETWORK)

    def above_write_buffer_high_watermark(self) -> None:
        """There is one request, and all of it is written."""

    def below_write_buffer_low_watermark(self) -> None:
        """See above."""

    def _complete(self, head: ResponseHead) -> None:
        """The response is whole, and its connection free."""
        if not self._waiting:
            return
        self._waiting = False
        connection = self._connection
        if connection is not None and not self._reusable:
            self._connection = None
            connection.close()
        judge(self._check, head, self._content, self._results)
