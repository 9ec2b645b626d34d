"""The health of one host: when it is checked, and what follows from the results (Envoy: HealthCheckerImplBase)."""

from __future__ import annotations

from typing import Protocol

from twistproxy.api.clock import Timer
from twistproxy.discovery.health.probe import Failure, Probe
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import (
    ACTIVE_HC_TIMEOUT,
    DEGRADED_ACTIVE_HC,
    EXCLUDED_VIA_IMMEDIATE_HC_FAIL,
    FAILED_ACTIVE_HC,
    PENDING_ACTIVE_HC,
)
from twistproxy.model.health_check import HealthCheckSettings
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.schedule import Schedule

#: What passes away when a host becomes healthy.
_OF_FAILURE = FAILED_ACTIVE_HC | ACTIVE_HC_TIMEOUT | EXCLUDED_VIA_IMMEDIATE_HC_FAIL
_NEVER = float("inf")


class Checker(Protocol):
    """What the checks of a cluster's hosts have in common: `ClusterHealth`."""

    settings: HealthCheckSettings
    deadlines: Deadlines
    schedule: Schedule

    def now(self) -> float:
        """Monotonic seconds."""

    def soon(self, host: HostCheck) -> Timer:
        """`host.expire` is called when what has come by now has been read."""

    def first_delay(self) -> float:
        """Seconds until the first check of a host; 0: now."""

    def interval(self, healthy: bool, changing: bool) -> float:
        """Seconds until the next check.

        healthy   how the last one ended
        changing  the host still counts as the opposite
        """

    def attempted(self) -> None:
        """A check begins."""

    def passed(self, host: HostCheck, first: bool, flags: int) -> None:
        """A check has passed.  `flags`: what the host's were before it."""

    def failed(self, host: HostCheck, failure: Failure, first: bool, status: int, flags: int) -> None:
        """So for a failure."""

    def verified(self) -> bool:
        """See `probe.Results`."""


class HostCheck:
    """See `probe.Results`.

    flags     the host's health (`model.health`), as far as checks decide on it
    deadline  when the check that runs now has taken too long
    due       when the next one begins (`Schedule`)
    first     no check has ended yet
    """

    __slots__ = (
        "_checker",
        "_failures",
        "_passes",
        "_probe",
        "_timer",
        "deadline",
        "due",
        "endpoint",
        "first",
        "flags",
    )

    def __init__(self, checker: Checker, endpoint: Endpoint, flags: int) -> None:
        self._checker = checker
        self.endpoint = endpoint
        self.flags = flags
        self.first = True
        self.deadline = _NEVER
        self.due = 0
        self._failures = 0
        self._passes = 0
        self._timer: Timer | None = None
        self._probe: Probe | None = None

    def start(self, probe: Probe) -> None:
        """Check from now on, by `probe`."""
        self._probe = probe
        delay = self._checker.first_delay()
        if delay > 0:
            self._checker.schedule.add(self, delay)
        else:
            self.check()

    def move(self, probe: Probe) -> None:
        """The host is to be checked in another way; what is known of it stays."""
        running = self.deadline != _NEVER
        if self._probe is not None:
            self._probe.close()
        self._probe = probe
        if running:
            self._quiet()
            self.check()

    def stop(self) -> None:
        """Check no more."""
        self._quiet()
        self._checker.deadlines.discard(self)
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def on_due(self) -> None:
        self.check()

    def check(self) -> None:
        """It is time for a check."""
        probe = self._probe
        assert probe is not None
        checker = self._checker
        self.deadline = checker.now() + checker.settings.timeout
        checker.deadlines.add(self)
        checker.attempted()
        probe.begin()

    def on_deadline(self, now: float) -> None:
        """The check has taken too long, unless its answer only waits to be read: with very many hosts we may be late
        ourselves."""
        self._checker.deadlines.discard(self)
        self.deadline = _NEVER
        self._timer = self._checker.soon(self)

    def expire(self) -> None:
        """There is no answer."""
        self._timer = None
        if self._probe is not None:
            self._probe.give_up()
            self.failed(Failure.NETWORK_TIMEOUT)

    def succeeded(self, degraded: bool = False) -> None:
        before, first = self.flags, self.first
        self._failures = 0
        changing = False
        if before & FAILED_ACTIVE_HC:
            # The first check ever makes a host healthy at once, so that a start does not take long.
            self._passes += 1
            if first or self._passes == self._checker.settings.healthy_threshold:
                self.flags &= ~_OF_FAILURE
            else:
                changing = True
        if self.flags & PENDING_ACTIVE_HC:
            self.flags &= ~PENDING_ACTIVE_HC
            changing = False
        self.flags = self.flags & ~DEGRADED_ACTIVE_HC | (DEGRADED_ACTIVE_HC if degraded else 0)
        self.first = False
        self._checker.passed(self, first, before)
        self._again(True, changing)

    def failed(
        self, failure: Failure, *, retriable: bool = False, status: int = 0, immediate: bool = False
    ) -> None:
        self._again(False, self._count_failure(failure, retriable, status, immediate))

    def told_unhealthy(self) -> None:
        """A response to ordinary traffic says that the host is to get no more (x-envoy-immediate-health-check-fail).  Its
        next check comes when it would have come."""
        self._count_failure(Failure.PASSIVE, False, 0, True)

    def verified(self) -> bool:
        return self._checker.verified()

    def _count_failure(self, failure: Failure, retriable: bool, status: int, immediate: bool) -> bool:
        """Returns whether the host still counts as healthy."""
        before, first = self.flags, self.first
        self._passes = 0
        changing = False
        if not before & FAILED_ACTIVE_HC:
            counted = failure.of_network or retriable
            self._failures += counted
            if not counted or self._failures == self._checker.settings.unhealthy_threshold:
                self.flags |= FAILED_ACTIVE_HC
            else:
                changing = True
        if immediate:
            self.flags |= EXCLUDED_VIA_IMMEDIATE_HC_FAIL
        self.flags &= ~ACTIVE_HC_TIMEOUT
        if failure is Failure.NETWORK_TIMEOUT and self.flags & FAILED_ACTIVE_HC:
            self.flags |= ACTIVE_HC_TIMEOUT
        if self.flags & PENDING_ACTIVE_HC:
            self.flags &= ~PENDING_ACTIVE_HC
            changing = False
        self.first = False
        self._checker.failed(self, failure, first, status, before)
        return changing

    def _again(self, healthy: bool, changing: bool) -> None:
        """The check is over; the next one comes after the interval."""
        self._quiet()
        if self._probe is not None:  # else what it led to has stopped us
            self._checker.schedule.add(self, self._checker.interval(healthy, changing))

    def _quiet(self) -> None:
        self.deadline = _NEVER
        self.due = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
