"""What the client is sent: the exact header set of relayed answers and of the proxy's own."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import raw, text
from .settings import Config, bootstrap, cluster, listener
from .wire import Headers

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - match: {path: "/direct"}
    direct_response: {status: 200, body: {inline_string: "direct"}}
  - match: {path: "/direct-empty"}
    direct_response: {status: 200}
  - match: {prefix: "/"}
    route: {cluster: app}
"""


def configure(proxy: Proxy) -> Config:
    app = cluster("app", proxy.origin().port)
    listeners = [listener("main", proxy.port(), VIRTUAL_HOSTS)]
    return bootstrap(proxy.port("admin"), listeners, [app])


RELAYED = [
    ("content-length", "5"),
    ("date", "DATE"),
    ("server", "SERVER"),
    ("x-envoy-upstream-service-time", "N"),
]


def received(proxy: Proxy, lines: str, listener_name: str = "main", **request: str) -> Headers:
    """The normalised headers that a client gets for an upstream's answer with these lines."""
    proxy.origin().on("/x", text("hello", headers=lines))
    response = proxy.ask("/x", listener_name, **request)
    assert (response.status, response.reason, response.version) == (200, "OK", "HTTP/1.1")
    assert response.text == "hello"
    return response.normal


def changed(**changes: str) -> Headers:
    return sorted(
        (dict(RELAYED) | {name.replace("_", "-"): value for name, value in changes.items()}).items()
    )


CASES: list[tuple[str, dict[str, str]]] = [
    ("", {}),
    ("Content-Type: text/Plain\r\n", {"content_type": "text/Plain"}),
    ("server: nginx\r\n", {}),
    ("date: Mon, 01 Jan 2001 00:00:00 GMT\r\n", {}),
    ("date: yesterday\r\n", {"date": "yesterday"}),
    ("via: 1.1 x\r\n", {"via": "1.1 x"}),
    ("x-powered-by: PHP\r\n", {"x_powered_by": "PHP"}),
    ("x-request-id: up\r\n", {"x_request_id": "up"}),
    ("x-envoy-upstream-service-time: 99999\r\n", {}),
    ("x-envoy-attempt-count: 4\r\n", {"x_envoy_attempt_count": "4"}),
    ("x-envoy-overloaded: true\r\n", {"x_envoy_overloaded": "true"}),
    ("x-envoy-immediate-health-check-fail: 1\r\n", {"x_envoy_immediate_health_check_fail": "1"}),
    ("x-envoy-degraded: 1\r\n", {"x_envoy_degraded": "1"}),
    ("x-envoy-upstream-canary: true\r\n", {"x_envoy_upstream_canary": "true"}),
    ("x-envoy-decorator-operation: o\r\n", {"x_envoy_decorator_operation": "o"}),
    ("x-envoy-ratelimited: true\r\n", {"x_envoy_ratelimited": "true"}),
    ("x-envoy-upstream-healthchecked-cluster: c\r\n", {"x_envoy_upstream_healthchecked_cluster": "c"}),
    ("x-envoy-made-up: 1\r\n", {"x_envoy_made_up": "1"}),
    ("keep-alive: timeout=5\r\n", {}),
    ("proxy-connection: keep-alive\r\n", {}),
    ("connection: keep-alive\r\n", {}),
    ("upgrade: h2c\r\n", {}),
    ("te: trailers\r\n", {"te": "trailers"}),
    ("trailer: x-sum\r\n", {"trailer": "x-sum"}),
    ("set-cookie: a=1; Path=/\r\n", {"set_cookie": "a=1; Path=/"}),
    ('etag: W/"1"\r\n', {"etag": 'W/"1"'}),
    ('alt-svc: h3=":443"\r\n', {"alt_svc": 'h3=":443"'}),
    ("x-empty:\r\n", {"x_empty": ""}),
]


