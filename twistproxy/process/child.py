"""One forked child, as the master sees it: its control link, its pidfd, and what it has said."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from twistproxy.ipc.frame import Message
from twistproxy.transport.control_link import ControlLink, socket_pair
from twistproxy.transport.process_handle import ProcessHandle

#: Seconds to wait for the template's word on how a child ended, once the kernel has said that it did.
_STATUS_WAIT = 0.2

_serials = itertools.count(1)


class Child:
    """Made before the fork: `theirs` is the end of the control link that the template passes on.

    on_message  gets (child, message)
    on_gone     gets the child, once, when its process is no more; `status` is then set if it is known
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        on_message: Callable[[Child, Message], None],
        on_gone: Callable[[Child], None],
    ) -> None:
        self.name = name
        #: different for each child of this master
        self.serial = next(_serials)
        self.pid = 0
        #: as `os.waitpid` gives it, None if nobody could say
        self.status: int | None = None
        self.gone = False
        #: the generation that it runs, 0 before the first
        self.generation = 0
        #: its last statistics
        self.snapshot: dict[str, Any] = {}
        #: pings in a row that it has not answered
        self.missed_pings = 0
        #: monotonic time of the last ping
        self.pinged_at = 0.0
        self.started_at: float = reactor.seconds()
        self._reactor = reactor
        self._on_message = on_message
        self._on_gone = on_gone
        self._handle: ProcessHandle | None = None
        ours, self.theirs = socket_pair()
        self._link = ControlLink(reactor, ours, self._message, self._link_closed)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        self._link.send(message, fds)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._handle is not None:
            self._handle.kill(number)

    def forked(self, pid: int, pidfd: int) -> None:
        """The template has forked it."""
        self.pid = pid
        if self.gone:
            os.close(pidfd)
        else:
            self._handle = ProcessHandle(self._reactor, pid, pidfd, self._ended)

    def exited(self, status: int) -> None:
        """The template says how it ended."""
        self.status = status
        self._finish()

    def abandon(self) -> None:
        """It was never forked, or nobody will say: it is as good as gone.  If it lives, it sees its link
        end."""
        self._finish()

    def report(self, snapshot: dict[str, Any]) -> None:
        """Its newest statistics; those that are not 0 in place of what they were, if it sends only those."""
        old = self.snapshot
        if snapshot.get("scope") == "counts" and old:
            snapshot = {
                **old,
                **snapshot,
                "counters": {**old["counters"], **snapshot["counters"]},
                "gauges": {**old["gauges"], **snapshot["gauges"]},
                "histograms": {**old["histograms"], **snapshot["histograms"]},
            }
        self.snapshot = snapshot

    def _message(self, message: Message, fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)  # children pass none
        self._on_message(self, message)

    def _link_closed(self) -> None:
        # Whoever closes the link and lives on is of no use.
        self.kill()

    def _ended(self) -> None:
        if self.gone:
            return
        if self._handle is not None and self._handle.status is not None:
            # Its template is dead and the kernel has left it to us.
            self.exited(self._handle.status)
        else:
            self._reactor.callLater(_STATUS_WAIT, self._finish)

    def _finish(self) -> None:
        if self.gone:
            return
        self.gone = True
        # What it said last is still in the socket.
        self._link.read_rest()
        self._link.close()
        self.theirs.close()
        if self._handle is not None:
            self._handle.close()
        self._on_gone(self)


def describe_status(status: int | None) -> str:
    """How a process ended, in words."""
    if status is None:
        return "ended"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"was killed by {signal.Signals(number).name}"
        except ValueError:
            return f"was killed by signal {number}"
    return f"exited with status {os.waitstatus_to_exitcode(status)}"
