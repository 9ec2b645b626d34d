"""What checks over HTTP/2 have in common: one connection, and one call after the other on it."""

from __future__ import annotations

from twistproxy.api.transport import ConnectAttempt, Connects, Transport
from twistproxy.codec.h2_calls import Fields, H2Calls
from twistproxy.discovery.health.probe import Failure, Results
from twistproxy.errors import RemoteProtocolError
from twistproxy.http.headers import Header
from twistproxy.http.message import RequestHead
from twistproxy.model.address import Address


class H2Probe:
    """See `probe.Probe`, `api.transport.ConnectCallbacks`, `api.transport.TransportHandler` and `h2_calls.CallSink`."""

    __slots__ = (
        "_address",
        "_attempt",
        "_calls",
        "_connect_timeout",
        "_connector",
        "_going_away",
        "_results",
        "_reuse",
        "_transport",
    )

    def __init__(
        self, connector: Connects, address: Address, connect_timeout: float, reuse: bool, results: Results
    ) -> None:
        self._connector = connector
        self._address = address
        self._connect_timeout = connect_timeout
        self._reuse = reuse
        self._results = results
        self._attempt: ConnectAttempt | None = None
        self._transport: Transport | None = None
        self._calls: H2Calls | None = None
        self._going_away = False

    def request(self) -> tuple[RequestHead, bytes]:
        """The next check, head and content."""
        raise NotImplementedError

    # ---- `Probe`

    def begin(self) -> None:
        if self._calls is None:
            self._attempt = self._connector.connect(self._address, self._connect_timeout, self)
        else:
            self._call(self._calls)

    def give_up(self) -> None:
        if self._calls is None or self._going_away or not self._reuse:
            self.close()
        else:
            self._calls.cancel()

    def close(self) -> None:
        attempt, self._attempt = self._attempt, None
        transport, self._transport = self._transport, None
        self._calls = None
        if attempt is not None:
            attempt.cancel()
        if transport is not None:
            transport.abortConnection()

    # ---- `ConnectCallbacks`

    def connected(self, transport: Transport) -> H2Probe:
        self._attempt = None
        self._transport = transport
        self._going_away = False
        self._calls = calls = H2Calls(transport.write, self)
        self._call(calls)
        return self

    def connect_failed(self, reason: str, timed_out: bool) -> None:
        self._attempt = None
        self._results.failed(Failure.NETWORK)

    def _call(self, calls: H2Calls) -> None:
        head, content = self.request()
        pseudo: list[Header] = [
            (b":method", head.method),
            (b":path", head.path),
            (b":authority", head.authority),
            (b":scheme", b"http"),
        ]
        calls.call(pseudo + head.items, content)

    # ---- `TransportHandler`

    def data_received(self, data: bytes) -> None:
        if self._calls is not None:
            try:
                self._calls.receive(data)
            except RemoteProtocolError:
                self._lost()

    def read_ended(self) -> None:
        self._lost()

    def connection_lost(self, reason: str) -> None:
        self._lost()

    def _lost(self) -> None:
        """The connection is of no use any more."""
        calls = self._calls
        if calls is not None:
            waiting = calls.active
            self.close()
            if waiting:
                self._results.failed(Failure.NETWORK)

    # ---- `CallSink`

    def call_head(self, fields: Fields, ended: bool) -> None:
        raise NotImplementedError

    def call_data(self, data: bytes, ended: bool) -> None:
        raise NotImplementedError

    def call_trailers(self, fields: Fields) -> None:
        raise NotImplementedError

    def call_reset(self) -> None:
        if self._going_away or not self._reuse:
            self.close()
        self._results.failed(Failure.NETWORK)

    def going_away(self, orderly: bool) -> None:
        """A server that leaves in order may finish the check first."""
        if orderly and self._calls is not None and self._calls.active:
            self._going_away = True
        else:
            self._lost()

    def _over(self, ended: bool) -> None:
        """All is known of this check.  `ended`: so is the stream."""
        if not ended and self._calls is not None:
            self._calls.cancel()
        if self._going_away or not self._reuse:
            self.close()