@pytest.mark.parametrize(
    ("lines", "changes"),
    CASES,
    ids=[lines.split(":")[0].replace("x-envoy", "x") or "none" for lines, _ in CASES],
)
def test_relayed(proxy: Proxy, lines: str, changes: dict[str, str]) -> None:
    assert received(proxy, lines) == changed(**changes)


def test_connection_close_of_the_upstream_stays_there(proxy: Proxy) -> None:
    proxy.origin().on(
        "/x", raw("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello", then="close")
    )
    with proxy.client() as client:
        for _ in range(2):
            client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
            response = client.read()
            assert (response.normal, response.text) == (RELAYED, "hello")


def test_connection_of_the_upstream_names_nothing_here(proxy: Proxy) -> None:
    assert received(proxy, "connection: x-foo\r\nx-foo: 1\r\n") == changed(x_foo="1")


def test_repeated_headers(proxy: Proxy) -> None:
    proxy.origin().on("/x", text(headers="set-cookie: a\r\nx-a: 1\r\nset-cookie: b\r\nx-a: 2\r\n"))
    headers = proxy.ask("/x").headers
    assert [pair for pair in headers if pair[0] in ("set-cookie", "x-a")] == [
        ("set-cookie", "a"),
        ("x-a", "1"),
        ("set-cookie", "b"),
        ("x-a", "2"),
    ]


REASONS = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    203: "Non-Authoritative Information",
    205: "Reset Content",
    206: "Partial Content",
    207: "Multi-Status",
    208: "Already Reported",
    226: "IM Used",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    305: "Use Proxy",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Payload Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Entity",
    423: "Locked",
    424: "Failed Dependency",
    425: "Too Early",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    506: "Variant Also Negotiates",
    507: "Insufficient Storage",
    508: "Loop Detected",
    510: "Not Extended",
    511: "Network Authentication Required",
    599: "Last Unassigned Server Error Code",
}


# Fields of which Envoy knows only one: it joins further lines to the first.
SINGLE = """access-control-allow-headers access-control-allow-origin access-control-expose-headers age cache-control
content-encoding content-type date etag expires grpc-message grpc-status last-modified location proxy-status vary via
x-request-id"""
SEVERAL = "allow link proxy-authenticate set-cookie warning www-authenticate x-a"


@pytest.mark.parametrize("name", [*SINGLE.split(), *SEVERAL.split()])
def test_two_lines_of_one_name(proxy: Proxy, name: str) -> None:
    proxy.origin().on("/two", text(headers=f"{name}: 1\r\nx-between: x\r\n{name}: 2\r\n"))
    found = [value for key, value in proxy.ask("/two").headers if key == name]
    assert found == (["1,2"] if name in SINGLE.split() else ["1", "2"])


def test_reason_is_the_proxys_own(proxy: Proxy) -> None:
    """The upstream's reason phrase is not passed on; a status that Envoy does not know is Unknown."""
    found = {}
    with proxy.client() as client:
        for status in range(200, 600):
            if status == 304 or status == 204:
                continue
            proxy.origin().on("/reason", text(status=f"{status} Theirs"))
            response = client.send("GET /reason HTTP/1.1\r\nhost: a\r\n\r\n").read()
            assert response.status == status
            if response.reason != "Unknown":
                found[status] = response.reason
    assert found == REASONS


@pytest.mark.parametrize("line", ["503", "503 "])
def test_no_reason(proxy: Proxy, line: str) -> None:
    proxy.origin().on("/reason", text(status=line))
    assert proxy.ask("/reason").reason == "Service Unavailable"


def test_own_answer_with_a_body(proxy: Proxy) -> None:
    response = proxy.ask("/direct")
    assert response.normal == [
        ("content-length", "6"),
        ("content-type", "text/plain"),
        ("date", "DATE"),
        ("server", "SERVER"),
    ]


def test_own_answer_without_a_body(proxy: Proxy) -> None:
    response = proxy.ask("/direct-empty")
    assert response.normal == [("content-length", "0"), ("date", "DATE"), ("server", "SERVER")]
