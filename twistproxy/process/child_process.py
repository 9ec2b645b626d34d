"""What a worker and the discovery process have in common: the reactor, the link to the master, log and
signals."""

from __future__ import annotations

import resource
import signal
import sys
from typing import Any

from setproctitle import setproctitle
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor

from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.observe.stats import Scope, Snapshot
from twistproxy.process.log_levels import LinkObserver, LogLevels, observe_with
from twistproxy.transport.clock import ReactorClock
from twistproxy.transport.control_link import ControlLink, MessageHandler
from twistproxy.transport.log_file import LogFiles
from twistproxy.transport.reactor import SteadyReactor

#: What the terminal or a service manager sends to the whole group: the master decides what it means.
_NOT_FOR_US = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def make_reactor(name: str) -> Any:
    """Make and install this process's reactor: "twistproxy" or "epoll"."""
    reactor: Any = EPollReactor() if name == "epoll" else SteadyReactor()
    installReactor(reactor)
    return reactor


def prepare_process(title: str) -> None:
    """Before the reactor is made: name the process, leave group signals to the master, and let it open as many files as
    it may (as Envoy does since 1.35)."""
    setproctitle(f"twistproxy: {title}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for number in _NOT_FOR_US:
        signal.signal(number, signal.SIG_IGN)


def with_files(snapshot: dict[str, Any], files: LogFiles, scope: Scope) -> dict[str, Any]:
    """The snapshot of statistics, to which is added what the process's log files count."""
    out = Snapshot(scope)
    files.collect(out)
    of_files = out.as_dict()
    for kind in ("counters", "gauges"):
        snapshot.setdefault(kind, {}).update(of_files[kind])
    return snapshot


class MasterLink:
    """The child's end of its control link, through which its log goes too.

    on_message  gets what the master says, except for pings and log levels, which are dealt with here
    on_closed   is called when the master is gone
    """

    def __init__(
        self, reactor: Any, control: Any, level: str, on_message: MessageHandler, on_closed: Any
    ) -> None:
        self._on_message = on_message
        self._now = ReactorClock(reactor).monotonic
        self._levels = LogLevels(level)
        self._link = ControlLink(reactor, control, self._message, on_closed)
        observe_with(LinkObserver(self._log, lambda: self._link.queued), self._levels)

    def send(self, message: Message) -> None:
        self._link.send(message)

    def close(self) -> None:
        self._link.close()

    def _message(self, message: Message, fds: list[int]) -> None:
        kind = message["t"]
        if kind == "ping":
            self.send(messages.pong(message["n"], self._now()))
        elif kind == "log_levels":
            self._levels.update(message["levels"])
        else:
            if kind == "config":
                self._levels.update(message["log_levels"])
            self._on_message(message, fds)

    def _log(self, level: str, namespace: str, text: str) -> None:
        if self._link.closed:
            print(f"[{namespace}] {text}", file=sys.stderr)
        else:
            self.send(messages.log(level, namespace, text))
