"""Options of the connection manager that change what a request does: user agent, Expect relayed."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import Exchange
from .sent import DEFAULTS, changed, sent
from .settings import Config, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    vhosts = routes_to("app")
    listeners = [
        listener("agent", proxy.port("agent"), vhosts, add_user_agent=True),
        listener("hundred", proxy.port("hundred"), vhosts, proxy_100_continue=True),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


def test_user_agent_of_the_node(proxy: Proxy) -> None:
    added = {"user_agent": "parity-cluster", "x_envoy_downstream_service_cluster": "parity-cluster"}
    assert sent(proxy, "", "agent") == changed(
        DEFAULTS, x_envoy_downstream_service_node="parity-node", **added
    )
    assert ("user-agent", "mine") in sent(proxy, "user-agent: mine\r\n", "agent")


def test_expect_relayed(proxy: Proxy) -> None:
    """With proxy_100_continue the upstream decides."""

    def on_expect(exchange: Exchange) -> None:
        exchange.send("HTTP/1.1 100 Continue\r\n\r\n")
        exchange.read_body()
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    proxy.origin().on("/x", on_expect)
    with proxy.client("hundred") as client:
        client.send("POST /x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        assert client.read().status == 100
        assert proxy.origin().take()["expect"] == "100-continue"
        assert client.send("body").read().text == "ok"
