"""Which statistics a request to /stats or /stats/prometheus asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import re2

from twistproxy.admin.answer import Query, bad_request, compile_regex, regex_error
from twistproxy.admin.merge import Totals
from twistproxy.admin.stats_config import PLAIN, StatsConfig

_TYPES = ("All", "Counters", "Gauges", "Histograms", "TextReadouts")
_HIDDEN = ("", "include", "only", "exclude")
_BUCKET_MODES = ("", "none", "cumulative", "disjoint", "detailed", "summary")


@dataclass(frozen=True, slots=True)
class StatsQuery:
    """A parsed query.

    used_only     leave out what was never written
    pattern       a compiled RE2 expression that names must contain, or None
    invert        names must not contain it
    kind          All, Counters, Gauges, Histograms or TextReadouts
    buckets       cumulative, disjoint, detailed or summary; "" for the page's own default
    text_readouts whether Prometheus gets text readouts
    only_hidden   only statistics that others do not see: there are none
    """

    used_only: bool = False
    pattern: Any = None
    invert: bool = False
    kind: str = "All"
    buckets: str = ""
    text_readouts: bool = False
    only_hidden: bool = False


def parse_stats_query(query: Query) -> StatsQuery:
    """Read the parameters; PageError with Envoy's text if one is wrong."""
    kind = query.get("type", "All")
    if kind not in _TYPES:
        raise bad_request("invalid &type= param")
    mode = query.get("histogram_buckets", "")
    if mode not in _BUCKET_MODES:
        raise bad_request(
            "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n"
        )
    hidden = query.get("hidden", "")
    if hidden not in _HIDDEN:
        raise bad_request("usage: /stats?hidden=(include|only|exclude)\n\n")
    pattern = None
    if query.get("filter"):
        try:
            pattern = compile_regex(query["filter"])
        except re2.error as error:
            raise bad_request(f"Invalid re2 regex: {regex_error(error)}") from error
    return StatsQuery(
        used_only="usedonly" in query,
        pattern=pattern,
        invert="invert_filter" in query,
        kind=kind,
        buckets="" if mode == "none" else mode,
        text_readouts="text_readouts" in query,
        only_hidden=hidden == "only",
    )


@dataclass(frozen=True, slots=True)
class Selected:
    """The statistics asked for, each group sorted by name, and how they are shown.

    intervals  what histograms had more at the last flush than at the one before
    """

    text: tuple[tuple[str, str], ...] = ()
    counters: tuple[tuple[str, int], ...] = ()
    gauges: tuple[tuple[str, int], ...] = ()
    histograms: tuple[tuple[str, Mapping[int, int]], ...] = ()
    intervals: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    config: StatsConfig = PLAIN

    @property
    def numbers(self) -> list[tuple[str, int]]:
        """Counters and gauges together, sorted by name."""
        return sorted((*self.counters, *self.gauges))


def select(totals: Totals, query: StatsQuery, config: StatsConfig = PLAIN) -> Selected:
    """Apply a query to the totals."""

    def names(kind: str, known: Iterable[str]) -> list[str]:
        if query.only_hidden or query.kind not in ("All", kind):
            return []
        chosen = sorted(name for name in known if config.shows(name))
        if query.used_only and kind != "TextReadouts":
            chosen = [name for name in chosen if name in totals.used]
        if query.pattern is not None:
            found = query.pattern.search
            chosen = [name for name in chosen if (found(name) is not None) != query.invert]
        return chosen

    return Selected(
        text=tuple((name, totals.text[name]) for name in names("TextReadouts", totals.text)),
        counters=tuple((name, totals.counters[name]) for name in names("Counters", totals.counters)),
        gauges=tuple((name, totals.gauges[name]) for name in names("Gauges", totals.gauges)),
        histograms=tuple((name, totals.histograms[name]) for name in names("Histograms", totals.histograms)),
        intervals=totals.intervals,
        config=config,
    )
