"""/stats as text and as JSON.

Of each histogram there are two figures: for the last interval between two flushes, and since the start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from twistproxy.admin.stats_select import Selected
from twistproxy.observe import histogram

#: Counts of the last interval, and since the start.
_Both = tuple[histogram.Counts, histogram.Counts]
_Compute = Callable[[histogram.Counts, Sequence[float]], list[int]]
_PERCENTILES = tuple(round(share * 100, 1) for share in histogram.QUANTILES)


def number(value: float) -> str:
    """A figure as Envoy's text has it: the shortest form, without ".0"."""
    return str(int(value)) if value == int(value) else repr(value)


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value


def stats_text(selected: Selected, buckets: str = "") -> str:
    """One line for each statistic: text readouts, then counters and gauges, then histograms."""
    lines = [f'{name}: "{value}"\n' for name, value in selected.text]
    lines += [f"{name}: {value}\n" for name, value in selected.numbers]
    lines += [
        _histogram_lines(name, _both(selected, name, counts), buckets, selected.config.bounds(name))
        for name, counts in selected.histograms
    ]
    return "".join(lines)


def _both(selected: Selected, name: str, counts: histogram.Counts) -> _Both:
    return selected.intervals.get(name, {}), counts


def _histogram_lines(name: str, both: _Both, mode: str, bounds: Sequence[float]) -> str:
    if mode in ("cumulative", "disjoint"):
        compute = histogram.cumulative if mode == "cumulative" else histogram.disjoint
        interval, counts = (compute(each, bounds) for each in both)
        parts = (f"B{bound:g}({new},{count})" for bound, new, count in zip(bounds, interval, counts))
        return f"{name}: {' '.join(parts)}\n"
    if mode == "detailed":
        intervals, totals = (
            ", ".join(f"{b.lower},{number(b.width)}:{b.count}" for b in histogram.buckets(each))
            for each in both
        )
        return f"{name}:\n  totals={totals}\n  intervals={intervals}\n  summary={_summary(both)}\n"
    return f"{name}: {_summary(both)}\n"


def _summary(both: _Both) -> str:
    interval, found = (histogram.quantiles(counts) for counts in both)
    if not found:
        return "No recorded values"
    news = [number(value) for value in interval] or ["nan"] * len(found)
    return " ".join(
        f"P{number(p)}({new},{number(value)})" for p, new, value in zip(_PERCENTILES, news, found)
    )


def stats_json(selected: Selected, buckets: str = "") -> str:
    """The same as one JSON object without white space."""
    stats: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in selected.text]
    stats += [{"name": name, "value": value} for name, value in selected.numbers]
    if selected.histograms:
        stats.append({"histograms": _histograms_json(selected, buckets)})
    return json.dumps({"stats": stats}, separators=(",", ":"), ensure_ascii=False)


def _histograms_json(selected: Selected, mode: str) -> Any:
    found = [(name, _both(selected, name, counts)) for name, counts in selected.histograms]
    if mode in ("cumulative", "disjoint"):
        compute = histogram.cumulative if mode == "cumulative" else histogram.disjoint
        return [
            {"name": name, "buckets": _buckets_json(both, selected.config.bounds(name), compute)}
            for name, both in found
        ]
    percentiles = [_plain(p) for p in _PERCENTILES]
    if mode == "detailed":
        return {
            "supported_percentiles": percentiles,
            "details": [
                {
                    "name": name,
                    "totals": _details(counts),
                    "intervals": _details(interval),
                    "percentiles": _values((interval, counts)),
                }
                for name, (interval, counts) in found
            ],
        }
    return {
        "supported_quantiles": percentiles,
        "computed_quantiles": [{"name": name, "values": _values(both)} for name, both in found],
    }


def _buckets_json(both: _Both, bounds: Sequence[float], compute: _Compute) -> list[dict[str, Any]]:
    interval, counts = (compute(each, bounds) for each in both)
    return [
        {"upper_bound": _plain(bound), "interval": new, "cumulative": count}
        for bound, new, count in zip(bounds, interval, counts)
    ]


def _details(counts: histogram.Counts) -> list[dict[str, Any]]:
    return [
        {"lower_bound": b.lower, "width": _plain(b.width), "count": b.count}
        for b in histogram.buckets(counts)
    ]


def _values(both: _Both) -> list[dict[str, Any]]:
    """For each percentile both values; None for those of nothing."""
    nothing: list[float | None] = [None] * len(_PERCENTILES)
    interval, found = ([_plain(value) for value in histogram.quantiles(counts)] or nothing for counts in both)
    return [{"cumulative": value, "interval": new} for value, new in zip(found, interval)]
