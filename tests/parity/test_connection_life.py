"""How long connections live on both sides, and how they end."""

from __future__ import annotations

import socket
import time

import pytest

from .harness import Proxy, wait_for
from .origin import Exchange, raw
from .settings import Config, access_log, bootstrap, cluster, listener, protocol_options, routes_to
from .wire import Client

pytestmark = pytest.mark.parity

LOG = "case=%REQ(X-CASE)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%\n"

#: More than the kernel keeps for a client that does not read, and less than the proxy may.
LARGE = 7_000_000


def configure(proxy: Proxy) -> Config:
    def one(name: str, to: str = "app", common: Config | None = None, **manager: object) -> Config:
        log = access_log(proxy.log(name).path, LOG)
        options = {} if common is None else {"common_http_protocol_options": common}
        return listener(name, proxy.port(name), routes_to(to), access_log=[log], **options, **manager)

    aged = {"max_connection_duration": "0.25s"}
    listeners = [
        one("main"),
        one("to_aged", "aged"),
        one("unread", delayed_close_timeout="0.25s"),
        one("patient", delayed_close_timeout="0s"),
        one("aged", common=aged, drain_timeout="0.15s"),
        one("safe", common=aged, drain_timeout="0.15s", http1_safe_max_connection_duration=True),
        one("idle", common={"idle_timeout": "0.2s"}, drain_timeout="0.1s", stream_flush_timeout="1s"),
        one("stream_idle", stream_idle_timeout="0.25s"),
        one("request", request_timeout="0.25s"),
        one("headers", common={"idle_timeout": "0.1s"}, request_headers_timeout="0.25s"),
        one("relay", proxy_100_continue=True),
        one("once", common={"max_requests_per_connection": 1}),
    ]
    for unread in listeners[2:4]:
        unread["per_connection_buffer_limit_bytes"] = 8 << 20
    clusters = [
        cluster("app", proxy.origin().port),
        cluster(
            "aged",
            proxy.origin().port,
            typed_extension_protocol_options=protocol_options(common_http_protocol_options=aged),
        ),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def get(target: str = "/", headers: str = "") -> str:
    return f"GET {target} HTTP/1.1\r\nhost: a\r\n{headers}\r\n"


def test_upstream_connection_of_age(proxy: Proxy) -> None:
    """One that is not used ends at once, one that is when its response is complete."""
    counter = "cluster.aged.upstream_cx_max_duration_reached"
    numbers = []
    for _ in range(2):
        assert proxy.ask("/", "to_aged").status == 200
        numbers.append(proxy.origin().take().connection)
    assert numbers[0] == numbers[1]
    assert proxy.stat_becomes(counter, 1)
    assert proxy.stat_becomes("cluster.aged.upstream_cx_active", 0)
    proxy.origin().on("/slow", raw(0.3, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    assert proxy.ask("/slow", "to_aged").text == "ok"
    seen = proxy.origin().take()
    assert seen.connection != numbers[0]
    assert seen["connection"] is None
    assert seen.connection_closed()
    assert proxy.stat(counter) == 2


def large(proxy: Proxy) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(f"HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")
        exchange.send("x" * LARGE)

    proxy.origin().on("/large", answer)


def unread(proxy: Proxy, name: str) -> Client:
    """A client whose last answer does not fit between us and is not read."""
    client = Client.__new__(Client)
    client.timeout = 5.0
    client.buffer = b""
    client.socket = socket.socket()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.socket.settimeout(5.0)
    client.socket.connect(("127.0.0.1", proxy.port(name)))
    client.send(get("/large", "connection: close\r\n"))
    return client


def test_end_that_is_not_read(proxy: Proxy) -> None:
    large(proxy)
    counter = "http.unread.downstream_cx_delayed_close_timeout"
    before = proxy.stat(counter)
    with unread(proxy, "unread"):
        assert proxy.stat_becomes("http.unread.downstream_rq_2xx", 1)
        assert proxy.stat("http.unread.downstream_cx_active") == 1
        assert proxy.stat_becomes("http.unread.downstream_cx_active", 0)
        assert proxy.stat(counter) == before + 1


def test_end_without_a_limit(proxy: Proxy) -> None:
    large(proxy)
    with unread(proxy, "patient"):
        time.sleep(0.4)
        assert proxy.stat("http.patient.downstream_cx_active") == 1
    assert proxy.stat_becomes("http.patient.downstream_cx_active", 0)


def test_connection_of_age(proxy: Proxy) -> None:
    with proxy.client("aged") as client:
        assert client.send(get()).read()["connection"] is None
        time.sleep(0.3)
        assert client.send(get()).read()["connection"] == "close"
        assert client.ended()
    with proxy.client("aged") as client:
        client.send(get()).read()
        assert client.ended()
    with proxy.client("aged") as client:
        assert client.ended()
    proxy.origin().on("/slow", raw(0.35, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    with proxy.client("aged") as client:
        response = client.send(get("/slow")).read()
        assert (response.text, response["connection"]) == ("ok", "close")
        assert client.ended()
    assert proxy.stat("http.aged.downstream_cx_max_duration_reached") == 4


def test_connection_of_age_within_a_response(proxy: Proxy) -> None:
    """Its head was sent before the connection was too old, so nobody was told."""
    slow = raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", 0.5, "ok")
    proxy.origin().on("/slow", slow)
    with proxy.client("aged") as client:
        response = client.send(get("/slow")).read()
        assert (response.text, response["connection"]) == ("ok", None)
        assert client.ended()


def test_connection_of_age_that_ends_safely(proxy: Proxy) -> None:
    with proxy.client("safe") as client:
        client.send(get()).read()
        time.sleep(0.3)
        assert proxy.stat("http.safe.downstream_cx_max_duration_reached") == 1
        assert proxy.stat("http.safe.downstream_cx_http1_soft_drain") == 1
        assert client.still_open(0.25)
        assert client.send(get()).read()["connection"] == "close"
        assert client.ended()
    assert proxy.stat_becomes("http.safe.downstream_cx_http1_soft_drain", 0)
    with proxy.client("safe") as client:
        assert client.ended()


def test_idle_connection(proxy: Proxy) -> None:
    with proxy.client("idle") as client:
        client.send(get()).read()
        assert client.ended()
    assert proxy.stat("http.idle.downstream_cx_idle_timeout") == 1


def test_idle_is_not_who_sends_a_head(proxy: Proxy) -> None:
    with proxy.client("idle") as client:
        client.send(get()).read()
        client.send("GET / HTTP/1.1\r\n")
        assert client.still_open(0.5)
        assert client.send("host: a\r\n\r\n").read().status == 200


@pytest.mark.parametrize(
    ("name", "text", "flags", "details"),
    [
        ("headers", "request header timeout", "-", "request_header_timeout"),
        ("request", "request timeout", "-", "request_overall_timeout"),
        ("stream_idle", "stream timeout", "SI", "stream_idle_timeout"),
    ],
)
def test_head_that_does_not_end(proxy: Proxy, name: str, text: str, flags: str, details: str) -> None:
    errors = proxy.stat(f"http.{name}.downstream_cx_protocol_error")
    with proxy.client(name) as client:
        client.send("GET / HTTP/1.1\r\n")
        time.sleep(0.15)
        response = client.send("host: a\r\n").read()
        assert (response.status, response.text, response["connection"]) == (408, text, "close")
        assert client.ended()
    found = wait_for(lambda: [line for line in proxy.log(name).lines() if "\tcode=408\t" in line])
    assert f"flags={flags}\tdetails={details}" in found[0]
    assert proxy.stat(f"http.{name}.downstream_cx_protocol_error") == errors


def test_body_that_does_not_end(proxy: Proxy) -> None:
    with proxy.client("request") as client:
        client.send("POST / HTTP/1.1\r\nhost: a\r\nx-case: body\r\ncontent-length: 9\r\n\r\nabc")
        assert client.read().text == "request timeout"
    line = proxy.log("request").fields("case=body\t")
    assert (line["code"], line["flags"], line["details"]) == ("408", "-", "request_overall_timeout")


@pytest.mark.parametrize("expect", ["", "expect: 100-continue\r\n", "expect: other\r\n"])
def test_of_the_informational_only_100_is_relayed(proxy: Proxy, expect: str) -> None:
    answer = (
        "HTTP/1.1 100 Continue\r\nx-a: b\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    )
    proxy.origin().on("/1xx", raw(answer))
    with proxy.client("relay") as client:
        first = client.send(get("/1xx", expect)).read()
        assert (first.status, first.headers) == (100, [("x-a", "b")])
        assert client.read().text == "ok"
    with proxy.client("main") as client:
        first = client.send(get("/1xx", expect)).read()
        if "100" in expect:
            assert (first.status, first.headers) == (100, [])
            first = client.read()
        assert first.text == "ok"


def test_one_request_a_connection(proxy: Proxy) -> None:
    with proxy.client("once") as client:
        assert client.send(get(), get()).read()["connection"] == "close"
        assert client.ended()


def test_answer_before_the_request_is_complete(proxy: Proxy) -> None:
    early = raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", early=True)
    proxy.origin().on("/early", early)
    with proxy.client() as client:
        client.send("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
        response = client.read()
        assert (response.text, response["connection"]) == ("ok", "close")
        assert response["x-envoy-upstream-service-time"] is None
        assert client.ended()
