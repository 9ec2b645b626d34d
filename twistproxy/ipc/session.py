"""The conversation between the discovery process and a worker, both ends.  Sans-I/O.

    worker     {"t": "hello", "v": 1, "instance": "...", "clusters": {name: version, ...}}
    discovery  {"t": "welcome", "v": 1, "instance": "...", "tell": [name, ...]}
               {"t": "endpoints", "cluster": ..., "version": ..., "resolved": ..., "complete": ...,
                "policy": [...] or null, "endpoints": [...]}                         for each cluster
               {"t": "changes", "cluster": ..., "from": version, "version": ..., "changed": [...],
                "added": [[place, ...], ...], "removed": [address, ...]}              whenever one changes
               {"t": "removed", "cluster": ...} when one goes
    worker     {"t": "said", "about": ..., ...} for whoever in the discovery process wants to know
               {"t": "said", "about": "known", "cluster": ..., "policy": ..., "endpoints": [...], "last": bool}
               what is known here of the clusters that the welcome names, in parts

The hello says what the worker has, so that a worker that only lost its connection is sent what changed
meanwhile. `resolved` is false until the cluster's source has answered.  `complete` is false while the source,
or a part of it, has answered with failures only: then there may be endpoints that are not known.

Changes (`model.endpoint.EndpointChanges`) are told to a worker that has a version from which they are known.  Any
other is told the whole state, as `endpoints`.

Versions count within one discovery process, which its `instance` names: a successor starts from 1 again, and
all of its clusters are sent.  Only the newest state of a cluster matters: for a worker that reads slowly the
names of changed clusters are kept, never messages, and what has changed meanwhile is told as one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from twistproxy.errors import RemoteProtocolError
from twistproxy.ipc.frame import FrameReader, Message, encode_frame
from twistproxy.model.address import Address, address_of, address_value
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint, EndpointChanges, EndpointNews, EndpointSet

VERSION = 1
#: The version of a cluster of which nothing is known, or nothing that counts.
NOTHING = -1
#: Endpoints in one message of a worker.
_PART = 200

#: A version, and the encoded message that leads there.
Frame = tuple[int, bytes]


def encode_endpoints(endpoints: EndpointSet, complete: bool) -> bytes:
    """The frame that carries the whole state of one cluster.  `complete`: as described above."""
    policy = endpoints.policy
    return encode_frame(
        {
            "t": "endpoints",
            "cluster": endpoints.cluster,
            "version": endpoints.version,
            "resolved": endpoints.resolved,
            "complete": complete,
            "policy": None if policy is None else policy.to_json(),
            "endpoints": [endpoint.to_json() for endpoint in endpoints.endpoints],
        }
    )


def encode_changes(changes: EndpointChanges, known: int) -> bytes:
    """The frame that leads from version `known` of a cluster to a newer one."""
    return encode_frame(
        {
            "t": "changes",
            "cluster": changes.cluster,
            "from": known,
            "version": changes.version,
            "changed": [endpoint.to_json() for endpoint in changes.changed],
            "added": [[place, endpoint.to_json()] for place, endpoint in changes.added],
            "removed": [address_value(address) for address in changes.removed],
        }
    )


class DiscoverySession:
    """The discovery process's end of one connection.

    write     sends bytes; it may call `pause` before it returns
    instance  names this discovery process
    versions  gives the current versions of all clusters
    frame_of  gives, for a cluster and the version of it that the worker has, what to tell, b"" for nothing; None if
              the cluster is gone
    said      gets what a worker says
    wanted    of which of these clusters, which the worker knows from an earlier discovery process, it is to tell
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        instance: str,
        versions: Callable[[], Mapping[str, int]],
        frame_of: Callable[[str, int], Frame | None],
        said: Callable[[Message], None],
        wanted: Callable[[Collection[str]], list[str]],
    ) -> None:
        self._write = write
        self._instance = instance
        self._versions = versions
        self._frame_of = frame_of
        self._said = said
        self._wanted = wanted
        self._reader = FrameReader()
        self._dirty: dict[str, None] = {}
        # What the worker has, or will have when it has read all.
        self._told: dict[str, int] = {}
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
        tell: list[str] = []
        if message.get("instance") != self._instance:
            tell = self._wanted(known.keys())
            known = {}
        self._greeted = True
        self._write(encode_frame({"t": "welcome", "v": VERSION, "instance": self._instance, "tell": tell}))
        current = self._versions()
        self._told = {name: version for name, version in known.items() if isinstance(version, int)}
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
                frame = self._frame_of(cluster, self._told.get(cluster, NOTHING))
                if frame is None:
                    self._told.pop(cluster, None)
                    self._write(encode_frame({"t": "removed", "cluster": cluster}))
                else:
                    self._told[cluster], data = frame
                    if data:
                        self._write(data)
        finally:
            self._flushing = False


def encode_said(about: str, facts: Message) -> bytes:
    """The frame in which a worker tells the discovery process something."""
    return encode_frame({**facts, "t": "said", "about": about})


