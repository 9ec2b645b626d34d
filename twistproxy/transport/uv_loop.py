"""What streams and ports know of the reactor that they belong to."""

from __future__ import annotations

from typing import Any, Protocol


class LoopOwner(Protocol):
    """`transport.reactor.TwistproxyReactor`, which is a Twisted reactor besides."""

    #: uvloop's loop.
    loop: Any
    #: Connected streams; each adds and removes itself.
    streams: set[Any]
    #: Ports that accept; each adds and removes itself.
    ports: set[Any]

    def resolve(self, name: str) -> Any:
        """A Deferred of the IPv4 address of `name`."""
