"""The health checks of one cluster's hosts, and which endpoints follow from them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from twistproxy.api.clock import Clock, Timer
from twistproxy.discovery.health.events import HealthEvents
from twistproxy.discovery.health.host_check import HostCheck
from twistproxy.discovery.health.probe import Failure, Probe
from twistproxy.discovery.health.stats import HealthStats
from twistproxy.discovery.history import EndpointDelta
from twistproxy.discovery.source import Random
from twistproxy.model.address import Address, PipeAddress, TcpAddress
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import (
    ACTIVE_CHECKS,
    DEGRADED_ACTIVE_HC,
    FAILED_ACTIVE_HC,
    FAILED_EDS_HEALTH,
    PENDING_ACTIVE_HC,
    PENDING_DYNAMIC_REMOVAL,
    eds_flags,
)
from twistproxy.model.health_check import CheckTarget, ClusterChecks
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.primitives.schedule import Schedule

_NO_TARGET = CheckTarget()
#: Hosts whose first checks begin in one go.
_AT_ONCE = 100


class Publish(Protocol):
    """What became of checks is told to the store through this: `HealthChecks`."""

    def health_changed(self, health: ClusterHealth) -> None:
        """`changed` and `removed` are to be published, or `warm` has become true."""

    def host_passed(self, cluster: str, address: Address) -> None:
        """A host has passed a check, and is healthy."""


MakeProbe = Callable[[ClusterChecks, Endpoint, HostCheck], Probe]


@dataclass(frozen=True, slots=True)
class HealthTools:
    """What all clusters' checks work with."""

    clock: Clock
    deadlines: Deadlines
    schedule: Schedule
    random: Random
    runtime: RuntimeValues
    make_probe: MakeProbe
    publish: Publish


