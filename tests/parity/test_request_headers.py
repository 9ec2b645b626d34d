"""What the upstream is sent: the exact header set, forwarded-for, hop-by-hop headers, host."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .sent import DEFAULTS, EDGE, changed, sent
from .settings import Config, bootstrap, cluster, listener, routes_to
from .wire import request_bytes

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    app = cluster("app", proxy.origin().port)
    vhosts = routes_to("app")
    edge = listener("edge", proxy.port("edge"), vhosts, use_remote_address=True)
    no_id = listener("no_id", proxy.port("no_id"), vhosts, generate_request_id=False)
    listeners = [listener("main", proxy.port(), vhosts), edge, no_id]
    return bootstrap(proxy.port("admin"), listeners, [app])


def names(cases: list[tuple[str, dict[str, str]]]) -> list[str]:
    """Test ids without the engine's name in them, so that `-k` can choose an engine."""
    return [lines.split(":")[0].replace("x-envoy-", "x-") for lines, _ in cases]


# Header lines of the client, and what the upstream has beyond (or in place of) the defaults.
PASSED: list[tuple[str, dict[str, str]]] = [
    ("accept: */*\r\nuser-agent: curl/8\r\n", {"accept": "*/*", "user_agent": "curl/8"}),
    ("X-Mixed-Case: KeptValue\r\n", {"x_mixed_case": "KeptValue"}),
    ("x-empty:\r\n", {"x_empty": ""}),
    ("x-space: \t inner  space \t \r\n", {"x_space": "inner  space"}),
    ("cookie: a=1; b=2\r\n", {"cookie": "a=1; b=2"}),
    ("authorization: Basic Og==\r\n", {"authorization": "Basic Og=="}),
    ("x-request-id: mine\r\n", {"x_request_id": "mine"}),
    ("x-forwarded-for: 1.2.3.4\r\n", {"x_forwarded_for": "1.2.3.4"}),
    ("x-forwarded-proto: https\r\n", {"x_forwarded_proto": "https"}),
    ("x-forwarded-host: other\r\n", {"x_forwarded_host": "other"}),
    ("x-envoy-attempt-count: 3\r\n", {"x_envoy_attempt_count": "3"}),
    ("x-envoy-made-up: 1\r\n", {"x_envoy_made_up": "1"}),
    ("x-envoy-expected-rq-timeout-ms: 7\r\n", {}),
    ("te: trailers\r\n", {"te": "trailers"}),
    ("te: gzip\r\n", {}),
    ("te: gzip, trailers\r\n", {"te": "trailers"}),
    ("trailer: x-sum\r\n", {"trailer": "x-sum"}),
    ("via: 1.1 before\r\n", {"via": "1.1 before"}),
    ("expect: something\r\n", {"expect": "something"}),
    ("upgrade-insecure-requests: 1\r\n", {"upgrade_insecure_requests": "1"}),
]


@pytest.mark.parametrize(("lines", "changes"), PASSED, ids=names(PASSED))
def test_passed_on(proxy: Proxy, lines: str, changes: dict[str, str]) -> None:
    assert sent(proxy, lines) == changed(DEFAULTS, **changes)


# Header lines that belong to this connection, and what remains of them.
HOP_BY_HOP: list[tuple[str, dict[str, str]]] = [
    ("connection: keep-alive\r\n", {}),
    ("connection: close\r\n", {}),
    ("keep-alive: timeout=5\r\n", {}),
    ("connection: keep-alive\r\nkeep-alive: timeout=5, max=100\r\n", {}),
    ("proxy-connection: keep-alive\r\n", {}),
    ("connection: x-foo\r\nx-foo: 1\r\n", {}),
    ("connection: close, X-Foo\r\nx-foo: 1\r\n", {}),
    ("connection: keep-alive, x-foo\r\nx-foo: 1\r\nx-bar: 2\r\nx-foo: 3\r\n", {"x_bar": "2"}),
    ("x-foo: 1\r\nconnection: x-foo , x-bar\r\nconnection: x-baz\r\nx-baz: 2\r\n", {}),
    ("connection: te\r\nte: trailers\r\n", {"te": "trailers"}),
    ("connection: te, close\r\nte: gzip\r\n", {}),
    ("connection: content-type\r\ncontent-type: a/b\r\n", {}),
    ("connection: cookie\r\ncookie: a=1\r\n", {}),
    ("connection:\r\n", {}),
]


@pytest.mark.parametrize(("lines", "changes"), HOP_BY_HOP)
def test_hop_by_hop(proxy: Proxy, lines: str, changes: dict[str, str]) -> None:
    assert sent(proxy, lines) == changed(DEFAULTS, **changes)


