"""What the upstream is sent: the exact header set, forwarded-for, hop-by-hop headers, host."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener, routes_to
from .wire import Headers

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    app = cluster("app", proxy.origin().port)
    vhosts = routes_to("app")
    edge = listener("edge", proxy.port("edge"), vhosts, use_remote_address=True)
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), vhosts), edge], [app])


def sent(proxy: Proxy, headers: str = "", listener_name: str = "main", **request: object) -> Headers:
    """The normalised headers that arrive for a request with these header lines."""
    response = proxy.ask("/x", listener_name, headers=headers, **request)
    assert response.status == 200
    seen = proxy.origin().take()
    assert (seen.target, seen.version) == ("/x", "HTTP/1.1")
    return seen.normal


DEFAULTS = [
    ("host", "app.test"),
    ("x-envoy-expected-rq-timeout-ms", "15000"),
    ("x-forwarded-proto", "http"),
    ("x-request-id", "ID"),
]


def test_the_least_set(proxy: Proxy) -> None:
    assert sent(proxy) == DEFAULTS


def test_edge(proxy: Proxy) -> None:
    print(sent(proxy, "", "edge"))
    assert 0
