"""The sum of the workers' statistics.

A worker reports everything it has counted since it was born, as plain data (the snapshot):

    counters, gauges   name -> integer
    histograms         name -> {"<value>": how often}
    used               names of those that were written, even if they are 0
    hosts              cluster -> list of hosts, each with "address", "counters", "gauges", "health", ...
    clusters           cluster -> facts that /clusters prints
    outliers           cluster -> what outlier detection knows, from the discovery process

Counters and histograms outlive the worker that counted them; gauges do not.

Most figures add up.  Some describe what every worker has its own copy of, the hosts of a cluster for
example: of those the largest counts, so that two hosts do not become four with two workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: One worker's report, as it came over the control channel.
Snapshot = Mapping[str, Any]

#: One host's counters, kept by (cluster, address).
_HostCounters = dict[tuple[str, str], dict[str, int]]

#: Ends of the names of figures that all workers have alike.
_ALIKE = (
    ".lb_subsets_active",
    ".lb_subsets_created",
    ".lb_subsets_removed",
    ".lb_subsets_single_host_per_subset_duplicate",
    ".membership_change",
    ".membership_degraded",
    ".membership_excluded",
    ".membership_healthy",
    ".membership_total",
    ".max_host_weight",
    ".ring_hash_lb.size",
    ".ring_hash_lb.min_hashes_per_host",
    ".ring_hash_lb.max_hashes_per_host",
    ".maglev_lb.min_entries_per_host",
    ".maglev_lb.max_entries_per_host",
    ".warming_state",
    ".version",
    ".cx_open",
    ".cx_pool_open",
    ".rq_open",
    ".rq_pending_open",
    ".rq_retry_open",
    ".remaining_cx",
    ".remaining_cx_pools",
    ".remaining_pending",
    ".remaining_retries",
    ".remaining_rq",
    ".listener_added",
    ".listener_modified",
    ".listener_removed",
    ".gradient_controller.burst_queue_size",
    ".gradient_controller.concurrency_limit",
    ".gradient_controller.gradient",
    ".gradient_controller.min_rtt_calculation_active",
    ".gradient_controller.min_rtt_msecs",
    ".gradient_controller.sample_rtt_msecs",
)

#: Ends of the names of gauges that are written when something begins.
_ALWAYS_WRITTEN = (
    ".membership_degraded",
    ".membership_excluded",
    ".membership_total",
    ".warming_state",
    "dns.cares.pending_resolutions",
    "runtime.num_keys",
    "runtime.num_layers",
)

#: What remains where there is no limit (`remaining_cx_pools`), and above what nothing else can be.
_UNLIMITED = 2**64 - 1
_NEVER_LESS = 2**63

#: Gauges that a request or a connection moves, and what counts those: the gauge was written if that is not 0.
_MOVED_BY = {
    "downstream_cx_active": "downstream_cx_total",
    "downstream_cx_http1_active": "downstream_cx_http1_total",
    "downstream_pre_cx_active": "downstream_cx_total",
    "downstream_cx_rx_bytes_buffered": "downstream_cx_rx_bytes_total",
    "upstream_cx_rx_bytes_buffered": "upstream_cx_rx_bytes_total",
    "downstream_rq_active": "downstream_rq_total",
    "upstream_cx_active": "upstream_cx_total",
    "upstream_rq_active": "upstream_rq_total",
    "write_total_buffered": "write_buffered",
    "upstream_rq_pending_active": "upstream_rq_pending_total",
    "circuit_breakers.default.cx_open": "upstream_cx_total",
    "circuit_breakers.default.cx_pool_open": "upstream_cx_total",
    "circuit_breakers.default.rq_open": "upstream_rq_total",
    "circuit_breakers.default.rq_pending_open": "upstream_rq_pending_total",
    "circuit_breakers.default.rq_retry_open": "upstream_rq_retry",
}
#: The same for what has dots in its name.
_BREAKERS = ".circuit_breakers."


@dataclass(slots=True)
class Totals:
    """Sums over all workers at one moment.

    histograms   name -> {lower end of a bucket: how often}
    hosts        cluster -> hosts as in a snapshot, with summed "counters" and "gauges"
    clusters     cluster -> facts as in a snapshot
    outliers     the same
    text         text readouts: name -> text
    intervals    the same of what came in the last interval between two flushes
    used         names that were ever written, for /stats?usedonly
    """

    counters: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, dict[int, int]] = field(default_factory=dict)
    intervals: dict[str, dict[int, int]] = field(default_factory=dict)
    hosts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    outliers: dict[str, dict[str, Any]] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)


def add_into(target: dict[str, int], more: Mapping[str, int]) -> None:
    """Add `more` to `target`, name by name; of figures that all workers have alike keep the larger."""
    for name, value in more.items():
        if value > _NEVER_LESS:  # without a limit, less what this worker has
            target[name] = target.get(name, _UNLIMITED) - (_UNLIMITED - value)
        elif name.endswith(_ALIKE) or name.startswith("cluster_manager."):
            target[name] = max(value, target.get(name, 0))
        else:
            target[name] = target.get(name, 0) + value


class Statistics:
    """Collects snapshots and answers with totals.  One lives in the master for as long as that runs."""

    def __init__(self) -> None:
        self._live: dict[str, Snapshot] = {}
        self._past = Totals()
        self._past_hosts: _HostCounters = {}
        self._baseline: dict[str, int] = {}
        self._written: set[str] = set()
        #: histograms at the last flush, and what they had more there than at the one before
        self._flushed: dict[str, dict[int, int]] = {}
        self._intervals: dict[str, dict[int, int]] = {}

    def report(self, worker_id: str, snapshot: Snapshot) -> None:
        """Take a worker's newest snapshot in place of its former one."""
        self._live[worker_id] = snapshot
        self._written.update(name for name, value in snapshot.get("gauges", {}).items() if value)
        self._written.update(snapshot.get("used", ()))

    def worker_gone(self, worker_id: str) -> None:
        """Keep what a dead worker had counted when it last reported.  Unknown ids do nothing."""
        snapshot = self._live.pop(worker_id, None)
        if snapshot is None:
            return
        _add_lasting(self._past, snapshot)
        for cluster, hosts in snapshot.get("hosts", {}).items():
            for host in hosts:
                kept = self._past_hosts.setdefault((cluster, host["address"]), {})
                add_into(kept, host.get("counters", {}))

    def reset_counters(self) -> None:
        """Let all counters start at 0 (POST /reset_counters).  Hosts' counters and histograms stay, as in
        Envoy."""
        self._baseline = self._counted().counters

    def flush(self) -> None:
        """An interval is over."""
        now = Totals()
        for histograms in (
            self._past.histograms,
            *(one.get("histograms", {}) for one in self._live.values()),
        ):
            # Of thousands of clusters most have none.
            _add_histograms(now, {name: counts for name, counts in histograms.items() if counts})
        before = self._flushed
        self._intervals = {
            name: more
            for name, counts in now.histograms.items()
            if (more := _more(counts, before.get(name, {})))
        }
        self._flushed = now.histograms

    def totals(self) -> Totals:
        """The sums over all workers; of dead ones what lasts."""
        sums = self._counted()
        for snapshot in self._live.values():
            add_into(sums.gauges, snapshot.get("gauges", {}))
            for cluster, facts in snapshot.get("clusters", {}).items():
                sums.clusters.setdefault(cluster, facts)
            sums.outliers.update(snapshot.get("outliers", {}))
        sums.intervals = self._intervals
        sums.hosts = _merge_hosts((s.get("hosts", {}) for s in self._live.values()), self._past_hosts)
        sums.used = {name for name, value in sums.counters.items() if value}
        sums.used |= self._written & (sums.gauges.keys() | sums.counters.keys())
        sums.used |= {name for name in sums.gauges if _was_moved(name, sums.counters)}
        sums.used |= {name for name, counts in sums.histograms.items() if counts}
        for name, base in self._baseline.items():
            if name in sums.counters:  # else what counted it is gone from the configuration
                sums.counters[name] = max(0, sums.counters[name] - base)
        return sums

    def _counted(self) -> Totals:
        """Counters and histograms of the living and the dead, without regard to resets."""
        sums = Totals()
        add_into(sums.counters, self._past.counters)
        _add_histograms(sums, self._past.histograms)
        for snapshot in self._live.values():
            _add_lasting(sums, snapshot)
        return sums


