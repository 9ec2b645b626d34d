"""The sum of the workers' statistics.

A worker reports everything it has counted since it was born, as plain data (the snapshot):

    counters, gauges   name -> integer
    histograms         name -> {"<value>": how often}
    hosts              cluster -> list of hosts, each with "address", "counters", "gauges", "health", ...
    clusters           cluster -> facts that /clusters prints

Counters and histograms outlive the worker that counted them, gauges and hosts' gauges do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: One worker's report, as it came over the control channel.
Snapshot = Mapping[str, Any]


def add_into(target: dict[str, int], more: Mapping[str, int]) -> None:
    """Add `more` to `target`, name by name."""
    for name, value in more.items():
        target[name] = target.get(name, 0) + value


@dataclass(slots=True)
class Totals:
    """Sums over all workers at one moment.  Histograms: name -> {value: how often}."""

    counters: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, dict[int, int]] = field(default_factory=dict)
    hosts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)


class Statistics:
    """Collects snapshots and answers with totals.  One lives in the master for as long as it runs."""

    def __init__(self) -> None:
        self._live: dict[str, Snapshot] = {}
        self._retained: Totals = Totals()
        self._baseline: dict[str, int] = {}

    def report(self, worker_id: str, snapshot: Snapshot) -> None:
        """Take a worker's newest snapshot in place of its former one."""
        self._live[worker_id] = snapshot

    def worker_gone(self, worker_id: str) -> None:
        """Keep what a dead worker had counted when it last reported; its gauges count no longer.  Unknown: nothing."""
        snapshot = self._live.pop(worker_id, None)
        if snapshot is not None:
            _add_lasting(self._retained, snapshot)

    def totals(self) -> Totals:
        """The sums over all workers, dead ones included where their figures last; counters since the last reset."""
        sums = Totals()
        _add_lasting(sums, self._retained_snapshot())
        for snapshot in self._live.values():
            _add_lasting(sums, snapshot)
            _add_present(sums, snapshot)
        for name, base in self._baseline.items():
            sums.counters[name] = sums.counters.get(name, 0) - base
        return sums

    def totals(self) -> Totals:
        """The sums over all workers, dead ones included where their figures last; counters since the last reset."""
        sums = Totals()
        add_into(sums.counters, self._retained.counters)
        for name, counts in self._retained.histograms.items():
            sums.histograms[name] = dict(counts)
        for snapshot in self._live.values():
            _add_lasting(sums, snapshot)
            add_into(sums.gauges, snapshot.get("gauges", {}))
        for name, base in self._baseline.items():
            sums.counters[name] = sums.counters.get(name, 0) - base
        return sums


def _add_lasting(sums: Totals, snapshot: Snapshot) -> None:
    """Add counters and histograms of one worker."""
    add_into(sums.counters, snapshot.get("counters", {}))
    for name, counts in snapshot.get("histograms", {}).items():
        target = sums.histograms.setdefault(name, {})
        for value, count in counts.items():
            target[int(value)] = target.get(int(value), 0) + count
