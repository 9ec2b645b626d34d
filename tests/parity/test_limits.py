"""Limits on request heads: their size, their number of headers, and what is said past them."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener, routes_to
from .wire import Headers

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    hosts = routes_to("app")
    listeners = [
        listener("main", proxy.port(), hosts),
        listener("small", proxy.port("small"), hosts, max_request_headers_kb=2),
        listener("large", proxy.port("large"), hosts, max_request_headers_kb=200),
        listener("few", proxy.port("few"), hosts, common_http_protocol_options={"max_headers_count": 5}),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


TOO_LARGE = "Request Header Fields Too Large"
REFUSAL: Headers = [
    ("connection", "close"),
    ("content-length", str(len(TOO_LARGE))),
    ("content-type", "text/plain"),
    ("date", "DATE"),
    ("server", "SERVER"),
]


def status(proxy: Proxy, name: str, data: str) -> int:
    """The status of the answer to these bytes; a refusal is checked whole."""
    with proxy.client(name) as client:
        response = client.send(data).read()
        if response.status == 431:
            assert (response.text, response.normal) == (TOO_LARGE, REFUSAL)
            assert client.ended()
            assert proxy.origin().nothing(0.01)
        return response.status


def sized(size: int, parts: int = 1) -> str:
    """A request with headers of this many value bytes in all."""
    lines = "".join(f"x-{number}: {'v' * (size // parts)}\r\n" for number in range(parts))
    return f"GET /limit HTTP/1.1\r\nhost: a\r\n{lines}\r\n"


@pytest.mark.parametrize("parts", [1, 20])
@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("main", 55_000, 200),
        ("main", 64_000, 431),
        ("main", 200_000, 431),
        ("small", 1_000, 200),
        ("small", 3_000, 431),
        ("large", 190_000, 200),
        ("large", 220_000, 431),
    ],
)
def test_size(proxy: Proxy, name: str, size: int, parts: int, expected: int) -> None:
    assert status(proxy, name, sized(size, parts)) == expected


def test_size_of_the_target(proxy: Proxy) -> None:
    assert status(proxy, "main", f"GET /{'a' * 50_000} HTTP/1.1\r\nhost: a\r\n\r\n") == 200
    proxy.origin().forget()
    assert status(proxy, "main", f"GET /{'a' * 64_000} HTTP/1.1\r\nhost: a\r\n\r\n") == 431


def test_size_of_a_head_in_pieces(proxy: Proxy) -> None:
    with proxy.client("small") as client:
        client.send("GET / HTTP/1.1\r\nhost: a\r\n")
        for number in range(60):
            client.send(f"x-{number}: {'v' * 50}\r\n")
            if client.ended(0.001) or client.buffer:
                break
        response = client.read()
        assert (response.status, response.text) == (431, TOO_LARGE)


def test_next_request_has_its_own_limit(proxy: Proxy) -> None:
    with proxy.client("small") as client:
        for _ in range(4):
            assert client.send(sized(1000)).read().status == 200


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [("main", 99, 200), ("main", 100, 431), ("few", 4, 200), ("few", 5, 431)],
)
def test_count(proxy: Proxy, name: str, count: int, expected: int) -> None:
    """The host counts too."""
    lines = "".join(f"x-{number}: v\r\n" for number in range(count))
    assert status(proxy, name, f"GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n") == expected


@pytest.mark.parametrize(("count", "expected"), [(99, 200), (100, 431)])
def test_count_of_equal_names(proxy: Proxy, count: int, expected: int) -> None:
    lines = "x-a: v\r\n" * count
    assert status(proxy, "main", f"GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n") == expected


def test_count_of_trailers_that_are_dropped(proxy: Proxy) -> None:
    chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    trailers = "".join(f"x-{number}: v\r\n" for number in range(150))
    with proxy.client() as client:
        response = client.send(f"{chunked}0\r\n{trailers}\r\n").read()
        assert response.status == 200
        assert client.still_open()


def test_size_of_trailers(proxy: Proxy) -> None:
    chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    with proxy.client() as client:
        response = client.send(f"{chunked}0\r\nx-a: {'v' * 70000}\r\n\r\n").read()
        assert response.status == 431
        assert client.ended()
