"""CONNECT: passed on to an HTTP proxy, or ended here as a TCP connection."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from .harness import Proxy
from .settings import Config, access_log, bootstrap, cluster, listener
from .test_upgrades import FORBIDDEN, LOG, echoed, logged, tunnel
from .wire import Client

pytestmark = pytest.mark.parity

OK = "HTTP/1.1 200 OK\r\nx-a: b\r\n\r\n"


def configure(proxy: Proxy) -> Config:
    log = access_log(proxy.log().path, LOG)

    def one(name: str, to: str, **upgrade: object) -> Config:
        action = {"cluster": to, "upgrade_configs": [{"upgrade_type": "CONNECT", **upgrade}]}
        routes = [
            {"match": {"connect_matcher": {}}, "route": action},
            {"match": {"prefix": "/"}, "route": action},
        ]
        hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
        return listener(name, proxy.port(name), hosts, access_log=[log])

    off = [{"match": {"connect_matcher": {}}, "route": {"cluster": "app"}}]
    listeners = [
        one("forward", "app"),
        one("end", "tcp", connect_config={}),
        one("post", "tcp", connect_config={"allow_post": True}),
        one("dead", "dead", connect_config={}),
        one("proxy1", "tcp", connect_config={"proxy_protocol_config": {"version": "V1"}}),
        one("proxy2", "tcp", connect_config={"proxy_protocol_config": {"version": "V2"}}),
        listener(
            "off",
            proxy.port("off"),
            [{"name": "all", "domains": ["*"], "routes": off}],
            access_log=[log],
        ),
        listener(
            "nowhere",
            proxy.port("nowhere"),
            [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}],
                }
            ],
            access_log=[log],
            upgrade_configs=[{"upgrade_type": "CONNECT"}],
        ),
    ]
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("tcp", tcp_port(proxy)),
        cluster("dead", proxy.port("nobody")),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def tcp_port(proxy: Proxy) -> int:
    """A server that sends back each piece in brackets; after "FIN" it says it has no more to say, after "QUIT" it
    leaves, and "RST" makes it go with a reset."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                if data == b"RST":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    return
                connection.sendall(b"bye" if data == b"QUIT" else b"<" + data + b">")
                if data == b"QUIT":
                    return
            connection.sendall(b"end")

    def quietly(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            serve(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=quietly, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    proxy.origin("tcp").stop = server.close  # type: ignore[method-assign]  # closed with the origins
    port: int = server.getsockname()[1]
    return port


def connect(case: str, headers: str = "", target: str = "a.test:80", host: str = "a.test:80") -> str:
    return f"CONNECT {target} HTTP/1.1\r\nhost: {host}\r\nx-case: {case}\r\n{headers}\r\n"


def rest(client: Client) -> bytes:
    while client.read_some():
        pass
    return client.buffer


def test_forwarded(proxy: Proxy) -> None:
    proxy.origin().default = tunnel(OK)
    total = proxy.stat("http.forward.downstream_cx_upgrades_total")
    with proxy.client("forward") as client:
        response = client.send(connect("forward")).read_head()
        assert (response.status, response["x-a"], response["connection"]) == (200, "b", None)
        assert (response["transfer-encoding"], response["content-length"]) == (None, None)
        seen = proxy.origin().take()
        assert (seen.method, seen.target, seen["host"]) == ("CONNECT", "a.test:80", "a.test:80")
        assert (seen["content-length"], seen["transfer-encoding"]) == (None, None)
        echoed(client, b"abc")
        client.send("QUIT")
        assert rest(client) == b"bye"
    assert logged(proxy, "forward")[:2] == ("200", "UC")
    assert proxy.stat("http.forward.downstream_cx_upgrades_total") == total + 1


def test_target_is_the_authority(proxy: Proxy) -> None:
    proxy.origin().default = tunnel(OK)
    with proxy.client("forward") as client:
        headers = "connection: keep-alive\r\nproxy-connection: keep-alive\r\ncontent-length: 0\r\n"
        assert client.send(connect("authority", headers, host="b.test")).read_head().status == 200
        seen = proxy.origin().take()
        assert (seen.target, seen["host"]) == ("a.test:80", "a.test:80")
        assert [seen[name] for name in ("connection", "proxy-connection", "content-length")] == [None] * 3


def test_data_before_the_answer(proxy: Proxy) -> None:
    proxy.origin().default = tunnel(OK)
    with proxy.client("forward") as client:
        client.send(connect("early"), "early")
        assert client.read_head().status == 200
        while len(client.buffer) < 7:
            assert client.read_some()
        assert client.buffer == b"<early>"


@pytest.mark.parametrize("framing", ["content-length: 5\r\n", "transfer-encoding: chunked\r\n"])
def test_answer_with_framing(proxy: Proxy, framing: str) -> None:
    """It means nothing there (RFC 9110 section 9.3.6)."""
    proxy.origin().default = tunnel(f"HTTP/1.1 200 OK\r\n{framing}\r\n", "hello")
    with proxy.client("forward") as client:
        response = client.send(connect("framing" + framing[0])).read_head()
        assert (response.status, response["transfer-encoding"]) == (200, None)
        at_envoy = "5" if framing[0] == "c" else None
        proxy.may_be_stricter(response["content-length"], at_envoy=at_envoy, stricter=None)
        while len(client.buffer) < 5:
            assert client.read_some()
        assert client.buffer == b"hello"
        client.buffer = b""
        echoed(client, b"abc")


def test_refused_by_the_upstream(proxy: Proxy) -> None:
    proxy.origin().default = tunnel("HTTP/1.1 403 No\r\ncontent-length: 5\r\n\r\n", "hello")
    with proxy.client("forward") as client:
        response = client.send(connect("403"), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").read()
        assert (response.status, response.text, response["connection"]) == (403, "hello", "close")
        assert client.ended()
    assert proxy.origin().take().wait().body == b""
    assert logged(proxy, "403")[:3] == ("403", "-", "via_upstream")


@pytest.mark.parametrize(
    ("name", "headers", "target", "status"),
    [
        ("forward", "content-length: 3\r\n", "a.test:80", 400),
        ("forward", "transfer-encoding: chunked\r\n", "a.test:80", 501),
        ("forward", "", "a.test", 400),
        ("forward", "", "/path", 400),
        ("off", "", "a.test:80", 403),
        ("nowhere", "", "a.test:80", 404),
        ("forward", "connection: upgrade\r\nupgrade: websocket\r\n", "a.test:80", 403),
    ],
)
def test_refused(proxy: Proxy, name: str, headers: str, target: str, status: int) -> None:
    with proxy.client(name) as client:
        response = client.send(connect("refused", headers, target)).read()
        assert response.status == status
        if status in (403, 404):
            assert response.normal == FORBIDDEN
        assert client.ended()
    assert proxy.origin().nothing(0.01)


def test_ended_here(proxy: Proxy) -> None:
    with proxy.client("end") as client:
        response = client.send(connect("end"), "early").read_head()
        assert (response.status, response.normal) == (200, [("date", "DATE"), ("server", "SERVER")])
        while len(client.buffer) < 7:
            assert client.read_some()
        assert client.buffer == b"<early>"
        client.buffer = b""
        echoed(client, b"abc")
        client.send("QUIT")
        assert rest(client) == b"bye"
    assert logged(proxy, "end") == ("200", "-", "via_upstream", "12", "15", "tcp")


def test_ended_here_and_reset(proxy: Proxy) -> None:
    with proxy.client("end") as client:
        assert client.send(connect("reset")).read_head().status == 200
        client.send("RST")
        assert rest(client) == b""
    reset = "upstream_reset_after_response_started{connection_termination}"
    assert logged(proxy, "reset") == ("200", "UC", reset, "3", "0", "tcp")


def test_ended_here_by_the_client(proxy: Proxy) -> None:
    with proxy.client("end") as client:
        assert client.send(connect("leaves")).read_head().status == 200
        echoed(client, b"abc")
    assert logged(proxy, "leaves")[:3] == ("200", "DC", "downstream_remote_disconnect")


@pytest.mark.parametrize("version", [1, 2])
def test_ended_here_with_a_proxy_header(proxy: Proxy, version: int) -> None:
    with proxy.client(f"proxy{version}") as client:
        assert client.send(connect("proxied"), "hello").read_head().status == 200
        ports = client.local_port, proxy.port(f"proxy{version}")
        if version == 1:
            header = f"PROXY TCP4 127.0.0.1 127.0.0.1 {ports[0]} {ports[1]}\r\n".encode()
        else:
            loopback = b"\x7f\0\0\1"
            header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + loopback + loopback
            header += ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big")
        while not client.buffer.endswith(b"hello>"):
            assert client.read_some()
        # Whether it came by itself does not matter.
        assert client.buffer.replace(b"><", b"") == b"<" + header + b"hello>"


def test_nobody_there(proxy: Proxy) -> None:
    with proxy.client("dead") as client:
        response = client.send(connect("dead")).read()
        assert (response.status, response["connection"]) == (503, "close")
        assert "remote connection failure" in response.text
        assert client.ended()
    assert logged(proxy, "dead")[:2] == ("503", "UF")


def test_statistics(proxy: Proxy) -> None:
    names = (
        "cx_total cx_http1_total cx_destroy_local cx_destroy_local_with_active_rq rq_total rq_200 rq_pending_total "
        "rq_completed"
    )

    def counts() -> list[int]:
        time.sleep(0.02)
        found = proxy.stats("^cluster.tcp.upstream_")
        return [found.get(f"cluster.tcp.upstream_{name}", 0) for name in names.split()]

    before = counts()
    with proxy.client("end") as client:
        client.send(connect("counted")).read_head()
        assert proxy.stat("cluster.tcp.upstream_cx_active") == 1
        assert proxy.stat("cluster.tcp.upstream_rq_active") == 1
        client.send("QUIT")
        rest(client)
    assert proxy.stat_becomes("cluster.tcp.upstream_cx_active", 0)
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 0, 1, 1, 1, 1, 1, 1]


def test_other_methods_are_not_ended_here(proxy: Proxy) -> None:
    """They are requests to an upstream that speaks no HTTP."""
    assert proxy.ask("/x", "end").status == 502
    assert proxy.ask("/x", "end", method="POST", body=b"abc").status == 502


def test_post_that_ends_here(proxy: Proxy) -> None:
    with proxy.client("post") as client:
        client.send(
            "POST /x HTTP/1.1\r\nhost: a\r\nx-case: post\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
        )
        response = client.read_head()
        assert (response.status, response["transfer-encoding"], response["connection"]) == (
            200,
            "chunked",
            "close",
        )
        while len(client.buffer) < 10:
            assert client.read_some()
        client.send("0\r\n\r\n")
        assert rest(client) == b"5\r\n<abc>\r\n3\r\nend\r\n0\r\n\r\n"
    assert logged(proxy, "post") == ("200", "-", "via_upstream", "3", "8", "tcp")


@pytest.mark.parametrize("body", [b"abc", b""])
def test_whole_post_that_ends_here(proxy: Proxy, body: bytes) -> None:
    with proxy.client("post") as client:
        head = f"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        response = client.send(head, body).read()
        assert (response.status, response.text) == (200, "<abc>end" if body else "end")
        assert response["connection"] is None
        # The connection is as good as after any other request.
        assert client.send(head, body).read().status == 200


def test_connect_where_posts_end(proxy: Proxy) -> None:
    with proxy.client("post") as client:
        assert client.send(connect("both")).read_head().status == 200
        echoed(client, b"abc")
