from __future__ import annotations

from twistproxy.discovery.health.probe import Failure
from twistproxy.model.health_check import HttpCheck

from .doubles import NOT_OK, OK, A, World, intervals, settings

FAILED = "failed_active_hc"


def started(world: World) -> World:
    world.publish(A)
    world.clock.advance(0)
    return world


def test_the_first_check_makes_healthy_at_once() -> None:
    world = started(World())
    assert world.flags == {"1": FAILED}
    assert world.answer() == 1
    assert world.flags == {"1": "healthy"}
    assert world.counters() == {
        "attempt": 1,
        "success": 1,
        "failure": 0,
        "passive_failure": 0,
        "network_failure": 0,
        "verify_cluster": 0,
        "healthy": 1,
        "degraded": 0,
    }


def test_later_the_threshold_counts() -> None:
    world = started(World(settings(healthy_threshold=3)))
    world.answer(NOT_OK)
    for flags in (FAILED, FAILED, "healthy"):
        world.clock.advance(10)
        assert world.answer() == 1
        assert world.flags == {"1": flags}


def test_a_failure_between_begins_the_count_anew() -> None:
    world = started(World())
    for answer in (NOT_OK, OK, NOT_OK, OK):
        world.answer(answer)
        world.clock.advance(10)
    assert world.flags == {"1": FAILED}
    world.answer()
    assert world.flags == {"1": "healthy"}


def test_failures_of_the_network_count_towards_a_threshold() -> None:
    world = started(World())
    world.answer()
    world.open()[0].lose()
    world.connector.refused.add(A)
    world.clock.advance(10)
    world.settle()
    assert world.flags == {"1": "healthy"}
    world.clock.advance(10)
    world.settle()
    assert world.flags == {"1": FAILED}
    assert world.counters()["network_failure"] == 2


def test_an_answer_that_says_no_does_not() -> None:
    world = started(World())
    world.answer()
    world.clock.advance(10)
    world.answer(NOT_OK)
    assert world.flags == {"1": FAILED}


def test_one_that_is_retriable_does() -> None:
    world = started(World(settings(HttpCheck("/", retriable=((503, 504),)))))
    world.answer()
    for flags in ("healthy", FAILED):
        world.clock.advance(10)
        world.answer(NOT_OK)
        assert world.flags == {"1": flags}


def test_a_check_that_takes_too_long() -> None:
    world = started(World())
    assert world.asked()
    world.clock.advance(1.01)
    world.settle()
    assert world.flags == {"1": f"{FAILED}/active_hc_timeout"}
    assert world.open() == []
    # Another failure takes that flag away again.
    world.clock.advance(10)
    world.answer(NOT_OK)
    assert world.flags == {"1": FAILED}


def test_an_answer_that_only_waits_to_be_read_is_not_late() -> None:
    world = started(World())
    (connection,) = world.asked()
    # The deadline has passed, and the answer is in the socket.
    world.checks._clusters["app"]._hosts[A].on_deadline(world.clock.monotonic())
    connection.receive(OK)
    world.settle()
    assert world.flags == {"1": "healthy"}
    assert world.counters()["failure"] == 0


def test_intervals() -> None:
    times = intervals(usual=2.0, unhealthy=3.0, unhealthy_edge=5.0, healthy_edge=7.0)
    world = started(World(settings(intervals=times)))

    def waits() -> float:
        """Until the next check begins."""
        start, before = world.clock.monotonic(), world.counters()["attempt"]
        while world.counters()["attempt"] == before:
            world.clock.advance(0.5)
        return round(world.clock.monotonic() - start)

    def lose() -> None:
        for connection in world.asked():
            connection.lose()

    world.asked()[0].receive(OK)
    assert waits() == 2
    world.clock.advance(0)
    lose()
    assert waits() == 5
    lose()  # the second
    assert waits() == 3
    world.asked()[0].receive(OK)
    assert waits() == 7
    world.asked()[0].receive(OK)
    assert waits() == 2


def test_intervals_without_traffic() -> None:
    times = intervals(no_traffic=4.0, no_traffic_healthy=6.0)
    world = World(settings(intervals=times))
    health = world.checks._clusters["app"]
    health.used = False
    assert health.interval(True, False) == 6.0
    assert health.interval(True, True) == health.interval(False, False) == health.interval(False, True) == 4.0
    world.checks.cluster_used("app")
    assert health.interval(True, False) == 10.0


def test_jitter_and_bounds() -> None:
    world = World(settings(intervals=intervals(usual=2.0, jitter=1.0, jitter_percent=50, initial_jitter=3.0)))
    health = world.checks._clusters["app"]
    assert health.interval(True, False) == 2.0 + 0.5 + 0.5
    assert health.first_delay() == 1.5
    world.runtime.replace({"health_check.max_interval": 700, "health_check.min_interval": 100})
    assert health.interval(True, False) == 0.7
    world.runtime.replace({"health_check.min_interval": 9000})
    assert health.interval(True, False) == 9.0


def test_initial_jitter_delays_the_first_check() -> None:
    world = started(World(settings(intervals=intervals(initial_jitter=4.0))))
    assert world.counters()["attempt"] == 0
    world.clock.advance(2)
    assert world.counters()["attempt"] == 1


def test_degraded() -> None:
    world = started(World())
    world.answer(OK.replace(b"\r\n\r\n", b"\r\nx-envoy-degraded: 1\r\n\r\n"))
    assert world.flags == {"1": "degraded_active_hc"}
    assert world.counters()["degraded"] == 1
    world.clock.advance(10)
    world.answer()
    assert world.flags == {"1": "healthy"}


def test_immediate_failure() -> None:
    world = started(World())
    world.answer()
    world.clock.advance(10)
    world.answer(NOT_OK.replace(b"\r\n\r\n", b"\r\nx-envoy-immediate-health-check-fail: 1\r\n\r\n"))
    assert world.flags == {"1": f"{FAILED}/excluded_via_immediate_hc_fail"}
    for _ in range(2):
        world.clock.advance(10)
        world.answer()
    assert world.flags == {"1": "healthy"}


def test_told_by_ordinary_traffic() -> None:
    world = started(World())
    world.answer()
    world.checks.told_unhealthy("app", A)
    world.settle()
    assert world.flags == {"1": f"{FAILED}/excluded_via_immediate_hc_fail"}
    assert world.counters()["passive_failure"] == 1
    # The next check comes when it would have come.
    world.clock.advance(10)
    assert world.answer() == 1


def test_nothing_goes_on_after_the_stop() -> None:
    world = started(World())
    world.asked()
    world.checks.stop()
    world.clock.advance(60)
    assert world.open() == []
    assert world.clock.pending() == []
    assert world.counters()["failure"] == 0


def test_failures_of_the_network() -> None:
    assert Failure.NETWORK.of_network and Failure.NETWORK_TIMEOUT.of_network
    assert not Failure.ACTIVE.of_network and not Failure.PASSIVE.of_network
