"""`via`: the proxies that a message came through."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import text
from .settings import Config, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    listeners = [
        listener("main", proxy.port(), routes_to("app"), via="1.1 me"),
        listener("edge", proxy.port("edge"), routes_to("app"), via="me", use_remote_address=True),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


@pytest.mark.parametrize(
    ("name", "lines", "arrives"),
    [
        ("main", "", "1.1 me"),
        ("main", "via: 1.0 before\r\n", "1.0 before, 1.1 me"),
        ("edge", "via: a\r\nvia: b\r\n", "a,b, me"),
        ("edge", "via:\r\n", "me"),
    ],
)
def test_requests(proxy: Proxy, name: str, lines: str, arrives: str) -> None:
    proxy.ask("/x", name, headers=lines)
    assert proxy.origin().take()["via"] == arrives


def test_responses(proxy: Proxy) -> None:
    assert proxy.ask("/x")["via"] == "1.1 me"
    proxy.origin().on("/via", text(headers="via: 1.0 up\r\n"))
    assert proxy.ask("/via")["via"] == "1.0 up, 1.1 me"


def test_answers_of_our_own(proxy: Proxy) -> None:
    assert proxy.ask("/x#y")["via"] == "1.1 me"
