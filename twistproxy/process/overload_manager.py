"""The overload manager: looks at resources from time to time, and tells the workers what to do while one is short.

It runs in the master, which sees all processes and is not busy when they are.  What it decides is a number for each
action and each load shed point, from 0 (nothing) to 1 (fully); the workers have them from their configuration and hear
of each change (Envoy: OverloadManagerImpl).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.logger import Logger

from twistproxy.model.overload import (
    SHRINK_HEAP,
    ConnectionsMonitor,
    Monitor,
    OverloadSettings,
    Trigger,
    Triggered,
)
from twistproxy.observe.histogram import Histogram
from twistproxy.process.resource_monitors import ResourceMonitor, Unreadable, make_monitor

_log = Logger(namespace="twistproxy.master")

#: Seconds between two times that memory is given back (Envoy: HeapShrinker).
_SHRINK_INTERVAL = 10.0


class Resource:
    """A monitor with what is counted of it."""

    def __init__(self, name: str, settings: Monitor, monitor: ResourceMonitor) -> None:
        self.name = name
        #: Whether it is also asked for each connection.
        self.proactive = isinstance(settings, ConnectionsMonitor)
        self._monitor = monitor
        self.percent = 0
        self.failed = 0

    def update(self) -> float | None:
        """The pressure, None if it is not known."""
        try:
            found = self._monitor.pressure()
        except (OSError, ValueError) as e:
            if not self.failed:
                _log.warn("resource {name} cannot be read: {error}", name=self.name, error=e)
            self.failed += 1
            return None
        self.percent = int(found * 100)
        return found


class Decision:
    """What is said of one action or one load shed point: the most that one of its triggers says."""

    def __init__(self, settings: Triggered) -> None:
        self.name = settings.name
        self._triggers = {trigger.resource: trigger for trigger in settings.triggers}
        self._said = dict.fromkeys(self._triggers, 0.0)
        self.value = 0.0
        #: As the trigger has it that has changed last: what Envoy shows.
        self.shown = 0.0

    def update(self, resource: str, pressure: float) -> bool:
        """Whether it has changed by this."""
        trigger = self._triggers.get(resource)
        if trigger is None:
            return False
        said = said_by(trigger, pressure)
        if said == self._said[resource]:
            return False
        self._said[resource] = self.shown = said
        former, self.value = self.value, max(self._said.values())
        return self.value != former


def said_by(trigger: Trigger, pressure: float) -> float:
    """What a trigger says: from 0 to 1, in single precision as in Envoy."""
    if pressure >= trigger.saturated:
        return 1.0
    if not trigger.scaled or pressure <= trigger.scaling:
        return 0.0
    found: float
    (found,) = struct.unpack(
        "f", struct.pack("f", (pressure - trigger.scaling) / (trigger.saturated - trigger.scaling))
    )
    return found


class OverloadManager:
    """
    pids         of all processes
    connections  how many downstream connections are open that count
    changed      called when `values` have become others
    shrink       have all processes give memory back
    """

    def __init__(
        self,
        reactor: Any,
        pids: Callable[[], Iterable[int]],
        connections: Callable[[], int],
        changed: Callable[[], None],
        shrink: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._pids = pids
        self._connections = connections
        self._changed = changed
        self._shrink = shrink
        self._settings: OverloadSettings | None = None
        self._resources: list[Resource] = []
        self._actions: list[Decision] = []
        self._points: list[Decision] = []
        self._timer: Any = None
        self._shrink_timer: Any = None
        self._shrunk = 0
        self._delays = Histogram()
        self._measured_at = 0.0
        #: What is not 0, by the names of actions and load shed points.
        self.values: dict[str, float] = {}

    def use(self, settings: OverloadSettings | None) -> None:
        """Do what these say from now on."""
        if settings == self._settings:
            return
        self.stop()
        self._settings = settings
        self._resources, self._actions, self._points = [], [], []
        if settings is not None:
            self._resources = [
                Resource(name, monitor, self._make(monitor)) for name, monitor in settings.monitors
            ]
            self._actions = [Decision(action) for action in settings.actions]
            self._points = [Decision(point) for point in settings.points]
            self._measured_at = self._reactor.seconds()
            if not all(resource.proactive for resource in self._resources):
                self._timer = self._reactor.callLater(settings.refresh_interval, self._refresh)
        self._decided()

    def _make(self, settings: Monitor) -> ResourceMonitor:
        try:
            return make_monitor(settings, self._pids, self._connections, self._reactor.seconds)
        except (OSError, ValueError) as e:
            return Unreadable(str(e))

    def stop(self) -> None:
        for timer in (self._timer, self._shrink_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._shrink_timer = None

    def _refresh(self) -> None:
        assert self._settings is not None
        changed = False
        for resource in self._resources:
            pressure = resource.update()
            if pressure is None:
                continue
            for decision in (*self._actions, *self._points):
                if decision.update(resource.name, pressure):
                    changed = True
        now = self._reactor.seconds()
        self._delays.record(max(0, int((now - self._measured_at) * 1000)))
        self._measured_at = now
        self._timer = self._reactor.callLater(self._settings.refresh_interval, self._refresh)
        if changed:
            self._decided()

    def _decided(self) -> None:
        former = self.values
        self.values = {
            decision.name: decision.value for decision in (*self._actions, *self._points) if decision.value
        }
        if self.values == former:
            return
        for name in self.values.keys() ^ former.keys():
            state = "active" if name in self.values else "inactive"
            _log.info("overload: {name} became {state}", name=name, state=state)
        if self._shrink_timer is None and self.values.get(SHRINK_HEAP, 0.0) >= 1:
            self._shrink_timer = self._reactor.callLater(_SHRINK_INTERVAL, self._shrink_heap)
        self._changed()

    def _shrink_heap(self) -> None:
        self._shrink_timer = None
        if self.values.get(SHRINK_HEAP, 0.0) >= 1:
            self._shrunk += 1
            self._shrink_timer = self._reactor.callLater(_SHRINK_INTERVAL, self._shrink_heap)
            self._shrink()

    # ---- statistics

    @property
    def counters(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for resource in self._resources:
            prefix = f"overload.{resource.name}."
            if resource.proactive:
                continue  # the workers count how often it was too much
            found[prefix + "failed_updates"] = resource.failed
            found[prefix + "skipped_updates"] = 0
        if any(action.name == SHRINK_HEAP for action in self._actions):
            found[f"overload.{SHRINK_HEAP}.shrink_count"] = self._shrunk
        return found

    @property
    def gauges(self) -> dict[str, int]:
        found = {f"overload.{resource.name}.pressure": resource.percent for resource in self._resources}
        for action in self._actions:
            found[f"overload.{action.name}.active"] = int(action.shown >= 1)
            found[f"overload.{action.name}.scale_percent"] = int(action.shown * 100)
        for point in self._points:
            found[f"overload.{point.name}.scale_percent"] = int(point.value * 100)
        return found

    @property
    def histograms(self) -> dict[str, dict[int, int]]:
        if self._settings is None:
            return {}
        delays = self._delays.snapshot()
        return {"overload.refresh_interval_delay": {int(text): count for text, count in delays.items()}}

    def known(self) -> Sequence[str]:
        """The names of the actions and points that are configured."""
        return [decision.name for decision in (*self._actions, *self._points)]
