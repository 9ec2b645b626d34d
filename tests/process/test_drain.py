from __future__ import annotations

from twisted.internet.task import Clock

from twistproxy.process.drain import Drain
from twistproxy.transport.clock import ReactorClock


class Plane:
    def __init__(self, connections: int, requests: int) -> None:
        self.connections = connections
        self.requests = requests
        self.aborted = False

    def active_connections(self) -> int:
        return self.connections

    def active_requests(self) -> int:
        return self.requests

    def close_idle(self) -> None:
        self.connections = self.requests

    def abort_all(self) -> None:
        self.aborted = True
        self.connections = self.requests = 0


def drain(plane: Plane, seconds: float = 60.0) -> tuple[Clock, Drain, list[float]]:
    clock = Clock()
    done: list[float] = []
    one = Drain(plane, ReactorClock(clock), seconds, lambda: done.append(clock.seconds()))
    return clock, one, done


def test_without_connections_it_is_done_at_once() -> None:
    assert drain(Plane(0, 0))[2] == [0.0]


def test_idle_connections_get_a_moment_for_one_more_request() -> None:
    plane = Plane(3, 0)
    clock, _, done = drain(plane)
    clock.pump([0.05] * 9)
    assert plane.connections == 3
    clock.pump([0.05] * 4)
    assert plane.connections == 0
    assert len(done) == 1


def test_requests_in_flight_are_waited_for() -> None:
    plane = Plane(3, 1)
    clock, _, done = drain(plane)
    clock.pump([0.05] * 200)
    assert done == []
    assert not plane.aborted
    plane.requests = 0
    clock.pump([0.05] * 2)
    assert len(done) == 1
    assert not plane.aborted


def test_the_time_is_a_limit() -> None:
    plane = Plane(3, 1)
    clock, _, done = drain(plane, 5.0)
    clock.pump([0.05] * 105)
    assert plane.aborted
    assert len(done) == 1
    assert 5.0 <= done[0] <= 5.1
    assert clock.getDelayedCalls() == []


class SlowPlane(Plane):
    """Aborted connections are gone a turn later, as those of a reactor are."""

    def active_connections(self) -> int:
        left = self.connections
        if self.aborted:
            self.connections = 0
        return left

    def abort_all(self) -> None:
        self.aborted = True


def test_what_is_aborted_is_gone_before_the_end() -> None:
    """Else the last requests would be in no log."""
    plane = SlowPlane(3, 1)
    clock, _, done = drain(plane, 5.0)
    clock.pump([0.05] * 100)
    assert done == []
    clock.pump([0.05] * 4)
    assert len(done) == 1
    assert plane.connections == 0


def test_connections_that_cannot_be_aborted_do_not_hold_it_up() -> None:
    class Stuck(Plane):
        def abort_all(self) -> None:
            self.aborted = True

    plane = Stuck(3, 1)
    clock, _, done = drain(plane, 5.0)
    clock.pump([0.05] * 110)
    assert len(done) == 1
    assert clock.getDelayedCalls() == []


def test_hurry_only_ever_shortens() -> None:
    plane = Plane(1, 1)
    clock, one, done = drain(plane, 5.0)
    one.hurry(60.0)
    one.hurry(1.0)
    clock.pump([0.05] * 22)
    assert len(done) == 1
