"""A request that is tried out: through the real data plane, in a world where nothing happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from twistproxy.api.access_log import AccessLog
from twistproxy.api.clock import Clock
from twistproxy.api.transport import ConnectCallbacks, DialCallbacks, FlowControl, TransportHandler
from twistproxy.filters.attempt_logs import UpstreamLogs
from twistproxy.http.message import RequestHead
from twistproxy.model.address import Address, TcpAddress
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.model.sockets import Way
from twistproxy.network.http_connection_manager import HttpConnectionManager
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.process.guards import GuardParts
from twistproxy.route.action import Route
from twistproxy.route.table import Consideration, RouteTable
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster

_NOWHERE = TcpAddress("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class ManagerParts:
    """What a connection manager is built from besides its settings, where a trial and real traffic differ."""

    stats: HttpManagerStats
    get_cluster: Callable[[str], Cluster | None]
    pick_route: Callable[[RequestHead, Any], Any]
    access_logs: tuple[AccessLog, ...]
    clock: Clock
    deadlines: Deadlines
    guards: GuardParts
    upstream_logs: UpstreamLogs | None = None


@dataclass(frozen=True, slots=True)
class TrialParts:
    """The live world, as a trial needs it.

    make_manager  a connection manager of these settings; it is built as the live ones are
    get_cluster   the live clusters
    guards        what may refuse a request, to be tried out
    """

    make_manager: Callable[[HttpManagerSettings, ManagerParts], HttpConnectionManager]
    get_cluster: Callable[[str], Cluster | None]
    clock: Clock
    random: Random
    guards: GuardParts


class Trial:
    """One request.  After `run`:

    stream      how far it came
    considered  how its route was found; None if it was answered before
    head        the request as it was then
    cluster     the cluster that it was meant for, with the hosts of the live one; None if there is none
    """

    def __init__(
        self, settings: HttpManagerSettings, local: Address, table: RouteTable, parts: TrialParts
    ) -> None:
        self._local = local
        self._table = table
        self._parts = parts
        self._clock = _StandingClock(parts.clock)
        self._deadlines = Deadlines(self._clock.monotonic, self._clock.call_later)
        self._connector = Connector()
        self._client = _Transport()
        self._clusters: dict[str, Cluster | None] = {}
        self._manager = parts.make_manager(
            settings,
            ManagerParts(
                HttpManagerStats(),
                self._get_cluster,
                self._pick,
                (self._log,),
                self._clock,
                self._deadlines,
                parts.guards,
            ),
        )
        self.stream: Any = None
        self.considered: Consideration | None = None
        self.head: RequestHead | None = None

    def run(self, request: bytes, source: Address) -> None:
        codec = self._manager.accept(self._client, source, self._local)
        codec.data_received(request)
        if self.stream is None:
            (connection,) = self._manager.connections
            self.stream = connection.stream
        self._clock.settle()
        self._connector.settle()

    @property
    def cluster(self) -> Cluster | None:
        return None if self.stream is None else self._clusters.get(self.stream.cluster)

    @property
    def request_sent(self) -> dict[str, Any] | None:
        """method, path, host and headers as the upstream got them; None if nothing was sent, or no HTTP."""
        transports = self._connector.transports
        sent = bytes(transports[0].written) if transports else b""  # those behind it are of mirrors
        if b" HTTP/1.1\r\n" not in sent:
            return None
        first, fields = _head(sent)
        method, path, _ = first.split(" ", 2)
        host = next((value for name, value in fields if name.lower() == "host"), "")
        headers = [field for field in fields if field[0].lower() != "host"]
        return {"method": method, "path": path, "host": host, "headers": headers}

    @property
    def reply(self) -> dict[str, Any] | None:
        """status, headers and body of what the client was answered; None if it was not."""
        written = bytes(self._client.written)
        while written.startswith(b"HTTP/1.1 1"):
            written = written.partition(b"\r\n\r\n")[2]
        if not written:
            return None
        first, fields = _head(written)
        body = written.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
        return {"status": int(first.split(" ", 2)[1]), "headers": fields, "body": body}

    def _pick(self, head: RequestHead, stream: Any) -> Route | None:
        self.head = RequestHead(
            head.method,
            head.path,
            head.authority,
            list(head.items),
            dict(head.index),
            head.version,
            head.scheme,
        )
        self.considered = self._table.consider(head, stream)
        return self.considered.route

    def _get_cluster(self, name: str) -> Cluster | None:
        """A cluster like the live one, whose connections lead nowhere."""
        if name not in self._clusters:
            live = self._parts.get_cluster(name)
            self._clusters[name] = None if live is None else self._copy(live)
        return self._clusters[name]

    def _copy(self, live: Cluster) -> Cluster:
        copy = Cluster(
            live.settings,
            self._clock,
            self._connector,
            self._deadlines,
            self._parts.random,
            get=self._get_cluster,
        )
        copy.use_runtime(self._manager.runtime)
        if live.warm:
            copy.set_endpoints(tuple(host.endpoint for host in live.hosts.values()), live.said_policy)
        return copy

    def _log(self, stream: Stream) -> None:
        self.stream = stream


def _head(data: bytes) -> tuple[str, list[list[str]]]:
    """The first line and the fields of a head."""
    first, *lines = data.partition(b"\r\n\r\n")[0].decode("utf-8", "replace").split("\r\n")
    return first, [[name, value.strip()] for name, _, value in (line.partition(":") for line in lines)]


class _StandingClock:
    """`api.clock.Clock`: the time does not pass.  What a filter waits for comes due at once, in `settle`."""

    def __init__(self, clock: Clock) -> None:
        self._due: list[_Due] = []
        self._now = clock.monotonic()
        self._wall = clock.wall()

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any) -> _Due:
        due = _Due(partial(call, *args))
        self._due.append(due)
        return due

    def settle(self) -> None:
        due, self._due = self._due, []
        for one in due:
            if one.call is not None:
                one.call()


class _Due:
    """`api.clock.Timer`: what waits for `settle`."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call: Callable[[], Any] | None = call

    def cancel(self) -> None:
        self.call = None


class Never:
    """`api.transport.ConnectAttempt`."""

    def cancel(self) -> None:
        """There is nothing to cancel."""


class _Transport:
    """`api.transport.Transport`: what is written is kept, and nobody answers."""

    def __init__(self) -> None:
        self.bufferSize = 1 << 30
        self.written = bytearray()
        self.handler: TransportHandler | None = None

    def write(self, data: bytes) -> None:
        self.written += data

    def loseConnection(self) -> None: ...

    def loseWriteConnection(self) -> None: ...

    def abortConnection(self) -> None: ...

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def registerProducer(self, producer: FlowControl, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def getPeer(self) -> Any:
        return _NOWHERE

    def getHost(self) -> Any:
        return _NOWHERE


class Connector:
    """`api.transport.Connector`: every connection succeeds, in `settle`."""

    def __init__(self) -> None:
        self.transports: list[_Transport] = []
        self._waiting: list[ConnectCallbacks] = []

    def connect(self, address: Address, timeout: float, callbacks: ConnectCallbacks) -> Never:
        self._waiting.append(callbacks)
        return Never()

    def dial(self, ways: tuple[Way, ...], timeout: float, callbacks: DialCallbacks) -> Never:
        return self.connect(ways[0].address, timeout, callbacks)

    def settle(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callbacks in waiting:
            transport = _Transport()
            self.transports.append(transport)
            transport.handler = callbacks.connected(transport)
