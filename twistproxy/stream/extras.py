"""What few streams have: kept apart, so that the others test one attribute."""

from __future__ import annotations

from typing import Protocol

from twistproxy.http.message import ResponseHead


class Mirrored(Protocol):
    """The copies of a request as long as it comes in."""

    def stream_ended(self) -> None: ...


class Follower(Protocol):
    """Who may follow a redirect in place of the client."""

    def follow(self, head: ResponseHead, end_stream: bool) -> bool:
        """Whether it does; then the response is no longer the stream's."""

    def replay(self) -> None:
        """The stream begins anew: give it the request's content."""


class Extras:
    """cookies    values of Set-Cookie that the upstream's response gets
    mirrored   see there
    follower   see there
    redirects  how many redirects were followed
    route_lookups, route_seconds  how often its route was looked up, and how long it took, if somebody wants to know
    targets    by the name of a route with `previous_routes`: the routes that its redirects have led to
    """

    __slots__ = ("cookies", "follower", "mirrored", "redirects", "route_lookups", "route_seconds", "targets")

    def __init__(self) -> None:
        self.cookies: list[bytes] = []
        self.mirrored: Mirrored | None = None
        self.follower: Follower | None = None
        self.redirects = 0
        self.route_lookups = 0
        self.route_seconds = 0.0
        self.targets: dict[str, set[str]] = {}

    def response(self, head: ResponseHead, end_stream: bool) -> bool:
        """An upstream's response begins.  True: it is a redirect that was followed, and the stream has begun anew."""
        if self.follower is not None and self.follower.follow(head, end_stream):
            return True
        for cookie in self.cookies:
            head.add(b"set-cookie", cookie)
        return False

    def ended(self) -> None:
        """The stream is over, or begins anew."""
        if self.mirrored is not None:
            self.mirrored.stream_ended()
            self.mirrored = None
        self.follower = None
        self.cookies = []
