from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twistproxy.process.restart import Decision, RestartPolicy


def test_a_process_that_lived_is_replaced_at_once() -> None:
    policy = RestartPolicy(lambda: 0.0)
    for _ in range(20):
        assert policy.ended(3.0) == Decision(0.0, give_up=False)


def test_one_that_keeps_dying_young_waits_longer_each_time() -> None:
    policy = RestartPolicy(lambda: 0.0, patience=2, base=0.5, most=4.0)
    decisions = [policy.ended(0.1) for _ in range(8)]
    assert [d.delay for d in decisions] == [0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert [d.give_up for d in decisions] == [False, False, False, False, False, True, True, True]


def test_a_long_life_clears_the_record() -> None:
    policy = RestartPolicy(lambda: 0.0)
    for _ in range(10):
        policy.ended(0.1)
    assert policy.ended(60.0) == Decision(0.0, give_up=False)
    assert policy.failures == 0
    assert policy.ended(0.1).delay == 0.0


@given(random=st.floats(0, 1, exclude_max=True), failures=st.integers(1, 2000))
def test_the_delay_is_jittered_and_bounded(random: float, failures: int) -> None:
    policy = RestartPolicy(lambda: random, base=0.5, most=30.0)
    for _ in range(failures):
        decision = policy.ended(0.0)
    assert 0.0 <= decision.delay <= 30.0
    if failures > 12:
        assert decision.delay >= 15.0
