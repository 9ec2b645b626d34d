"""Which log lines are written: one level for each logger, changeable while the program runs (admin
`/logging`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    PredicateResult,
    formatEvent,
    globalLogPublisher,
)
from zope.interface import implementer

#: Envoy's names, in rising order (operations/cli, --log-level).
LEVELS = ("trace", "debug", "info", "warning", "error", "critical", "off")

#: `twistproxy.<name>` and what is below it; "twisted" is everything else.
LOGGERS = (
    "admin",
    "config",
    "discovery",
    "filters",
    "master",
    "network",
    "process",
    "template",
    "transport",
    "twisted",
    "upstream",
    "worker",
)

_TO_NAME = {"debug": "debug", "info": "info", "warn": "warning", "error": "error", "critical": "critical"}
_FROM_NAME = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    "warning": LogLevel.warn,
    "error": LogLevel.error,
    "critical": LogLevel.critical,
}
#: What a child may have waiting for a master that does not read.
_MOST_QUEUED = 1024 * 1024


class LogLevels:
    """The level of each logger.  Also a predicate for Twisted's `FilteringLogObserver`."""

    def __init__(self, level: str) -> None:
        self._ranks: dict[str, int] = {}
        self.set_all(level)

    def set_all(self, level: str) -> None:
        """Of all loggers.  Twisted tells of each port that opens: such lines are for "debug" only."""
        rank = LEVELS.index(level)
        self._ranks = dict.fromkeys(LOGGERS, rank)
        if rank > LEVELS.index("debug"):
            self._ranks["twisted"] = max(rank, LEVELS.index("warning"))

    def set(self, logger: str, level: str) -> None:
        """Of one logger.  ValueError if there is no such logger or level."""
        if logger not in self._ranks:
            raise ValueError(f"no logger {logger!r}")
        if level not in LEVELS:
            raise ValueError(f"no level {level!r}")
        self._ranks[logger] = LEVELS.index(level)

    def update(self, levels: Mapping[str, str]) -> None:
        for logger, level in levels.items():
            self.set(logger, level)

    def as_dict(self) -> dict[str, str]:
        return {logger: LEVELS[rank] for logger, rank in self._ranks.items()}

    def allows(self, namespace: str, level: str) -> bool:
        first, _, rest = namespace.partition(".")
        logger = rest.partition(".")[0] if first == "twistproxy" else "twisted"
        rank = self._ranks.get(logger, self._ranks["process"])
        return LEVELS.index(level) >= rank

    def __call__(self, event: LogEvent) -> Any:
        level = _TO_NAME[(event.get("log_level") or LogLevel.info).name]
        if self.allows(event.get("log_namespace") or "", level):
            return PredicateResult.maybe
        return PredicateResult.no


def filter_existing_observers(levels: LogLevels) -> None:
    """Let the observers that twistd has set up see only what `levels` allows."""
    for observer in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(observer)
        globalLogPublisher.addObserver(_filtered(observer, levels))


def level_constant(name: str) -> Any:
    """Twisted's constant for one of `LEVELS` that a line can have."""
    return _FROM_NAME.get(name, LogLevel.info)


@implementer(ILogObserver)
class LinkObserver:
    """A child's log: finished lines go to the master, whose log is the only one.

    send    takes level, namespace and text
    queued  bytes that the master has not read yet; above a limit lines are dropped
    """

    def __init__(self, send: Any, queued: Any) -> None:
        self._send = send
        self._queued = queued

    def __call__(self, event: LogEvent) -> None:
        if self._queued() > _MOST_QUEUED:
            return
        text = formatEvent(event)
        failure = event.get("log_failure")
        if failure is not None:
            text = f"{text}\n{failure.getTraceback()}"
        level = _TO_NAME[(event.get("log_level") or LogLevel.info).name]
        self._send(level, event.get("log_namespace") or "", text)


def observe_with(observer: LinkObserver, levels: LogLevels) -> None:
    """Make `observer` the process's only log observer."""
    for other in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(other)
    globalLogPublisher.addObserver(_filtered(observer, levels))


def _filtered(observer: Any, levels: LogLevels) -> ILogObserver:
    # zope's interfaces mean nothing to the type checker.
    return cast(ILogObserver, FilteringLogObserver(observer, [cast(Any, levels)]))
