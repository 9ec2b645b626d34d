"""The choice that does not look at the request: by priority and health, then by the cluster's policy (Envoy:
arch_overview/upstream/load_balancing/load_balancers)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from twistproxy.upstream.choosers.base import Chooser, HostsUpdate
from twistproxy.upstream.choosers.context import LoadBalancerContext
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.choose import LoadBalancer, load_balancer
from twistproxy.upstream.lb.shares import Share, shares


class PriorityChooser(Chooser):
    """A balancer for each share of the requests."""

    __slots__ = ("_hosts", "_params", "_parts", "_reduced")

    def __init__(self, params: LoadBalancerParams) -> None:
        super().__init__(False)
        self._params = params
        self._hosts: Collection[Host] = ()
        self._parts: list[tuple[int, LoadBalancer, bool]] = []
        self._reduced: dict[frozenset[int], list[tuple[int, LoadBalancer, bool]]] = {}
        self.rebuild()

    def update(self, update: HostsUpdate) -> None:
        self._hosts = update.hosts
        self.rebuild()

    def rebuild(self) -> None:
        self._parts = self._balancers(shares(self._hosts, self._params.panic_threshold))
        self._reduced.clear()

    def _balancers(self, parts: list[Share]) -> list[tuple[int, LoadBalancer, bool]]:
        params = self._params
        return [
            (share.load, load_balancer(params.settings, share.hosts, params.random), share.panic)
            for share in parts
        ]

    def picking(self) -> Callable[[], Host | None]:
        """Where there is one share only, its balancer's own."""
        parts = self._parts
        if len(parts) == 1 and not parts[0][2]:
            return parts[0][1].pick
        return self.pick

    def pick(self) -> Host | None:
        return self._draw(self._parts)

    def has_others(self, priorities: frozenset[int]) -> bool:
        return bool(self._without(priorities))

    def pick_without(self, priorities: frozenset[int]) -> Host | None:
        return self._draw(self._without(priorities))

    def _without(self, priorities: frozenset[int]) -> list[tuple[int, LoadBalancer, bool]]:
        """The shares of the other priorities, none if these have no usable host."""
        parts = self._reduced.get(priorities)
        if parts is None:
            others = [host for host in self._hosts if host.endpoint.priority not in priorities]
            found: list[Share] = []
            if any(host.healthy or host.degraded for host in others):
                found = shares(others, self._params.panic_threshold)
            parts = self._reduced[priorities] = self._balancers(found)
        return parts

    def choose_once(self, context: LoadBalancerContext, attempt: int) -> Host | None:
        avoided = context.avoided_priorities(self)
        return self._draw(self._without(avoided) if avoided else self._parts)

    def _draw(self, parts: list[tuple[int, LoadBalancer, bool]]) -> Host | None:
        params = self._params
        at = params.random.random() * 100
        for load, balancer, panic in parts:
            at -= load
            if at < 0:
                if panic:
                    params.stats.lb_healthy_panic += 1
                return balancer.pick()
        return None
