"""The choice among the hosts whose metadata is what a request wants (Envoy:
arch_overview/upstream/load_balancing/subsets)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from twistproxy.model.subsets import SubsetSelector, SubsetSettings
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.metadata_match import Labels, MetadataMatchCriteria
from twistproxy.upstream.choosers.base import Chooser, HostsUpdate
from twistproxy.upstream.choosers.context import LoadBalancerContext, OwnPolicies
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.choosers.subset_keys import SubsetKeys
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.localities import sizes_of_localities

#: The criterion that has alternatives to the others.
_FALLBACK_LIST = "fallback_list"


class _Subset:
    """Hosts, and the choice among them.  `chooser` is None where there is to be one host only."""

    __slots__ = ("chooser", "hosts")

    def __init__(self, chooser: Chooser | None) -> None:
        self.chooser = chooser
        self.hosts: list[Host] = []

    def update(self, hosts: list[Host], dirty: Collection[Host], resized: bool) -> None:
        """dirty    hosts of the cluster that are not what they were
        resized  the localities of the cluster are, and their weights go by that
        """
        old = self.hosts
        changed = [host for host in hosts if host in dirty] if dirty else []
        if hosts == old and not changed:
            if resized and self.chooser is not None:
                self.chooser.rebuild()
            return
        self.hosts = hosts
        if self.chooser is not None:
            before, now = set(old), set(hosts)
            self.chooser.update(
                HostsUpdate(
                    hosts,
                    [host for host in hosts if host not in before],
                    [host for host in old if host not in now],
                    [host for host in changed if host in before],
                )
            )

    def choose(self, context: LoadBalancerContext) -> Host | None:
        if self.chooser is None:
            return min(self.hosts, key=_priority)
        return self.chooser.choose(context)


def _priority(host: Host) -> int:
    return host.endpoint.priority


class SubsetChooser(Chooser):
    """A chooser for each subset.  `make`: of a chooser that knows nothing of subsets."""

    __slots__ = (
        "_any",
        "_default",
        "_fallback",
        "_fallbacks",
        "_keys",
        "_make",
        "_panic",
        "_params",
        "_settings",
        "_subsets",
        "duplicates",
    )

    def __init__(
        self,
        params: LoadBalancerParams,
        settings: SubsetSettings,
        make: Callable[[LoadBalancerParams], Chooser],
    ) -> None:
        super().__init__(True)
        self._params = params
        self._settings = settings
        self._make = make
        hashing = params.balancing.hashing
        if hashing is not None:
            self.own_policies = OwnPolicies(hashing.policies)
        self._keys = SubsetKeys(settings)
        self._subsets: dict[Labels, _Subset] = {}
        self._fallbacks = _fallbacks(settings.selectors)
        #: how many hosts are left out of subsets that have one already
        self.duplicates = 0
        policies = {settings.fallback, *(one.fallback for one in settings.selectors)}
        self._any: Chooser | None = None
        if "ANY_ENDPOINT" in policies or settings.panic_mode_any:
            self._any = make(params)
        self._default = _Subset(make(params)) if "DEFAULT_SUBSET" in policies else None
        self._fallback: Chooser | None = None
        if settings.fallback == "ANY_ENDPOINT":
            self._fallback = self._any
        elif settings.fallback == "DEFAULT_SUBSET" and self._default is not None:
            self._fallback = self._default.chooser
        self._panic = self._any if settings.panic_mode_any else None

    def update(self, update: HostsUpdate) -> None:
        hosts = update.hosts
        resized = False
        if self._settings.scale_localities:
            sizes = sizes_of_localities(hosts)
            resized = sizes != self._params.locality_sizes
            self._params.locality_sizes = sizes
        dirty = set(update.changed)
        if self._any is not None:
            self._any.update(update)
        if self._default is not None:
            self._default.update([host for host in hosts if self._keys.is_default(host)], dirty, resized)
        groups = self._group(hosts)
        stats = self._params.stats
        for labels in [one for one in self._subsets if one not in groups]:
            del self._subsets[labels]
            stats.lb_subsets_removed += 1
            stats.lb_subsets_active -= 1
        for labels, (members, single) in groups.items():
            subset = self._subsets.get(labels)
            if subset is None:
                subset = self._subsets[labels] = _Subset(None if single else self._make(self._params))
                stats.lb_subsets_created += 1
                stats.lb_subsets_active += 1
            subset.update(members, dirty, resized)
        self._keys.forget()

    def _group(self, hosts: Collection[Host]) -> dict[Labels, tuple[list[Host], bool]]:
        """The hosts of each subset, and whether only one of them counts."""
        groups: dict[Labels, tuple[list[Host], bool]] = {}
        for host in hosts:
            for labels, single in self._keys.of(host):
                group = groups.get(labels)
                if group is None:
                    group = groups[labels] = ([], single)
                group[0].append(host)
        # Envoy counts for each priority, and what it counted last stays.
        last = max([host.endpoint.priority for host in hosts], default=0)
        self.duplicates = sum(
            [
                max(0, sum([host.endpoint.priority == last for host in members]) - 1)
                for members, single in groups.values()
                if single
            ]
        )
        return groups

    def rebuild(self) -> None:
        for chooser in self._choosers():
            chooser.rebuild()

    def drain(self) -> None:
        stats = self._params.stats  # which may go on with the cluster that takes the place of this one
        stats.lb_subsets_removed += len(self._subsets)
        stats.lb_subsets_active -= len(self._subsets)
        self._subsets = {}

    def _choosers(self) -> list[Chooser]:
        default = None if self._default is None else self._default.chooser
        parts = [subset.chooser for subset in self._subsets.values()]
        return [chooser for chooser in (self._any, default, *parts) if chooser is not None]

    def collect(self, prefix: str, out: Snapshot) -> None:
        for chooser in self._choosers():
            chooser.collect(prefix, out)
        out.gauges[prefix + "lb_subsets_single_host_per_subset_duplicate"] = self.duplicates

    def pick(self) -> Host | None:
        return self.choose(LoadBalancerContext())

    def choose(self, context: LoadBalancerContext) -> Host | None:
        criteria = context.metadata_match()
        if criteria is None or not self._settings.fallback_list or _FALLBACK_LIST not in criteria.values:
            return self._choose(context, criteria)
        found = criteria.values[_FALLBACK_LIST]
        others = criteria.filtered([name for name in criteria.names if name != _FALLBACK_LIST])
        if not isinstance(found, list) or not found:
            return self._choose(context, others)
        for one in found:
            host = self._choose(context, others.merged(one if isinstance(one, dict) else {}))
            if host is not None:
                return host
        return None

    def _choose(self, context: LoadBalancerContext, criteria: MetadataMatchCriteria | None) -> Host | None:
        stats = self._params.stats
        if criteria is not None:
            if self._settings.allow_redundant_keys:
                criteria = self._reduced(criteria)
            subset = self._subsets.get(criteria.labels)
            if subset is not None:
                stats.lb_subsets_selected += 1
                return subset.choose(context)
            selector = self._fallbacks.get(criteria.names)
            if selector is not None:
                return self._fall_back(context, criteria, selector)
        if self._fallback is None:
            return None
        host = self._fallback.choose(context)
        if host is not None:
            stats.lb_subsets_fallback += 1
        elif self._panic is not None:
            host = self._panic.choose(context)
            if host is not None:
                stats.lb_subsets_fallback_panic += 1
        return host

    def _reduced(self, criteria: MetadataMatchCriteria) -> MetadataMatchCriteria:
        """To the keys of the first selector of which it has all; itself if there is none."""
        for selector in self._settings.selectors:
            if all(key in criteria.values for key in selector.keys):
                return criteria.filtered(selector.keys)
        return criteria

    def _fall_back(
        self, context: LoadBalancerContext, criteria: MetadataMatchCriteria, selector: SubsetSelector
    ) -> Host | None:
        if selector.fallback == "ANY_ENDPOINT" and self._any is not None:
            return self._any.choose(context)
        if selector.fallback == "DEFAULT_SUBSET" and self._default is not None:
            return self._default.choose(context)
        if selector.fallback == "KEYS_SUBSET":
            return self._choose(context, criteria.filtered(selector.fallback_keys))
        return None


def _fallbacks(selectors: Sequence[SubsetSelector]) -> dict[tuple[str, ...], SubsetSelector]:
    """The selectors that say where to fall back to, by their keys.  Envoy keeps them in a tree, where one that is part
    of another before it is not looked at any more."""
    seen: set[tuple[str, ...]] = set()
    found: dict[tuple[str, ...], SubsetSelector] = {}
    for selector in selectors:
        keys = selector.keys
        if keys not in seen and selector.fallback != "NOT_DEFINED":
            found[keys] = selector
        seen.update([keys[:length] for length in range(1, len(keys) + 1)])
    return found
