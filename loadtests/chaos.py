"""`python -m loadtests.chaos`: what clients lose while twistproxy is reloaded and its processes are killed.

A constant load of keep-alive connections runs through a twistproxy tree started for it, against origins that
take up to 40 ms to answer.  Exit status 0 only if no request failed but what killed workers had in flight,
and every action took effect.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.chaos_client import Account, ConstantLoad
from loadtests.chaos_phases import Chaos
from loadtests.processes import ProcessUnderTest
from loadtests.progress import Progress
from loadtests.session import private_directory
from loadtests.tools import ROOT, LoadTestError, find_program, free_ports

_SETTLE_S = 1.0


@dataclass(frozen=True)
class Phase:
    """One kind of action, done `count` times (`quick` times with --quick)."""

    name: str
    title: str
    action: Callable[[Chaos, int], Awaitable[None]]
    count: int
    quick: int


PHASES = {
    phase.name: phase
    for phase in (
        Phase("quiet", "nothing", Chaos.quiet, 4, 2),
        Phase("reload", "SIGHUP, half with changed routes", Chaos.reload, 50, 6),
        Phase("discovery", "SIGKILL of the discovery process", Chaos.kill_discovery, 20, 3),
        Phase("endpoints", "endpoints swapped", Chaos.swap_endpoints, 20, 3),
        Phase("workers", "SIGKILL of a worker", Chaos.kill_worker, 10, 2),
    )
}


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    about = "Count what clients lose while twistproxy is reloaded and its processes are killed."
    parser = argparse.ArgumentParser(prog="python -m loadtests.chaos", description=about)
    parser.add_argument("--quick", action="store_true", help="a few actions of each kind only")
    parser.add_argument("--phases", default=",".join(PHASES), help=f"some of: {','.join(PHASES)}")
    parser.add_argument("--connections", type=int, default=64, metavar="N", help="kept connections (64)")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second in all (1000)")
    parser.add_argument("--concurrency", type=int, default=2, metavar="N", help="workers (2)")
    parser.add_argument("--pause", type=float, default=0.4, metavar="S", help="between two actions (0.4)")
    parser.add_argument(
        "--proxy",
        choices=("twistproxy", "envoy"),
        default="twistproxy",
        help="envoy checks the test itself: it can do the phases quiet and endpoints",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcome to FILE as well")
    options = parser.parse_args(arguments)
    options.phases = [name for name in options.phases.split(",") if name]
    unknown = [name for name in options.phases if name not in PHASES]
    if unknown:
        parser.error(f"no such phase: {', '.join(unknown)}")
    return options


def _command(options: argparse.Namespace, directory: Path) -> list[str]:
    file, count = str(directory / "bootstrap.yaml"), str(options.concurrency)
    if options.proxy == "envoy":
        envoy = [find_program("envoy"), "--disable-hot-restart", "--log-level", "error"]
        return [*envoy, "--config-path", file, "--concurrency", count]
    twistd = [find_program("twistd"), "-n", "--pidfile=", "twistproxy"]
    return [*twistd, "--config", file, "--concurrency", count]


async def run(options: argparse.Namespace, directory: Path, stack: contextlib.ExitStack) -> Chaos:
    """Start origins, proxy and load, and go through the phases."""
    port, admin_port, *origin_ports = free_ports(5)
    origin_command = [sys.executable, "-m", "loadtests.chaos_origin", *map(str, origin_ports)]
    origin = stack.enter_context(
        ProcessUnderTest("origin", origin_command, None, directory / "origin.log", ROOT)
    )
    for origin_port in origin_ports:
        origin.wait_until_serving(origin_port, "/")
    load = ConstantLoad(port, options.connections, options.rate)
    chaos = Chaos(load, directory, port, admin_port, origin_ports)
    chaos.write_endpoints(len(origin_ports) - 1)
    chaos.write_bootstrap()
    log = directory / f"{options.proxy}.log"
    command = _command(options, directory)
    chaos.process = stack.enter_context(ProcessUnderTest(options.proxy, command, None, log, ROOT))
    chaos.process.wait_until_serving(port, "/items")
    phases = [PHASES[name] for name in options.phases]
    counts = [phase.quick if options.quick else phase.count for phase in phases]
    progress = Progress(sys.stderr, sum(counts))
    for phase, count in zip(phases, counts):
        load.enter_phase(phase.name)
        if phase is phases[0]:
            load.start()
        for number in range(count):
            with progress.run(f"{phase.name:<10} {number + 1}/{count}", options.pause) as outcome:
                # The pause comes first: what is in flight when the first action strikes belongs to its phase.
                await asyncio.sleep(options.pause)
                await phase.action(chaos, number)
                account = load.accounts[phase.name]
                outcome.append(f"{account.ok} ok, {account.failed} failed")
        await asyncio.sleep(_SETTLE_S)
    await load.stop()
    if not chaos.process.is_alive():
        chaos.troubles.append(f"the master ended:\n{chaos.process.log_tail()}")
    return chaos


def as_text(accounts: dict[str, Account], troubles: Sequence[str], notes: Sequence[str]) -> str:
    """The outcome as a table."""
    out = [
        f"{'phase':<12}{'ok':>9}{'failed':>9}{'lost with worker':>18}{'idle closes':>13}{'idle races':>12}"
        "   what was done"
    ]
    for name, account in accounts.items():
        out.append(
            f"{name:<12}{account.ok:>9}{account.failed:>9}{account.lost_with_worker:>18}{account.idle_closes:>13}"
            f"{account.idle_races:>12}   {PHASES[name].title}"
        )
        out += [f"    failed: {example}" for example in account.examples]
    out += [f"note: {note}" for note in notes]
    out += [f"TROUBLE: {trouble}" for trouble in troubles]
    out.append("passed" if passed(accounts, troubles) else "FAILED")
    return "\n".join(out)


def passed(accounts: dict[str, Account], troubles: Sequence[str]) -> bool:
    """No trouble, and no failed request in any phase; what killed workers had in flight does not count."""
    return (
        not troubles
        and all(account.failed == 0 for account in accounts.values())
        and all(account.ok > 0 for account in accounts.values())
        and all(account.lost_with_worker == 0 for name, account in accounts.items() if name != "workers")
    )


def as_json(accounts: dict[str, Account], troubles: Sequence[str], notes: Sequence[str]) -> dict[str, Any]:
    """The outcome as plain data."""
    return {
        "passed": passed(accounts, troubles),
        "phases": {name: asdict(account) for name, account in accounts.items()},
        "troubles": list(troubles),
        "notes": list(notes),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if the outcome is as it should be, else 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_options(arguments)
    try:
        with private_directory() as directory, contextlib.ExitStack() as stack:
            chaos = asyncio.run(run(options, directory, stack))
    except LoadTestError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    accounts = chaos.load.accounts
    print(as_text(accounts, chaos.troubles, chaos.notes))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(as_json(accounts, chaos.troubles, chaos.notes), indent=1) + "\n")
    return 0 if passed(accounts, chaos.troubles) else 1


if __name__ == "__main__":
    sys.exit(main())
