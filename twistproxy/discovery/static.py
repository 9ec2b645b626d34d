"""Endpoints that need no discovery, but whose health the discovery process watches."""

from __future__ import annotations

from twistproxy.discovery.source import ClusterUpdates
from twistproxy.model.discovery import StaticSource


class StaticEndpoints:
    """A running `StaticSource`: publishes once.  Nothing is counted, as nothing was asked."""

    def __init__(self, source: StaticSource, updates: ClusterUpdates) -> None:
        self._source = source
        self._updates = updates

    def start(self) -> None:
        self._updates.publish(self._source.endpoints)

    def stop(self) -> None:
        self._updates.stop()
