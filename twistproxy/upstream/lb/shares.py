"""How much of the requests each priority gets, by the health of its hosts (Envoy: arch_overview/upstream/load_balancing,
priority, degraded and panic_threshold; LoadBalancerBase::recalculatePerPriorityState and what is beside it)."""

from __future__ import annotations

from collections.abc import Collection

from twistproxy.model.endpoint import AssignmentPolicy
from twistproxy.upstream.host import Host


class Priority:
    """The hosts of one priority, in their order.

    hosts      all, whatever their health; these and the following as keys
    healthy, degraded  those of them that are
    excluded   those that do not count
    available, available_degraded  per cent of its requests that the healthy hosts, and the degraded ones, can take
    panic      too few are left: health does not count
    """

    __slots__ = (
        "available",
        "available_degraded",
        "degraded",
        "excluded",
        "healthy",
        "hosts",
        "number",
        "panic",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.hosts: dict[Host, None] = {}
        self.healthy: dict[Host, None] = {}
        self.degraded: dict[Host, None] = {}
        self.excluded: dict[Host, None] = {}
        self.available = 0
        self.available_degraded = 0
        self.panic = False

    def add(self, host: Host) -> None:
        """One more, the last of all."""
        self.hosts[host] = None
        if host.healthy:
            self.healthy[host] = None
        elif host.degraded:
            self.degraded[host] = None
        if host.excluded:
            self.excluded[host] = None

    def judge(self, host: Host) -> None:
        """It may be in another health than before."""
        for part, belongs in (
            (self.healthy, host.healthy),
            (self.degraded, host.degraded),
            (self.excluded, host.excluded),
        ):
            if not belongs:
                part.pop(host, None)
            elif host not in part:
                part[host] = None

    def remove(self, host: Host) -> None:
        for part in (self.hosts, self.healthy, self.degraded, self.excluded):
            part.pop(host, None)


class Load:
    """`per_cent` of the requests go to the healthy, or to the degraded, hosts of a priority."""

    __slots__ = ("degraded", "per_cent", "priority")

    def __init__(self, per_cent: int, priority: int, degraded: bool) -> None:
        self.per_cent = per_cent
        self.priority = priority
        self.degraded = degraded


def priorities(hosts: Collection[Host], policy: AssignmentPolicy, panic_threshold: int) -> list[Priority]:
    """The priorities from 0 on, with gaps as empty ones; at least one.

    panic_threshold  per cent of usable hosts below which a priority is in a panic, if all of them together cannot take
                     the requests
    """
    found = [Priority(0)]
    for host in hosts:
        number = host.endpoint.priority
        while number >= len(found):
            found.append(Priority(len(found)))
        found[number].add(host)
    measure(found, policy, panic_threshold)
    return found


def measure(found: list[Priority], policy: AssignmentPolicy, panic_threshold: int) -> None:
    """What they can take, and which of them are in a panic."""
    for priority in found:
        _measure(priority, policy)
    find_panics(found, panic_threshold)


def find_panics(found: list[Priority], panic_threshold: int) -> None:
    """Which of them are in a panic."""
    enough = _total(found) >= 100
    for priority in found:
        size = len(priority.hosts) - len(priority.excluded)
        usable = len(priority.healthy) + len(priority.degraded)
        panic = (100 * usable < panic_threshold * size) if size else panic_threshold > 0
        priority.panic = panic and not enough


def loads(found: list[Priority], without: frozenset[int] = frozenset()) -> list[Load]:
    """What each gets, in the order in which it is drawn; 100 per cent in all.

    without  priorities that get nothing; the others must have a usable host
    """
    if not without and all(priority.panic for priority in found):
        return _by_size(found)
    some = [priority for priority in found if priority.number not in without]
    total = _total(some)
    if not total:
        return [Load(100, 0, False)]
    left = 100
    result: list[Load] = []
    for degraded in (False, True):
        for priority in some:
            available = priority.available_degraded if degraded else priority.available
            load = min(left, available * 100 // total)
            left -= load
            if available:
                result.append(Load(load, priority.number, degraded))
    result[0].per_cent += left  # what rounding has left
    return [load for load in result if load.per_cent]


def has_usable(found: list[Priority], without: frozenset[int]) -> bool:
    """Whether there is a usable host in any other priority."""
    return _total([priority for priority in found if priority.number not in without]) > 0


def _measure(priority: Priority, policy: AssignmentPolicy) -> None:
    healthy, degraded = len(priority.healthy), len(priority.degraded)
    size = len(priority.hosts) - len(priority.excluded)
    if size and policy.weighted_priority_health:
        healthy = sum([host.weight for host in priority.healthy])
        degraded = sum([host.weight for host in priority.degraded])
        size = sum([host.weight for host in priority.hosts if not host.excluded])
    if size:
        priority.available = min(100, policy.overprovisioning_factor * healthy // size)
        priority.available_degraded = min(100, policy.overprovisioning_factor * degraded // size)


def _total(found: list[Priority]) -> int:
    return min(100, sum([priority.available + priority.available_degraded for priority in found]))


def _by_size(found: list[Priority]) -> list[Load]:
    """All of the priorities are in a panic: each gets as much as it has hosts."""
    count = sum([len(priority.hosts) for priority in found])
    if not count:
        return [Load(100, 0, False)]
    result = [Load(100 * len(one.hosts) // count, one.number, False) for one in found if one.hosts]
    result[0].per_cent += 100 - sum([load.per_cent for load in result])
    return [load for load in result if load.per_cent]
