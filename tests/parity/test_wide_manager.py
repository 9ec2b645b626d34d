"""Options of the connection manager beyond the usual: headers, ports, underscores."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import text
from .sent import EDGE, changed, sent
from .settings import Config, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity


def answering(name: str, *domains: str) -> Config:
    """A virtual host that answers everything with its own name."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": name}}}
    return {"name": name, "domains": list(domains), "routes": [route]}


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
@pytest.mark.parametrize("name", ["ignoring", "strip"])
def test_port_of_the_host_does_not_matter(proxy: Proxy, name: str, host: str) -> None:
    assert proxy.ask("/", name, host=host).text == "exact"


def test_underscores(proxy: Proxy) -> None:
    assert proxy.ask("/", "no_underscores", headers="x_a: 1\r\n").status == 400
    assert proxy.origin().nothing(0.01)
    assert proxy.ask("/", "drop_underscores", headers="x_a: 1\r\n").status == 200
    assert proxy.origin().take()["x_a"] is None
    assert proxy.ask("/", headers="x_a: 1\r\n").status == 200
    assert proxy.origin().take()["x_a"] == "1"
