"""What takes the discovery process long is done in a thread, which gets what processor time others leave."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from threading import Thread, get_native_id
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_Result = TypeVar("_Result")

#: The thread's nice value (setpriority(2); on Linux each thread has one): workers that serve requests go first.
_NICE = 5


class Background:
    """One thread, started when there is something to do."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool: Any = None

    def run(self, function: Callable[[], _Result], urgent: bool = False) -> Deferred[_Result]:
        """Fires with what the function returns or raises.  What is given here is done one after the other.

        urgent  somebody waits for it: nobody goes before it, unless something else has been done before
        """
        if self._pool is None:
            pool: Any = ThreadPool(0, 1, "discovery")
            # Whatever it is doing then, it does not keep the process from leaving.
            pool.threadFactory = partial(Thread, daemon=True)
            pool.start()
            self._pool = pool
        return deferToThreadPool(
            self._reactor, self._pool, function if urgent else partial(_humble, function)
        )

    def stop(self) -> None:
        """Do nothing more."""
        if self._pool is not None:
            self._pool.adjustPoolsize(0, 0)
            self._pool = None


def _humble(function: Callable[[], _Result]) -> _Result:
    os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICE)
    return function()
