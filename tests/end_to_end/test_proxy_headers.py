"""PROXY headers that clients begin with, while the configuration changes."""

from __future__ import annotations

from dataclasses import replace

from twistproxy.model.listener import ProxyHeaderSettings
from twistproxy.testing.data_plane import DataPlane

HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def use(plane: DataPlane, settings: ProxyHeaderSettings) -> None:
    (main,) = plane.bootstrap.listeners
    plane.bootstrap = replace(plane.bootstrap, listeners=(replace(main, proxy_header=settings),))
    plane.reload()


def test_a_reload_that_changes_what_is_allowed_goes_on_counting() -> None:
    plane = DataPlane()
    use(plane, ProxyHeaderSettings())
    plane.client().receive(HEADER)
    waiting = plane.client()
    use(plane, ProxyHeaderSettings(optional=True))
    plane.client().receive(HEADER)
    assert plane.counter("proxy_proto.versions.v1.found") == 2
    waiting.receive(GET)
    assert plane.counter("proxy_proto.not_found_allowed") == 1
