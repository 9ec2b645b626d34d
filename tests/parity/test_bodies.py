"""Bodies both ways: lengths, chunks, HEAD, 204, 304, 1xx, Expect, trailers, closing upstreams."""

from __future__ import annotations

import hashlib
import random

import pytest

from .harness import Proxy
from .origin import Exchange, raw, text
from .settings import Config, bootstrap, cluster, listener, protocol_options, routes_to
from .wire import Response, request_bytes

pytestmark = pytest.mark.parity
OK = "HTTP/1.1 200 OK\r\n"
CHUNKED = "transfer-encoding: chunked\r\n"


def configure(proxy: Proxy) -> Config:
    port = proxy.origin().port
    clusters = [
        cluster("app", port),
        cluster(
            "trailing",
            port,
            typed_extension_protocol_options=protocol_options(http1={"enable_trailers": True}),
        ),
    ]
    listeners = [
        listener("main", proxy.port(), routes_to("app")),
        listener(
            "trailing",
            proxy.port("trailing"),
            routes_to("trailing"),
            http_protocol_options={"enable_trailers": True},
        ),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def answered(proxy: Proxy, *pieces: str | bytes | float, then: str = "keep", method: str = "GET") -> Response:
    """What the client reads when the upstream sends these pieces."""
    proxy.origin().on("/x", raw(*pieces, then=then))
    return proxy.ask("/x", method=method)


def framing(response: Response) -> tuple[str | None, str | None]:
    return response["content-length"], response["transfer-encoding"]


def test_length(proxy: Proxy) -> None:
    response = answered(proxy, OK, "content-length: 3\r\n\r\n", "a", 0.02, "bc")
    assert (response.text, framing(response)) == ("abc", ("3", None))


def test_length_0(proxy: Proxy) -> None:
    response = answered(proxy, OK, "content-length: 0\r\n\r\n")
    assert (response.text, framing(response)) == ("", ("0", None))


def test_chunks(proxy: Proxy) -> None:
    response = answered(proxy, OK, CHUNKED, "\r\n3\r\nabc\r\n", 0.02, "2;ext=1\r\nde\r\n0\r\n\r\n")
    assert (response.text, framing(response)) == ("abcde", (None, "chunked"))


def test_no_chunks_but_the_last(proxy: Proxy) -> None:
    response = answered(proxy, OK, CHUNKED, "\r\n0\r\n\r\n")
    assert (response.text, framing(response)) == ("", (None, "chunked"))


def test_body_to_the_end_of_the_connection(proxy: Proxy) -> None:
    response = answered(proxy, OK, "x-a: 1\r\n\r\n", "abc", 0.02, "def", then="close")
    assert (response.text, framing(response)) == ("abcdef", (None, "chunked"))
    assert response["connection"] is None


def test_empty_body_to_the_end_of_the_connection(proxy: Proxy) -> None:
    response = answered(proxy, OK, "\r\n", then="close")
    assert (response.text, framing(response)) == ("", (None, "chunked"))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("content-length: 1234\r\n", ("1234", None)),
        ("transfer-encoding: chunked\r\n", (None, "chunked")),
        ("content-length: 0\r\n", ("0", None)),
        ("", (None, "chunked")),
    ],
)
def test_head(proxy: Proxy, lines: str, expected: tuple[str | None, str | None]) -> None:
    proxy.origin().on("/x", raw(OK + lines + "\r\n"))
    with proxy.client() as client:
        for _ in range(2):
            response = client.send("HEAD /x HTTP/1.1\r\nhost: a\r\n\r\n").read("HEAD")
            assert (response.status, framing(response)) == (200, expected)
        assert client.still_open()
    assert proxy.origin().take().method == "HEAD"


@pytest.mark.parametrize(
    ("status", "lines", "expected"),
    [
        ("204 No Content", "", (None, None)),
        ("204 No Content", "content-length: 0\r\n", (None, None)),
        ("304 Not Modified", "", (None, None)),
        ("304 Not Modified", "content-length: 77\r\n", ("77", None)),
        ("304 Not Modified", "transfer-encoding: chunked\r\n", (None, None)),
        ("205 Reset Content", "content-length: 0\r\n", ("0", None)),
    ],
)
def test_statuses_without_a_body(
    proxy: Proxy, status: str, lines: str, expected: tuple[str | None, str | None]
) -> None:
    proxy.origin().on("/x", raw(f"HTTP/1.1 {status}\r\n{lines}\r\n"))
    with proxy.client() as client:
        for _ in range(2):
            response = client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").read()
            assert (response.status, framing(response)) == (int(status[:3]), expected)
        assert client.still_open()
    first, second = proxy.origin().take(), proxy.origin().take()
    assert first.connection == second.connection


@pytest.mark.parametrize("length", ["5", "x"])
def test_204_with_a_length_is_502(proxy: Proxy, length: str) -> None:
    response = answered(proxy, f"HTTP/1.1 204 No Content\r\ncontent-length: {length}\r\n\r\n")
    assert response.status == 502


def test_early_hints_are_passed_on(proxy: Proxy) -> None:
    proxy.origin().on(
        "/x", raw("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", 0.02, OK, "content-length: 2\r\n\r\nok")
    )
    with proxy.client() as client:
        response = client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").read()
        assert (response.status, response.text) == (200, "ok")


