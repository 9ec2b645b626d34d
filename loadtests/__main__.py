"""`python -m loadtests`: run a session, print the table, write JSON and chart."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from loadtests.chart import draw
from loadtests.peers import PEERS, start_origin
from loadtests.progress import Progress
from loadtests.report import Report, as_json, as_text, make_report
from loadtests.scenarios import SCENARIOS
from loadtests.session import Session, private_directory
from loadtests.tools import Cores, LoadTestError, choose_cores, cpu_model, missing_programs

RESULTS = Path(__file__).parent / "results"


def _choice(known: Sequence[str], kind: str) -> Callable[[str], list[str]]:
    """An argparse type for a comma-separated choice out of `known`."""

    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError(
                f"no such {kind}: {', '.join(unknown)} (known: {', '.join(known)})"
            )
        return names

    return parse


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests", description="Proxies side by side under load."
    )
    parser.add_argument("--quick", action="store_true", help="one round instead of seven")
    parser.add_argument(
        "--peers", type=_choice(list(PEERS), "peer"), default=list(PEERS), help=f"of: {', '.join(PEERS)}"
    )
    parser.add_argument(
        "--scenarios",
        type=_choice(list(SCENARIOS), "scenario"),
        default=list(SCENARIOS),
        help=f"of: {', '.join(SCENARIOS)}",
    )
    parser.add_argument("--duration", type=_positive, metavar="S", help="seconds of each run (2)")
    parser.add_argument("--repeat", type=_positive, metavar="N", help="rounds (7)")
    for kind, name in (("json", "latest.json"), ("chart", "latest.svg"), ("text", "latest.txt")):
        parser.add_argument(f"--{kind}", type=Path, metavar="FILE", default=RESULTS / name)
    parser.add_argument("--check", action="store_true", help="exit 1 unless twistproxy meets every target")
    options = parser.parse_args(arguments)
    options.duration = options.duration or 2
    options.repeat = options.repeat or (1 if options.quick else 7)
    return options


def _require_programs(options: argparse.Namespace) -> None:
    kinds = {SCENARIOS[name].kind for name in options.scenarios}
    needed = ["taskset", "nginx", "wrk", *(["h2load"] if "bursts" in kinds else [])]
    missing = missing_programs([*needed, *(PEERS[name].program for name in options.peers)])
    if missing:
        raise LoadTestError("\n".join(missing))


def measure(options: argparse.Namespace, cores: Cores) -> Report:
    """Run everything that `options` asks for."""
    peers = [PEERS[name] for name in options.peers]
    reference = PEERS["envoy"] if "envoy" in options.peers else peers[0]
    scenarios = [SCENARIOS[name] for name in options.scenarios]
    about = {
        "date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "cpu": cpu_model(),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "cores": vars(cores),
        "duration_s": options.duration,
        "rounds": options.repeat,
        "versions": {peer.name: peer.version() for peer in peers},
    }
    os.sched_setaffinity(0, {cores.generator})  # this program must not use the proxy's core either
    progress = Progress(sys.stderr, len(peers) * len(scenarios) * options.repeat)
    with private_directory() as directory:
        origin = start_origin(directory, cores.origin)
        session = Session(peers, reference, directory, origin, cores, options.duration, progress)
        with origin.process, session:
            session.run(scenarios, options.repeat)
    return make_report(session.runs, scenarios, options.peers, reference.name, about, session.failures)


def write_files(report: Report, options: argparse.Namespace) -> None:
    """The report as the three files."""
    contents = (
        (options.json, json.dumps(as_json(report), indent=1) + "\n"),
        (options.chart, draw(report)),
        (options.text, as_text(report)),
    )
    for file, content in contents:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


def _end_orderly(_number: int, _frame: FrameType | None) -> None:
    sys.exit(143)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 if something could not be measured or `--check` found a target missed."""
    signal.signal(signal.SIGTERM, _end_orderly)
    options = parse_options(arguments)
    try:
        _require_programs(options)
        report = measure(options, choose_cores())
    except LoadTestError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    write_files(report, options)
    print(as_text(report))
    print(f"Written: {options.text}, {options.json}, {options.chart}")
    missed = options.check and not all(verdict.met for verdict in report.verdicts)
    return 1 if report.failures or missed else 0


if __name__ == "__main__":
    sys.exit(main())
