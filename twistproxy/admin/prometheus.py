"""/stats/prometheus: the statistics in Prometheus' text format, with Envoy's names, labels and types.

prometheus_client writes it.  Three things of its output are changed.  It insists that a counter's name ends in
"_total", which most of Envoy's do not, so counters go through it as gauges and their TYPE lines are
corrected.  It prints a HELP line for each metric, where Envoy has nothing to say.  And it writes whole numbers as "1.0".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import Metric, generate_latest
from prometheus_client.registry import Collector

from twistproxy.admin.stats_config import StatsConfig
from twistproxy.admin.stats_select import Selected
from twistproxy.admin.stats_text import number
from twistproxy.observe import histogram
from twistproxy.observe.stat_names import TaggedName, prometheus_label, prometheus_name

_Labels = dict[str, str]


class _Exposition(Collector):
    """The selected statistics as metric families, in Envoy's order: counters, gauges, texts, histograms."""

    def __init__(self, selected: Selected, summaries: bool, texts: bool) -> None:
        self._selected = selected
        self._summaries = summaries
        self._texts = texts
        self.counter_names: set[str] = set()

    def collect(self) -> Iterable[Metric]:
        counters = _families(self._selected.counters, "gauge", self._selected.config)
        self.counter_names = {family.name for family in counters}
        yield from counters
        yield from _families(self._selected.gauges, "gauge", self._selected.config)
        if self._texts:
            yield from self._text_families()
        yield from self._histogram_families()

    def _text_families(self) -> list[Metric]:
        families: dict[str, Metric] = {}
        for name, text in self._selected.text:
            family, labels = _family(families, self._selected.config.extract(name), "gauge")
            family.add_sample(family.name, {**labels, "text_value": text}, 0)
        return _sorted(families)

    def _histogram_families(self) -> list[Metric]:
        families: dict[str, Metric] = {}
        config = self._selected.config
        for name, counts in self._selected.histograms:
            family, labels = _family(
                families, config.extract(name), "summary" if self._summaries else "histogram"
            )
            if self._summaries:
                counts = self._selected.intervals.get(name, {})
                _add_quantiles(family, labels, counts)
            else:
                _add_buckets(family, labels, counts, config.bounds(name))
            family.add_sample(f"{family.name}_sum", labels, histogram.approximate_sum(counts))
            family.add_sample(f"{family.name}_count", labels, histogram.total(counts))
        return _sorted(families)


def _family(families: dict[str, Metric], tagged: TaggedName, kind: str) -> tuple[Metric, _Labels]:
    """The family that a statistic belongs to, made if it is the first, and the statistic's labels."""
    family_name = prometheus_name(tagged.name)
    if family_name not in families:
        families[family_name] = Metric(family_name, tagged.name, kind)
    return families[family_name], {prometheus_label(tag): value for tag, value in tagged.tags}


def _families(statistics: Iterable[tuple[str, int]], kind: str, config: StatsConfig) -> list[Metric]:
    families: dict[str, Metric] = {}
    for name, value in statistics:
        family, labels = _family(families, config.extract(name), kind)
        family.add_sample(family.name, labels, value)
    return _sorted(families)


def _sorted(families: Mapping[str, Metric]) -> list[Metric]:
    """By Envoy's names: "cluster.x" comes before "cluster_manager"."""
    return sorted(families.values(), key=lambda family: family.documentation)


def _add_buckets(family: Metric, labels: _Labels, counts: Mapping[int, int], bounds: Sequence[float]) -> None:
    name = f"{family.name}_bucket"
    for bound, count in zip(bounds, histogram.cumulative(counts, bounds)):
        family.add_sample(name, {**labels, "le": number(bound)}, count)
    family.add_sample(name, {**labels, "le": "+Inf"}, histogram.total(counts))


def _add_quantiles(family: Metric, labels: _Labels, counts: Mapping[int, int]) -> None:
    found = histogram.quantiles(counts) or [float("nan")] * len(histogram.QUANTILES)
    for share, value in zip(histogram.QUANTILES, found):
        family.add_sample(family.name, {**labels, "quantile": number(share)}, value)


def prometheus_text(selected: Selected, summaries: bool = False, text_readouts: bool = False) -> str:
    """The exposition.  `summaries`: histograms as quantiles of the last interval; `text_readouts`: texts as gauges with a
    label."""
    collector = _Exposition(selected, summaries, text_readouts)
    lines = []
    for line in generate_latest(collector).decode().splitlines(keepends=True):
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            name = line.split(" ")[2]
            if name in collector.counter_names:
                line = f"# TYPE {name} counter\n"
        elif line.endswith(".0\n"):
            line = f"{line[:-3]}\n"
        lines.append(line)
    return "".join(lines)
