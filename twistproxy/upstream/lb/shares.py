"""Which hosts get which share of the requests, by priority and health (Envoy: arch_overview/upstream/load_balancing,
priority, degraded and panic_threshold)."""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.upstream.host import Host

#: Per cent: what of a priority's requests one per cent of its hosts can take (the overprovisioning factor).
_OVERPROVISIONING = 140
#: Per cent of usable hosts below which a priority is in a panic and all its hosts are used.
PANIC = 50


class Share:
    """`load` per cent of the requests go to `hosts`.  `panic`: whatever the hosts' health."""

    __slots__ = ("hosts", "load", "panic")

    def __init__(self, load: int, hosts: list[Host], panic: bool) -> None:
        self.load = load
        self.hosts = hosts
        self.panic = panic


def shares(hosts: Iterable[Host], panic_threshold: int = PANIC) -> list[Share]:
    """The shares of these hosts, with loads that add up to 100.  No host: one empty share, in a panic."""
    groups: dict[int, list[Host]] = {}
    for host in hosts:
        groups.setdefault(host.endpoint.priority, []).append(host)
    priorities = [groups[priority] for priority in sorted(groups)]
    healthy = [[host for host in group if host.healthy] for group in priorities]
    degraded = [[host for host in group if host.degraded] for group in priorities]
    sizes = [sum(not host.excluded for host in group) for group in priorities]
    available = [_available(part, size) for part, size in zip(healthy, sizes)]
    available_degraded = [_available(part, size) for part, size in zip(degraded, sizes)]
    total = min(100, sum(available) + sum(available_degraded))
    panics = [
        total < 100 and (not size or 100 * (len(good) + len(poor)) < panic_threshold * size)
        for good, poor, size in zip(healthy, degraded, sizes)
    ]
    if all(panics):
        return _by_size(priorities)
    left = 100
    found: list[Share] = []
    for usable, percents in ((healthy, available), (degraded, available_degraded)):
        for part, percent, group, panic in zip(usable, percents, priorities, panics):
            load = min(left, percent * 100 // total)
            left -= load
            if load:
                found.append(Share(load, group if panic else part, panic))
    found[0].load += left  # what rounding has left
    return found


def _available(part: list[Host], size: int) -> int:
    return min(100, _OVERPROVISIONING * len(part) // size) if size else 0


def _by_size(priorities: list[list[Host]]) -> list[Share]:
    """All of the priorities are in a panic: each gets as much as it has hosts."""
    if not priorities:
        return [Share(100, [], True)]
    count = sum(len(group) for group in priorities)
    found = [Share(len(group) * 100 // count, group, True) for group in priorities]
    found[0].load += 100 - sum(share.load for share in found)
    return found
