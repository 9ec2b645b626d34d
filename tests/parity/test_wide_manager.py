"""Options of the connection manager beyond the usual: headers, ports of hosts."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import text
from .sent import EDGE, changed, sent
from .settings import Config, answering, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    vhosts = routes_to("app")
    hosts = [answering("rest", "*"), answering("exact", "app.test"), answering("port", "app.test:8080")]
    listeners = [
        listener("main", proxy.port(), vhosts),
        listener("hops", proxy.port("hops"), vhosts, use_remote_address=True, xff_num_trusted_hops=1),
        listener("skip", proxy.port("skip"), vhosts, use_remote_address=True, skip_xff_append=True),
        listener("named", proxy.port("named"), vhosts, server_name="mine/1.0"),
        listener(
            "absent",
            proxy.port("absent"),
            vhosts,
            server_name="mine",
            server_header_transformation="APPEND_IF_ABSENT",
        ),
        listener("through", proxy.port("through"), vhosts, server_header_transformation="PASS_THROUGH"),
        listener("with_id", proxy.port("with_id"), vhosts, always_set_request_id_in_response=True),
    ]
    listeners += [
        listener(
            "ignoring", proxy.port("ignoring"), hosts, route_config={"ignore_port_in_host_matching": True}
        ),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


def test_trusted_hops(proxy: Proxy) -> None:
    found = sent(proxy, "x-forwarded-for: 1.2.3.4\r\n", "hops")
    assert found == changed(EDGE, x_forwarded_for="1.2.3.4,SELF", x_envoy_external_address="1.2.3.4")


def test_skip_append(proxy: Proxy) -> None:
    assert sent(proxy, "", "skip") == changed(EDGE, "x-forwarded-for")
    assert sent(proxy, "x-forwarded-for: 1.2.3.4\r\n", "skip") == changed(EDGE, x_forwarded_for="1.2.3.4")


def server(proxy: Proxy, name: str, lines: str) -> str | None:
    """The server header of an answer to which the upstream gave these header lines."""
    proxy.origin().on("/server", text(headers=lines))
    return proxy.ask("/server", name)["server"]


def test_server_name(proxy: Proxy) -> None:
    assert server(proxy, "named", "server: nginx\r\n") == "mine/1.0"


def test_server_if_absent(proxy: Proxy) -> None:
    assert server(proxy, "absent", "server: nginx\r\n") == "nginx"
    assert server(proxy, "absent", "") == "mine"


def test_server_passed_through(proxy: Proxy) -> None:
    assert server(proxy, "through", "server: nginx\r\n") == "nginx"
    assert server(proxy, "through", "") is None


def test_request_id_in_the_answer(proxy: Proxy) -> None:
    assert ("x-request-id", "ID") in proxy.ask("/x", "with_id").normal
    assert proxy.ask("/x", "with_id", headers="x-request-id: q\r\n")["x-request-id"] == "q"
    assert proxy.ask("/x")["x-request-id"] is None


@pytest.mark.parametrize("host", ["app.test", "app.test:123", "app.test:8080", "APP.test:1"])
def test_port_of_the_host_does_not_matter(proxy: Proxy, host: str) -> None:
    assert proxy.ask("/", "ignoring", host=host).text == "exact"
