"""Sockets of health checks: `upstream_bind_config` holds for them, too."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from .harness import Proxy, wait_for
from .health import STRICT, check, flags_become
from .health_peers import Server
from .settings import HTTP_OPTIONS, Config, address, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

KINDS: dict[str, Config] = {
    "tcp": {"tcp_health_check": {"send": {"text": "61"}, "receive": [{"text": "68"}]}},
    "http": {"http_health_check": {"path": "/"}},
    "http2": {"http_health_check": {"path": "/", "codec_client_type": "HTTP2"}},
    "grpc": {"grpc_health_check": {}},
    "elsewhere": {"http_health_check": {"path": "/"}},
}


class Listening(Server):
    """Says always the same, and knows who has asked."""

    def __init__(self) -> None:
        self.clients: set[str] = set()
        super().__init__()

    def serve(self, sock: socket.socket) -> None:
        while sock.recv(65536):
            self.clients.add(sock.getpeername()[0])
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def server(proxy: Proxy, name: str) -> Any:
    if name not in proxy.origins:
        proxy.origins[name] = Listening()  # type: ignore[assignment]  # it can be stopped
    return proxy.origins[name]


def configure(proxy: Proxy) -> Config:
    both = {"http_protocol_options": {}, "http2_protocol_options": {}}
    settings = {"@type": HTTP_OPTIONS, "use_downstream_protocol_config": both}
    options = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": settings}
    clusters = []
    for at, (name, kind) in enumerate(KINDS.items()):
        # The last address is none of this machine's.
        source = "192.0.2.1" if name == "elsewhere" else f"127.0.0.{at + 20}"
        clusters.append(
            cluster(
                name,
                server(proxy, name).port,
                health_checks=[check(**kind)],
                common_lb_config=STRICT,
                typed_extension_protocol_options=options,
                upstream_bind_config={"source_address": address(0, source)["socket_address"]},
            )
        )
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), [])], clusters)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "elsewhere"])
def test_where_checks_come_from(proxy: Proxy, name: str) -> None:
    at = list(KINDS).index(name)
    assert wait_for(lambda: server(proxy, name).clients) == {f"127.0.0.{at + 20}"}


def test_bound_checks_pass(proxy: Proxy) -> None:
    assert flags_become(proxy, "http", "healthy") == "healthy"


def test_an_address_that_is_not_ours(proxy: Proxy) -> None:
    assert flags_become(proxy, "elsewhere", "/failed_active_hc") == "/failed_active_hc"
    assert server(proxy, "elsewhere").clients == set()
