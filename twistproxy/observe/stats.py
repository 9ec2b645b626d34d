"""Statistics as plain integers, and their names put together only when somebody asks.

Hot code adds to attributes (`stats.upstream_rq_total += 1`); `collect` writes Envoy's full names into a snapshot.
What clusters and hosts count is in `cluster_stats`, what connection managers and listeners do in `manager_stats`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar, Literal

#: How much of the statistics is wanted: what is not 0, which is all that can be lost; all figures, and what pages say
#: of clusters; that and all hosts.
Scope = Literal["counts", "figures", "hosts"]


class Snapshot:
    """Names and values at one moment.  `as_dict` is what a worker sends to the master; `worker`: its number."""

    __slots__ = ("clusters", "counters", "gauges", "histograms", "hosts", "scope", "sparse", "worker")

    def __init__(self, scope: Scope = "hosts", worker: int = 0) -> None:
        self.scope = scope
        self.worker = worker
        #: nobody wants to hear of zeros
        self.sparse = scope == "counts"
        # Without zeros, what somebody adds to may not be there.
        self.counters: dict[str, int] = defaultdict(int)
        self.gauges: dict[str, int] = defaultdict(int)
        self.histograms: dict[str, dict[str, int]] = {}
        self.hosts: dict[str, list[dict[str, Any]]] = {}
        self.clusters: dict[str, dict[str, Any]] = {}

    def as_dict(self) -> dict[str, Any]:
        if self.sparse:
            return {
                "scope": self.scope,
                "counters": {name: value for name, value in self.counters.items() if value},
                "gauges": {name: value for name, value in self.gauges.items() if value},
                "histograms": {name: counts for name, counts in self.histograms.items() if counts},
                "hosts": {cluster: hosts for cluster, hosts in self.hosts.items() if hosts},
            }
        return {
            "scope": self.scope,
            "counters": self.counters,
            "gauges": self.gauges,
            "histograms": self.histograms,
            "hosts": self.hosts,
            "clusters": self.clusters,
        }


class Group:
    """Counters and gauges of one object: attributes, whose names `COUNTERS` and `GAUGES` list for `collect`."""

    __slots__ = ()

    COUNTERS: ClassVar[tuple[str, ...]] = ()
    GAUGES: ClassVar[tuple[str, ...]] = ()
    ZEROS: ClassVar[tuple[str, ...]] = ()
    ZERO_GAUGES: ClassVar[tuple[str, ...]] = ()

    def collect(self, prefix: str, out: Snapshot) -> None:
        """Add all of them to what there is under `prefix`, which ends in a dot."""
        counters = out.counters
        gauges = out.gauges
        if out.sparse:
            for name in self.COUNTERS:
                if value := getattr(self, name):
                    counters[prefix + name] = counters.get(prefix + name, 0) + value
            for name in self.GAUGES:
                if value := getattr(self, name):
                    gauges[prefix + name] = gauges.get(prefix + name, 0) + value
            return
        for name in self.COUNTERS:
            counters[prefix + name] = counters.get(prefix + name, 0) + getattr(self, name)
        for name in self.ZEROS:
            counters.setdefault(prefix + name, 0)
        for name in self.GAUGES:
            gauges[prefix + name] = gauges.get(prefix + name, 0) + getattr(self, name)
        for name in self.ZERO_GAUGES:
            gauges.setdefault(prefix + name, 0)


def collect_statuses(prefix: str, name: str, counts: dict[int, int], out: Snapshot, exact: bool) -> None:
    """Responses by class (`…_2xx`), and each by itself if `exact`; `name` is e.g. "upstream_rq"."""
    for status, count in counts.items():
        class_name = f"{prefix}{name}_{status // 100}xx"
        out.counters[class_name] = out.counters.get(class_name, 0) + count
        if exact:
            out.counters[f"{prefix}{name}_{status}"] = out.counters.get(f"{prefix}{name}_{status}", 0) + count
