"""One session: all peers started, every scenario run on each in turn, round after round."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loadtests.generator import LoadResult, run_h2load, run_wrk
from loadtests.peers import Peer, RunningPeer, start_peer
from loadtests.processes import cores_busy_s, tree_cpu_s, tree_memory_kib, tree_pss_kib
from loadtests.progress import Progress
from loadtests.scenarios import Scenario
from loadtests.tools import Cores, LoadTestError

#: Same-rate scenarios offer this share of what the reference peer takes at most.
OFFERED_SHARE = 0.30
_SETTLE_S = 2.0
#: A run in which others used more than this share of a core is repeated, up to so many attempts.
_FOREIGN_LIMIT = 0.15
_ATTEMPTS = 3


@dataclass(frozen=True)
class Run:
    """The figures of one run.  CPU in µs of the proxy's processes per request; memory of the tree just after
    it.
    """

    scenario: str
    peer: str
    round: int
    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    memory_kib: int
    errors: int
    offered_rate: float | None = None
    foreign: float = 0.0
    pss_kib: int = 0


class Session:
    """Runs the scenarios.  `runs` grows; `failures` has the reason for each peer that would not start or
    died.
    """

    def __init__(
        self,
        peers: Sequence[Peer],
        reference: Peer,
        directory: Path,
        origin: RunningPeer,
        cores: Cores,
        duration_s: int,
        progress: Progress,
    ) -> None:
        self.runs: list[Run] = []
        self.failures: dict[str, str] = {}
        self._peers = peers
        self._reference = reference
        self._directory = directory
        self._origin = origin
        self._cores = cores
        self._duration_s = duration_s
        self._progress = progress
        self._stack = contextlib.ExitStack()
        self._running: dict[str, RunningPeer] = {}
        self._offered_rate: float | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def run(self, scenarios: Sequence[Scenario], repeat: int) -> None:
        """Everything: A B C, C B A, … so that a drift of the machine meets all alike."""
        for scenario in scenarios:
            for number in range(repeat):
                order = self._peers if number % 2 == 0 else list(reversed(self._peers))
                for peer in order:
                    self._one(scenario, peer, number)

    def _one(self, scenario: Scenario, peer: Peer, number: int) -> None:
        """One run, its failure noted and survived."""
        title = f"{scenario.name:<11} {peer.name:<17} round {number + 1}"
        warm = number == 0
        with self._progress.run(title, self._duration_s + warm) as outcome:
            try:
                if scenario.kind == "memory":
                    run = self._memory(scenario, peer, number)
                else:
                    run = self._load(scenario, peer, number, warm)
            except LoadTestError as error:
                self.failures.setdefault(peer.name, str(error))
                outcome.append(f"FAILED: {error}")
                return
            self.runs.append(run)
            outcome.append(
                f"{run.rate:9.0f}/s {run.cpu_us:8.1f} µs/request  p99 {run.p99_ms:8.2f} ms  "
                f"{run.memory_kib / 1024:6.1f} MiB  {run.errors} errors"
            )
            if run.foreign > _FOREIGN_LIMIT:
                outcome.append(f" (others used {run.foreign:.0%} of a core)")

    def _start(self, peer: Peer) -> RunningPeer:
        """The running peer, started at its first use and again if it has ended."""
        running = self._running.get(peer.name)
        if running is None or not running.process.is_alive():
            running = start_peer(peer, self._directory, self._origin.port, self._cores.proxy)
            self._stack.enter_context(running.process)
            self._running[peer.name] = running
        return running

    def _stop_all(self) -> None:
        for running in self._running.values():
            running.process.stop()
        self._running.clear()

    def _load(self, scenario: Scenario, peer: Peer, number: int, warm: bool) -> Run:
        offered = None if scenario.kind == "peak" else self._same_rate()
        running = self._start(peer)
        if warm:
            self._drive(scenario, running, 1, offered)
        return self._measured(scenario, peer, number, running, offered)

    def _measured(
        self, scenario: Scenario, peer: Peer, number: int, running: RunningPeer, offered: float | None
    ) -> Run:
        """Drive one run, again if somebody else used the cores meanwhile; the least disturbed counts."""
        attempts: list[tuple[float, float, LoadResult]] = []
        while not attempts or (attempts[-1][0] > _FOREIGN_LIMIT and len(attempts) < _ATTEMPTS):
            attempts.append(self._attempt(scenario, running, offered))
        foreign, cpu_s, result = min(attempts, key=lambda attempt: attempt[0])
        if not running.process.is_alive():
            raise LoadTestError(f"{peer.name} ended under load:\n{running.process.log_tail()}")
        if not result.requests:
            raise LoadTestError(f"{peer.name} answered nothing ({result.errors} errors)")
        return Run(
            scenario=scenario.name,
            peer=peer.name,
            round=number,
            rate=result.rate,
            cpu_us=cpu_s / result.requests * 1e6,
            p50_ms=result.p50_ms,
            p99_ms=result.p99_ms,
            memory_kib=tree_memory_kib(running.process.pid),
            errors=result.errors,
            offered_rate=offered,
            foreign=foreign,
            pss_kib=tree_pss_kib(running.process.pid),
        )

    def _attempt(
        self, scenario: Scenario, running: RunningPeer, offered: float | None
    ) -> tuple[float, float, LoadResult]:
        """The share of one core that others used meanwhile, the proxy's CPU seconds, and what the generator saw."""
        start, busy, ours = time.monotonic(), cores_busy_s(self._cores.all), self._own_cpu_s()
        before = tree_cpu_s(running.process.pid)
        result = self._drive(scenario, running, self._duration_s, offered)
        cpu_s = tree_cpu_s(running.process.pid) - before
        busy, ours = cores_busy_s(self._cores.all) - busy, self._own_cpu_s() - ours
        return max(0.0, busy - ours - cpu_s) / (time.monotonic() - start), cpu_s, result

    def _own_cpu_s(self) -> float:
        """CPU seconds of all that belongs to a run, the proxy apart: origin, ended generators, this program."""
        times = os.times()
        mine = times.user + times.system + times.children_user + times.children_system
        return mine + tree_cpu_s(self._origin.process.pid)

    def _drive(
        self, scenario: Scenario, running: RunningPeer, duration_s: int, offered: float | None
    ) -> LoadResult:
        core, path, count = self._cores.generator, scenario.path, scenario.connections
        if scenario.kind == "bursts":
            assert offered is not None
            return run_h2load(running.port, core, path, count, offered, duration_s, self._directory)
        return run_wrk(running.port, core, scenario.mode, path, count, duration_s, offered)

    def _same_rate(self) -> float:
        """The rate offered to everybody: from the reference's runs of this session, else from a short run
        now.
        """
        if self._offered_rate is None:
            peaks = [
                run.rate
                for run in self.runs
                if run.scenario == "keepalive" and run.peer == self._reference.name
            ]
            if not peaks:
                running = self._start(self._reference)
                run_wrk(running.port, self._cores.generator, "keep", "/1k", 32, 1)
                peaks = [run_wrk(running.port, self._cores.generator, "keep", "/1k", 32, 2).rate]
            self._offered_rate = statistics.median(peaks) * OFFERED_SHARE
        return self._offered_rate

    def _memory(self, scenario: Scenario, peer: Peer, number: int) -> Run:
        """A fresh tree with two workers: load, a pause, then its memory."""
        self._stop_all()  # a second tree of the same program would share pages with this one
        workers = 1 if peer.one_process else 2
        running = start_peer(peer, self._directory, self._origin.port, self._cores.proxy, workers)
        with running.process:
            run = self._measured(scenario, peer, number, running, None)
            time.sleep(_SETTLE_S)
            root = running.process.pid
            return replace(run, memory_kib=tree_memory_kib(root), pss_kib=tree_pss_kib(root))


@contextlib.contextmanager
def private_directory() -> Iterator[Path]:
    """A temporary directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="loadtests-", ignore_cleanup_errors=True) as name:
        yield Path(name)
