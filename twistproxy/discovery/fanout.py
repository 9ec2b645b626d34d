"""To all workers: each connection of the Unix socket is one worker, which is sent what the store holds.

`ipc.session.DiscoverySession` decides what to send and when; this is its socket.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.api.clock import Timer
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.errors import RemoteProtocolError
from twistproxy.ipc.frame import Message
from twistproxy.ipc.session import NOTHING, DiscoverySession, Frame, encode_changes, encode_endpoints

#: Seconds for each endpoint of a cluster that pass before it is told of again, the shortest rest that is kept, and the
#: longest: changes arrive within a second.
_REST = 40e-6
_SHORTEST_REST = 0.02
_LONGEST_REST = 0.4


class Fanout(Factory):
    """Makes the protocol of each worker's connection, and tells all of them of changes.

    Changes of a cluster with many endpoints, which cost every worker something, are not told more often than workers
    can bear without their requests feeling it: what changes meanwhile is told together.

    instance  names this discovery process
    said      gets what workers say, by what it is about
    wanted    see `DiscoverySession`
    """

    noisy = False

    def __init__(self, reactor: Any, instance: str, store: EndpointStore, log: Logger) -> None:
        self._reactor = reactor
        self.instance = instance
        self.store = store
        self.log = log
        self.workers: set[WorkerConnection] = set()
        self.said: dict[str, Callable[[Message], None]] = {}
        self.wanted: Callable[[Collection[str]], list[str]] = lambda known: []
        # Encoded once for all workers: by cluster, and by the version that the worker has.
        self._frames: dict[str, dict[int, Frame]] = {}
        # When a large cluster may be told of again, and those that wait for that moment.
        self._rests: dict[str, float] = {}
        self._waiting: dict[str, Timer] = {}

    def buildProtocol(self, addr: IAddress | None) -> WorkerConnection:
        connection = WorkerConnection(self)
        connection.factory = self
        return connection

    def changed(self, cluster: str) -> None:
        """The store holds another state of `cluster`, or none any more."""
        self._frames.pop(cluster, None)
        if cluster in self._waiting:
            return
        wait = self._rests.get(cluster, 0.0) - self._reactor.seconds()
        if wait > 0.0:
            self._waiting[cluster] = self._reactor.callLater(wait, self._tell, cluster)
        else:
            self._tell(cluster)

    def _tell(self, cluster: str) -> None:
        self._waiting.pop(cluster, None)
        rest = self.store.size(cluster) * _REST
        if rest < _SHORTEST_REST:
            self._rests.pop(cluster, None)
        else:
            self._rests[cluster] = self._reactor.seconds() + min(rest, _LONGEST_REST)
        for worker in tuple(self.workers):
            worker.session.changed(cluster)

    def frame_of(self, cluster: str, known: int) -> Frame | None:
        """What a worker that has version `known` of `cluster` is to be told, which may be nothing; None if the cluster
        is gone."""
        if known != NOTHING and known == self.store.version(cluster):
            return known, b""
        frames = self._frames.setdefault(cluster, {})
        frame = frames.get(known)
        if frame is None:
            frame = self._encode(cluster, known)
            if frame is None:
                del self._frames[cluster]
            else:
                frames[known] = frame
        return frame

    def heard(self, message: Message) -> None:
        """A worker says something.  What nobody listens for is from a worker of another configuration."""
        listener = self.said.get(message["about"])
        if listener is not None:
            listener(message)

    def _encode(self, cluster: str, known: int) -> Frame | None:
        changes = self.store.changes(cluster, known)
        if changes is not None:
            return changes.version, encode_changes(changes, known)
        endpoints = self.store.get(cluster)
        if endpoints is None:
            return None
        whole = self._frames[cluster].get(NOTHING)
        if whole is None:
            whole = endpoints.version, encode_endpoints(endpoints, self.store.complete(cluster))
            self._frames[cluster][NOTHING] = whole
        return whole

    def disconnect(self) -> None:
        """Close all connections."""
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        for worker in tuple(self.workers):
            worker.disconnect()


@implementer(IPushProducer)
class WorkerConnection(Protocol):
    """One worker's connection.

    As a producer it hears from its transport when the worker reads too slowly.
    """

    session: DiscoverySession

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.registerProducer(self, True)
        fanout = self._fanout
        self.session = DiscoverySession(
            transport.write,
            fanout.instance,
            fanout.store.versions,
            fanout.frame_of,
            fanout.heard,
            fanout.wanted,
        )
        fanout.workers.add(self)

    def dataReceived(self, data: bytes) -> None:
        try:
            self.session.receive(data)
        except RemoteProtocolError as e:
            self._fanout.log.error("a worker speaks nonsense: {reason}", reason=str(e))
            self.disconnect()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._fanout.workers.discard(self)

    def disconnect(self) -> None:
        """Close now."""
        transport: Any = self.transport
        transport.abortConnection()

    def pauseProducing(self) -> None:
        self.session.pause()

    def resumeProducing(self) -> None:
        self.session.resume()

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` says so too."""
