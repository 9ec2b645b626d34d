"""What a connection manager may take away from a request: the port of its host, fields with underscores."""

from __future__ import annotations

from pathlib import Path

import pytest

from .harness import Proxy, refused_paths
from .settings import Config, answering, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    vhosts = routes_to("app")
    hosts = [answering("rest", "*"), answering("exact", "app.test"), answering("port", "app.test:8080")]
    listeners = [
        listener("main", proxy.port(), vhosts),
        listener("strip", proxy.port("strip"), hosts, strip_any_host_port=True),
        listener(
            "no_underscores",
            proxy.port("no_underscores"),
            vhosts,
            common_http_protocol_options={"headers_with_underscores_action": "REJECT_REQUEST"},
        ),
        listener(
            "drop_underscores",
            proxy.port("drop_underscores"),
            vhosts,
            common_http_protocol_options={"headers_with_underscores_action": "DROP_HEADER"},
        ),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


MANAGER = "static_resources.listeners[{}].filter_chains[0].filters[0].typed_config"
REFUSED = {
    f"{MANAGER.format(1)}.strip_any_host_port",
    f"{MANAGER.format(2)}.common_http_protocol_options.headers_with_underscores_action",
    f"{MANAGER.format(3)}.common_http_protocol_options.headers_with_underscores_action",
}


@pytest.mark.parametrize("engine", ["twistproxy"])
def test_refused(engine: str, tmp_path: Path) -> None:
    assert refused_paths(configure, tmp_path) == REFUSED


@pytest.mark.parametrize("host", ["app.test", "app.test:123", "app.test:8080", "APP.test:1"])
def test_port_of_the_host_does_not_matter(proxy: Proxy, host: str) -> None:
    assert proxy.ask("/", "strip", host=host).text == "exact"


def test_underscores(proxy: Proxy) -> None:
    assert proxy.ask("/", "no_underscores", headers="x_a: 1\r\n").status == 400
    assert proxy.origin().nothing(0.01)
    assert proxy.ask("/", "drop_underscores", headers="x_a: 1\r\n").status == 200
    assert proxy.origin().take()["x_a"] is None
    assert proxy.ask("/", headers="x_a: 1\r\n").status == 200
    assert proxy.origin().take()["x_a"] == "1"