@pytest.mark.parametrize("name", ["x-forwarded-proto", "x-forwarded-for", "X-Forwarded-Host"])
def test_connection_may_not_name_these(proxy: Proxy, name: str) -> None:
    response = proxy.ask("/x", headers=f"connection: {name}\r\n")
    assert (response.status, response.text) == (400, "Bad Request")
    assert proxy.origin().nothing()


def test_connection_that_names_host_leaves_no_host(proxy: Proxy) -> None:
    response = proxy.ask("/x", headers="connection: host\r\n")
    assert (response.status, response.text) == (400, "")
    assert proxy.origin().nothing()


@pytest.mark.parametrize(
    "lines",
    [
        "upgrade: websocket\r\nconnection: upgrade\r\n",
        "upgrade: foo\r\nconnection: keep-alive, upgrade\r\n",
    ],
)
def test_upgrade_without_configuration_is_403(proxy: Proxy, lines: str) -> None:
    response = proxy.ask("/x", headers=lines)
    assert (response.status, response.text) == (403, "")
    assert proxy.origin().nothing()


def test_upgrade_h2c_is_ignored(proxy: Proxy) -> None:
    lines = (
        "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    )
    assert sent(proxy, lines) == DEFAULTS


def test_upgrade_header_without_connection_upgrade(proxy: Proxy) -> None:
    assert sent(proxy, "upgrade: websocket\r\n") == DEFAULTS


# At the edge: the client is not trusted with these.
EDGE_CASES: list[tuple[str, dict[str, str]]] = [
    ("x-request-id: mine\r\n", {"x_request_id": "ID"}),
    ("x-forwarded-for: 1.2.3.4\r\n", {"x_forwarded_for": "1.2.3.4,SELF"}),
    ("x-forwarded-for: 1.2.3.4, 5.6.7.8\r\n", {"x_forwarded_for": "1.2.3.4, 5.6.7.8,SELF"}),
    ("x-forwarded-proto: https\r\n", {"x_forwarded_proto": "http"}),
    ("x-envoy-internal: true\r\n", {}),
    ("x-envoy-external-address: 9.9.9.9\r\n", {}),
    ("x-envoy-upstream-rq-timeout-ms: 77\r\n", {}),
    ("x-envoy-upstream-rq-per-try-timeout-ms: 77\r\n", {}),
    ("x-envoy-max-retries: 3\r\nx-envoy-retry-on: 5xx\r\n", {}),
    ("x-envoy-retry-grpc-on: cancelled\r\n", {}),
    ("x-envoy-decorator-operation: op\r\n", {}),
    ("x-envoy-downstream-service-cluster: c\r\n", {}),
    ("x-envoy-downstream-service-node: n\r\n", {}),
    ("x-envoy-expected-rq-timeout-ms: 7\r\n", {}),
    ("x-envoy-force-trace: 1\r\n", {}),
    ("x-envoy-ip-tags: a\r\n", {}),
    ("x-envoy-original-path: /o\r\n", {}),
    ("x-envoy-original-url: /o\r\n", {}),
    ("x-envoy-hedge-on-per-try-timeout: true\r\n", {}),
    ("x-envoy-upstream-alt-stat-name: s\r\n", {}),
    ("x-envoy-upstream-rq-timeout-alt-response: 1\r\n", {}),
    ("x-envoy-upstream-stream-duration-ms: 9\r\n", {}),
    ("x-envoy-retriable-status-codes: 500\r\n", {}),
    ("x-envoy-retriable-header-names: a\r\n", {}),
    ("x-envoy-attempt-count: 3\r\n", {"x_envoy_attempt_count": "3"}),
    ("x-envoy-made-up: 1\r\n", {"x_envoy_made_up": "1"}),
]


@pytest.mark.parametrize(("lines", "changes"), EDGE_CASES, ids=names(EDGE_CASES))
def test_untrusted_at_the_edge(proxy: Proxy, lines: str, changes: dict[str, str]) -> None:
    assert sent(proxy, lines, "edge") == changed(EDGE, **changes)


# Not at the edge: what a client that is not internal may say.
INSIDE_CASES: list[tuple[str, dict[str, str]]] = [
    ("x-envoy-internal: true\r\n", {}),
    ("x-envoy-external-address: 9.9.9.9\r\n", {"x_envoy_external_address": "9.9.9.9"}),
    ("x-envoy-upstream-rq-timeout-ms: 77\r\n", {}),
    ("x-envoy-max-retries: 3\r\nx-envoy-retry-on: 5xx\r\n", {}),
    ("x-envoy-decorator-operation: op\r\n", {"x_envoy_decorator_operation": "op"}),
    ("x-envoy-downstream-service-cluster: c\r\n", {"x_envoy_downstream_service_cluster": "c"}),
    ("x-envoy-force-trace: 1\r\n", {}),
    ("x-envoy-ip-tags: a\r\n", {}),
    ("x-envoy-original-path: /o\r\n", {"x_envoy_original_path": "/o"}),
]


@pytest.mark.parametrize(("lines", "changes"), INSIDE_CASES, ids=names(INSIDE_CASES))
def test_untrusted_inside(proxy: Proxy, lines: str, changes: dict[str, str]) -> None:
    assert sent(proxy, lines) == changed(DEFAULTS, **changes)


def test_repeated_headers_stay_apart_and_in_order(proxy: Proxy) -> None:
    proxy.ask("/x", headers="x-a: 1\r\nx-b: 2\r\nx-a: 3\r\ncookie: a=1\r\ncookie: b=2\r\n")
    headers = proxy.origin().take().headers
    assert [pair for pair in headers if pair[0] in ("x-a", "x-b")] == [
        ("x-a", "1"),
        ("x-b", "2"),
        ("x-a", "3"),
    ]
    assert [pair for pair in headers if pair[0] == "cookie"] == [("cookie", "a=1"), ("cookie", "b=2")]


def test_two_forwarded_for_lines(proxy: Proxy) -> None:
    lines = "x-forwarded-for: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\n"
    assert sent(proxy, lines) == changed(DEFAULTS, x_forwarded_for="1.1.1.1,2.2.2.2")


# Fields of which Envoy knows only one: it joins further lines to the first.
SINGLE = """accept accept-encoding access-control-request-headers access-control-request-method authorization
cache-control content-encoding content-type expect grpc-accept-encoding grpc-timeout if-match if-modified-since
if-none-match origin pragma referer user-agent via x-client-trace-id x-forwarded-for x-forwarded-host x-forwarded-port
x-forwarded-proto x-request-id"""
SEVERAL = "accept-language cookie forwarded from link range warning x-b3-traceid x-a"


@pytest.mark.parametrize("name", [*SINGLE.split(), *SEVERAL.split()])
def test_two_lines_of_one_name(proxy: Proxy, name: str) -> None:
    proxy.ask("/x", headers=f"{name}: 1\r\nx-between: x\r\n{name}: 2\r\n")
    found = [value for key, value in proxy.origin().take().headers if key == name]
    assert found == (["1,2"] if name in SINGLE.split() else ["1", "2"])


def test_request_body_framing_is_kept(proxy: Proxy) -> None:
    assert sent(proxy, method="POST", body=b"12345") == changed(DEFAULTS, content_length="5")
    chunked = (
        request_bytes("/x", "POST", "transfer-encoding: chunked\r\n") + b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
    )
    with proxy.client() as client:
        assert client.send(chunked).read().status == 200
    seen = proxy.origin().take().wait()
    assert seen.normal == changed(DEFAULTS, transfer_encoding="chunked")
    assert seen.body == b"abcde"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "TRACE"])