class WorkerSession:
    """The worker's end, over all of its connections: what the discovery process has said so far outlives
    them.

    asked  the clusters of which the discovery process wants to be told
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._instance = ""
        self._known: dict[str, _Known] = {}
        self._reader = FrameReader()
        self._welcomed = False

    def clusters(self) -> Collection[str]:
        """The clusters whose sources have answered."""
        return self._known.keys()

    def known(self) -> tuple[EndpointSet, ...]:
        """The newest endpoints of all of them."""
        return tuple(
            EndpointSet(name, tuple(known.endpoints.values()), known.version, policy=known.policy)
            for name, known in self._known.items()
        )

    def told(self) -> Iterator[bytes]:
        """What the discovery process has asked for, in frames that take no worker long."""
        asked, self.asked = self.asked, []
        for name in asked:
            known = self._known.get(name)
            if known is None:
                yield encode_said("known", {"cluster": name, "endpoints": [], "last": True})
                continue
            endpoints = tuple(known.endpoints.values())
            policy = None if known.policy is None else known.policy.to_json()
            for start in range(0, max(1, len(endpoints)), _PART):
                part = [endpoint.to_json() for endpoint in endpoints[start : start + _PART]]
                last = start + _PART >= len(endpoints)
                facts = {"cluster": name, "policy": policy, "endpoints": part, "last": last}
                yield encode_said("known", facts)

    def connected(self) -> bytes:
        """A new connection is up; returns what to send on it first."""
        self._reader = FrameReader()
        self._welcomed = False
        versions = {name: known.version for name, known in self._known.items()}
        return encode_frame({"t": "hello", "v": VERSION, "instance": self._instance, "clusters": versions})

    def receive(self, data: bytes) -> list[EndpointNews]:
        """Bytes from the discovery process; returns what has become of the endpoints, in the order in which it is to
        be followed.

        A discovery process that has just started may not have found yet what its predecessor knew.  So an
        unresolved cluster is no news, and the endpoints of an incomplete one are added to those that are in
        use. Raises `RemoteProtocolError`.
        """
        news: dict[str, list[EndpointNews]] = {}
        for message in self._reader.feed(data):
            try:
                self._message(message, news)
            except (KeyError, TypeError, ValueError, AttributeError) as e:
                raise RemoteProtocolError(f"malformed message {message.get('t')!r}: {e!r}") from e
        return [one for of_cluster in news.values() for one in of_cluster]

    def _message(self, message: Message, news: dict[str, list[EndpointNews]]) -> None:
        kind = message.get("t")
        if kind == "welcome":
            if message.get("v") != VERSION:
                raise RemoteProtocolError(f"version {message.get('v')!r} of the discovery protocol")
            if message["instance"] != self._instance:
                # Versions of another process say nothing about this one's.
                for known in self._known.values():
                    known.version = NOTHING
            self._instance = message["instance"]
            self._welcomed = True
            self.asked = [str(name) for name in message["tell"]]
        elif not self._welcomed:
            raise RemoteProtocolError(f"message {kind!r} before the welcome")
        elif kind == "endpoints":
            self._endpoints(message, news)
        elif kind == "changes":
            self._changes(message, news)
        elif kind == "removed":
            # Only the configuration takes a cluster away from a worker: until it does, its endpoints stay in
            # use.
            self._known.pop(message["cluster"], None)
            news.pop(message["cluster"], None)
        else:
            raise RemoteProtocolError(f"unknown message {kind!r}")

    def _endpoints(self, message: Message, news: dict[str, list[EndpointNews]]) -> None:
        cluster, version = message["cluster"], message["version"]
        if not message["resolved"]:
            return
        known = self._known.get(cluster)
        if known is not None and version <= known.version:
            return
        endpoints: dict[Address, Endpoint] = {}
        for one in message["endpoints"]:
            endpoint = Endpoint.from_json(one)
            endpoints[endpoint.address] = endpoint
        if known is not None and not message["complete"]:
            for address, endpoint in known.endpoints.items():
                endpoints.setdefault(address, endpoint)
        said = message.get("policy")
        policy = None if said is None else AssignmentPolicy.from_json(said)
        self._known[cluster] = _Known(version, endpoints, policy)
        news[cluster] = [EndpointSet(cluster, tuple(endpoints.values()), version, policy=policy)]

    def _changes(self, message: Message, news: dict[str, list[EndpointNews]]) -> None:
        cluster = message["cluster"]
        known = self._known.get(cluster)
        if known is None or known.version != message["from"]:
            raise RemoteProtocolError(f"changes of a version of {cluster!r} that is not here")
        changes = EndpointChanges(
            cluster,
            message["version"],
            tuple(map(Endpoint.from_json, message["changed"])),
            tuple((int(place), Endpoint.from_json(one)) for place, one in message["added"]),
            tuple(map(address_of, message["removed"])),
        )
        changes.apply(known.endpoints)
        known.version = changes.version
        news.setdefault(cluster, []).append(changes)


class _Known:
    """What the worker knows of a cluster."""

    __slots__ = ("endpoints", "policy", "version")

    def __init__(
        self, version: int, endpoints: dict[Address, Endpoint], policy: AssignmentPolicy | None
    ) -> None:
        self.version = version
        self.endpoints = endpoints
        self.policy = policy
