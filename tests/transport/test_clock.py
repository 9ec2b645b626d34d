"""The clock of a reactor."""

import time
from typing import assert_type

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock as FakeClock

from twistproxy.api.clock import Clock
from twistproxy.transport.clock import ReactorClock


def test_a_fake_reactors_clock_drives_both_times() -> None:
    fake = FakeClock()
    clock: Clock = ReactorClock(fake)
    calls: list[str] = []
    clock.call_later(2, calls.append, "called")
    cancelled = clock.call_later(2, calls.append, "cancelled")
    cancelled.cancel()

    fake.advance(1.5)
    assert (clock.monotonic(), clock.wall(), calls) == (1.5, 1.5, [])
    fake.advance(0.5)
    assert calls == ["called"]


def test_a_real_reactor_has_two_clocks() -> None:
    reactor = EPollReactor()
    clock = ReactorClock(reactor)
    assert clock.monotonic is time.monotonic
    assert clock.wall is time.time
    assert_type(clock.wall(), float)
