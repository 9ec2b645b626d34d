"""Limits of open downstream connections, of all listeners together and of each, and what else refuses a connection before
a byte of it is read (Envoy: TcpListenerImpl, ActiveTcpListener).

All workers count on the board, and are held to a limit by what all of them have.  A listener that nothing limits has no
gate, and counts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from twistproxy.model.listener import ListenerSettings
from twistproxy.model.overload import (
    GLOBAL_ROW,
    LIMITED,
    REJECT_CONNECTIONS,
    SHED_ACCEPT,
    OverloadSettings,
    listener_row,
)
from twistproxy.observe.manager_stats import ListenerStats
from twistproxy.primitives.board import WorkerBoard
from twistproxy.primitives.overload import Overload
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.primitives.shared_line import SharedLine

_GLOBAL_KEY = "overload.global_downstream_max_connections"
#: The cell of all connections in the row of all listeners, and that of a listener's in its own row.
_ALL, _COUNT = 1, 0


class GatedListener(Protocol):
    """What a gate is before."""

    settings: ListenerSettings | None
    stats: ListenerStats

    def connections(self) -> int:
        """How many are open now."""


class Gate:
    """Before one listener."""

    __slots__ = ("_key", "_limits", "_line", "_listener")

    def __init__(
        self, limits: ConnectionLimits, listener: GatedListener, name: str, line: SharedLine
    ) -> None:
        self._limits = limits
        self._listener = listener
        self._key = _listener_key(name)
        self._line = line

    def admits(self) -> bool:
        """Whether one more connection may be taken; counts why not."""
        limits, stats = self._limits, self._listener.stats
        if not limits.take(self._ignores_global()):
            stats.downstream_global_cx_overflow += 1
        elif limits.rejects():
            stats.downstream_cx_overload_reject += 1
        else:
            most = limits.runtime.get_integer(self._key, -1)
            self._line.add(_COUNT, 1)
            if most < 0 or self._line.total(_COUNT) <= most:
                return True
            stats.downstream_cx_overflow += 1
        limits.count()
        return False

    def closed(self) -> None:
        """A connection is gone."""
        self._limits.count()

    def count(self) -> tuple[int, int]:
        """Write down how many there are.  Returns (those that count for the overload manager, all)."""
        found = self._listener.connections()
        self._line.put(_COUNT, found)
        return (0 if self._ignores_global() else found), found

    def _ignores_global(self) -> bool:
        settings = self._listener.settings
        return settings is not None and settings.ignores_global_limit


class ConnectionLimits:
    """Those of one worker.  `gates`: of all listeners that have one."""

    def __init__(
        self,
        overload: Overload,
        runtime: RuntimeValues,
        board: WorkerBoard,
        gates: Callable[[], Iterable[Gate]],
    ) -> None:
        self.runtime = runtime
        self._overload = overload
        self._board = board
        self._gates = gates
        self._settings: OverloadSettings | None = None
        self._most: int | None = None
        self._line = SharedLine.alone()
        #: how many connections the overload manager's limit has refused
        self.refused = 0

    def use(self, settings: OverloadSettings | None) -> None:
        """What the overload manager limits from now on."""
        self._settings = settings
        self._most = None if settings is None else settings.max_connections
        self._line = self._board.cluster(GLOBAL_ROW, False) or SharedLine.alone()

    def gate(self, name: str, listener: GatedListener) -> Gate | None:
        """A gate, if anything limits the listener at the moment."""
        settings, runtime = self._settings, self.runtime
        if not (
            (settings is not None and (self._most is not None or settings.has(SHED_ACCEPT)))
            or (settings is not None and settings.has(REJECT_CONNECTIONS))
            or runtime.get_integer(_GLOBAL_KEY, -1) >= 0
            or runtime.get_integer(_listener_key(name), -1) >= 0
        ):
            return None
        line = self._board.cluster(listener_row(name), False) or SharedLine.alone()
        return Gate(self, listener, name, line)

    def take(self, exempt: bool) -> bool:
        """Count one more of all, if there may be one more; an `exempt` one always may."""
        line = self._line
        line.add(_ALL, 1)
        if exempt:
            return True
        line.add(LIMITED, 1)
        if self._most is not None:
            if line.total(LIMITED) <= self._most:
                return True
            self.refused += 1
            return False
        most = self.runtime.get_integer(_GLOBAL_KEY, -1)
        return most < 0 or line.total(_ALL) <= most

    def rejects(self) -> bool:
        """Whether the overload manager refuses this one."""
        return self._overload.sheds(SHED_ACCEPT) or self._overload.happens(REJECT_CONNECTIONS)

    def count(self) -> None:
        """Write down what there is: a connection is gone, or was refused."""
        limited = all_of_them = 0
        for gate in self._gates():
            those, found = gate.count()
            limited += those
            all_of_them += found
        self._line.put(LIMITED, limited)
        self._line.put(_ALL, all_of_them)


def _listener_key(name: str) -> str:
    return f"envoy.resource_limits.listener.{name}.connection_limit"
