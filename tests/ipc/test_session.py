"""Both ends of the conversation between the discovery process and a worker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from twistproxy.errors import RemoteProtocolError
from twistproxy.ipc.frame import FrameReader, encode_frame
from twistproxy.ipc.session import (
    DiscoverySession,
    Frame,
    WorkerSession,
    encode_changes,
    encode_endpoints,
    encode_said,
)
from twistproxy.model.address import PipeAddress, TcpAddress
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint, EndpointChanges, EndpointNews, EndpointSet


def host(port: int) -> Endpoint:
    return Endpoint(TcpAddress("10.0.0.1", port))


class World:
    """What a discovery process holds, and what it has written on one connection."""

    def __init__(self, instance: str = "first") -> None:
        self.instance = instance
        self.sets: dict[str, EndpointSet] = {}
        self.complete: set[str] = set()
        self.written: list[bytes] = []
        self.said: list[dict[str, object]] = []
        self.wanted: set[str] = set()
        self.session = self.connect()
        self.pause_after = 0

    def connect(self) -> DiscoverySession:
        self.written = []
        self.session = DiscoverySession(
            self.write,
            self.instance,
            self.versions,
            self.frame,
            self.said.append,
            lambda known: [name for name in known if name in self.wanted],
        )
        return self.session

    def versions(self) -> dict[str, int]:
        return {name: endpoints.version for name, endpoints in self.sets.items()}

    def frame(self, cluster: str, known: int) -> Frame | None:
        endpoints = self.sets.get(cluster)
        if endpoints is None:
            return None
        return endpoints.version, encode_endpoints(endpoints, cluster in self.complete)

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.pause_after and len(self.written) >= self.pause_after:
            self.session.pause()

    def put(
        self, cluster: str, version: int, *ports: int, resolved: bool = True, complete: bool = True
    ) -> None:
        self.sets[cluster] = EndpointSet(cluster, tuple(map(host, ports)), version, resolved)
        (self.complete.add if complete else self.complete.discard)(cluster)
        self.session.changed(cluster)

    def messages(self) -> list[dict[str, object]]:
        found = FrameReader().feed(b"".join(self.written))
        self.written = []
        return found


def ports(news: Iterable[EndpointNews]) -> dict[str, list[int]]:
    """Of what was told as a whole."""
    found = {}
    for endpoints in news:
        assert isinstance(endpoints, EndpointSet)
        found[endpoints.cluster] = [
            endpoint.address.port
            for endpoint in endpoints.endpoints
            if isinstance(endpoint.address, TcpAddress)
        ]
    return found


def talk(world: World, worker: WorkerSession) -> dict[str, list[int]]:
    """Connect `worker` to `world`; what it is told."""
    world.connect().receive(worker.connected())
    return receive(world, worker)


def receive(world: World, worker: WorkerSession) -> dict[str, list[int]]:
    data = b"".join(world.written)
    world.written = []
    return ports(worker.receive(data))


def test_nothing_is_sent_before_the_hello() -> None:
    world = World()
    world.put("a", 1, 80)
    assert world.written == []


def test_a_new_worker_gets_everything_then_changes_only() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 1, 80)
    world.put("b", 2, 81, 82)
    assert talk(world, worker) == {"a": [80], "b": [81, 82]}
    world.put("b", 3, 82)
    assert [m["cluster"] for m in FrameReader().feed(b"".join(world.written))] == ["b"]
    assert receive(world, worker) == {"b": [82]}
    assert ports(worker.known()) == {"a": [80], "b": [82]}


def test_reading_byte_by_byte_is_the_same() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 1, 80)
    hello = worker.connected()
    world.connect()
    for at in range(len(hello)):
        world.session.receive(hello[at : at + 1])
    told: list[EndpointNews] = []
    for byte in b"".join(world.written):
        told += worker.receive(bytes([byte]))
    assert ports(told) == {"a": [80]}


def test_an_unresolved_cluster_is_no_news_until_it_has_answered() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 1, resolved=False, complete=False)
    assert talk(world, worker) == {}
    world.put("a", 2)
    assert receive(world, worker) == {"a": []}


def test_a_first_failure_ends_the_waiting() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 1, complete=False)
    assert talk(world, worker) == {"a": []}


def test_coming_back_to_the_same_process_brings_what_changed() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 1, 80)
    world.put("b", 2, 81)
    talk(world, worker)
    world.connect()
    world.put("b", 3, 82)
    world.session.receive(worker.connected())
    messages = world.messages()
    assert [(m["t"], m.get("cluster")) for m in messages] == [("welcome", None), ("endpoints", "b")]


def test_a_successor_whose_versions_start_again_brings_its_state() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 7, 80)
    talk(world, worker)
    successor = World("second")
    successor.put("a", 1, 81)
    assert talk(successor, worker) == {"a": [81]}


def test_a_successor_that_knows_nothing_yet_takes_nothing_away() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 7, 80)
    world.put("b", 8, 81)
    world.put("c", 9, 82, 83)
    talk(world, worker)
    successor = World("second")
    successor.put("a", 1, resolved=False, complete=False)
    successor.put("b", 2, complete=False)
    successor.put("c", 3, 82, 84, complete=False)
    told = talk(successor, worker)
    assert "a" not in told
    assert told["b"] == [81]
    assert sorted(told["c"]) == [82, 83, 84]
    assert ports(worker.known())["a"] == [80]
    successor.put("c", 4, 84)
    assert receive(successor, worker) == {"c": [84]}


def test_a_removed_cluster_keeps_its_endpoints_in_the_worker() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 1, 80)
    talk(world, worker)
    del world.sets["a"]
    world.session.changed("a")
    assert receive(world, worker) == {}
    assert worker.known() == ()


def test_a_worker_that_missed_a_removal_is_told() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 1, 80)
    talk(world, worker)
    del world.sets["a"]
    world.connect().receive(worker.connected())
    assert [m["t"] for m in world.messages()] == ["welcome", "removed"]


def test_a_slow_worker_gets_the_newest_state_only() -> None:
    world, worker = World(), WorkerSession()
    for name in "abc":
        world.put(name, 1, 80)
    world.pause_after = 2
    world.connect().receive(worker.connected())
    assert len(world.written) == 2  # the welcome and one cluster; then the transport said stop
    for version in range(2, 100):
        world.put("b", version, version)
        world.put("a", version, version)
    assert len(world.written) == 2
    world.pause_after = 0
    world.session.resume()
    messages = world.messages()
    assert [(m["t"], m.get("cluster"), m.get("version")) for m in messages] == [
        ("welcome", None, None),
        ("endpoints", "a", 1),
        ("endpoints", "b", 99),
        ("endpoints", "c", 1),
        ("endpoints", "a", 99),
    ]


def test_an_old_version_is_no_news() -> None:
    worker = WorkerSession()
    worker.connected()
    frames = encode_frame({"t": "welcome", "v": 1, "instance": "x", "tell": []})
    frames += encode_endpoints(EndpointSet("a", (host(2),), 2), True)
    frames += encode_endpoints(EndpointSet("a", (host(1),), 1), True)
    assert ports(worker.receive(frames)) == {"a": [2]}


def test_the_policy_of_an_assignment_travels() -> None:
    worker = WorkerSession()
    worker.connected()
    told = (
        EndpointSet("a", (host(1),), 1, policy=AssignmentPolicy(200, True)),
        EndpointSet("b", (host(1),), 2),
    )
    frames = [encode_endpoints(one, True) for one in told]
    found = worker.receive(
        b"".join([encode_frame({"t": "welcome", "v": 1, "instance": "x", "tell": []}), *frames])
    )
    assert tuple(found) == told == worker.known()


@pytest.mark.parametrize(
    "message",
    [
        {"t": "welcome", "v": 2, "instance": "x"},
        {"t": "welcome", "v": 1},
        {"t": "endpoints", "cluster": "a", "version": 1, "resolved": True, "complete": True, "endpoints": []},
        {"t": "what"},
    ],
)
def test_worker_refuses_nonsense(message: dict[str, object]) -> None:
    worker = WorkerSession()
    worker.connected()
    with pytest.raises(RemoteProtocolError):
        worker.receive(encode_frame(message))


@pytest.mark.parametrize("endpoints", [3, [{"h": "10.0.0.1"}], ["x"]])
def test_worker_refuses_malformed_endpoints(endpoints: object) -> None:
    worker = WorkerSession()
    worker.connected()
    worker.receive(encode_frame({"t": "welcome", "v": 1, "instance": "x", "tell": []}))
    message = {"t": "endpoints", "cluster": "a", "version": 1, "resolved": True, "complete": True}
    with pytest.raises(RemoteProtocolError):
        worker.receive(encode_frame({**message, "endpoints": endpoints}))


@pytest.mark.parametrize(
    "message",
    [
        {"t": "hello", "v": 99, "instance": "", "clusters": {}},
        {"t": "hello", "v": 1, "instance": "", "clusters": []},
        {"t": "goodbye"},
        {"t": "said", "about": "before the hello"},
    ],
)
def test_discovery_refuses_nonsense(message: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        World().session.receive(encode_frame(message))


def test_what_a_worker_says_is_passed_on() -> None:
    world, worker = World(), WorkerSession()
    talk(world, worker)
    world.session.receive(encode_said("health", {"cluster": "a"}))
    assert world.said == [{"t": "said", "about": "health", "cluster": "a"}]


def test_discovery_refuses_a_second_hello() -> None:
    world, worker = World(), WorkerSession()
    talk(world, worker)
    with pytest.raises(RemoteProtocolError):
        world.session.receive(worker.connected())


def changes(version: int) -> EndpointChanges:
    pipe = PipeAddress("@pipe")
    return EndpointChanges(
        "a",
        version,
        (replace(host(80), weight=7),),
        ((0, host(82)), (2, Endpoint(pipe))),
        (host(81).address,),
    )


def test_changes_are_told_as_such() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 1, 80, 81)
    talk(world, worker)
    assert worker.receive(encode_changes(changes(5), 1)) == [changes(5)]
    (known,) = worker.known()
    assert (known.version, [str(e.address) for e in known.endpoints]) == (
        5,
        ["10.0.0.1:82", "10.0.0.1:80", "@pipe"],
    )
    assert known.endpoints[1].weight == 7


def test_changes_follow_what_came_with_them() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 1, 80, 81)
    world.connect().receive(worker.connected())
    news = worker.receive(b"".join([*world.written, encode_changes(changes(5), 1)]))
    assert news == [EndpointSet("a", (host(80), host(81)), 1), changes(5)]


def test_changes_of_what_is_not_known_are_nonsense() -> None:
    world, worker = World(), WorkerSession()
    world.put("a", 1, 80, 81)
    talk(world, worker)
    with pytest.raises(RemoteProtocolError, match="not here"):
        worker.receive(encode_changes(changes(5), 2))


def test_the_session_says_what_the_worker_has() -> None:
    world, worker = World(), WorkerSession()
    asked: list[tuple[str, int]] = []
    frame = world.frame

    def note(cluster: str, known: int) -> Frame | None:
        asked.append((cluster, known))
        return frame(cluster, known)

    world.frame = note  # type: ignore[method-assign]
    world.put("a", 1, 80)
    talk(world, worker)
    world.put("a", 4, 81)
    world.session.pause()
    world.put("a", 6, 82)
    world.put("a", 7, 83)
    world.session.resume()
    assert receive(world, worker) == {"a": [83]}
    world.put("a", 8, 84)  # which the worker does not read
    talk(world, worker)
    assert asked == [("a", -1), ("a", 1), ("a", 4), ("a", 7), ("a", 7)]


def test_a_worker_tells_another_discovery_process_what_it_is_asked_for() -> None:
    worker = WorkerSession()
    world = World("first")
    many = tuple(range(1, 451))
    world.put("a", 1, *many)
    world.put("b", 2, 7)
    world.put("c", 3)
    world.session.receive(worker.connected())
    worker.receive(b"".join(world.written))
    assert list(worker.told()) == []
    world = World("second")
    world.wanted = {"a", "c", "of another worker"}
    world.session.receive(worker.connected())
    worker.receive(b"".join(world.written))
    for frame in worker.told():
        world.session.receive(frame)
    assert [(m["cluster"], len(m["endpoints"]), m["last"]) for m in world.said] == [  # type: ignore[arg-type]
        ("a", 200, False),
        ("a", 200, False),
        ("a", 50, True),
        ("c", 0, True),
    ]
    found = [Endpoint.from_json(one) for m in world.said for one in m["endpoints"]]  # type: ignore[attr-defined]
    assert found == [host(port) for port in many]
    world.said.clear()
    world.written.clear()
    world.connect().receive(worker.connected())  # the same one again: it knows what it said
    worker.receive(b"".join(world.written))
    assert list(worker.told()) == []
