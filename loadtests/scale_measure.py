"""The measurements of `python -m loadtests.scale`, each on one started proxy or with one started and stopped."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from loadtests.generator import LoadResult, run_wrk
from loadtests.peers import RunningPeer
from loadtests.processes import tree_cpu_s, tree_memory_kib, tree_pss_kib
from loadtests.scale_watch import Watcher
from loadtests.scale_world import World, make_world, start_proxy
from loadtests.tools import Cores, LoadTestError

WORKERS = 2
_UPDATES = 5
_SETTLE_S = 1.5
_WATCH_PAUSE_S = 0.005
#: Of the storm: updates a second, requests a second, connections.
_STORM_RATE = 10
_STORM_LOAD = 300
_STORM_CONNECTIONS = 16
_PATIENCE_S = 60.0

Figures = dict[str, float]


def measure_size(
    name: str, directory: Path, origin: RunningPeer, cores: Cores, endpoints: int, clusters: int
) -> Figures:
    """Seconds until it serves, memory of the tree, seconds and CPU of an update until all workers know of it."""
    world = make_world(directory, origin.port, endpoints, clusters)
    began = time.monotonic()
    running = start_proxy(name, world, cores.proxy, WORKERS)
    with running.process:
        start_s = time.monotonic() - began
        time.sleep(_SETTLE_S)
        root = running.process.pid
        memory, pss = tree_memory_kib(root), tree_pss_kib(root)
        lags = []
        with Watcher(running.port, pause_s=_WATCH_PAUSE_S) as watcher:
            watcher.watch(0.5)
            for _ in range(_UPDATES):
                update = world.app.update()
                watcher.written(update)
                watcher.watch(_PATIENCE_S, update)
                lags.append(watcher.lag_s(update))
                time.sleep(0.5)
        before = tree_cpu_s(root)
        for _ in range(_UPDATES):
            world.app.update()
            time.sleep(1.5)
        cpu_s = (tree_cpu_s(root) - before) / _UPDATES
        if watcher.failed:
            raise LoadTestError(f"{name}: {watcher.failed} requests failed")
    return {
        "start_s": start_s,
        "memory_kib": memory,
        "pss_kib": pss,
        "update_s": statistics.median(lags),
        "update_cpu_s": cpu_s,
    }


def measure_ring(
    name: str, directory: Path, origin: RunningPeer, cores: Cores, hosts: int, duration_s: int
) -> Figures:
    """CPU of a request that is hashed to one of so many hosts."""
    world = make_world(directory, origin.port, hosts, 1, "RING_HASH")
    running = start_proxy(name, world, cores.proxy, 1)
    with running.process:
        run_wrk(running.port, cores.generator, "keep", "/1k", 32, 3)  # connections to all hosts
        before = tree_cpu_s(running.process.pid)
        result = run_wrk(running.port, cores.generator, "keep", "/1k", 32, duration_s)
        _check(name, result)
        return {"cpu_us": (tree_cpu_s(running.process.pid) - before) / result.requests * 1e6}


def measure_health(
    name: str, directory: Path, origin: RunningPeer, cores: Cores, hosts: int, duration_s: int
) -> Figures:
    """CPU seconds a second that checking so many hosts once a second costs, without traffic."""
    checked = make_world(directory / "checked", origin.port, hosts, 1, health_checks=True)
    plain = make_world(directory / "plain", origin.port, hosts, 1)
    found = []
    for world in (checked, plain):
        running = start_proxy(name, world, cores.proxy, WORKERS)
        with running.process:
            time.sleep(3.0)
            before, began = tree_cpu_s(running.process.pid), time.monotonic()
            time.sleep(duration_s)
            found.append((tree_cpu_s(running.process.pid) - before) / (time.monotonic() - began))
    return {"cpu_per_s": found[0] - found[1]}


def measure_storm(
    name: str, directory: Path, origin: RunningPeer, cores: Cores, endpoints: int, duration_s: int
) -> Figures:
    """The same load with and without updates ten times a second: p99 of both, and how late updates arrive.

    Without them the same updates are written where the proxy does not look: they take their time on the core of the
    generator, whose own latencies they raise.
    """
    world = make_world(directory, origin.port, endpoints)
    elsewhere = make_world(directory / "elsewhere", origin.port, endpoints)
    running = start_proxy(name, world, cores.proxy, WORKERS)
    with running.process:
        _load(running, cores, 2)
        with Storm(elsewhere, running, watched=False):
            quiet, quiet_cpu = _measured_load(running, cores, duration_s)
        with Storm(world, running) as storm:
            stormy, stormy_cpu = _measured_load(running, cores, duration_s)
        for result in (quiet, stormy):
            _check(name, result)
        return {
            "quiet_p50_ms": quiet.p50_ms,
            "quiet_p99_ms": quiet.p99_ms,
            "storm_p50_ms": stormy.p50_ms,
            "storm_p99_ms": stormy.p99_ms,
            "p99_rise": stormy.p99_ms / quiet.p99_ms,
            "quiet_cpu_per_s": quiet_cpu,
            "storm_cpu_per_s": stormy_cpu,
            **storm.figures(),
        }


def _load(running: RunningPeer, cores: Cores, duration_s: int) -> LoadResult:
    return run_wrk(running.port, cores.generator, "keep", "/1k", _STORM_CONNECTIONS, duration_s, _STORM_LOAD)


def _measured_load(running: RunningPeer, cores: Cores, duration_s: int) -> tuple[LoadResult, float]:
    before, began = tree_cpu_s(running.process.pid), time.monotonic()
    result = _load(running, cores, duration_s)
    return result, (tree_cpu_s(running.process.pid) - before) / (time.monotonic() - began)


class Storm:
    """Updates ten times a second from a process of its own, for as long as the `with` lasts.

    watched  the proxy reads them
    """

    def __init__(self, world: World, running: RunningPeer, watched: bool = True) -> None:
        self._world = world
        self._port = running.port
        self._watched = watched

    def __enter__(self) -> Storm:
        import multiprocessing

        context = multiprocessing.get_context("fork")
        self._stop = context.Event()
        self._found: Any = context.SimpleQueue()
        self._process = context.Process(target=self._run)
        self._process.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._lags: list[float] = self._found.get()
        self._process.join()

    def _run(self) -> None:
        period = 1 / _STORM_RATE
        with Watcher(self._port, pause_s=0.03) as watcher:
            due = time.monotonic()
            numbers = []
            while not self._stop.is_set():
                number = self._world.app.update()
                watcher.written(number)
                numbers.append(number)
                due += period
                watcher.watch(due - time.monotonic())
            if self._watched:
                watcher.watch(20.0, numbers[-1])
        self._found.put([watcher.lag_s(number) for number in numbers])

    def figures(self) -> Figures:
        """Of all updates: seconds until all workers knew of each, and how many there were."""
        lags = sorted(self._lags)
        return {
            "updates": len(lags),
            "lag_median_s": lags[len(lags) // 2],
            "lag_p95_s": lags[int(len(lags) * 0.95)],
            "lag_max_s": lags[-1],
        }


def _check(name: str, result: LoadResult) -> None:
    if result.errors or not result.requests:
        raise LoadTestError(f"{name}: {result.requests} answers, {result.errors} errors")
