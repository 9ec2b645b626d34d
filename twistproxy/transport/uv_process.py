"""Notices the end of child processes without SIGCHLD.

uvloop takes the signal wake-up descriptor for itself while it runs, so Twisted's SIGCHLD handling would never be
woken.  A pidfd (Linux 5.3, pidfd_open(2)) becomes readable when its process ends; it needs no signal handler and
works whatever the program does with SIGCHLD.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import process as twisted_process

#: Seconds between two looks at the children where there is no pidfd_open.
POLL_INTERVAL = 0.05


class ChildReaper:
    """Calls `reapProcess` of each watched Twisted process when it has ended."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._descriptors: set[int] = set()
        self._polling = False

    def watch(self, process: Any) -> None:
        """`process` was just spawned; nothing happens if it has been reaped already."""
        if process.pid is None:
            return
        try:
            descriptor = os.pidfd_open(process.pid)
        except (AttributeError, OSError):
            self._poll()
            return
        self._descriptors.add(descriptor)
        self._loop.add_reader(descriptor, self._ended, descriptor, process)

    def _ended(self, descriptor: int, process: Any) -> None:
        self._loop.remove_reader(descriptor)
        self._descriptors.discard(descriptor)
        os.close(descriptor)
        if process.pid is not None:  # Twisted also looks when the pipes have been closed
            process.reapProcess()

    def _poll(self) -> None:
        if not self._polling:
            self._polling = True
            self._loop.call_later(POLL_INTERVAL, self._look)

    def _look(self) -> None:
        self._polling = False
        twisted_process.reapAllProcesses()
        if twisted_process.reapProcessHandlers:
            self._poll()

    def close(self) -> None:
        """Forget all children."""
        while self._descriptors:
            descriptor = self._descriptors.pop()
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
