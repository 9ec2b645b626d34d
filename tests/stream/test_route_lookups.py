"""Lookups of routes are counted for logs that ask for it, and only for those."""

from __future__ import annotations

from dataclasses import replace

from twistproxy.http.message import RequestHead
from twistproxy.model.access_log import AccessLogSettings, LogFormat
from twistproxy.stream.extras import Extras
from twistproxy.stream.route_lookups import counting
from twistproxy.testing.data_plane import DataPlane, manager, routes_to

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_each_lookup_counts() -> None:
    extras = Extras()

    class Stream:
        def extra(self) -> Extras:
            return extras

    times = iter((1.0, 1.5, 2.0, 2.25))
    head = RequestHead(b"GET", b"/", b"a", [], {})
    pick = counting(lambda asked, stream: ("route", asked), lambda: next(times))
    assert [pick(head, Stream()) for _ in range(2)] == [("route", head)] * 2
    assert (extras.route_lookups, extras.route_seconds) == (2, 0.75)


def test_a_log_asks_for_it() -> None:
    log = AccessLogSettings("/own", LogFormat("%ROUTE_RESOLUTION_COUNT% %ROUTE_RESOLUTION_TIME_US%\n"))
    plane = DataPlane(replace(manager(), access_logs=(log,)))
    client = plane.client()
    client.receive(GET)
    plane.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    assert plane.logs.open("/own").lines == ["1 0"]
    plane.reload(replace(manager(routes_to(domains=("a",))), access_logs=(log,)))
    client.receive(GET)
    plane.upstream.receive(OK)
    assert plane.logs.open("/own").lines == ["1 0", "1 0"]
    plane.finish()