def test_no_body_and_no_length(proxy: Proxy, method: str) -> None:
    assert sent(proxy, method=method) == DEFAULTS


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "POST", "PATCH", "PROPFIND", "REPORT", "MKCOL"])
def test_length_0_is_said_where_a_body_is_usual(proxy: Proxy, method: str) -> None:
    assert sent(proxy, method=method) == changed(DEFAULTS, content_length="0")


@pytest.mark.parametrize("method", ["PUT", "POST", "GET"])
def test_content_length_0(proxy: Proxy, method: str) -> None:
    assert sent(proxy, "content-length: 0\r\n", method=method) == changed(DEFAULTS, content_length="0")


@pytest.mark.parametrize("host", ["app.test:8080", "APP.Test", "127.0.0.1", "[::1]:80", "a_b", "app.test."])
def test_host_as_it_came(proxy: Proxy, host: str) -> None:
    assert sent(proxy, host=host) == changed(DEFAULTS, host=host)


def test_absolute_target(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("GET http://abs.test:81/p/q?r=1 HTTP/1.1\r\nhost: app.test\r\n\r\n")
        assert client.read().status == 200
    seen = proxy.origin().take()
    assert seen.target == "/p/q?r=1"
    assert seen.normal == changed(DEFAULTS, host="abs.test:81")


def test_request_ids_differ(proxy: Proxy) -> None:
    ids = set()
    for _ in range(10):
        proxy.ask("/x")
        ids.add(proxy.origin().take()["x-request-id"])
    assert len(ids) == 10


def test_without_generated_request_id(proxy: Proxy) -> None:
    assert sent(proxy, "", "no_id") == changed(DEFAULTS, "x-request-id")
    assert sent(proxy, "x-request-id: a\r\n", "no_id") == changed(DEFAULTS, x_request_id="a")
