"""What a plain request looks like at the upstream, and how the tests of headers ask for it."""

from __future__ import annotations

import socket
from typing import Any

from .harness import Proxy
from .wire import Headers


def own_address() -> str:
    """The machine's own address, which stands for a client on loopback in x-forwarded-for.

    No packet is sent: connecting a datagram socket only asks for the route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def sent(proxy: Proxy, headers: str = "", listener_name: str = "main", **request: Any) -> Headers:
    """The normalised headers that arrive for a request with these header lines.

    SELF stands for the machine's address; both it and the loopback address are taken for it.
    """
    response = proxy.ask("/x", listener_name, headers=headers, **request)
    assert response.status == 200
    seen = proxy.origin().take()
    assert (seen.target, seen.version) == ("/x", "HTTP/1.1")
    selves = (own_address(), "127.0.0.1")
    found = []
    for name, value in seen.normal:
        if name == "x-forwarded-for":
            before, comma, last = value.rpartition(",")
            value = before + comma + ("SELF" if last in selves else last)
        found.append((name, value))
    return found


DEFAULTS = [
    ("host", "app.test"),
    ("x-envoy-expected-rq-timeout-ms", "15000"),
    ("x-forwarded-proto", "http"),
    ("x-request-id", "ID"),
]
EDGE = [*DEFAULTS, ("x-envoy-external-address", "127.0.0.1"), ("x-forwarded-for", "SELF")]


def changed(base: Headers, without: str = "", **changes: str) -> Headers:
    """A header list with some added or replaced ("_" for "-") and some taken away."""
    removed = without.split()
    found = {name: value for name, value in base if name not in removed}
    found |= {name.replace("_", "-"): value for name, value in changes.items()}
    return sorted(found.items())


def test_the_least_set(proxy: Proxy) -> None:
    assert sent(proxy) == DEFAULTS


def test_at_the_edge(proxy: Proxy) -> None:
    assert sent(proxy, "", "edge") == sorted(EDGE)
