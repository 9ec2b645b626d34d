"""The choice that does not look at the request: by priority and health, then by the cluster's policy (Envoy:
arch_overview/upstream/load_balancing/load_balancers)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from twistproxy.upstream.choosers.balancers import Balancers, Pick
from twistproxy.upstream.choosers.base import Chooser, HostsUpdate
from twistproxy.upstream.choosers.context import LoadBalancerContext
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.balancer import Balancer
from twistproxy.upstream.lb.shares import Load, Priority, has_usable, loads, measure, priorities

#: Of more hosts than these, balancers follow what has changed, new ones coming last; of fewer they are made anew.
MANY = 2000
#: They are, too, if more than one in so many has changed.
_SHARE = 8


class PriorityChooser(Chooser):
    """A balancer for each share of the requests."""

    __slots__ = ("_balancers", "_hosts", "_made", "_params", "_parts", "_priorities", "_reduced")

    def __init__(self, params: LoadBalancerParams) -> None:
        super().__init__(False)
        self._params = params
        self._balancers = Balancers(params)
        self._hosts: Collection[Host] = ()
        self._priorities: list[Priority] = []
        #: what picks, by number of the priority and whether of its degraded hosts
        self._made: dict[tuple[int, bool], Balancer] = {}
        #: per cent of the requests, and what picks for them
        self._parts: list[tuple[int, Pick]] = []
        self._reduced: dict[frozenset[int], list[tuple[int, Pick]]] = {}
        self.rebuild()

    def update(self, update: HostsUpdate) -> None:
        self._hosts = update.hosts
        if not self._follow(update):
            self.rebuild()

    def rebuild(self) -> None:
        params = self._params
        found = self._priorities = priorities(self._hosts, params.policy, params.panic_threshold)
        self._balancers.begin(found)
        self._made = {}
        self._reduced = {}
        self._parts = self._with_picks(loads(found))

    def _follow(self, update: HostsUpdate) -> bool:
        """At the cost of what has changed, where there are many hosts.  False if that will not do."""
        params = self._params
        touched = [*update.removed, *update.changed, *update.added]
        many = len(update.hosts)
        if many <= MANY or many < len(touched) * _SHARE or not self._balancers.may_follow():
            return False
        found = self._priorities
        if not _follow(found, update):
            return False
        panics = [priority.panic for priority in found]
        measure(found, params.policy, params.panic_threshold)
        self._balancers.start(touched)
        for key, balancer in list(self._made.items()):
            number, degraded = key
            priority = found[number]
            hosts = priority.degraded if degraded else priority.healthy
            if priority.panic or panics[number] or not hosts or not balancer.follow(hosts, touched):
                del self._made[key]
        self._reduced = {}
        self._parts = self._with_picks(loads(found))
        return True

    def _with_picks(self, found: list[Load]) -> list[tuple[int, Pick]]:
        parts: list[tuple[int, Pick]] = []
        for load in found:
            priority = self._priorities[load.priority]
            # In a panic all of its hosts are as good.
            degraded = load.degraded and not priority.panic
            key = (load.priority, degraded)
            balancer = self._made.get(key)
            if balancer is None:
                balancer = self._made[key] = self._balancers.of(priority, degraded)
            parts.append((load.per_cent, balancer.pick))
        return parts

    def picking(self) -> Callable[[], Host | None]:
        """Where there is one share only, its balancer's own."""
        parts = self._parts
        return parts[0][1] if len(parts) == 1 else self.pick

    def pick(self) -> Host | None:
        return self._draw(self._parts)

    def priority_of(self, host: Host) -> int:
        return host.endpoint.priority

    def has_others(self, priorities: frozenset[int]) -> bool:
        return has_usable(self._priorities, priorities)

    def _without(self, priorities: frozenset[int]) -> list[tuple[int, Pick]]:
        """The shares of the other priorities, which have a usable host."""
        parts = self._reduced.get(priorities)
        if parts is None:
            parts = self._reduced[priorities] = self._with_picks(loads(self._priorities, priorities))
        return parts

    def choose_once(self, context: LoadBalancerContext, attempt: int) -> Host | None:
        only = context.only
        if only is not None:
            number, degraded = only
            # Between the choice of the priority and this one the hosts do not change; but a subset may have none of it.
            if number >= len(self._priorities):
                return None
            return self._with_picks([Load(100, number, degraded)])[0][1]()
        avoided = context.avoided_priorities(self)
        return self._draw(self._without(avoided) if avoided else self._parts)

    def _draw(self, parts: list[tuple[int, Pick]]) -> Host | None:
        if len(parts) == 1:
            return parts[0][1]()
        at = self._params.random.random() * 100
        for load, pick in parts:
            at -= load
            if at < 0:
                return pick()
        return None


def _follow(found: list[Priority], update: HostsUpdate) -> bool:
    """Change the hosts of `found` as those of the cluster have changed, new ones last.  False if one has moved to
    another priority, or there is one more priority: then they are to be found anew."""
    for hosts in (update.removed, update.changed):
        for host in hosts:
            number = host.endpoint.priority
            if number >= len(found) or host not in found[number].hosts:
                return False
    for host in update.removed:
        found[host.endpoint.priority].remove(host)
    for host in update.changed:
        found[host.endpoint.priority].judge(host)
    for host in update.added:
        number = host.endpoint.priority
        if number >= len(found):
            return False
        found[number].add(host)
    return sum([len(priority.hosts) for priority in found]) == len(update.hosts)