def test_102_is_swallowed(proxy: Proxy) -> None:
    response = answered(proxy, "HTTP/1.1 102 Processing\r\n\r\n", 0.02, OK, "content-length: 2\r\n\r\nok")
    assert (response.status, response.text) == (200, "ok")


def test_unasked_100_is_swallowed(proxy: Proxy) -> None:
    response = answered(proxy, "HTTP/1.1 100 Continue\r\n\r\n", OK, "content-length: 2\r\n\r\nok")
    assert (response.status, response.text) == (200, "ok")


def test_101_nobody_asked_for(proxy: Proxy) -> None:
    """Envoy relays it; RFC 9110 section 15.2.2 allows it only in answer to an upgrade."""
    response = answered(proxy, "HTTP/1.1 101 Switching Protocols\r\n\r\n", then="close")
    proxy.may_be_stricter(response.status, at_envoy=101, stricter=502)


EXPECT = "POST /x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"


@pytest.mark.parametrize("spelling", ["100-continue", "100-Continue"])
def test_expect_is_answered_by_the_proxy(proxy: Proxy, spelling: str) -> None:
    with proxy.client() as client:
        client.send(f"POST /x HTTP/1.1\r\nhost: a\r\nexpect: {spelling}\r\ncontent-length: 4\r\n\r\n")
        assert client.read().status == 100
        assert client.send("body").read().status == 200
        assert client.still_open()
    seen = proxy.origin().take().wait()
    assert (seen.body, seen["expect"]) == (b"body", None)


def test_expect_with_the_body_at_once(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send(EXPECT, "content-length: 4\r\n\r\nbody")
        assert [client.read().status, client.read().status] == [100, 200]
    assert proxy.origin().take().wait().body == b"body"


def test_expect_with_chunks(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send(EXPECT, CHUNKED, "\r\n")
        assert client.read().status == 100
        assert client.send("4\r\nbody\r\n0\r\n\r\n").read().status == 200


def test_expect_without_a_body(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.send(EXPECT, "\r\n").read().status == 100
        assert client.read().status == 200


def test_request_chunks_are_kept_chunks(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("POST /x HTTP/1.1\r\nhost: a\r\n", CHUNKED, "\r\n3;a=b\r\nabc\r\n")
        seen = proxy.origin().take()
        assert client.send("2\r\nde\r\n0\r\n\r\n").read().status == 200
    assert seen.wait().body == b"abcde"
    assert framing(seen) == (None, "chunked")  # type: ignore[arg-type]


def test_the_upstream_gets_the_body_as_it_comes(proxy: Proxy) -> None:
    def echo(exchange: Exchange) -> None:
        exchange.send(OK + "content-length: 3\r\n\r\nabc")
        exchange.read_body()

    proxy.origin().on("/x", echo)
    with proxy.client() as client:
        client.send("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc")
        assert proxy.origin().take()["content-length"] == "6"
        assert client.read().text == "abc"


REQUEST_TRAILERS = (
    "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    "1\r\na\r\n0\r\nX-Sum: 1\r\nx-two: b\r\n\r\n"
)


def test_trailers_are_dropped(proxy: Proxy) -> None:
    proxy.origin().on("/x", raw(OK, CHUNKED, "\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"))
    with proxy.client() as client:
        for _ in range(2):
            response = client.send(REQUEST_TRAILERS).read()
            assert (response.text, response.trailers) == ("a", [])
            seen = proxy.origin().take().wait()
            assert (seen.body, seen.trailers) == (b"a", [])


def test_trailers_where_enabled(proxy: Proxy) -> None:
    proxy.origin().on("/x", raw(OK, CHUNKED, "\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nx-two: b\r\n\r\n"))
    with proxy.client("trailing") as client:
        for _ in range(2):
            response = client.send(REQUEST_TRAILERS).read()
            assert (response.text, response.trailers) == ("a", [("x-sum", "1"), ("x-two", "b")])
            seen = proxy.origin().take().wait()
            assert (seen.body, seen.trailers) == (b"a", [("x-sum", "1"), ("x-two", "b")])


@pytest.mark.parametrize("size", [1, 16383, 16384, 65536, 300000])
@pytest.mark.parametrize("chunked", [False, True])
def test_every_byte_arrives(proxy: Proxy, size: int, chunked: bool) -> None:
    data = random.Random(size).randbytes(size)

    def echo(exchange: Exchange) -> None:
        body = exchange.read_body()
        if chunked:
            exchange.send(OK + CHUNKED + "\r\n")
            for start in range(0, len(body), 7000):
                piece = body[start : start + 7000]
                exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            exchange.send("0\r\n\r\n")
        else:
            exchange.send(OK + f"content-length: {len(body)}\r\n\r\n")
            exchange.send(body)

    proxy.origin().on("/echo", echo)
    if chunked:
        whole = request_bytes("/echo", "POST", CHUNKED) + b"%x\r\n%s\r\n0\r\n\r\n" % (size, data)
    else:
        whole = request_bytes("/echo", "POST", body=data)
    with proxy.client() as client:
        response = client.send(whole).read()
    assert len(response.body) == size
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(data).digest()


def test_get_with_a_body(proxy: Proxy) -> None:
    proxy.origin().on("/x", text())
    assert proxy.ask("/x", body=b"abc").status == 200
    seen = proxy.origin().take().wait()
    assert (seen.method, seen.body, seen["content-length"]) == ("GET", b"abc", "3")
