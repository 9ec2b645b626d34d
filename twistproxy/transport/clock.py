"""The data plane's clock from a reactor."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twistproxy.api.clock import Timer


class ReactorClock:
    """`api.clock.Clock`.  Its methods are the C functions themselves: they are called for each request.

    Twisted's own `reactor.seconds()` follows the wall clock, which may be set back.
    """

    __slots__ = ("call_later", "monotonic", "wall")

    def __init__(self, reactor: Any) -> None:
        self.monotonic: Callable[[], float] = time.monotonic  # noqa: TID251
        self.wall: Callable[[], float] = time.time  # noqa: TID251
        self.call_later: Callable[..., Timer] = reactor.callLater
