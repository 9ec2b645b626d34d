"""The worker's connection to the discovery process.

It connects again whenever it is lost, soon and at a random moment, so that all workers do not come at once.
As long as there is none the worker goes on with the endpoints it has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.api.clock import Timer
from twistproxy.errors import RemoteProtocolError
from twistproxy.ipc.frame import Message
from twistproxy.ipc.session import WorkerSession, encode_said
from twistproxy.model.endpoint import EndpointNews, EndpointSet
from twistproxy.primitives.backoff import Backoff

#: Limits of the back-off, in seconds.  The discovery process is restarted at once when it dies, and the path
#: is a Unix socket on this machine: an attempt costs nothing.
FIRST_DELAY = 0.02
LONGEST_DELAY = 1.0


class DiscoveryLink:
    """Calls `on_news` with what has become of the endpoints of each cluster, whenever they change.

    path    the discovery process's Unix socket
    random  a random number, 0 <= x < 1
    on_connected  called whenever there is a connection, so that what has to be said can be said again
    """

    def __init__(
        self,
        reactor: Any,
        path: str,
        on_news: Callable[[EndpointNews], None],
        log: Logger,
        random: Callable[[], float],
        on_connected: Callable[[], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._path = path
        self._on_news = on_news
        self._on_connected = on_connected
        self._log = log
        self._session = WorkerSession()
        self._backoff = Backoff(FIRST_DELAY, LONGEST_DELAY, random)
        self._connector: Any = None
        self._connection: _LinkProtocol | None = None
        self._timer: Timer | None = None
        self._running = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection just now."""
        return self._connection is not None

    def known(self) -> tuple[EndpointSet, ...]:
        """The newest endpoints of all clusters that are known: for clusters that a reload has added."""
        return self._session.known()

    def say(self, about: str, facts: Message) -> bool:
        """Tell the discovery process (`DiscoveryService.on_said`).  False if there is none just now."""
        if self._connection is None:
            return False
        self._connection.send(encode_said(about, facts))
        return True

    def clusters(self) -> Collection[str]:
        """The clusters of which something is known."""
        return self._session.clusters()

    def start(self) -> None:
        """Connect, and stay connected."""
        self._running = True
        self._connect()

    def stop(self) -> None:
        """Disconnect; `on_news` is not called any more."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._connector is not None:
            self._connector.disconnect()

    def _connect(self) -> None:
        self._timer = None
        self._connector = self._reactor.connectUNIX(self._path, _LinkFactory(self))

    def made(self, connection: _LinkProtocol) -> None:
        """The connection is up."""
        self._connection = connection
        connection.send(self._session.connected())
        if self._on_connected is not None:
            self._on_connected()

    def received(self, data: bytes) -> None:
        """The discovery process says something."""
        if not self._running:
            return
        try:
            news = self._session.receive(data)
        except RemoteProtocolError as e:
            self._log.error("the discovery process speaks nonsense: {reason}", reason=str(e))
            if self._connection is not None:
                self._connection.abort()
            return
        self._backoff.reset()
        if self._session.asked:
            self._tell(self._connection, self._session.told())
        for one in news:
            self._on_news(one)

    def _tell(self, connection: _LinkProtocol | None, frames: Iterator[bytes]) -> None:
        """One part at a time: requests wait meanwhile."""
        frame = next(frames, None) if connection is self._connection else None
        if connection is not None and frame is not None:
            connection.send(frame)
            self._reactor.callLater(0.0, self._tell, connection, frames)

    def lost(self) -> None:
        """The connection is gone, or was not made."""
        if self._connection is not None and self._running:
            self._log.warn("lost the discovery process; going on with the endpoints as they are")
        self._connection = None
        self._connector = None
        if self._running:
            self._timer = self._reactor.callLater(self._backoff.next(), self._connect)


class _LinkFactory(ClientFactory):
    noisy = False

    def __init__(self, link: DiscoveryLink) -> None:
        self._link = link

    def buildProtocol(self, addr: IAddress | None) -> _LinkProtocol:
        return _LinkProtocol(self._link)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._link.lost()

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        self._link.lost()


class _LinkProtocol(Protocol):
    def __init__(self, link: DiscoveryLink) -> None:
        self._link = link

    def connectionMade(self) -> None:
        self._link.made(self)

    def dataReceived(self, data: bytes) -> None:
        self._link.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The factory hears of it too, and tells the link."""

    def send(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()
