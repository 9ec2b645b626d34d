"""EDS clusters whose endpoints lie in a file: a DiscoveryResponse with one ClusterLoadAssignment.

Envoy: configuration/overview/xds_api, filesystem subscriptions.  A file that cannot be read or used changes
nothing: it is logged and counted (`update_failure`: cannot be read or parsed; `update_rejected`: parsed, but
not for this cluster or not valid; `update_empty`: no resources).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.api.clock import Timer
from twistproxy.discovery.eds_reader import Assignment, EdsReader
from twistproxy.discovery.file_watch import FileWatch, FileWatcher
from twistproxy.discovery.source import ClusterUpdates
from twistproxy.errors import ConfigError
from twistproxy.model.discovery import EdsFileSource
from twistproxy.transport.clock import ReactorClock

#: Runs a function in another thread; True if somebody waits for it.
InThread = Callable[[Callable[[], Assignment], bool], Deferred[Assignment]]

#: Bytes of a file that is read in a thread: what is smaller takes a few milliseconds at most.
_LARGE = 64 * 1024
#: After a read there is none for so many times as long as it took, but not for more than so many seconds: a file that
#: is replaced all the time does not take all of the process's time, and what it says is never much older than a second.
_REST = 2.0
_LONGEST_REST = 0.2


class EdsFileDiscovery:
    """A running `EdsFileSource`.

    in_thread  runs what takes long
    """

    def __init__(
        self,
        reactor: Any,
        source: EdsFileSource,
        watcher: FileWatcher,
        updates: ClusterUpdates,
        log: Logger,
        in_thread: InThread,
    ) -> None:
        self.source = source
        self._reactor = reactor
        self._watcher = watcher
        self._updates = updates
        self._log = log
        self._in_thread = in_thread
        self._reader = EdsReader(source)
        self._watch: FileWatch | None = None
        self._busy = False
        self._wall = ReactorClock(reactor).wall
        self._again = False
        self._first = True
        self._timer: Timer | None = None
        self._staleness: Timer | None = None

    def start(self) -> None:
        """Read the file, now and whenever it changes."""
        source = self.source
        self._watch = self._watcher.watch(source.path, self.read, source.watched_directory)
        self.read()

    def stop(self) -> None:
        """Watch no more."""
        self._updates.stop()
        self._again = False
        self._stale_after(0.0)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watch is not None:
            self._watcher.unwatch(self._watch)
            self._watch = None

    def read(self) -> None:
        """Read the file and publish what is in it.  While it is being read, or soon after that took long: once more
        then."""
        if self._busy:
            self._again = True
            return
        self._busy = True
        self._updates.attempt()
        began = self._reactor.seconds()
        reading: Deferred[Assignment]
        if _size(self.source.path) > _LARGE:
            # Workers wait with their listeners for what is read first.
            reading = self._in_thread(self._reader.read, self._first)
            self._first = False
        else:
            reading = maybeDeferred(self._reader.read)
        reading.addCallbacks(self._found, self._failed).addCallback(self._rest, began)

    def _rest(self, _: None, began: float) -> None:
        rest = min(_REST * (self._reactor.seconds() - began), _LONGEST_REST)
        if rest > 0.0 and self._watch is not None:
            self._timer = self._reactor.callLater(rest, self._rested)
        else:
            self._rested()

    def _rested(self) -> None:
        self._timer = None
        self._busy = False
        if self._again:
            self._again = False
            self.read()

    def _found(self, found: Assignment) -> None:
        source = self.source
        if self._watch is None:
            return  # stopped while a thread was reading
        if found.unread:
            self._warn("partly not supported", ConfigError(list(found.unread)))
        if found.endpoints is None:
            self._updates.empty()
            self._log.warn(
                "cluster {cluster}: {path} has no ClusterLoadAssignment; the endpoints stay as they are",
                cluster=source.cluster,
                path=source.path,
            )
            return
        self._stale_after(found.stale_after)
        self._updates.gauges["update_time"] = int(self._wall() * 1000)
        change = self._updates.success(found.endpoints, policy=found.policy)
        if change:
            self._log.info(
                "cluster {cluster}: {path} changed: {change}",
                cluster=source.cluster,
                path=source.path,
                change=change,
            )

    def _stale_after(self, seconds: float) -> None:
        """What was said last is forgotten after so long, 0 for never."""
        if self._staleness is not None:
            self._staleness.cancel()
            self._staleness = None
        if seconds:
            self._updates.counters["assignment_timeout_received"] += 1
            self._staleness = self._reactor.callLater(seconds, self._stale)

    def _stale(self) -> None:
        self._staleness = None
        self._updates.counters["assignment_stale"] += 1
        self._updates.publish(())
        self._log.warn(
            "cluster {cluster}: {path} has not been renewed in time; the cluster has no endpoints any more",
            cluster=self.source.cluster,
            path=self.source.path,
        )

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        assert error is not None
        if self._watch is None:
            return
        if isinstance(error, ConfigError):
            self._updates.rejected()
            self._warn("rejected", error)
        else:
            self._updates.failure()
            self._warn("cannot be read", error)
            if not isinstance(error, (OSError, ValueError)):
                self._log.failure("reading {path}", failure, path=self.source.path)

    def _warn(self, what: str, error: BaseException) -> None:
        self._log.warn(
            "cluster {cluster}: {path} {what}: {reason}",
            cluster=self.source.cluster,
            path=self.source.path,
            what=what,
            reason=str(error).replace("\n", "; "),
        )


def _size(path: str) -> int:
    """Bytes of a file; 0 if there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
