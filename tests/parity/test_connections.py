"""Which connections are kept: HTTP/1.0 and 1.1, connection headers, pipelining, both sides."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import raw, silent
from .settings import Config, access_log, bootstrap, cluster, listener, routes_to
from .wire import Client, request_bytes

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    old = {"accept_http_10": True, "default_host_for_http_10": "old.test"}
    listeners = [
        listener("main", proxy.port(), routes_to("app"), access_log=[access_log(proxy.log().path)]),
        listener("old", proxy.port("old"), routes_to("app"), http_protocol_options=old),
        listener(
            "bare", proxy.port("bare"), routes_to("app"), http_protocol_options={"accept_http_10": True}
        ),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


def get(target: str = "/", headers: str = "", version: str = "1.1", host: str = "host: a\r\n") -> str:
    return f"GET {target} HTTP/{version}\r\n{host}{headers}\r\n"


def test_kept_open(proxy: Proxy) -> None:
    with proxy.client() as client:
        for _ in range(3):
            response = client.send(get()).read()
            assert (response.status, response["connection"]) == (200, None)
        assert client.still_open()


@pytest.mark.parametrize("value", ["close", "Close", "CLOSE", "close, x", "x, close"])
def test_closed_when_asked(proxy: Proxy, value: str) -> None:
    with proxy.client() as client:
        response = client.send(get(headers=f"connection: {value}\r\n")).read()
        assert (response.status, response["connection"]) == (200, "close")
        assert client.ended()


@pytest.mark.parametrize("value", ["keep-alive", "Keep-Alive", "x", "closed", "notclose"])
def test_not_closed(proxy: Proxy, value: str) -> None:
    with proxy.client() as client:
        response = client.send(get(headers=f"connection: {value}\r\n")).read()
        assert (response.status, response["connection"]) == (200, None)
        assert client.still_open()


def test_proxy_connection_close(proxy: Proxy) -> None:
    with proxy.client() as client:
        response = client.send(get(headers="proxy-connection: close\r\n")).read()
        assert (response.status, response["connection"]) == (200, "close")
        assert client.ended()


@pytest.mark.parametrize("version", ["1.0", "0.9"])
def test_old_versions_are_told_to_upgrade(proxy: Proxy, version: str) -> None:
    with proxy.client() as client:
        response = client.send(get(version=version)).read()
        assert response.status == 426
        assert response.normal == [
            ("connection", "close"),
            ("content-length", "16"),
            ("content-type", "text/plain"),
            ("date", "DATE"),
            ("server", "SERVER"),
        ]
        assert response.text == "Upgrade Required"
        assert client.ended()


def test_http_10(proxy: Proxy) -> None:
    with proxy.client("old") as client:
        response = client.send(get(version="1.0")).read()
        assert (response.status, response.version, response["connection"]) == (200, "HTTP/1.0", "close")
        assert client.ended()
    seen = proxy.origin().take()
    assert (seen.version, seen["host"], seen["connection"]) == ("HTTP/1.1", "a", None)


def test_http_10_keep_alive(proxy: Proxy) -> None:
    with proxy.client("old") as client:
        for _ in range(2):
            response = client.send(get(version="1.0", headers="connection: keep-alive\r\n")).read()
            assert (response.status, response["connection"]) == (200, "keep-alive")
        assert client.still_open()


def test_http_10_default_host(proxy: Proxy) -> None:
    with proxy.client("old") as client:
        assert client.send(get(version="1.0", host="")).read().status == 200
    assert proxy.origin().take()["host"] == "old.test"


def test_http_10_without_any_host(proxy: Proxy) -> None:
    with proxy.client("bare") as client:
        assert client.send(get(version="1.0", host="")).read().status == 400


def test_http_10_gets_no_chunks(proxy: Proxy) -> None:
    proxy.origin().on(
        "/chunked", raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
    )
    with proxy.client("old") as client:
        response = client.send(get("/chunked", "connection: keep-alive\r\n", "1.0")).read()
        assert (response["transfer-encoding"], response["content-length"], response.text) == (
            None,
            None,
            "ab",
        )
        assert response["connection"] == "close"
        assert client.ended()


def test_http_10_with_chunks(proxy: Proxy) -> None:
    """RFC 9112 section 6.1 wants such a connection closed; Envoy keeps it."""
    with proxy.client("old") as client:
        client.send("POST / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n")
        response = client.send("transfer-encoding: chunked\r\n\r\n0\r\n\r\n").read()
        found = (response.status, response["connection"])
    if proxy.engine != "envoy" and response.status == 400:
        assert found == (400, "close")
    else:
        proxy.may_be_stricter(found, at_envoy=(200, "keep-alive"), stricter=(200, "close"))


def tokens(client: Client, count: int) -> list[str]:
    return [client.read().text for _ in range(count)]


def test_pipelined_requests_are_answered_in_order(proxy: Proxy) -> None:
    for number in range(8):
        proxy.origin().on(
            f"/p{number}",
            raw(0.0 if number % 2 else 0.03, f"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}"),
        )
    with proxy.client() as client:
        client.send(*(get(f"/p{number}") for number in range(8)))
        assert tokens(client, 8) == list("01234567")
        assert client.still_open()


def test_pipelined_bodies(proxy: Proxy) -> None:
    post = request_bytes("/1", "POST", body=b"first")
    chunked = "POST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n6\r\nsecond\r\n0\r\n\r\n"
    with proxy.client() as client:
        client.send(post, chunked, get("/3"), post)
        assert tokens(client, 4) == ["hello"] * 4
    bodies = [(seen.target, seen.wait().body) for seen in (proxy.origin().take() for _ in range(4))]
    assert bodies == [("/1", b"first"), ("/2", b"second"), ("/3", b""), ("/1", b"first")]


def test_nothing_is_served_after_close(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send(get("/first", "connection: close\r\n"), get("/second"))
        assert client.read()["connection"] == "close"
        assert client.ended()
    assert proxy.origin().take().target == "/first"
    assert proxy.origin().nothing()


def test_split_into_single_bytes(proxy: Proxy) -> None:
    with proxy.client() as client:
        for byte in request_bytes("/bytes", "POST", body=b"xyz"):
            client.send(bytes([byte]))
        assert client.read().status == 200
    assert proxy.origin().take().wait().body == b"xyz"


def test_empty_lines_before_a_request(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.send("\r\n", get()).read().status == 200
        assert client.send("\r\n\r\n", get()).read().status == 200


def test_half_closed_client(proxy: Proxy) -> None:
    """A client's FIN after a whole request: Envoy does not answer."""
    proxy.origin().on("/half", raw(0.1, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    with proxy.client() as client:
        client.send(get("/half"))
        client.finish()
        assert client.ended(1.0)
    assert proxy.origin().take().connection_closed()


def test_client_resets_and_the_upstream_request_is_cancelled(proxy: Proxy) -> None:
    proxy.origin().on("/slow", silent())
    client = proxy.client()
    client.send(get("/slow?dc"))
    seen = proxy.origin().take()
    client.reset()
    assert seen.connection_closed()
    assert '"GET /slow?dc HTTP/1.1" 0 DC 0 0 ' in proxy.log().line("?dc")


def test_client_gone_within_a_body(proxy: Proxy) -> None:
    client = proxy.client()
    client.send("POST /cut HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc")
    seen = proxy.origin().take()
    client.close()
    assert seen.connection_closed()
    assert (seen.body, seen.whole) == (b"abc", False)


def test_client_gone_within_a_head(proxy: Proxy) -> None:
    client = proxy.client()
    client.send("GET /cut-head HTTP/1.1\r\nhost: a\r\nx-a")
    client.close()
    assert proxy.origin().nothing()


def test_upstream_connection_is_reused(proxy: Proxy) -> None:
    connections = set()
    for _ in range(5):
        proxy.ask("/x")
        connections.add(proxy.origin().take().connection)
    assert len(connections) == 1


def test_upstream_requests_at_once_take_connections_of_their_own(proxy: Proxy) -> None:
    proxy.origin().on("/slow", raw(0.1, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    clients = [proxy.client().send(get("/slow")) for _ in range(3)]
    assert len({proxy.origin().take().connection for _ in clients}) == 3
    for client in clients:
        assert client.read().text == "ok"
        client.close()


def test_upstream_that_closes_is_not_used_again(proxy: Proxy) -> None:
    proxy.origin().on("/close", raw("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"))
    assert proxy.ask("/close").text == "ok"
    first = proxy.origin().take()
    assert first.connection_closed()
    proxy.ask("/x")
    assert proxy.origin().take().connection != first.connection


def test_http_10_upstream_is_not_kept(proxy: Proxy) -> None:
    proxy.origin().on("/ten", raw("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    response = proxy.ask("/ten")
    assert (response.version, response.text, response["connection"]) == ("HTTP/1.1", "ok", None)
    assert proxy.origin().take().connection_closed()


def test_http_10_upstream_with_keep_alive_is_kept(proxy: Proxy) -> None:
    proxy.origin().on("/ten", raw("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok"))
    assert proxy.ask("/ten").text == "ok"
    assert not proxy.origin().take().connection_closed(0.1)


def test_answers_are_relayed_as_they_come(proxy: Proxy) -> None:
    proxy.origin().on("/drip", raw("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab", 0.3, "cd"))
    with proxy.client() as client:
        client.send(get("/drip"))
        head = client.read_head()
        assert head["content-length"] == "4"
        client.socket.settimeout(0.2)
        assert (client.buffer or client.socket.recv(10)) == b"ab"