class ClusterHealth:
    """See `cluster_state.HealthChecker` and `host_check.Checker`.

    warm      the first endpoints have all been checked once
    changed   flags that are not published yet, by address
    removed   hosts that discovery had dropped, and that fail now: to be taken away
    used      some worker has had traffic for the cluster
    """

    def __init__(
        self, checks: ClusterChecks, tools: HealthTools, events: HealthEvents, stats: HealthStats
    ) -> None:
        self.checks = checks
        self.settings = checks.settings
        self.deadlines = tools.deadlines
        self.schedule = tools.schedule
        self.now = tools.clock.monotonic
        self.stats = stats
        self.used = False
        self.changed: dict[Address, int] = {}
        self.removed: set[Address] = set()
        self._tools = tools
        self._events = events
        self._hosts: dict[Address, HostCheck] = {}
        # Dropped by discovery, but passing; and those that were, before the source's last answer.
        self._leaving: set[Address] = set()
        self._returned: set[Address] = set()
        # Those that must be checked before the cluster is warm; None before there was an answer.
        self._awaited: set[HostCheck] | None = None

    # ---- `cluster_state.HealthChecker`

    @property
    def warm(self) -> bool:
        return self._awaited is not None and not self._awaited

    def keeps(self, before: Mapping[Address, Endpoint], found: Collection[Address]) -> Iterable[Address]:
        """Hosts that pass stay (Envoy: BaseDynamicClusterImpl::updateDynamicHostList)."""
        before_leaving, self._leaving = self._leaving, set()
        if self.checks.keep_passing and not self.checks.one_host:
            for address, endpoint in before.items():
                if address in found:
                    continue
                host = self._hosts.get(address)
                if host is not None and not host.flags & FAILED_ACTIVE_HC and not _failed_by_eds(endpoint):
                    self._leaving.add(address)
        self._returned = before_leaving - self._leaving
        return self._leaving

    def restore(self, endpoints: Iterable[Endpoint]) -> None:
        self._awaited = set()
        found: list[HostCheck] = []
        for endpoint in endpoints:
            if (endpoint.check or _NO_TARGET).disabled:
                continue
            flags = endpoint.flags & ACTIVE_CHECKS
            host = self._hosts[endpoint.address] = HostCheck(self, endpoint, flags)
            host.first = bool(flags & PENDING_ACTIVE_HC)
            found.append(host)
        self._leaving = {one.endpoint.address for one in found if one.flags & PENDING_DYNAMIC_REMOVAL}
        self._start(found)

    def settle(self, delta: EndpointDelta) -> dict[Address, int]:
        flags: dict[Address, int] = {}
        added: list[HostCheck] = []
        carried: HostCheck | None = None
        if self.checks.one_host and len(delta.added) == len(delta.removed) == 1:
            # The same host has another address now.
            carried = self._hosts.pop(delta.removed[0].address, None)
        for endpoint in delta.removed:
            self._drop(endpoint.address)
        for endpoint in (*delta.added, *delta.changed):
            address = endpoint.address
            host = carried or self._hosts.get(address)
            if (endpoint.check or _NO_TARGET).disabled:
                self._drop(address)
                flags[address] = 0
                continue
            if host is not None and (carried or checked_address(host.endpoint) == checked_address(endpoint)):
                self._hosts[address] = host
                if host is carried or host.endpoint.check != endpoint.check:
                    host.move(self._tools.make_probe(self.checks, endpoint, host))
                host.endpoint = endpoint
            else:
                self._drop(address)
                waits = PENDING_ACTIVE_HC if self.checks.wait else 0
                host = self._hosts[address] = HostCheck(self, endpoint, FAILED_ACTIVE_HC | waits)
                added.append(host)
            flags[address] = host.flags
        for address in self._leaving | self._returned:
            host = self._hosts.get(address)
            if host is not None:
                host.flags &= ~PENDING_DYNAMIC_REMOVAL
                if address in self._leaving:
                    host.flags |= PENDING_DYNAMIC_REMOVAL
                flags[address] = host.flags
        self._returned = set()
        if self._awaited is None:
            self._awaited = set(added)
        self._start(added)
        return flags

    def _start(self, added: list[HostCheck]) -> None:
        """Begin to check these hosts, some at a time: opening thousands of connections takes long enough for those that
        were opened first to be late."""
        now, later = added[:_AT_ONCE], added[_AT_ONCE:]
        for host in now:
            if self._hosts.get(host.endpoint.address) is host:
                host.start(self._tools.make_probe(self.checks, host.endpoint, host))
        if later:
            self._tools.clock.call_later(0.0, self._start, later)

    def _drop(self, address: Address) -> None:
        host = self._hosts.pop(address, None)
        self.changed.pop(address, None)
        self._leaving.discard(address)
        if host is not None:
            host.stop()
            self._checked_once(host)

    def stop(self) -> None:
        """The cluster is checked no more, or by another."""
        for host in self._hosts.values():
            host.stop()
        self._hosts.clear()
        self._awaited = None

    # ---- told by workers

    def told_unhealthy(self, address: Address) -> None:
        """A response of this host to ordinary traffic had x-envoy-immediate-health-check-fail."""
        host = self._hosts.get(address)
        if host is not None:
            host.told_unhealthy()

    # ---- statistics

    def gauges(self) -> dict[str, int]:
        """How many hosts that are checked are healthy, and how many degraded."""
        flags = [host.flags for host in self._hosts.values()]
        return {
            "healthy": sum(not one & FAILED_ACTIVE_HC for one in flags),
            "degraded": sum(bool(one & DEGRADED_ACTIVE_HC) for one in flags),
        }

    # ---- `host_check.Checker`

    def soon(self, host: HostCheck) -> Timer:
        return self._tools.clock.call_later(0.0, host.expire)

    def first_delay(self) -> float:
        most = self.settings.intervals.initial_jitter
        return self._bounded(self._tools.random() * most) if most else 0.0

    def interval(self, healthy: bool, changing: bool) -> float:
        times = self.settings.intervals
        if not self.used:
            base = times.no_traffic_healthy if healthy and not changing else times.no_traffic
        elif healthy:
            base = times.healthy_edge if changing else times.usual
        else:
            base = times.unhealthy_edge if changing else times.unhealthy
        if times.jitter_percent:
            base += self._tools.random() * base * times.jitter_percent / 100
        if times.jitter:
            base += self._tools.random() * times.jitter
        return self._bounded(base)

    def _bounded(self, delay: float) -> float:
        """Envoy counts whole milliseconds, and takes one at least."""
        runtime = self._tools.runtime
        milliseconds = int(delay * 1000 + 0.001)
        milliseconds = min(milliseconds, runtime.get_integer("health_check.max_interval", _FOREVER))
        milliseconds = max(1, milliseconds, runtime.get_integer("health_check.min_interval", 0))
        return milliseconds / 1000

    def attempted(self) -> None:
        self.stats.attempt += 1

    def verified(self) -> bool:
        random_value = int(self._tools.random() * _FOREVER)
        if not self._tools.runtime.feature_enabled("health_check.verify_cluster", 100, 100, random_value):
            return False
        self.stats.verify_cluster += 1
        return True

    def passed(self, host: HostCheck, first: bool, flags: int) -> None:
        self.stats.success += 1
        self._events.passed(host.endpoint, first, flags, host.flags)
        if not host.flags & FAILED_ACTIVE_HC:
            self._tools.publish.host_passed(self.checks.cluster, host.endpoint.address)
        self._ended(host, flags)

    def failed(self, host: HostCheck, failure: Failure, first: bool, status: int, flags: int) -> None:
        stats = self.stats
        stats.failure += 1
        if failure.of_network:
            stats.network_failure += 1
        elif failure is Failure.PASSIVE:
            stats.passive_failure += 1
        self._events.failed(host.endpoint, failure, first, status, flags, host.flags)
        self._ended(host, flags)

    def _ended(self, host: HostCheck, flags: int) -> None:
        """A check is over.  `flags`: the host's before it."""
        self._checked_once(host)
        if host.flags != flags:
            address = host.endpoint.address
            if host.flags & PENDING_DYNAMIC_REMOVAL and host.flags & FAILED_ACTIVE_HC:
                self.removed.add(address)
            else:
                self.changed[address] = host.flags
            self._tools.publish.health_changed(self)

    def _checked_once(self, host: HostCheck) -> None:
        awaited = self._awaited
        if awaited and host in awaited:
            awaited.discard(host)
            if not awaited:
                self._tools.publish.health_changed(self)


_FOREVER = 2**63


def _failed_by_eds(endpoint: Endpoint) -> bool:
    return bool(eds_flags(endpoint.health) & FAILED_EDS_HEALTH)


def checked_address(endpoint: Endpoint) -> Address:
    """Where the health of an endpoint is checked."""
    target = endpoint.check
    if target is None:
        return endpoint.address
    address = target.address or endpoint.address
    if target.port and not isinstance(address, PipeAddress):
        address = TcpAddress(address.host, target.port)
    return address
