"""Counts how often the route of a stream is looked up, and how long that takes: for logs that ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twistproxy.http.message import RequestHead

PickRoute = Callable[[RequestHead, Any], Any]


def counting(pick: PickRoute, monotonic: Callable[[], float]) -> PickRoute:
    """`pick`, which tells the stream's extras of each call."""

    def counted(head: RequestHead, stream: Any) -> Any:
        began = monotonic()
        route = pick(head, stream)
        extras = stream.extra()
        extras.route_lookups += 1
        extras.route_seconds += monotonic() - began
        return route

    return counted
