"""TCP checks: connect, perhaps send something, and wait for what must come (Envoy: TcpHealthCheckerImpl)."""

from __future__ import annotations

from twistproxy.api.transport import ConnectAttempt, Connects, Transport
from twistproxy.discovery.health.payload import has_all
from twistproxy.discovery.health.probe import Failure, Results
from twistproxy.model.address import Address
from twistproxy.model.health_check import TcpCheck

#: What is held of an answer that never has what is looked for.  Envoy holds all of it.
_MOST_HELD = 1024 * 1024

#: PROXY protocol version 2, command LOCAL (haproxy.org, proxy-protocol.txt, section 2.2).
_PROXY_V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


class TcpProbe:
    """See `probe.Probe`, `api.transport.ConnectCallbacks` and `api.transport.TransportHandler`.

    A host that closes the connection between two checks fails, as in Envoy.
    """

    __slots__ = (
        "_address",
        "_attempt",
        "_check",
        "_connect_timeout",
        "_connector",
        "_held",
        "_results",
        "_reuse",
        "_transport",
        "_waiting",
    )

    def __init__(
        self,
        connector: Connects,
        address: Address,
        check: TcpCheck,
        connect_timeout: float,
        reuse: bool,
        results: Results,
    ) -> None:
        self._connector = connector
        self._address = address
        self._check = check
        self._connect_timeout = connect_timeout
        self._reuse = reuse
        self._results = results
        self._attempt: ConnectAttempt | None = None
        self._transport: Transport | None = None
        self._waiting = False
        self._held = b""

    def begin(self) -> None:
        self._waiting = True
        self._held = b""
        if self._transport is None:
            self._attempt = self._connector.connect(self._address, self._connect_timeout, self)
        else:
            self._send(self._transport)

    def give_up(self) -> None:
        self.close()

    def close(self) -> None:
        self._waiting = False
        attempt, self._attempt = self._attempt, None
        transport, self._transport = self._transport, None
        if attempt is not None:
            attempt.cancel()
        if transport is not None:
            transport.abortConnection()

    # ---- `ConnectCallbacks`

    def connected(self, transport: Transport) -> TcpProbe:
        self._attempt = None
        self._transport = transport
        if self._check.receive:
            self._send(transport)
        else:
            self.close()
            self._results.succeeded()
        return self

    def connect_failed(self, reason: str, timed_out: bool) -> None:
        self._attempt = None
        if self._waiting:
            self._waiting = False
            self._results.failed(Failure.NETWORK)

    def _send(self, transport: Transport) -> None:
        check = self._check
        data = check.send
        if check.proxy_protocol == "V1":
            data = _proxy_v1(transport) + data
        elif check.proxy_protocol == "V2":
            data = _PROXY_V2_LOCAL + data
        if data:
            transport.write(data)

    # ---- `TransportHandler`

    def data_received(self, data: bytes) -> None:
        if self._transport is None or not self._waiting:
            return
        self._held += data
        if has_all(self._check.receive, self._held):
            self._waiting = False
            if not self._reuse:
                self.close()
            self._results.succeeded()
        elif len(self._held) > _MOST_HELD:
            self._held = self._held[-_MOST_HELD:]

    def read_ended(self) -> None:
        transport = self._transport
        if transport is not None:
            transport.abortConnection()
            self.connection_lost("")

    def connection_lost(self, reason: str) -> None:
        if self._transport is not None:
            self._transport = None
            self._waiting = False
            self._results.failed(Failure.NETWORK)


def _proxy_v1(transport: Transport) -> bytes:
    """A header of version 1 with the connection's own addresses."""
    here, there = transport.getHost(), transport.getPeer()
    if not hasattr(here, "host"):
        return b"PROXY UNKNOWN\r\n"  # over a Unix socket there are no addresses to tell
    family = "TCP6" if ":" in here.host else "TCP4"
    return f"PROXY {family} {here.host} {there.host} {here.port} {there.port}\r\n".encode()
