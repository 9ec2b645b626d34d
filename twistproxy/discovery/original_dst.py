"""The hosts of ORIGINAL_DST clusters: workers tell where they were asked to go, and all of them learn of it (Envoy:
source/extensions/clusters/original_dst, whose main thread does the same)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twistproxy.api.clock import Timer
from twistproxy.discovery.source import ClusterUpdates
from twistproxy.model.address import TcpAddress
from twistproxy.model.discovery import OriginalDstSource
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.original_dst import host_name

#: Intervals for which a host stays that no worker has told to be in use.  Each tells once in an interval.
_KEPT = 1.5


class OriginalDstHosts:
    """A running `OriginalDstSource`."""

    def __init__(self, reactor: Any, source: OriginalDstSource, updates: ClusterUpdates) -> None:
        self._reactor = reactor
        self._source = source
        self._updates = updates
        self._used: dict[TcpAddress, float] = {}  # when that was told last
        self._timer: Timer | None = None
        # Until workers have had the time to tell what they have from an earlier discovery process.
        self._settling: Timer | None = None

    def start(self) -> None:
        """None are known yet, and no request has to wait for any."""
        self._settling = self._reactor.callLater(self._source.cleanup_interval * _KEPT, self._settled)
        self._publish()

    def stop(self) -> None:
        self._updates.stop()
        for timer in (self._timer, self._settling):
            if timer is not None:
                timer.cancel()
        self._timer = self._settling = None

    def _settled(self) -> None:
        self._settling = None
        self._publish()

    def used(self, addresses: Iterable[TcpAddress]) -> None:
        """A worker has these in use, or has just met them."""
        now = self._reactor.seconds()
        before = len(self._used)
        for address in addresses:
            self._used[address] = now
        if len(self._used) > before:
            self._publish()
        if self._used and self._timer is None:
            self._timer = self._reactor.callLater(self._source.cleanup_interval, self._clean_up)

    def _clean_up(self) -> None:
        self._timer = None
        oldest = self._reactor.seconds() - self._source.cleanup_interval * _KEPT
        kept = {address: when for address, when in self._used.items() if when > oldest}
        if len(kept) < len(self._used):
            self._used = kept
            self._publish()
        if kept:
            self._timer = self._reactor.callLater(self._source.cleanup_interval, self._clean_up)

    def _publish(self) -> None:
        name = self._source.cluster
        self._updates.publish(
            [Endpoint(address, hostname=host_name(name, address)) for address in self._used],
            complete=self._settling is None,
        )
