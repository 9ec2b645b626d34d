"""Sends what statistics say to statsd servers (Envoy: `stats_sinks`).  How it is written is in `admin.statsd`."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import ClientFactory, DatagramProtocol, connectionDone
from twisted.internet.protocol import Protocol as Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.admin.merge import Totals
from twistproxy.admin.stats_config import StatsConfig
from twistproxy.admin.statsd import Flush, Latch, datagrams, lines
from twistproxy.model.address import TcpAddress
from twistproxy.model.statistics import StatsdSettings

_log = Logger(namespace="twistproxy.master")

#: Bytes that may wait for a connection.
_MOST_WAITING = 16 * 1024 * 1024
#: Seconds that a connection may take to be made.
_CONNECT_TIMEOUT = 5.0


class Sink(Protocol):
    """One server."""

    #: how often it was hung up on because it did not read
    overflows: int

    def send(self, flush: Flush) -> None: ...

    def stop(self) -> None: ...


class StatsSinks:
    """All sinks of a configuration."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._sinks: list[Sink] = []
        self._latch = Latch()
        self._config = StatsConfig()

    def __bool__(self) -> bool:
        return bool(self._sinks)

    @property
    def counters(self) -> dict[str, int]:
        """`statsd.cx_overflow`, where there is a server that is reached by TCP."""
        counts = [sink.overflows for sink in self._sinks if isinstance(sink, TcpSink)]
        return {"statsd.cx_overflow": sum(counts)} if counts else {}

    def use(self, settings: tuple[StatsdSettings, ...], config: StatsConfig) -> None:
        """From now on these, with names and tags as `config` has them."""
        self.stop()
        self._config = config
        self._sinks = [_make(self._reactor, one, config) for one in settings]

    def flush(self, totals: Totals) -> None:
        """Send what is new."""
        flush = self._latch.take(totals, self._config)
        for sink in self._sinks:
            sink.send(flush)

    def stop(self) -> None:
        for sink in self._sinks:
            sink.stop()
        self._sinks = []


def _make(reactor: Any, settings: StatsdSettings, config: StatsConfig) -> Sink:
    if settings.udp is not None:
        return UdpSink(reactor, settings, settings.udp, config)
    return TcpSink(reactor, settings, config)


class UdpSink:
    """A server that gets datagrams, whether it is there or not."""

    overflows = 0

    def __init__(
        self, reactor: Any, settings: StatsdSettings, address: TcpAddress, config: StatsConfig
    ) -> None:
        self._settings = settings
        self._config = config
        self._address = (address.host, address.port)
        self._port: Any = None
        try:
            interface = "::" if ":" in address.host else ""
            self._port = reactor.listenUDP(0, DatagramProtocol(), interface=interface)
        except CannotListenError as e:
            _log.error("no statistics can be sent to {address}: {error}", address=address, error=e)

    def send(self, flush: Flush) -> None:
        if self._port is None:
            return
        try:
            for datagram in datagrams(lines(flush, self._settings, self._config), self._settings.max_bytes):
                self._port.write(datagram, self._address)
        except (OSError, MessageLengthError) as e:  # there is no way to that host, for example
            _log.warn("statistics cannot be sent: {error}", error=e)

    def stop(self) -> None:
        if self._port is not None:
            self._port.stopListening()


class TcpSink:
    """A server with which there is a connection, made when there is something to send."""

    def __init__(self, reactor: Any, settings: StatsdSettings, config: StatsConfig) -> None:
        self._reactor = reactor
        self._settings = settings
        self._config = config
        self._hosts = list(settings.tcp)
        self._connector: Any = None
        self._connection: _Connection | None = None
        self._waiting = b""
        self.overflows = 0

    def send(self, flush: Flush) -> None:
        data = "".join(f"{line}\n" for line in lines(flush, self._settings, self._config)).encode()
        connection = self._connection
        if connection is not None and connection.paused:
            # It has not read what came before.
            self.overflows += 1
            connection.transport.abortConnection()
        elif connection is not None:
            connection.transport.write(data)
        else:
            if len(self._waiting) + len(data) <= _MOST_WAITING:
                self._waiting += data
            self._connect()

    def _connect(self) -> None:
        if self._connector is None:
            host = self._hosts[0]
            self._connector = self._reactor.connectTCP(
                host.host, host.port, _Connections(self), timeout=_CONNECT_TIMEOUT
            )

    def connected(self, connection: _Connection) -> None:
        self._connection = connection
        connection.transport.write(self._waiting)
        self._waiting = b""

    def failed(self) -> None:
        """There is no connection (any more): the next flush tries the next host."""
        self._connector = self._connection = None
        self._waiting = b""
        self._hosts.append(self._hosts.pop(0))

    def stop(self) -> None:
        if self._connector is not None:
            self._connector.disconnect()


@implementer(IPushProducer)
class _Connection(Connection):
    """Knows whether the other side reads."""

    transport: Any

    def __init__(self, sink: TcpSink) -> None:
        self._sink = sink
        self.paused = False

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self._sink.connected(self)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        """Part of IPushProducer."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._sink.failed()


class _Connections(ClientFactory):
    noisy = False

    def __init__(self, sink: TcpSink) -> None:
        self._sink = sink

    def buildProtocol(self, address: Any) -> _Connection:
        return _Connection(self._sink)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._sink.failed()
