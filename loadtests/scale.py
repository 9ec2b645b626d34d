"""`python -m loadtests.scale`: what many endpoints and many clusters cost, as ratios to Envoy.

    sizes   time to start, memory, time and CPU of one update, with 10 to 10,000 endpoints and with 1 to 1,000 clusters
    storm   10,000 endpoints updated ten times a second: what that does to the p99 of requests, and how late updates are
    ring    CPU of a request with RING_HASH over 1,000 hosts
    health  CPU of checking 1,000 hosts once a second

Endpoints come from files (EDS), which both proxies can read.  Rounds take turns between the proxies; figures are
medians, ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loadtests.peers import RunningPeer
from loadtests.scale_measure import (
    Figures,
    measure_health,
    measure_ring,
    measure_size,
    measure_storm,
)
from loadtests.scale_world import start_scale_origin
from loadtests.session import private_directory
from loadtests.tools import Cores, LoadTestError, choose_cores, missing_programs

PEERS = ("twistproxy", "envoy")
SCENARIOS = ("sizes", "storm", "ring", "health")
#: (endpoints of each cluster, clusters)
SIZES = ((10, 1), (1_000, 1), (10_000, 1), (10, 100), (10, 1_000))

Measure = Callable[[str, Path], Figures]


def _cases(options: argparse.Namespace, cores: Cores, origin: RunningPeer) -> dict[str, Measure]:
    """By its name, each measurement that was asked for."""
    cases: dict[str, Measure] = {}
    duration_s = options.duration
    if "sizes" in options.scenarios:
        for endpoints, clusters in options.sizes:
            cases[f"{clusters:,} × {endpoints:,}"] = lambda name, directory, e=endpoints, c=clusters: (
                measure_size(name, directory, origin, cores, e, c)
            )
    if "storm" in options.scenarios:
        cases[f"storm {options.storm:,}"] = lambda name, directory: measure_storm(
            name, directory, origin, cores, options.storm, duration_s
        )
    if "ring" in options.scenarios:
        cases["ring 1,000"] = lambda name, directory: measure_ring(
            name, directory, origin, cores, 1_000, duration_s
        )
    if "health" in options.scenarios:
        cases["health 1,000"] = lambda name, directory: measure_health(
            name, directory, origin, cores, 1_000, duration_s
        )
    return cases


def run_case(
    case: str, measure: Measure, directory: Path, peers: Sequence[str], rounds: int
) -> dict[str, object]:
    """All runs of one measurement, the medians, and the medians of the rounds' ratios."""
    runs: dict[str, list[Figures]] = {name: [] for name in peers}
    for number in range(rounds):
        for name in peers if number % 2 == 0 else peers[::-1]:
            private = directory / f"{len(runs[name])}-{name}-{abs(hash(case))}"
            private.mkdir()
            runs[name].append(measure(name, private))
            print(f"  {case:<16}{name:<12}{_words(runs[name][-1])}", file=sys.stderr, flush=True)
    medians = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for name, found in runs.items()
    }
    ratios: Figures = {}
    if len(peers) == 2:
        ours, theirs = (runs[name] for name in PEERS)
        for key in medians[PEERS[0]]:
            pairs = [(one[key], other[key]) for one, other in zip(ours, theirs, strict=True)]
            ratios[key] = statistics.median(a / b if b else float("inf") for a, b in pairs)
    return {"case": case, "runs": runs, "medians": medians, "ratios": ratios}


def _words(figures: Figures) -> str:
    return "  ".join(f"{name} {value:,.4g}" for name, value in figures.items())


def _report(results: Sequence[dict[str, Any]]) -> str:
    lines = [f"{'':<16}{'':<20}" + "".join(f"{name:>14}" for name in PEERS) + f"{'ratio':>9}"]
    for one in results:
        names = list(one["medians"])
        for key in one["medians"][names[0]]:
            values = "".join(
                f"{one['medians'][name][key]:>14,.4g}" if name in one["medians"] else f"{'':>14}"
                for name in PEERS
            )
            ratio = f"{one['ratios'][key]:>9.2f}" if key in one["ratios"] else ""
            lines.append(f"{one['case']:<16}{key:<20}{values}{ratio}")
    return "\n".join(lines)


def _size(text: str) -> tuple[int, int]:
    endpoints, _, clusters = text.partition("x")
    return int(endpoints), int(clusters or 1)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.scale", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--duration", type=int, default=8, help="seconds of a load (8)")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help=f"of: {', '.join(SCENARIOS)}")
    parser.add_argument(
        "--sizes",
        default=",".join(f"{e}x{c}" for e, c in SIZES),
        help="ENDPOINTSxCLUSTERS, separated by commas",
    )
    parser.add_argument("--storm", type=int, default=10_000, help="endpoints of the storm (10000)")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of: {', '.join(PEERS)}")
    parser.add_argument("--json", default="loadtests/results/scale.json", help="where the figures go")
    options = parser.parse_args(arguments)
    options.scenarios = options.scenarios.split(",")
    options.sizes = [_size(text) for text in options.sizes.split(",")]
    options.peers = options.peers.split(",")
    return options


def _measure(options: argparse.Namespace) -> None:
    programs = {"twistproxy": "twistd", "envoy": "envoy"}
    missing = missing_programs(
        ["taskset", "nginx", "wrk", "h2load", *(programs[name] for name in options.peers)]
    )
    if missing:
        raise LoadTestError("\n".join(missing))
    cores = choose_cores()
    os.sched_setaffinity(0, {cores.generator})
    results = []
    with private_directory() as directory:
        origin = start_scale_origin(directory, cores.origin)
        with origin.process:
            for case, measure in _cases(options, cores, origin).items():
                results.append(run_case(case, measure, directory, options.peers, options.rounds))
    print(_report(results))
    file = Path(options.json)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 if something could not be measured."""
    try:
        _measure(_options(arguments))
    except LoadTestError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
