"""List and watch on a fake client and clock (on sockets: tests/integration)."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock

from twistproxy.discovery.kubernetes import FIRST_DELAY, LONGEST_DELAY, KubernetesRegistry
from twistproxy.discovery.kubernetes_client import ApiError
from twistproxy.discovery.registry import BadServiceName

from .fakes import Log, addresses

SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


def item(name: str, *ips: str, version: str = "5", port: int = 80, service: str = "") -> dict[str, Any]:
    """A slice, or an Endpoints object: each has what the other ignores."""
    labels = {"kubernetes.io/service-name": service or name}
    return {
        "metadata": {"name": name, "namespace": "default", "resourceVersion": version, "labels": labels},
        "endpoints": [{"addresses": [ip]} for ip in ips],
        "ports": [{"port": port}],
        "subsets": [{"addresses": [{"ip": ip} for ip in ips], "ports": [{"port": port}]}],
    }


class FakeClient:
    def __init__(self) -> None:
        self.paths: list[str] = []
        self.gets: list[dict[str, str]] = []
        self.watches: list[dict[str, str]] = []
        self.waiting: list[Deferred[Any]] = []
        self.cancelled = 0
        self.cancelled_with: Exception | None = None
        self.closed = False

    def wait(self) -> Deferred[Any]:
        def cancelled(waiting: Deferred[Any]) -> None:
            self.cancelled += 1
            if self.cancelled_with is not None:
                waiting.errback(self.cancelled_with)

        self.waiting.append(Deferred(cancelled))
        return self.waiting[-1]

    async def get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        self.paths.append(path)
        self.gets.append(query)
        found: dict[str, Any] = await self.wait()
        return found

    async def watch(self, path: str, query: dict[str, str], on_event: Any, limit: float) -> None:
        assert path == self.paths[-1]
        assert limit > float(query["timeoutSeconds"])
        self.watches.append(query)
        self.on_event = on_event
        await self.wait()

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.client = FakeClient()
        self.log = Log()
        self.registry = KubernetesRegistry(
            self.clock, self.client, "svc.cluster.local", lambda: 0.5, self.log.logger
        )
        self.registry.startService()

    def hosts(self, name: str = "app") -> list[str]:
        return addresses(self.registry.hosts(f"{name}.default.svc.cluster.local"))

    def list(self, *items: dict[str, Any], version: str = "10", more: str = "") -> None:
        metadata = {"resourceVersion": version, **({"continue": more} if more else {})}
        self.client.waiting.pop(0).callback({"metadata": metadata, "items": list(items)})

    def event(self, kind: str, found: dict[str, Any]) -> None:
        """As the client does it: what the event raises ends the watch."""
        try:
            self.client.on_event({"type": kind, "object": found})
        except Exception as e:
            self.fail(e)

    def end(self) -> None:
        self.client.waiting.pop(0).callback(None)

    def fail(self, error: Exception) -> None:
        self.client.waiting.pop(0).errback(error)


def test_lists_then_watches_from_there() -> None:
    world = World()
    assert not world.registry.ready
    assert world.client.gets == [{"limit": "500"}]
    world.list(item("app", "10.0.0.1"), item("other"))
    assert world.registry.ready
    assert world.hosts() == ["10.0.0.1:80"]
    assert world.hosts("other") == world.hosts("none") == []
    assert world.client.watches == [
        {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": "10", "timeoutSeconds": "90"}
    ]


def test_bad_names_are_told() -> None:
    with pytest.raises(BadServiceName):
        World().registry.hosts("app")


def test_a_list_in_pages_replaces_at_its_end() -> None:
    world = World()
    world.list(item("app", "10.0.0.1"), version="9", more="page2")
    assert not world.registry.ready
    assert world.client.gets[-1] == {"limit": "500", "continue": "page2"}
    world.list(item("b", "10.0.0.2"), version="9")
    assert world.hosts() == ["10.0.0.1:80"]
    assert world.hosts("b") == ["10.0.0.2:80"]


def test_events() -> None:
    world = World()
    world.list(item("app", "10.0.0.1"))
    world.event("ADDED", item("new", "10.0.0.9"))
    world.event("MODIFIED", item("app", "10.0.0.1", "10.0.0.2"))
    assert world.hosts() == ["10.0.0.1:80", "10.0.0.2:80"]
    assert world.hosts("new") == ["10.0.0.9:80"]
    world.event("DELETED", item("new"))
    assert world.hosts("new") == []


def test_a_watch_that_ends_is_resumed_where_it_was() -> None:
    world = World()
    world.list(item("app", "10.0.0.1"))
    world.event("MODIFIED", item("app", "10.0.0.2", version="11"))
    world.event("BOOKMARK", {"metadata": {"resourceVersion": "27"}})
    world.end()
    world.clock.advance(FIRST_DELAY)
    assert world.client.watches[-1]["resourceVersion"] == "27"
    assert world.hosts() == ["10.0.0.2:80"]
    assert len(world.client.gets) == 1


def test_a_lost_connection_is_resumed_with_back_off() -> None:
    world = World()
    world.list(item("app", "10.0.0.1"))
    for _ in range(20):
        world.fail(ConnectionLost())
        world.clock.advance(LONGEST_DELAY)
    assert len(world.client.watches) == 21
    assert len(world.client.gets) == 1
    assert world.hosts() == ["10.0.0.1:80"]
    assert [line for line in world.log.lines if "stay as they are" in line] == [world.log.lines[-1]]
    world.event("BOOKMARK", {"metadata": {"resourceVersion": "11"}})
    assert "watching again" in world.log.lines[-1]
    world.fail(ConnectionLost())
    world.clock.advance(FIRST_DELAY)
    assert len(world.client.watches) == 22


@pytest.mark.parametrize("as_event", [True, False])
def test_an_expired_version_means_a_new_list(as_event: bool) -> None:
    world = World()
    world.list(item("app", "10.0.0.1"), item("gone", "10.0.0.3"))
    if as_event:
        world.event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
    else:
        world.fail(ApiError(410, "Gone"))
    assert world.hosts() == ["10.0.0.1:80"]
    world.clock.advance(FIRST_DELAY)
    assert len(world.client.gets) == 2
    assert world.hosts() == ["10.0.0.1:80"]
    world.list(item("app", "10.0.0.2"), version="50")
    assert world.hosts() == ["10.0.0.2:80"]
    assert world.hosts("gone") == []
    assert world.client.watches[-1]["resourceVersion"] == "50"
    assert not [line for line in world.log.lines if "stay" in line]


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("ERROR", {"code": 500, "message": "etcd"}),
        ("MODIFIED", {}),
        ("DELETED", {}),
        ("MODIFIED", {**item("a"), "endpoints": 3}),
    ],
)
def test_any_other_error_means_a_new_list_too(kind: str, found: dict[str, Any]) -> None:
    world = World()
    world.list(item("app", "10.0.0.1"))
    world.event(kind, found)
    world.clock.advance(FIRST_DELAY)
    assert len(world.client.gets) == 2
    assert "stay as they are" in world.log.lines[-1]


def test_not_allowed_is_told_and_tried_again() -> None:
    world = World()
    world.fail(ApiError(403, "endpointslices is forbidden"))
    world.fail(ApiError(403, "endpoints is forbidden"))
    assert "403 endpointslices is forbidden" in world.log.lines[-1]
    assert not world.registry.ready
    world.clock.advance(FIRST_DELAY)
    world.list(item("app", "10.0.0.1"))
    assert world.registry.ready


@pytest.mark.parametrize("code", [403, 404])
def test_endpoints_where_there_are_no_slices(code: int) -> None:
    world = World()
    world.fail(ApiError(code, "not for you"))
    assert world.client.paths == [SLICES, "/api/v1/endpoints"]
    world.list(item("app", "10.0.0.1"))
    assert any("no endpoint slices" in line for line in world.log.lines)
    assert world.hosts() == ["10.0.0.1:80"]
    world.event("MODIFIED", item("app", "10.0.0.2"))
    assert world.hosts() == ["10.0.0.2:80"]
    # The next list asks for slices again.
    world.fail(ApiError(410, "Gone"))
    world.clock.advance(FIRST_DELAY)
    assert world.client.paths[-1] == SLICES
    world.list(item("app-x1", "10.0.0.3", service="app"))
    assert world.hosts() == ["10.0.0.3:80"]


def test_another_error_of_slices_is_no_reason_to_ask_for_endpoints() -> None:
    world = World()
    world.fail(ApiError(500, "etcd"))
    world.clock.advance(FIRST_DELAY)
    assert world.client.paths == [SLICES, SLICES]


def test_the_slices_of_a_service_are_one() -> None:
    world = World()
    world.list(item("app-b", "10.0.0.2", service="app"), item("app-a", "10.0.0.1", service="app"))
    assert world.hosts() == ["10.0.0.1:80", "10.0.0.2:80"]
    world.event("ADDED", item("app-c", "10.0.0.3", "10.0.0.2", service="app"))
    assert world.hosts() == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]
    world.event("DELETED", item("app-b", service="app"))
    assert world.hosts() == ["10.0.0.1:80", "10.0.0.3:80", "10.0.0.2:80"]
    # A slice may become another service's.
    world.event("MODIFIED", item("app-c", "10.0.0.3", service="other"))
    assert world.hosts() == ["10.0.0.1:80"]
    assert world.hosts("other") == ["10.0.0.3:80"]
    world.event("DELETED", item("app-a", service="app"))
    assert world.hosts() == []


def test_a_slice_of_nobody() -> None:
    world = World()
    free = item("app", "10.0.0.1")
    del free["metadata"]["labels"]
    world.list(free)
    assert world.hosts() == []
    world.event("DELETED", free)


def test_a_watch_that_ends_at_once_is_not_a_storm() -> None:
    world = World()
    world.list()
    for _ in range(1000):
        if world.client.waiting:
            world.end()
        world.clock.advance(0.1)
    assert len(world.client.watches) < 25


def test_long_quiet_watches_keep_the_delay_short() -> None:
    world = World()
    world.list()
    for _ in range(10):
        world.clock.advance(90)
        world.end()
        world.clock.advance(FIRST_DELAY)
    assert len(world.client.watches) == 11


def test_stop() -> None:
    world = World()
    world.registry.stopService()
    assert (world.client.cancelled, world.client.closed) == (1, True)
    world = World()
    world.list()
    world.fail(ConnectionLost())
    world.registry.stopService()
    assert not world.clock.getDelayedCalls()
    assert world.log.failures == 0


def test_a_request_may_end_with_any_error_when_it_is_stopped() -> None:
    world = World()
    world.client.cancelled_with = ConnectionLost()
    world.registry.stopService()
    assert not world.clock.getDelayedCalls()
    assert not world.log.lines
