"""Limits on a connection's life: idle time, requests per connection, waiting for heads and bodies."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import silent
from .settings import Config, bootstrap, cluster, listener, protocol_options, routes_to
from .wire import Client, Response

pytestmark = pytest.mark.parity


def configure(proxy: Proxy) -> Config:
    clusters = [
        cluster("app", proxy.origin().port),
        cluster(
            "twice",
            proxy.origin("twice").port,
            typed_extension_protocol_options=protocol_options(
                common_http_protocol_options={"max_requests_per_connection": 2}
            ),
        ),
    ]
    listeners = [
        listener("twice", proxy.port("twice"), routes_to("twice")),
        listener(
            "three",
            proxy.port("three"),
            routes_to("app"),
            common_http_protocol_options={"max_requests_per_connection": 3},
        ),
        listener(
            "idle",
            proxy.port("idle"),
            routes_to("app"),
            common_http_protocol_options={"idle_timeout": "0.2s"},
        ),
        listener("hasty", proxy.port("hasty"), routes_to("app"), request_headers_timeout="0.3s"),
        listener("short", proxy.port("short"), routes_to("app"), request_timeout="0.3s"),
        listener("stall", proxy.port("stall"), routes_to("app"), stream_idle_timeout="0.3s"),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def get(target: str = "/") -> str:
    return f"GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"


def test_max_requests_per_upstream_connection(proxy: Proxy) -> None:
    numbers = []
    for _ in range(5):
        assert proxy.ask("/x", "twice").status == 200
        seen = proxy.origin("twice").take()
        numbers.append(seen.connection)
        assert seen["connection"] is None
    assert numbers == [1, 1, 2, 2, 3]
    assert proxy.stat("cluster.twice.upstream_cx_max_requests") == 2


def test_max_requests_per_client_connection(proxy: Proxy) -> None:
    with proxy.client("three") as client:
        said = [client.send(get()).read()["connection"] for _ in range(3)]
        assert said == [None, None, "close"]
        assert client.ended()


def test_idle_connection_without_a_request_is_closed(proxy: Proxy) -> None:
    with proxy.client("idle") as client:
        assert client.ended(1.5)


def timed_out(client: Client) -> Response:
    response = client.read()
    assert client.ended()
    return response


def test_request_headers_timeout(proxy: Proxy) -> None:
    with proxy.client("hasty") as client:
        response = timed_out(client.send("GET / HTTP/1.1\r\nhost: a\r\n"))
        assert (response.status, response.text) == (408, "request header timeout")


def test_request_timeout(proxy: Proxy) -> None:
    with proxy.client("short") as client:
        response = timed_out(client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc"))
        assert (response.status, response.text) == (408, "request timeout")
        assert response["connection"] == "close"


def test_stream_idle_timeout(proxy: Proxy) -> None:
    proxy.origin().on("/never", silent())
    with proxy.client("stall") as client:
        response = client.send(get("/never")).read()
        assert (response.status, response.text) == (504, "stream timeout")
        assert client.still_open()


def test_stream_idle_timeout_within_a_body(proxy: Proxy) -> None:
    with proxy.client("stall") as client:
        response = timed_out(client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc"))
        assert (response.status, response.text) == (408, "stream timeout")
