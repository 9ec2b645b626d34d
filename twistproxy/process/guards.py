"""What refuses requests and connections in one worker, all in one place: the overload manager's word, limits of
connections, and what the filters admission_control and adaptive_concurrency keep between requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from twistproxy.api.clock import Clock
from twistproxy.filters.admission_control import RequestWindow, RequestWindows
from twistproxy.filters.gradient import GradientController, GradientControllers
from twistproxy.model.bootstrap import Bootstrap
from twistproxy.model.guards import GradientSettings, gradient_keys
from twistproxy.model.listener import ListenerSettings
from twistproxy.model.overload import (
    GLOBAL_CONNECTIONS,
    SHED_CODEC,
    SHED_DISPATCH,
    SHED_ROUTER,
    OverloadSettings,
)
from twistproxy.network.connection_limits import ConnectionLimits, Gate
from twistproxy.network.guarded_manager import GuardedManager, SheddingRouter
from twistproxy.network.http_connection_manager import HttpConnectionManager
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.board import WorkerBoard
from twistproxy.primitives.overload import Overload
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.process.running_listener import RunningListener


@dataclass(frozen=True, slots=True)
class GuardParts:
    """What one connection manager has of it; that of a trial changes nothing.

    gradient  the controller of the next adaptive_concurrency of the chain
    window    the counts of the next admission_control
    """

    overload: Overload
    gradient: Callable[[GradientSettings], GradientController]
    window: Callable[[int], RequestWindow]


class Guards:
    """`listeners`: all there are at the moment, also those that only finish what they have."""

    def __init__(
        self,
        clock: Clock,
        runtime: RuntimeValues,
        random: Random,
        board: WorkerBoard,
        listeners: Callable[[], Iterable[RunningListener]],
    ) -> None:
        self._wall = clock.wall
        self._listeners = listeners
        self._windows = RequestWindows(clock.monotonic)
        self._gradients = GradientControllers(clock, runtime, random, board)
        self._overload = Overload(random)
        #: what those are told whom the overload manager does not concern
        self._nothing = Overload(random)
        self._limits = ConnectionLimits(self._overload, runtime, board, self._gates)
        self._other_limits = ConnectionLimits(self._nothing, runtime, board, self._gates)
        self._settings: OverloadSettings | None = None

    # ---- configuration

    def use(self, bootstrap: Bootstrap) -> bool:
        """Called before listeners are built.  Returns whether all connection managers are to be built anew."""
        former, self._settings = self._settings, bootstrap.overload
        self._limits.use(bootstrap.overload)
        return former != bootstrap.overload

    def built(self, bootstrap: Bootstrap, listeners: Mapping[str, RunningListener]) -> None:
        """These are the listeners now."""
        self._gradients.keep_only(gradient_keys(bootstrap.listeners))
        self.set_gates(listeners)

    def parts(self, listener: ListenerSettings, stat_prefix: str) -> GuardParts:
        gradients = self._gradients.of(listener.name, stat_prefix)
        overload = self._nothing if listener.bypasses_overload else self._overload
        return GuardParts(overload, gradients, self._windows.of(listener.name))

    def trial_parts(self, listener: str) -> GuardParts:
        gradients = self._gradients.glimpses(listener)
        return GuardParts(self._overload.copy(), gradients, self._windows.copies(listener))

    @property
    def manager_class(self) -> type[HttpConnectionManager]:
        """Of connection managers that are built now."""
        return HttpConnectionManager if self._settings is None else GuardedManager

    def guard(self, manager: HttpConnectionManager, parts: GuardParts) -> HttpConnectionManager:
        if self._settings is not None:
            assert isinstance(manager, GuardedManager)
            manager.guard(parts.overload, self._settings.timeouts, self._wall)
        return manager

    def guarded_router(self, router: Any, parts: GuardParts, stats: HttpManagerStats) -> Any:
        if self._settings is not None and self._settings.has(SHED_ROUTER):
            return SheddingRouter(router, parts.overload, stats)
        return router

    # ---- what changes

    def set_overload(self, values: Mapping[str, float]) -> None:
        """What the overload manager says, from now on."""
        self._overload.replace(values)
        for listener in self._listeners():
            for manager in listener.managers():
                if isinstance(manager, GuardedManager):
                    manager.overload_changed()

    def set_gates(self, listeners: Mapping[str, RunningListener]) -> None:
        """Limit the connections of those listeners for which there is a limit now."""
        settings = self._settings
        dispatch = settings is not None and (settings.has(SHED_DISPATCH) or settings.has(SHED_CODEC))
        for name, listener in listeners.items():
            bypasses = listener.settings is not None and listener.settings.bypasses_overload
            limits = self._other_limits if bypasses else self._limits
            listener.use_gate(
                limits.gate(name, listener), self._overload if dispatch and not bypasses else None
            )
        if self._gates():
            self._limits.count()

    def _gates(self) -> list[Gate]:
        return [listener.gate for listener in self._listeners() if listener.gate is not None]

    # ---- statistics

    def collect(self, out: Snapshot) -> None:
        self._gradients.collect(out)
        settings = self._settings
        if settings is None:
            return
        for point in settings.points:
            out.counters[f"overload.{point.name}.shed_load_count"] = self._overload.counts.get(point.name, 0)
        if settings.max_connections is not None:
            out.counters[f"overload.{GLOBAL_CONNECTIONS}.failed_updates"] = self._limits.refused
