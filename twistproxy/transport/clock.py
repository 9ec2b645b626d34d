"""`api.clock.Clock` of a reactor."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.base import ReactorBase

from twistproxy.api.clock import Timer


class ReactorClock:
    """The two times and later calls of `reactor`, an IReactorTime.

    A real reactor's `seconds` is the wall clock, which can be set back; so `monotonic` is the system's monotonic clock
    then (reading it costs 40 ns, libuv's cached time would have milliseconds only).  Of a fake one, such as
    `twisted.internet.task.Clock`, both times are its `seconds`.
    """

    __slots__ = ("call_later", "monotonic", "wall")

    #: Seconds from an arbitrary start.
    monotonic: Callable[[], float]
    #: Seconds since the epoch.
    wall: Callable[[], float]
    #: `call_later(delay, call, *args)`; Twisted's IDelayedCall is a `Timer` as it is.
    call_later: Callable[..., Timer]

    def __init__(self, reactor: Any) -> None:
        if isinstance(reactor, ReactorBase):
            self.monotonic = time.monotonic  # noqa: TID251 (the one place that it is passed in from)
            self.wall = time.time  # noqa: TID251
        else:
            self.monotonic = self.wall = reactor.seconds
        self.call_later = reactor.callLater
