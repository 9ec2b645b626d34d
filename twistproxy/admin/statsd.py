"""Statistics as lines for a statsd server (Envoy: statsd, DogStatsD and Graphite sinks).

Counters and gauges that were ever written go out at each flush, counters as what came since the last one; so do
histograms, each value once with how often it came as its sample rate, where Envoy sends each when it is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from twistproxy.admin.merge import Totals
from twistproxy.admin.stats_config import StatsConfig
from twistproxy.model.statistics import StatsdSettings

#: How tags are written: before the first, between name and value, between tags.
_FORMS = {"dog": ("|#", ":", ","), "graphite": (";", "=", ";")}


@dataclass(frozen=True, slots=True)
class Flush:
    """What is sent at one moment: full names with counts since the last one, values, and recorded values with how often
    each came since the last one."""

    counters: list[tuple[str, int]] = field(default_factory=list)
    gauges: list[tuple[str, int]] = field(default_factory=list)
    timings: list[tuple[str, int, int]] = field(default_factory=list)


class Latch:
    """Remembers what was there at the last flush."""

    def __init__(self) -> None:
        self._counters: Mapping[str, int] = {}
        self._histograms: Mapping[str, Mapping[int, int]] = {}

    def take(self, totals: Totals, config: StatsConfig) -> Flush:
        """What is new, and is shown."""
        shown = {name for name in totals.used if config.shows(name)}
        flush = Flush(
            [
                (name, _since(count, self._counters.get(name, 0)))
                for name, count in totals.counters.items()
                if name in shown
            ],
            [(name, value) for name, value in totals.gauges.items() if name in shown],
        )
        for name, counts in totals.histograms.items():
            if name in shown:
                before = self._histograms.get(name, {})
                new = ((value, count - before.get(value, 0)) for value, count in counts.items())
                flush.timings.extend((name, value, count) for value, count in new if count > 0)
        self._counters, self._histograms = totals.counters, totals.histograms
        return flush


def _since(count: int, before: int) -> int:
    """A counter that was reset begins anew."""
    return count - before if count >= before else count


def lines(flush: Flush, settings: StatsdSettings, config: StatsConfig) -> Iterator[str]:
    """One for each, without newlines."""
    for name, value, count in flush.timings:
        rate = f"|@{1 / count:g}" if count > 1 else ""
        yield _line(name, f"{value}|ms{rate}", settings, config)
    for name, value in flush.counters:
        yield _line(name, f"{value}|c", settings, config)
    for name, value in flush.gauges:
        yield _line(name, f"{value}|g", settings, config)


def _line(name: str, value: str, settings: StatsdSettings, config: StatsConfig) -> str:
    if not settings.tags:
        return f"{settings.prefix}.{_clean(name)}:{value}"
    begin, assign, separate = _FORMS[settings.tags]
    tagged = config.extract(name)
    written = separate.join(f"{tag}{assign}{_clean(text)}" for tag, text in tagged.tags)
    tags = begin + written if written else ""
    name = f"{settings.prefix}.{_clean(tagged.name)}"
    return f"{name}:{value}{tags}" if settings.tags == "dog" else f"{name}{tags}:{value}"


def _clean(text: str) -> str:
    """Without what separates the parts of a line."""
    return text.replace(":", "_").replace("|", "_").replace("\n", "_")


def datagrams(all_lines: Iterable[str], max_bytes: int) -> Iterator[bytes]:
    """As many lines in one as fit; each in its own with 0."""
    waiting: list[bytes] = []
    size = 0
    for line in all_lines:
        encoded = line.encode()
        if waiting and size + 1 + len(encoded) > max_bytes:
            yield b"\n".join(waiting)
            waiting, size = [], 0
        size += len(encoded) + bool(waiting)
        waiting.append(encoded)
    if waiting:
        yield b"\n".join(waiting)
