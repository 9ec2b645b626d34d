"""Many deadlines on one timer."""

from __future__ import annotations

from twistproxy.primitives.deadlines import Deadlines
from twistproxy.testing.clock import FakeClock


class Member:
    def __init__(self, deadlines: Deadlines, deadline: float, again: float = 0.0) -> None:
        self.deadlines = deadlines
        self.deadline = deadline
        self.again = again
        self.fired: list[float] = []

    def on_deadline(self, now: float) -> None:
        assert now >= self.deadline
        self.fired.append(now)
        if self.again:
            self.deadline = now + self.again
        else:
            self.deadlines.discard(self)


def test_fires_once_due_and_soon_after() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock.monotonic, clock.call_later)
    start = clock.monotonic()
    members = [Member(deadlines, start + delay) for delay in (3.0, 1.0, 2.0)]
    for member in members:
        deadlines.add(member)
    assert len(clock.pending()) == 1
    clock.advance(10)
    for member, delay in zip(members, (3.0, 1.0, 2.0), strict=True):
        (fired,) = member.fired
        assert delay <= fired - start <= delay + 0.006
    assert len(deadlines) == 0 and clock.pending() == []


def test_a_deadline_that_was_moved_or_left_does_not_fire() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock.monotonic, clock.call_later)
    moved, left = (Member(deadlines, clock.monotonic() + 1) for _ in range(2))
    deadlines.add(moved)
    deadlines.add(left)
    moved.deadline += 5
    deadlines.discard(left)
    clock.advance(5.5)
    assert moved.fired == left.fired == []
    clock.advance(1)
    assert len(moved.fired) == 1


def test_repeats_while_it_moves_its_deadline() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock.monotonic, clock.call_later)
    member = Member(deadlines, clock.monotonic() + 1, again=1.0)
    deadlines.add(member)
    clock.advance(5.5)
    assert len(member.fired) == 5
    deadlines.stop()
    assert clock.pending() == [] and len(deadlines) == 0


def test_one_member_may_remove_another_that_is_due() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock.monotonic, clock.call_later)
    pair = [Member(deadlines, clock.monotonic() + 1) for _ in range(2)]
    for member, other in zip(pair, reversed(pair), strict=True):
        deadlines.add(member)

        def fire(now: float, me: Member = member, it: Member = other) -> None:
            me.fired.append(now)
            deadlines.discard(me)
            deadlines.discard(it)

        member.on_deadline = fire  # type: ignore[method-assign]
    clock.advance(2)
    assert sum(len(member.fired) for member in pair) == 1
