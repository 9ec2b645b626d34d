from __future__ import annotations

from twistproxy.primitives.backoff import Backoff


def test_limits_double_up_to_the_most_and_start_again() -> None:
    backoff = Backoff(1.0, 5.0, lambda: 0.5)
    assert [backoff.next() for _ in range(5)] == [0.5, 1.0, 2.0, 2.5, 2.5]
    backoff.reset()
    assert backoff.next() == 0.5


def test_never_at_once() -> None:
    assert Backoff(1.0, 5.0, lambda: 0.0).next() == 0.1