def _was_moved(gauge: str, counters: Mapping[str, int]) -> bool:
    """Whether something has moved this gauge, between two snapshots perhaps."""
    if gauge.endswith(_ALWAYS_WRITTEN):
        return True
    prefix, dotted, name = gauge.partition(_BREAKERS)
    if dotted:
        name = dotted[1:] + name
    else:
        prefix, _, name = gauge.rpartition(".")
    counter = _MOVED_BY.get(name)
    return counter is not None and counters.get(f"{prefix}.{counter}", 0) > 0


def _add_lasting(sums: Totals, snapshot: Snapshot) -> None:
    """Add one worker's counters and histograms."""
    add_into(sums.counters, snapshot.get("counters", {}))
    _add_histograms(sums, snapshot.get("histograms", {}))


def _add_histograms(sums: Totals, histograms: Mapping[str, Mapping[Any, int]]) -> None:
    for name, counts in histograms.items():
        target = sums.histograms.setdefault(name, {})
        for text, count in counts.items():
            value = int(text)
            target[value] = target.get(value, 0) + count


def _more(counts: Mapping[int, int], before: Mapping[int, int]) -> dict[int, int]:
    """What a histogram has that it had not."""
    return {value: more for value, count in counts.items() if (more := count - before.get(value, 0)) > 0}


def _merge_hosts(
    reports: Iterable[Mapping[str, list[dict[str, Any]]]], past: _HostCounters
) -> dict[str, list[dict[str, Any]]]:
    """Sum the hosts that any living worker has, in the first worker's order.  A flag that one worker sees
    counts."""
    merged: dict[str, dict[str, dict[str, Any]]] = {}
    for report in reports:
        for cluster, hosts in report.items():
            known = merged.setdefault(cluster, {})
            for host in hosts:
                address = host["address"]
                if address not in known:
                    known[address] = {
                        **host,
                        "counters": dict(past.get((cluster, address), {})),
                        "gauges": {},
                        "health": [],
                    }
                target = known[address]
                add_into(target["counters"], host.get("counters", {}))
                add_into(target["gauges"], host.get("gauges", {}))
                for flag in host.get("health", ()):
                    if flag != "healthy" and flag not in target["health"]:
                        target["health"].append(flag)
    return {cluster: list(hosts.values()) for cluster, hosts in merged.items()}
