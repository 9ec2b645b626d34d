"""Slow start: a host that is new, or healthy again, has only part of its weight at first (Envoy:
load_balancing/slow_start)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twistproxy.model.balancing import SlowStartSettings
from twistproxy.upstream.host import Host


class SlowStart:
    """Of one set of hosts, over all its updates.

    aggression  may change while it is in use
    """

    __slots__ = ("_latest", "_least", "_monotonic", "_window", "aggression")

    def __init__(self, settings: SlowStartSettings, monotonic: Callable[[], float]) -> None:
        self._window = settings.window
        self._least = settings.min_weight
        self._monotonic = monotonic
        self.aggression = settings.aggression
        #: when the last host began
        self._latest = float("-inf")

    def begin(self, hosts: Iterable[Host]) -> None:
        """These are healthy now: those that were not before begin."""
        now = self._monotonic()
        latest = self._latest
        for host in hosts:
            since = host.healthy_since
            if since is None:
                host.healthy_since = latest = now
            elif since > latest:
                latest = since
        self._latest = latest

    def active(self) -> bool:
        """Whether any host may still have less than its weight."""
        return self._monotonic() - self._latest <= self._window

    def weight(self, host: Host, weight: float) -> float:
        """What of its weight a host has now."""
        since = host.healthy_since
        if since is None or not host.healthy:
            return weight
        age = self._monotonic() - since
        if age >= self._window:
            return weight
        part = max(0.001, age) / self._window
        aggression = self.aggression
        if aggression != 1.0:
            part **= 1.0 / aggression
        return weight * max(part, self._least)
