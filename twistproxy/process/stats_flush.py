"""Statistics are asked for at each `stats_flush_interval`: so that what a worker has counted does not die with it, and
for the sinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from twistproxy.admin.merge import Statistics
from twistproxy.admin.stats_config import StatsConfig
from twistproxy.model.bootstrap import Bootstrap
from twistproxy.observe.stats import Scope
from twistproxy.process.stats_sinks import StatsSinks


class StatsFlush:
    """
    collect     asks all processes for so much of their statistics
    report_own  adds the master's own to what they say
    """

    def __init__(
        self,
        reactor: Any,
        collect: Callable[[Scope], Deferred[Statistics]],
        report_own: Callable[[Statistics], None],
    ) -> None:
        self._collect = collect
        self._report_own = report_own
        self._sinks = StatsSinks(reactor)
        self._on_admin = False
        self._under_way = False
        self._dropped = 0
        self._loop = LoopingCall(self._flush)
        self._loop.clock = reactor
        self.config = StatsConfig()
        self._used: Bootstrap | None = None

    @property
    def counters(self) -> dict[str, int]:
        """How many flushes did not begin because the one before was not over, and what the sinks count."""
        return {"server.dropped_stat_flushes": self._dropped, **self._sinks.counters}

    def use(self, bootstrap: Bootstrap) -> None:
        """From now on as this says."""
        before, self._used = self._used, bootstrap
        if before is None or before.stats != bootstrap.stats:
            self.config = StatsConfig(bootstrap.stats)
            self._sinks.use(bootstrap.stats.sinks, self.config)
            self._on_admin = bootstrap.stats.flush_on_admin
        if before is None or before.stats_flush_interval != bootstrap.stats_flush_interval:
            if self._loop.running:
                self._loop.stop()
            self._loop.start(bootstrap.stats_flush_interval, now=False)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()
        self._sinks.stop()

    def asked(self, statistics: Statistics) -> None:
        """Somebody is going to be shown these, which are up to date."""
        if self._on_admin:
            self._send(statistics)

    def _flush(self) -> None:
        if self._under_way:
            self._dropped += 1
            return
        self._under_way = True
        sinks = bool(self._sinks) and not self._on_admin
        # Sinks want to hear of a gauge that has become 0.
        self._collect("figures" if sinks else "counts").addCallback(self._collected)

    def _collected(self, statistics: Statistics) -> None:
        self._under_way = False
        if self._loop.running and not self._on_admin:
            self._report_own(statistics)
            self._send(statistics)

    def _send(self, statistics: Statistics) -> None:
        statistics.flush()
        if self._sinks:
            self._sinks.flush(statistics.totals())
