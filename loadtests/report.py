"""From runs to medians and ratios, and those as a table and as JSON.

A ratio is taken within one round, peer against reference, and the median of the rounds' ratios is reported:
what the machine did between rounds then cancels out.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtests.scenarios import Scenario
from loadtests.session import Run

SUBJECT = "twistproxy"


@dataclass(frozen=True)
class Line:
    """The medians of one peer in one scenario; `ratio` is of the scenario's metric to the reference (None: no
    pair).

    `saturated`: the peer did not reach the rate that was offered to all, so its latency says little.
    """

    peer: str
    rounds: int
    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    memory_kib: float
    errors: int
    ratio: float | None
    ratio_range: tuple[float, float] | None
    best_ratio: float | None
    cpu_ratio: float | None
    cpu_best_us: float
    saturated: bool


@dataclass(frozen=True)
class Verdict:
    """Whether twistproxy reached a scenario's target: the ratio, its range over the rounds, the bests' ratio."""

    scenario: str
    metric: str
    target: float
    ratio: float
    low: float
    high: float
    best: float

    @property
    def met(self) -> bool:
        """At most the target, as it is printed."""
        return round(self.ratio, 2) <= self.target


@dataclass(frozen=True)
class Report:
    """One session's outcome.  `about` describes the machine, the versions and the options."""

    about: Mapping[str, Any]
    reference: str
    scenarios: Sequence[Scenario]
    lines: Mapping[str, Sequence[Line]]
    verdicts: Sequence[Verdict]
    failures: Mapping[str, str]
    runs: Sequence[Run]


def make_report(
    runs: Sequence[Run],
    scenarios: Sequence[Scenario],
    peers: Sequence[str],
    reference: str,
    about: Mapping[str, Any],
    failures: Mapping[str, str],
) -> Report:
    """Medians, ratios and verdicts of `runs`, in the order of `scenarios` and `peers`."""
    lines: dict[str, Sequence[Line]] = {}
    verdicts = []
    for scenario in scenarios:
        of_peer = {
            peer: [run for run in runs if run.scenario == scenario.name and run.peer == peer]
            for peer in peers
        }
        lines[scenario.name] = [
            _line(peer, found, of_peer.get(reference, []), scenario.metric)
            for peer, found in of_peer.items()
            if found
        ]
        for line in lines[scenario.name]:
            if line.peer == SUBJECT != reference and line.ratio and line.ratio_range and line.best_ratio:
                figures = (line.ratio, *line.ratio_range, line.best_ratio)
                verdicts.append(Verdict(scenario.name, scenario.metric, scenario.target, *figures))
    return Report(about, reference, scenarios, lines, verdicts, failures, runs)


def _line(peer: str, runs: Sequence[Run], reference: Sequence[Run], metric: str) -> Line:
    def median(name: str) -> float:
        return float(statistics.median(getattr(run, name) for run in runs))

    ratios = _ratios(runs, reference, metric)
    return Line(
        peer=peer,
        rounds=len(runs),
        rate=median("rate"),
        cpu_us=median("cpu_us"),
        p50_ms=median("p50_ms"),
        p99_ms=median("p99_ms"),
        memory_kib=median("memory_kib"),
        errors=sum(run.errors for run in runs),
        ratio=median_ratio(runs, reference, metric),
        ratio_range=(min(ratios), max(ratios)) if ratios else None,
        best_ratio=_best_ratio(runs, reference, metric),
        cpu_ratio=median_ratio(runs, reference, "cpu_us"),
        cpu_best_us=min(run.cpu_us for run in runs),
        saturated=any(run.offered_rate is not None and run.rate < 0.95 * run.offered_rate for run in runs),
    )


def median_ratio(runs: Sequence[Run], reference: Sequence[Run], metric: str) -> float | None:
    """The median over rounds of `metric` against the reference's in the same round; None if no round has
    both.
    """
    ratios = _ratios(runs, reference, metric)
    return statistics.median(ratios) if ratios else None


def _best_ratio(runs: Sequence[Run], reference: Sequence[Run], metric: str) -> float | None:
    """The least of all rounds against the reference's least."""
    least = min((getattr(run, metric) for run in reference), default=0)
    return min(getattr(run, metric) for run in runs) / least if least else None


def _ratios(runs: Sequence[Run], reference: Sequence[Run], metric: str) -> list[float]:
    of_round = {run.round: getattr(run, metric) for run in reference}
    return [getattr(run, metric) / of_round[run.round] for run in runs if of_round.get(run.round)]


def as_json(report: Report) -> dict[str, Any]:
    """Everything, the single runs included, as plain data."""
    return {
        "about": dict(report.about),
        "reference": report.reference,
        "scenarios": [
            {**asdict(scenario), "peers": [asdict(line) for line in report.lines[scenario.name]]}
            for scenario in report.scenarios
        ],
        "verdicts": [{**asdict(verdict), "met": verdict.met} for verdict in report.verdicts],
        "failures": dict(report.failures),
        "runs": [asdict(run) for run in report.runs],
    }


def as_text(report: Report) -> str:
    """The report as a table for a terminal or a mail."""
    out = ["Load tests: " + ", ".join(f"{name} {value}" for name, value in _about_lines(report))]
    header = (
        f"  {'':<18}{'requests/s':>11}{'CPU µs/rq':>11}{'best':>8}{'ratio':>7}"
        f"{'p50 ms':>9}{'p99 ms':>9}{'ratio':>7}"
        f"{'MiB':>8}{'ratio':>7}{'errors':>8}"
    )
    for scenario in report.scenarios:
        out += ["", f"{scenario.title} ({scenario.name})", header]
        reference = [run for run in _runs(report, scenario) if run.peer == report.reference]
        for line in report.lines[scenario.name]:
            runs = [run for run in _runs(report, scenario) if run.peer == line.peer]
            p99, memory = (median_ratio(runs, reference, name) for name in ("p99_ms", "memory_kib"))
            out.append(
                f"  {line.peer:<18}{line.rate:>11.0f}{line.cpu_us:>11.1f}{line.cpu_best_us:>8.1f}"
                f"{_ratio(line.cpu_ratio):>7}{line.p50_ms:>9.2f}{line.p99_ms:>9.2f}{_ratio(p99):>7}"
                f"{line.memory_kib / 1024:>8.1f}{_ratio(memory):>7}{line.errors:>8}"
                + ("  below the offered rate" if line.saturated else "")
            )
    if report.verdicts:
        out += ["", f"{SUBJECT} against {report.reference}:"]
        for verdict in report.verdicts:
            word = "met" if verdict.met else "MISSED"
            out.append(
                f"  {verdict.scenario:<12}{verdict.metric:<11}{verdict.ratio:6.2f}"
                f" ({verdict.low:.2f} to {verdict.high:.2f}; of the best {verdict.best:.2f})"
                f"  at most {verdict.target:.2f}  {word}"
            )
    for peer, reason in report.failures.items():
        out += ["", f"{peer} failed: {reason}"]
    return "\n".join(out) + "\n"


def _about_lines(report: Report) -> list[tuple[str, Any]]:
    return [(name, report.about[name]) for name in ("date", "cpu", "kernel") if name in report.about]


def _runs(report: Report, scenario: Scenario) -> list[Run]:
    return [run for run in report.runs if run.scenario == scenario.name]


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
