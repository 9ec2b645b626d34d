"""Connections of two workers on one board."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from twistproxy.model.listener import ListenerSettings
from twistproxy.model.overload import (
    GLOBAL_CONNECTIONS,
    GLOBAL_ROW,
    ConnectionsMonitor,
    OverloadSettings,
    listener_row,
)
from twistproxy.network.connection_limits import ConnectionLimits, Gate
from twistproxy.observe.manager_stats import ListenerStats
from twistproxy.primitives.board import Board, WorkerBoard
from twistproxy.primitives.overload import Overload
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.data_plane import listener, manager


class Counted:
    """A listener with so many connections."""

    def __init__(self, settings: ListenerSettings) -> None:
        self.settings: ListenerSettings | None = settings
        self.stats = ListenerStats()
        self.open = 0

    def connections(self) -> int:
        return self.open


class Worker:
    """With the listeners "main" and "free", which no common limit holds."""

    def __init__(self, board: Board, column: int, runtime: RuntimeValues) -> None:
        worker_board = WorkerBoard(board)
        rows = {
            name: 1 + 2 * at
            for at, name in enumerate((GLOBAL_ROW, listener_row("main"), listener_row("free")))
        }
        worker_board.use(column, rows)
        self.limits = ConnectionLimits(Overload(Random()), runtime, worker_board, lambda: self.gates)
        self.main = Counted(listener(manager()))
        self.free = Counted(replace(listener(manager(), "free"), ignores_global_limit=True))
        self.gates: list[Gate] = []

    def use(self, settings: OverloadSettings | None) -> None:
        self.limits.use(settings)
        found = [self.limits.gate("main", self.main), self.limits.gate("free", self.free)]
        self.gates = [gate for gate in found if gate is not None]

    def connect(self, which: int = 0) -> bool:
        counted = (self.main, self.free)[which]
        admitted = self.gates[which].admits()
        counted.open += admitted
        return admitted

    def leave(self) -> None:
        self.main.open -= 1
        self.gates[0].closed()


def two(runtime: RuntimeValues, most: int | None = None) -> tuple[Worker, Worker]:
    board = Board(2)
    board.use_columns(2)
    settings = None
    if most is not None:
        settings = OverloadSettings(((GLOBAL_CONNECTIONS, ConnectionsMonitor(most)),))
    one, other = Worker(board, 0, runtime), Worker(board, 1, runtime)
    one.use(settings)
    other.use(settings)
    return one, other


def test_the_overload_managers_limit() -> None:
    one, other = two(RuntimeValues(), 2)
    assert one.connect() and other.connect()
    assert not one.connect() and not other.connect()
    assert one.connect(1)  # it does not count either
    assert one.main.stats.downstream_global_cx_overflow == one.limits.refused == 1
    other.leave()
    assert one.connect()
    assert not other.connect()


def test_the_runtimes_limit_counts_all() -> None:
    runtime = RuntimeValues({"overload.global_downstream_max_connections": 3})
    one, other = two(runtime)
    assert one.connect() and other.connect(1) and other.connect(1)
    assert not one.connect()
    assert other.connect(1)
    runtime.replace({"overload.global_downstream_max_connections": 5})
    assert one.connect()
    assert not one.connect()


def test_of_one_listener() -> None:
    runtime = RuntimeValues({"envoy.resource_limits.listener.main.connection_limit": 1})
    board = Board(2)
    board.use_columns(2)
    one, other = Worker(board, 0, runtime), Worker(board, 1, runtime)
    for worker in (one, other):
        worker.use(None)
        assert len(worker.gates) == 1
    assert one.connect()
    assert not other.connect()
    assert other.main.stats.downstream_cx_overflow == 1
    one.leave()
    assert other.connect()


def test_nothing_limits() -> None:
    one, _ = two(RuntimeValues())
    assert one.gates == []
