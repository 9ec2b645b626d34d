"""/stats as text and as JSON.

Envoy shows of each histogram two figures, for the last flush interval and since the start.  Here every
request gets exact figures and there are no intervals: those places hold what Envoy shows for an interval
without values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from twistproxy.admin.stats_select import Selected
from twistproxy.observe import histogram

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
        _histogram_lines(name, counts, buckets, selected.config.bounds(name))
        for name, counts in selected.histograms
    ]
    return "".join(lines)


def _histogram_lines(name: str, counts: Mapping[int, int], mode: str, bounds: Sequence[float]) -> str:
    if mode in ("cumulative", "disjoint"):
        compute = histogram.cumulative if mode == "cumulative" else histogram.disjoint
        parts = (f"B{bound:g}(0,{count})" for bound, count in zip(bounds, compute(counts, bounds)))
        return f"{name}: {' '.join(parts)}\n"
    if mode == "detailed":
        totals = ", ".join(f"{b.lower},{number(b.width)}:{b.count}" for b in histogram.buckets(counts))
        return f"{name}:\n  totals={totals}\n  intervals=\n  summary={_summary(counts)}\n"
    return f"{name}: {_summary(counts)}\n"


def _summary(counts: Mapping[int, int]) -> str:
    found = histogram.quantiles(counts)
    if not found:
        return "No recorded values"
    return " ".join(f"P{number(p)}(nan,{number(value)})" for p, value in zip(_PERCENTILES, found))


def stats_json(selected: Selected, buckets: str = "") -> str:
    """The same as one JSON object without white space."""
    stats: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in selected.text]
    stats += [{"name": name, "value": value} for name, value in selected.numbers]
    if selected.histograms:
        stats.append({"histograms": _histograms_json(selected, buckets)})
    return json.dumps({"stats": stats}, separators=(",", ":"), ensure_ascii=False)


def _histograms_json(selected: Selected, mode: str) -> Any:
    if mode in ("cumulative", "disjoint"):
        compute = histogram.cumulative if mode == "cumulative" else histogram.disjoint
        return [
            {
                "name": name,
                "buckets": [
                    {"upper_bound": _plain(bound), "interval": 0, "cumulative": count}
                    for bound, count in zip(bounds, compute(counts, bounds))
                ],
            }
            for name, counts in selected.histograms
            for bounds in (selected.config.bounds(name),)
        ]
    percentiles = [_plain(p) for p in _PERCENTILES]
    if mode == "detailed":
        return {
            "supported_percentiles": percentiles,
            "details": [
                {
                    "name": name,
                    "totals": [
                        {"lower_bound": b.lower, "width": _plain(b.width), "count": b.count}
                        for b in histogram.buckets(counts)
                    ],
                    "intervals": [],
                    "percentiles": _values(counts),
                }
                for name, counts in selected.histograms
            ],
        }
    return {
        "supported_quantiles": percentiles,
        "computed_quantiles": [
            {"name": name, "values": _values(counts)} for name, counts in selected.histograms
        ],
    }


def _values(counts: Mapping[int, int]) -> list[dict[str, Any]]:
    values: list[float | None] = [_plain(value) for value in histogram.quantiles(counts)]
    return [{"cumulative": value, "interval": None} for value in values or [None] * len(_PERCENTILES)]
