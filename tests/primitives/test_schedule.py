from __future__ import annotations

from collections.abc import Callable

import pytest

from twistproxy.primitives.schedule import TICK, Schedule
from twistproxy.testing.clock import FakeClock


class Member:
    def __init__(self, name: str, called: list[str], then: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.due = 0
        self._called = called
        self._then = then

    def on_due(self) -> None:
        self._called.append(self.name)
        self._then()


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.schedule = Schedule(self.clock.monotonic, self.clock.call_later)
        self.called: list[str] = []

    def add(self, name: str, delay: float, then: Callable[[], None] = lambda: None) -> Member:
        member = Member(name, self.called, then)
        self.schedule.add(member, delay)
        return member

    def after(self, seconds: float) -> str:
        self.clock.advance(seconds)
        found, self.called[:] = " ".join(sorted(self.called)), []
        return found


def test_not_before_and_at_most_a_tick_after() -> None:
    world = World()
    world.clock.advance(TICK / 3)
    world.add("a", 1.0)
    assert world.after(0.999) == ""
    assert world.after(0.001 + TICK) == "a"
    assert world.after(10) == ""


def test_in_order_whenever_they_came() -> None:
    world = World()
    for name, delay in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("also b", 2.0), ("now", 0.0)):
        world.add(name, delay)
    assert world.after(0) == "now"
    for expected in ("a", "also b b", "c"):
        assert world.after(1.0) == expected


def test_again_and_again() -> None:
    world = World()
    soon = world.add("soon", 0.5, lambda: world.schedule.add(soon, 0.5))
    late = world.add("late", 1.5, lambda: world.schedule.add(late, 1.5))
    # One that adds itself to what is later than others does not make those late.
    assert [world.after(0.5) for _ in range(6)] == ["soon", "soon", "late soon", "soon", "soon", "late soon"]


def test_moved_and_called_off() -> None:
    world = World()
    moved, off = world.add("moved", 1.0), world.add("off", 1.0)
    world.schedule.add(moved, 2.0)
    off.due = 0
    assert world.after(1.5) == ""
    assert world.after(1.0) == "moved"


def test_one_that_raises_is_the_only_one_to_suffer() -> None:
    world = World()

    def fail() -> None:
        raise RuntimeError("on purpose")

    world.add("first", 1.0)
    world.add("bad", 1.0, fail)
    world.add("last", 1.0)
    world.add("later", 2.0)
    with pytest.raises(RuntimeError, match="on purpose"):
        world.clock.advance(1.0)
    assert world.after(0.0) == "bad first last"
    assert world.after(1.0) == "later"


def test_stop() -> None:
    world = World()
    world.add("a", 1.0)
    world.schedule.stop()
    assert world.after(2.0) == ""
    world.add("b", 1.0)
    assert world.after(1.0) == "b"
