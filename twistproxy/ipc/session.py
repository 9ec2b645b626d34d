"""The conversation between the discovery process and a worker, both ends.  Sans-I/O.

    worker     {"t": "hello", "v": 1, "instance": "...", "clusters": {name: version, ...}}
    discovery  {"t": "welcome", "v": 1, "instance": "..."}
               {"t": "endpoints", "cluster": ..., "version": ..., "resolved": ..., "complete": ...,
                "endpoints": [...]}                                                  for each cluster
               {"t": "endpoints", ...} whenever one changes, {"t": "removed", "cluster": ...} when one goes
    worker     {"t": "said", "about": ..., ...} for whoever in the discovery process wants to know

The hello says what the worker has, so that a worker that only lost its connection is sent what changed
meanwhile. `resolved` is false until the cluster's source has answered.  `complete` is false while the source,
or a part of it, has answered with failures only: then there may be endpoints that are not known.

Versions count within one discovery process, which its `instance` names: a successor starts from 1 again, and
all of its clusters are sent.  Each message carries the whole state of a cluster, so only the newest one
matters: for a worker that reads slowly the names of changed clusters are kept, never messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twistproxy.errors import RemoteProtocolError
from twistproxy.ipc.frame import FrameReader, Message, encode_frame
from twistproxy.model.endpoint import Endpoint, EndpointSet

VERSION = 1


def encode_endpoints(endpoints: EndpointSet, complete: bool) -> bytes:
    """The frame that carries the whole state of one cluster.  `complete`: as described above."""
    return encode_frame(
        {
            "t": "endpoints",
            "cluster": endpoints.cluster,
            "version": endpoints.version,
            "resolved": endpoints.resolved,
            "complete": complete,
            "endpoints": [endpoint.to_json() for endpoint in endpoints.endpoints],
        }
    )


class DiscoverySession:
    """The discovery process's end of one connection.

    write     sends bytes; it may call `pause` before it returns
    instance  names this discovery process
    clusters  gives the current state of all clusters
    frame_of  gives the encoded state of one cluster (`encode_endpoints`), None if the cluster is gone
    said      gets what a worker says
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        instance: str,
        clusters: Callable[[], Iterable[EndpointSet]],
        frame_of: Callable[[str], bytes | None],
        said: Callable[[Message], None],
    ) -> None:
        self._write = write
        self._instance = instance
        self._clusters = clusters
        self._frame_of = frame_of
        self._said = said
        self._reader = FrameReader()
        self._dirty: dict[str, None] = {}
        self._greeted = False
        self._paused = False
        self._flushing = False

    def receive(self, data: bytes) -> None:
        """Bytes from the worker.

        Raises `RemoteProtocolError` when they make no sense; the connection is to end.
        """
        for message in self._reader.feed(data):
            kind = message.get("t")
            if kind == "said" and self._greeted:
                self._said(message)
            elif kind == "hello" and not self._greeted:
                self._hello(message)
            else:
                raise RemoteProtocolError(f"unexpected message {kind!r}")

    def _hello(self, message: Message) -> None:
        if message.get("v") != VERSION:
            raise RemoteProtocolError(f"version {message.get('v')!r} of the discovery protocol")
        known = message.get("clusters")
        if not isinstance(known, dict):
            raise RemoteProtocolError("hello without clusters")
        if message.get("instance") != self._instance:
            known = {}
        self._greeted = True
        self._write(encode_frame({"t": "welcome", "v": VERSION, "instance": self._instance}))
        current = {endpoints.cluster: endpoints.version for endpoints in self._clusters()}
        self._dirty.update((name, None) for name, version in current.items() if known.get(name) != version)
        self._dirty.update((name, None) for name in known if name not in current)
        self._flush()

    def changed(self, cluster: str) -> None:
        """The state of `cluster` has changed, or it is gone."""
        if self._greeted:
            self._dirty[cluster] = None
            self._flush()

    def pause(self) -> None:
        """The worker reads too slowly: write nothing for now."""
        self._paused = True

    def resume(self) -> None:
        """What was written has gone out."""
        self._paused = False
        self._flush()

    def _flush(self) -> None:
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._dirty and not self._paused:
                cluster = next(iter(self._dirty))
                del self._dirty[cluster]
                frame = self._frame_of(cluster)
                self._write(encode_frame({"t": "removed", "cluster": cluster}) if frame is None else frame)
        finally:
            self._flushing = False


def encode_said(about: str, facts: Message) -> bytes:
    """The frame in which a worker tells the discovery process something."""
    return encode_frame({**facts, "t": "said", "about": about})


class WorkerSession:
    """The worker's end, over all of its connections: what the discovery process has said so far outlives
    them.
    """

    def __init__(self) -> None:
        self._instance = ""
        self._sets: dict[str, EndpointSet] = {}
        self._reader = FrameReader()
        self._welcomed = False

    def known(self) -> tuple[EndpointSet, ...]:
        """The newest endpoints of all clusters whose sources have answered."""
        return tuple(self._sets.values())

    def connected(self) -> bytes:
        """A new connection is up; returns what to send on it first."""
        self._reader = FrameReader()
        self._welcomed = False
        versions = {name: endpoints.version for name, endpoints in self._sets.items()}
        return encode_frame({"t": "hello", "v": VERSION, "instance": self._instance, "clusters": versions})

    def receive(self, data: bytes) -> list[EndpointSet]:
        """Bytes from the discovery process; returns the endpoints to use from now on.

        A discovery process that has just started may not have found yet what its predecessor knew.  So an
        unresolved cluster is no news, and the endpoints of an incomplete one are added to those that are in
        use. Raises `RemoteProtocolError`.
        """
        news: dict[str, EndpointSet] = {}
        for message in self._reader.feed(data):
            try:
                self._message(message, news)
            except (KeyError, TypeError, ValueError, AttributeError) as e:
                raise RemoteProtocolError(f"malformed message {message.get('t')!r}: {e!r}") from e
        return list(news.values())

    def _message(self, message: Message, news: dict[str, EndpointSet]) -> None:
        kind = message.get("t")
        if kind == "welcome":
            if message.get("v") != VERSION:
                raise RemoteProtocolError(f"version {message.get('v')!r} of the discovery protocol")
            if message["instance"] != self._instance:
                # Versions of another process say nothing about this one's: -1 is below all of them.
                self._sets = {name: EndpointSet(name, old.endpoints, -1) for name, old in self._sets.items()}
            self._instance = message["instance"]
            self._welcomed = True
        elif not self._welcomed:
            raise RemoteProtocolError(f"message {kind!r} before the welcome")
        elif kind == "endpoints":
            self._endpoints(message, news)
        elif kind == "removed":
            # Only the configuration takes a cluster away from a worker: until it does, its endpoints stay in
            # use.
            self._sets.pop(message["cluster"], None)
            news.pop(message["cluster"], None)
        else:
            raise RemoteProtocolError(f"unknown message {kind!r}")

    def _endpoints(self, message: Message, news: dict[str, EndpointSet]) -> None:
        cluster, version = message["cluster"], message["version"]
        if not message["resolved"]:
            return
        known = self._sets.get(cluster)
        if known is not None and version <= known.version:
            return
        endpoints = tuple(map(Endpoint.from_json, message["endpoints"]))
        if known is not None and not message["complete"]:
            found = {endpoint.address for endpoint in endpoints}
            endpoints += tuple(endpoint for endpoint in known.endpoints if endpoint.address not in found)
        self._sets[cluster] = news[cluster] = EndpointSet(cluster, endpoints, version)
