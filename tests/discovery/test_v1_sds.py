from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock

from twistproxy.discovery.registration import render_registration
from twistproxy.discovery.v1_sds import V1SdsDiscovery
from twistproxy.model.address import TcpAddress
from twistproxy.model.discovery import V1SdsSource
from twistproxy.model.endpoint import Endpoint

from .fakes import Log, Updates

SDS = tuple(Endpoint(TcpAddress(address, 8080)) for address in ("10.9.0.1", "10.9.0.2"))


def body(*ports: int) -> bytes:
    return render_registration(Endpoint(TcpAddress("10.0.0.1", port)) for port in ports)


class World(Updates):
    def __init__(
        self, hosts: tuple[Endpoint, ...] | None = SDS, service_name: str = "app.default.svc.cluster.local"
    ) -> None:
        super().__init__("app")
        self.clock = Clock()
        self.log = Log()
        self.hosts = hosts
        self.asked: list[tuple[str, str]] = []
        self.waiting: list[Deferred[tuple[int, bytes]]] = []
        source = V1SdsSource("app", service_name, 10.0, (), "sds_cluster")
        self.sds = V1SdsDiscovery(
            self.clock, source, lambda: self.hosts, self.fetch, self.updates, lambda: 0.5, self.log.logger
        )
        self.sds.start()

    def fetch(self, address: TcpAddress, target: str, host: str) -> Deferred[tuple[int, bytes]]:
        self.asked.append((f"http://{address}{target}", host))
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def answer(self, data: bytes, status: int = 200) -> None:
        self.waiting.pop(0).callback((status, data))

    def next_poll(self) -> float:
        (call,) = self.clock.getDelayedCalls()
        return call.getTime() - self.clock.seconds()


def test_polls_at_once_and_after_the_delay_with_jitter() -> None:
    world = World()
    url = "http://10.9.0.1:8080/v1/registration/app.default.svc.cluster.local"
    assert world.asked == [(url, "sds_cluster")]
    world.answer(body(80, 81))
    assert world.addresses == ["10.0.0.1:80", "10.0.0.1:81"]
    assert world.next_poll() == 15.0
    world.clock.advance(15)
    world.answer(body(81))
    assert world.addresses == ["10.0.0.1:81"]
    assert world.counted() == {"attempt": 2, "success": 2}


def test_an_unchanged_body_changes_nothing() -> None:
    world = World()
    world.answer(body(80))
    world.clock.advance(15)
    world.answer(body(80))
    assert world.changes == 1
    assert world.counted() == {"attempt": 2, "success": 2, "no_rebuild": 1}


def test_an_empty_list_empties_the_cluster() -> None:
    world = World()
    world.answer(body(80))
    world.clock.advance(15)
    world.answer(b'{"hosts": []}')
    assert world.addresses == []


@pytest.mark.parametrize(
    ("status", "data"), [(404, b'{"hosts": []}'), (204, b""), (500, b""), (200, b""), (200, b'{"hosts": 1}')]
)
def test_any_other_answer_keeps_the_old_endpoints(status: int, data: bytes) -> None:
    world = World(SDS[:1])
    world.answer(body(80))
    world.clock.advance(15)
    world.answer(data, status)
    assert world.addresses == ["10.0.0.1:80"]
    assert world.counted() == {"attempt": 2, "success": 1, "failure": 1}
    assert world.next_poll() == 15.0
    assert world.log.failures == 0


def test_a_bad_body_is_not_remembered_as_good() -> None:
    world = World(SDS[:1])
    for _ in range(2):
        world.answer(b"nonsense")
        world.clock.advance(15)
    assert world.counted() == {"attempt": 3, "failure": 2}
    assert len(world.log.lines) == 1


def test_hosts_are_asked_in_turn() -> None:
    world = World()
    for _ in range(3):
        world.answer(body(80))
        world.clock.advance(15)
    assert [url[:16] for url, _ in world.asked] == [
        "http://10.9.0.1:",
        "http://10.9.0.2:",
        "http://10.9.0.1:",
        "http://10.9.0.2:",
    ]


def test_another_host_is_asked_when_one_fails() -> None:
    world = World()
    world.waiting.pop().errback(ConnectionRefusedError())
    assert len(world.asked) == 2
    world.answer(body(80))
    assert world.addresses == ["10.0.0.1:80"]
    assert world.counted() == {"attempt": 1, "success": 1}


def test_all_hosts_failing_is_one_failure() -> None:
    world = World()
    world.waiting.pop().errback(ConnectionRefusedError())
    world.answer(b"", 503)
    assert (world.resolved, world.complete) == (True, False)
    assert world.counted() == {"attempt": 1, "failure": 1}
    assert "10.9.0.2:8080: status 503" in world.log.lines[-1]


def test_one_second_for_all_of_it() -> None:
    world = World()
    world.clock.advance(0.75)
    world.waiting.pop().errback(ConnectionRefusedError())
    assert not world.counted().get("failure")
    world.clock.advance(0.25)
    assert world.counted() == {"attempt": 1, "failure": 1}
    assert "no answer within 1 s" in world.log.lines[-1]
    assert world.next_poll() == 15.0


class CannotBeCancelled(Exception):
    """What some requests end with that are cancelled."""


@pytest.mark.parametrize("stopped", [True, False])
def test_no_other_host_is_asked_when_it_is_over(stopped: bool) -> None:
    world = World()
    world.waiting[0] = asked = Deferred(lambda _: asked.errback(CannotBeCancelled()))
    world.sds.stop()
    world.asked.clear()
    world.waiting.clear()
    world.fetch = lambda address, target, host: (world.asked.append((target, host)), asked)[1]  # type: ignore[method-assign]
    sds = V1SdsDiscovery(
        world.clock, world.sds.source, lambda: SDS, world.fetch, world.updates, lambda: 0.5, world.log.logger
    )
    sds.start()
    if stopped:
        sds.stop()
    else:
        world.clock.advance(1.0)
    assert len(world.asked) == 1
    assert world.log.failures == 0
    assert bool(world.clock.getDelayedCalls()) is not stopped


def test_waits_for_the_discovery_service_to_be_resolved() -> None:
    world = World(None)
    assert not world.asked
    assert not world.resolved
    assert not world.counted()
    world.hosts = SDS
    world.sds.hosts_changed()
    assert len(world.asked) == 1
    world.sds.hosts_changed()
    assert len(world.asked) == 1
    world.answer(body(80))
    assert world.next_poll() == 15.0


def test_no_hosts_is_a_failure_that_ends_when_there_are_some() -> None:
    world = World(())
    assert world.counted() == {"attempt": 1, "failure": 1}
    world.hosts = SDS
    world.sds.hosts_changed()
    world.answer(body(80))
    assert world.addresses == ["10.0.0.1:80"]
    assert "answers again" in world.log.lines[-2]


@pytest.mark.parametrize(
    ("name", "path"),
    [("", "app"), ("a/b:c,d%41", "a/b:c,d%41"), ("a b?c#ä", "a%20b%3Fc%23%C3%A4")],
)
def test_the_name_goes_raw_into_the_path(name: str, path: str) -> None:
    assert World(service_name=name).asked[0][0].partition("/v1/registration/")[2] == path


def test_stop() -> None:
    world = World()
    world.sds.stop()
    assert not world.clock.getDelayedCalls()
    assert not world.resolved
    assert not world.counted().get("failure")
    world = World()
    world.answer(body(80))
    world.sds.stop()
    assert not world.clock.getDelayedCalls()
    world.sds.hosts_changed()
    assert len(world.asked) == 1
