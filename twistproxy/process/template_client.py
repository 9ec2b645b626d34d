"""The master's side of the template: starts it, asks it to fork, and starts it again when it dies."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.process.child import Child, describe_status
from twistproxy.process.restart import RestartPolicy
from twistproxy.process.settings import ProcessSettings
from twistproxy.process.template import template_main
from twistproxy.transport.control_link import ControlLink
from twistproxy.transport.fork_server import fork_process
from twistproxy.transport.process_handle import ProcessHandle

_log = Logger(namespace="twistproxy.master")


class TemplateClient:
    """Keeps one template running.

    Children that were asked for wait until there is one.  A child lives on when the template that forked it
    dies; only what it would have said of the child's end is then missing.

    on_log     gets the lines of its log, with its name
    on_failed  is told how it ended when none has ever come so far as to fork: the installation is broken, and the
               next one would end like it
    """

    def __init__(
        self,
        reactor: Any,
        settings: ProcessSettings,
        policy: RestartPolicy,
        on_log: Callable[[str, Message], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._policy = policy
        self._on_log = on_log
        self._on_failed = on_failed
        self._link: ControlLink | None = None
        self._handle: ProcessHandle | None = None
        self._ready = False
        self._was_ready = False
        self._stopping = False
        self._on_stopped: Callable[[], None] | None = None
        self._started_at = 0.0
        self._number = 0
        self._waiting: list[tuple[str, Child]] = []
        self._asked: dict[int, Child] = {}
        self._forked: dict[int, Child] = {}
        self._unanswered_ticks = 0
        self.restarts = 0

    @property
    def pid(self) -> int:
        """0 while there is none."""
        return 0 if self._handle is None else self._handle.pid

    def start(self) -> None:
        """Fork the template from this process.  OSError if that fails."""
        settings = self._settings
        pid, pidfd, ours = fork_process(lambda sock: template_main(sock, settings))
        self._started_at = self._reactor.seconds()
        self._link = ControlLink(self._reactor, ours, self._message, self._link_closed)
        self._handle = ProcessHandle(self._reactor, pid, pidfd, self._ended)

    def fork(self, kind: str, child: Child) -> None:
        """Have `child` forked, now or as soon as the template is ready."""
        if self._ready:
            self._ask(kind, child)
        else:
            self._waiting.append((kind, child))

    def abandon_waiting(self) -> None:
        """Children that were not forked so far never will be."""
        waiting, self._waiting = self._waiting, []
        for _, child in waiting:
            child.abandon()

    def stop(self, stopped: Callable[[], None]) -> None:
        """Let the template go: it leaves when its link is closed.  `stopped` is called when it has."""
        self._stopping = True
        self._ready = False
        if self._handle is None:
            stopped()
            return
        self._on_stopped = stopped
        if self._link is not None:
            self._link.close()

    def kill(self) -> None:
        """End it at once."""
        if self._handle is not None:
            self._handle.kill()

    def tick(self, seconds: float) -> None:
        """`seconds` of the master's own time have passed: a template that has not forked for too long is
        stuck."""
        if not self._asked:
            self._unanswered_ticks = 0
            return
        self._unanswered_ticks += 1
        if self._unanswered_ticks * seconds > self._settings.watchdog:
            _log.error("the template does not answer, killing it")
            self._unanswered_ticks = 0
            self.kill()

    def _ask(self, kind: str, child: Child) -> None:
        assert self._link is not None
        if child.gone:
            return
        self._number += 1
        self._asked[self._number] = child
        self._link.send(messages.fork(self._number, kind), [child.theirs.fileno()])
        child.theirs.close()

    def _message(self, message: Message, fds: list[int]) -> None:
        kind = message["t"]
        if kind == "template_ready":
            self._ready = self._was_ready = True
            waiting, self._waiting = self._waiting, []
            for wanted, child in waiting:
                self._ask(wanted, child)
        elif kind == "forked":
            self._unanswered_ticks = 0
            child = self._asked.pop(message["n"])
            if message["pid"]:
                self._forked[message["pid"]] = child
                child.forked(message["pid"], fds[0])
            else:
                child.abandon()
        elif kind == "exited":
            gone = self._forked.pop(message["pid"], None)
            if gone is not None:
                gone.exited(message["status"])
        elif kind == "log":
            self._on_log("template", message)

    def _link_closed(self) -> None:
        self.kill()

    def _ended(self) -> None:
        """The template's process is no more."""
        status = None if self._handle is None else self._handle.status
        if self._link is not None:
            self._link.read_rest()
            self._link.close()
        self._link = self._handle = None
        self._ready = False
        self._forked.clear()
        asked, self._asked = self._asked, {}
        if self._stopping:
            if self._on_stopped is not None:
                self._on_stopped()
            return
        if not self._was_ready:
            self._on_failed(describe_status(status))
            return
        self.restarts += 1
        decision = self._policy.ended(self._reactor.seconds() - self._started_at)
        _log.error(
            "template {how}; starting it again in {delay:.1f} s",
            how=describe_status(status),
            delay=decision.delay,
        )
        self._reactor.callLater(decision.delay, self._restart)
        for child in asked.values():
            child.abandon()

    def _restart(self) -> None:
        if self._stopping:
            return
        try:
            self.start()
        except OSError as e:
            decision = self._policy.ended(0.0)
            _log.error("cannot fork the template: {error}", error=os.strerror(e.errno or 0))
            self._reactor.callLater(max(decision.delay, 1.0), self._restart)
