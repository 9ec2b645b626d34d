"""A process that is not necessarily our child, by its pidfd: told when it ends, signalled without mistaking
it."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.transport.control_link import FDReactor

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on the children of a child that dies become ours, not init's, so that we can reap them
    (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@implementer(IReadDescriptor)
class ProcessHandle:
    """Watches one process on a reactor; `on_exit()` is called once, when it has ended (pidfd_open(2)).

    Owns `pidfd`.
    """

    def __init__(self, reactor: FDReactor, pid: int, pidfd: int, on_exit: Callable[[], None]) -> None:
        self.pid = pid
        #: as `os.waitpid` gives it, when the process has ended and was ours to reap
        self.status: int | None = None
        self._pidfd = pidfd
        self._reactor = reactor
        self._on_exit = on_exit
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._pidfd

    def logPrefix(self) -> str:
        return "process"

    @property
    def ended(self) -> bool:
        return self._pidfd == -1

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; nothing happens if the process has ended."""
        if self._pidfd != -1:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                pass

    def close(self) -> None:
        """Watch no longer."""
        if self._pidfd != -1:
            self._reactor.removeReader(self)
            os.close(self._pidfd)
            self._pidfd = -1

    def doRead(self) -> None:
        """The process has ended (called by the reactor).  If it was our own child, or was left to us, reap
        it."""
        if self._pidfd == -1:
            return
        self.close()
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        except ChildProcessError:
            pass
        self._on_exit()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gives up on the descriptor."""
        self.close()
