"""What a connection manager may take away from a request: the port or dot of its host, fields with underscores."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, access_log, answering, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    vhosts = routes_to("app")
    hosts = [answering("rest", "*"), answering("exact", "app.test"), answering("port", "app.test:8080")]
    log = [access_log(proxy.log().path, "%REQ(:PATH)%|%RESPONSE_CODE_DETAILS%|%RESPONSE_FLAGS%\n")]
    trailers = {"enable_trailers": True}

    def underscores(action: str) -> Config:
        common = {"headers_with_underscores_action": action}
        return {"common_http_protocol_options": common, "http_protocol_options": trailers}

    listeners = [
        listener("main", proxy.port(), vhosts, http_protocol_options=trailers),
        listener("strip", proxy.port("strip"), hosts, strip_any_host_port=True),
        listener("any", proxy.port("any"), vhosts, strip_any_host_port=True),
        listener("matching", proxy.port("matching"), vhosts, strip_matching_host_port=True),
        listener("dot", proxy.port("dot"), vhosts, strip_trailing_host_dot=True),
        listener("both", proxy.port("both"), vhosts, strip_trailing_host_dot=True, strip_any_host_port=True),
        listener("reject", proxy.port("reject"), vhosts, access_log=log, **underscores("REJECT_REQUEST")),
        listener("drop", proxy.port("drop"), vhosts, **underscores("DROP_HEADER")),
        listener("allow", proxy.port("allow"), vhosts, **underscores("ALLOW")),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


@pytest.mark.parametrize("host", ["app.test", "app.test:123", "app.test:8080", "APP.test:1"])
def test_port_of_the_host_does_not_matter(proxy: Proxy, host: str) -> None:
    assert proxy.ask("/", "strip", host=host).text == "exact"


@pytest.mark.parametrize(
    ("name", "host", "arrives"),
    [
        ("main", "a.:80", "a.:80"),
        ("any", "a:80", "a"),
        ("any", "a:", "a:"),
        ("any", "a:0080", "a"),
        ("any", "a:99999", "a"),
        ("any", "a:99999999999999999999", "a:99999999999999999999"),
        ("any", "[::1]:80", "[::1]"),
        ("any", "[::1]", "[::1]"),
        ("any", ":80", ""),
        ("matching", "a:80", "a:80"),
        ("matching", "a:PORT", "a"),
        ("matching", "a:0PORT", "a"),
        ("matching", "[::1]:PORT", "[::1]"),
        ("dot", "a.", "a"),
        ("dot", "a.b", "a.b"),
        ("dot", "a.:80", "a:80"),
        ("dot", "a..", "a."),
        ("dot", ".", ""),
        ("both", "a.:80", "a"),
    ],
)
def test_host_arrives(proxy: Proxy, name: str, host: str, arrives: str) -> None:
    assert proxy.ask("/", name, host=host.replace("PORT", str(proxy.port(name)))).status == 200
    assert proxy.origin().take()["host"] == arrives


CHUNKED = (
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx_t: 1\r\nx-t: 2\r\n\r\n"
)


def dropped(proxy: Proxy) -> int:
    return proxy.stat("http1.dropped_headers_with_underscores")


def rejected(proxy: Proxy) -> int:
    return proxy.stat("http1.requests_rejected_with_underscores_in_headers")


@pytest.mark.parametrize("name", ["main", "allow"])
def test_underscores_are_allowed(proxy: Proxy, name: str) -> None:
    assert proxy.ask("/", name, headers="x_a: 1\r\n").status == 200
    assert proxy.origin().take()["x_a"] == "1"


def test_fields_with_underscores_are_dropped(proxy: Proxy) -> None:
    before = dropped(proxy)
    assert proxy.ask("/", "drop", headers="x_a: 1\r\nx-b: 2\r\nX_C: 3\r\nx_a: 4\r\n").status == 200
    seen = proxy.origin().take()
    assert (seen["x_a"], seen["x-b"], seen["x_c"]) == (None, "2", None)
    assert dropped(proxy) == before + 3


def test_trailers_with_underscores_are_dropped(proxy: Proxy) -> None:
    before = dropped(proxy)
    with proxy.client("drop") as client:
        assert client.send(CHUNKED).read().status == 200
    assert proxy.origin().take().wait().body == b"ab"
    assert dropped(proxy) == before + 1


def test_request_with_underscores_is_rejected(proxy: Proxy) -> None:
    before = rejected(proxy)
    with proxy.client("reject") as client:
        response = client.send("GET /r1 HTTP/1.1\r\nhost: a\r\nx_a: 1\r\n\r\n").read()
        assert (response.status, response.text, response["connection"]) == (400, "Bad Request", "close")
        assert client.ended()
    assert proxy.origin().nothing(0.01)
    assert rejected(proxy) == before + 1
    assert proxy.log().line("-|http1.") == "-|http1.unexpected_underscore|DPE"


def test_trailers_with_underscores_are_rejected(proxy: Proxy) -> None:
    before = rejected(proxy)
    with proxy.client("reject") as client:
        response = client.send(CHUNKED.replace(" / ", " /trailed ")).read()
        assert (response.status, response.text, response["connection"]) == (400, "Bad Request", "close")
        assert client.ended()
    assert rejected(proxy) == before + 1
    assert proxy.log().line("/trailed") == "/trailed|http1.unexpected_underscore|DPE"
