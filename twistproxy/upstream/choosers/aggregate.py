"""The choice among several clusters, whose priorities follow one another as if they were one cluster's (Envoy:
arch_overview/upstream/aggregate_cluster)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twistproxy.model.address import Address, TcpAddress
from twistproxy.model.endpoint import AssignmentPolicy
from twistproxy.primitives.metadata_match import MetadataMatchCriteria
from twistproxy.upstream.choosers.base import Chooser, HostsUpdate
from twistproxy.upstream.choosers.context import LoadBalancerContext, OwnPolicies
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.shares import Load, Priority, find_panics, has_usable, loads, priorities


class Member(Protocol):
    """A cluster, as far as an aggregate one looks at it.  `changes` is another number after every change of its hosts,
    or of how requests are shared by them."""

    @property
    def chooser(self) -> Chooser: ...

    @property
    def changes(self) -> int: ...

    @property
    def policy(self) -> AssignmentPolicy: ...

    @property
    def hosts(self) -> Mapping[Address, Host]: ...


class AggregateChooser(Chooser):
    """Chooses a priority of one of the clusters, and leaves the host to that cluster's own chooser.

    names  of the clusters, in the order in which they are used
    get    name → cluster; one that is not there has no hosts
    """

    __slots__ = (
        "_from",
        "_get",
        "_loads",
        "_names",
        "_numbers",
        "_params",
        "_priorities",
        "_reduced",
        "_seen",
    )

    def __init__(
        self, params: LoadBalancerParams, names: tuple[str, ...], get: Callable[[str], Member | None]
    ) -> None:
        super().__init__(True)
        self._params = params
        self._names = names
        self._get = get
        self._seen: list[tuple[Member | None, int]] = []
        self._priorities: list[Priority] = []
        self._from: list[tuple[Member, int]] = []  # of each priority: the cluster, and its number there
        self._numbers: dict[tuple[Any, int], int] = {}
        self._loads: list[Load] = []
        self._reduced: dict[frozenset[int], list[Load]] = {}

    def update(self, update: HostsUpdate) -> None:
        """It has no hosts of its own."""

    def rebuild(self) -> None:
        self._seen = []

    def pick(self) -> Host | None:
        return self.choose(LoadBalancerContext())

    def choose(self, context: LoadBalancerContext) -> Host | None:
        self._look()
        if not self._priorities:
            return None
        avoided = context.avoided_priorities(self)
        load = self._draw(self._without(avoided) if avoided else self._loads)
        member, number = self._from[load.priority]
        within = _Within(context, number, load.degraded)
        host = member.chooser.choose(within)
        context.wanted = within.wanted
        return host

    def has_others(self, priorities: frozenset[int]) -> bool:
        return has_usable(self._priorities, priorities)

    def priority_of(self, host: Host) -> int:
        return self._numbers.get((host.cluster, host.endpoint.priority), -1)

    def _without(self, avoided: frozenset[int]) -> list[Load]:
        found = self._reduced.get(avoided)
        if found is None:
            found = self._reduced[avoided] = loads(self._priorities, avoided)
        return found

    def _draw(self, found: list[Load]) -> Load:
        at = self._params.random.random() * 100
        for load in found:
            at -= load.per_cent
            if at < 0:
                return load
        return found[-1]

    def _look(self) -> None:
        """Has one of the clusters changed?"""
        seen: list[tuple[Member | None, int]] = []
        for name in self._names:
            member = self._get(name)
            seen.append((member, 0 if member is None else member.changes))
        if seen != self._seen:
            self._seen = seen
            self._join([member for member, _ in seen if member is not None])

    def _join(self, members: list[Member]) -> None:
        """Put their priorities in a row, as far as these have hosts."""
        threshold = self._params.panic_threshold
        row: list[Priority] = []
        self._from = []
        self._numbers = {}
        for member in members:
            for priority in priorities(member.hosts.values(), member.policy, threshold):
                if priority.hosts:
                    self._from.append((member, priority.number))
                    self._numbers[(member, priority.number)] = len(row)
                    priority.number = len(row)
                    row.append(priority)
        find_panics(row, threshold)
        self._priorities = row
        self._loads = loads(row) if row else []
        self._reduced = {}


class _Within(LoadBalancerContext):
    """The same request, for a cluster of which only one priority has a share."""

    __slots__ = ("_context",)

    def __init__(self, context: LoadBalancerContext, priority: int, degraded: bool) -> None:
        super().__init__(context.host_attempts)
        self._context = context
        self.only = (priority, degraded)
        self.wanted = context.wanted

    def hash(self, own: OwnPolicies) -> int | None:
        return self._context.hash(own)

    def metadata_match(self) -> MetadataMatchCriteria | None:
        return self._context.metadata_match()

    def dynamic_metadata(self) -> Mapping[str, Any] | None:
        return self._context.dynamic_metadata()

    def request_header(self, name: bytes) -> bytes | None:
        return self._context.request_header(name)

    def original_destination(self) -> TcpAddress | None:
        return self._context.original_destination()

    def should_select_another(self, host: Host) -> bool:
        return self._context.should_select_another(host)
