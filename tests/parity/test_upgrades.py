"""Upgrades: who may ask for one, the tunnel that comes of it, and answers that are none."""

from __future__ import annotations

import base64
import hashlib
import threading

import pytest

from .harness import Proxy, wait_for
from .origin import Answer, Exchange, raw, silent
from .settings import Config, access_log, bootstrap, cluster, listener
from .wire import Client, Headers

pytestmark = pytest.mark.parity

LOG = (
    "case=%REQ(X-CASE)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%"
    "\treceived=%BYTES_RECEIVED%\tsent=%BYTES_SENT%\tcluster=%UPSTREAM_CLUSTER%\n"
)
ASK = "connection: Upgrade\r\nupgrade: websocket\r\n"
FOO = ASK.replace("websocket", "foo")
SWITCH = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"


def configure(proxy: Proxy) -> Config:
    def route(prefix: str, **action: object) -> Config:
        return {"match": {"prefix": prefix}, "route": {"cluster": "app", **action}}

    routes = [
        route("/off", upgrade_configs=[{"upgrade_type": "WebSocket", "enabled": False}]),
        route("/foo", upgrade_configs=[{"upgrade_type": "foo"}]),
        {
            "match": {"prefix": "/direct"},
            "direct_response": {"status": 200, "body": {"inline_string": "hi"}},
        },
        route("/ws"),
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    log = access_log(proxy.log().path, LOG)
    allowed = [{"upgrade_type": "websocket"}]

    def one(name: str, **manager: object) -> Config:
        return listener(name, proxy.port(name), hosts, access_log=[log], **manager)

    listeners = [
        one("main", upgrade_configs=allowed),
        one("none"),
        one("disabled", upgrade_configs=[{"upgrade_type": "websocket", "enabled": False}]),
        one("idle", upgrade_configs=allowed, stream_idle_timeout="0.25s"),
        one("hasty", upgrade_configs=allowed, request_timeout="0.25s"),
        one("old", upgrade_configs=allowed, http_protocol_options={"accept_http_10": True}),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


def tunnel(head: str = SWITCH, first: str = "") -> Answer:
    """Accept, then send back each piece in brackets until one is "QUIT"."""

    def answer(exchange: Exchange) -> None:
        exchange.send(head + first)
        while data := exchange.buffer or exchange.sock.recv(65536):
            exchange.buffer = b""
            exchange.seen.body += data
            if data.endswith(b"QUIT"):
                exchange.send("bye")
                break
            exchange.send(b"<" + data + b">")
        exchange.seen.done.set()
        exchange.close()

    return answer


def asking(
    case: str, path: str = "/ws", headers: str = ASK, version: str = "1.1", method: str = "GET"
) -> str:
    return f"{method} {path} HTTP/{version}\r\nhost: a\r\nx-case: {case}\r\n{headers}\r\n"


def echoed(client: Client, data: bytes) -> None:
    client.send(data)
    expected = b"<" + data + b">"
    while len(client.buffer) < len(expected) and client.read_some():
        pass
    assert client.buffer == expected
    client.buffer = b""


def logged(proxy: Proxy, case: str) -> tuple[str, ...]:
    line = proxy.log().fields(f"case={case}\t")
    return tuple(line[name] for name in ("code", "flags", "details", "received", "sent", "cluster"))


SWITCHED: Headers = [
    ("connection", "Upgrade"),
    ("date", "DATE"),
    ("server", "SERVER"),
    ("upgrade", "websocket"),
]


def test_tunnel_that_the_upstream_ends(proxy: Proxy) -> None:
    proxy.origin().on("/ws", tunnel())
    with proxy.client() as client:
        response = client.send(asking("ends")).read()
        assert (response.status, response.normal) == (101, SWITCHED)
        seen = proxy.origin().take()
        assert (seen["connection"], seen["upgrade"]) == ("Upgrade", "websocket")
        assert (seen["content-length"], seen["transfer-encoding"]) == (None, None)
        echoed(client, b"abc")
        client.send("QUIT")
        assert client.read_some() == b"bye"
        client.buffer = b""
        assert client.ended()
    reset = "upstream_reset_after_response_started{connection_termination}"
    assert logged(proxy, "ends") == ("101", "UC", reset, "7", "8", "app")


def test_tunnel_that_the_client_ends(proxy: Proxy) -> None:
    proxy.origin().on("/ws", tunnel())
    with proxy.client() as client:
        client.send(asking("leaves", headers="Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n"))
        assert client.read().status == 101
        seen = proxy.origin().take()
        assert (seen["connection"], seen["upgrade"]) == ("keep-alive, UPGRADE", "WebSocket")
        echoed(client, b"abc")
        client.finish()
        assert seen.wait().body == b"abc"
        assert seen.connection_closed()
    assert logged(proxy, "leaves")[:3] == ("101", "DC", "downstream_remote_disconnect")


def test_web_socket(proxy: Proxy) -> None:
    """A handshake and frames as RFC 6455 has them."""
    key = base64.b64encode(bytes(range(16))).decode()
    accept = base64.b64encode(
        hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    ).decode()

    def server(exchange: Exchange) -> None:
        assert exchange.seen["sec-websocket-key"] == key
        exchange.send(SWITCH[:-2] + f"sec-websocket-accept: {accept}\r\n\r\n")
        frame = exchange.sock.recv(100)
        mask, masked = frame[2:6], frame[6:]
        said = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
        exchange.send(b"\x81" + bytes([len(said)]) + said)
        assert exchange.sock.recv(100) == b"\x88\x80\1\2\3\4"
        exchange.send(b"\x88\x00")
        exchange.close()

    proxy.origin().on("/ws", server)
    with proxy.client() as client:
        headers = ASK + f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n"
        assert client.send(asking("frames", "/ws", headers)).read()["sec-websocket-accept"] == accept
        mask = b"\1\2\3\4"
        said = bytes(byte ^ mask[at % 4] for at, byte in enumerate(b"hello"))
        client.send(b"\x81\x85" + mask + said)
        while len(client.buffer) < 7:
            assert client.read_some()
        assert client.buffer == b"\x81\x05hello"
        client.buffer = b""
        client.send(b"\x88\x80" + mask)
        while len(client.buffer) < 2:
            assert client.read_some()
        assert client.buffer == b"\x88\x00"
        client.buffer = b""
        assert client.ended()


def test_statistics(proxy: Proxy) -> None:
    proxy.origin().on("/ws", tunnel())
    manager = "http.main.downstream_"
    total = proxy.stat(f"{manager}cx_upgrades_total")
    with proxy.client() as client:
        client.send(asking("stats")).read()
        assert proxy.stat(f"{manager}cx_upgrades_total") == total + 1
        assert proxy.stat(f"{manager}cx_upgrades_active") == 1
        assert proxy.stat(f"{manager}rq_active") == 1
    assert proxy.stat_becomes(f"{manager}cx_upgrades_active", 0)
    assert proxy.stat_becomes(f"{manager}rq_active", 0)
    assert proxy.stat_becomes("cluster.app.upstream_rq_active", 0)


@pytest.mark.parametrize("size", [1, 100_000, 3_000_000])
def test_bytes_of_a_tunnel(proxy: Proxy, size: int) -> None:
    """More than any buffer holds, both ways at once."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    def mirror(exchange: Exchange) -> None:
        exchange.send(SWITCH)
        left = size
        while left:
            piece = exchange.sock.recv(65536)
            left -= len(piece)
            exchange.send(piece)
        exchange.close()

    proxy.origin().on("/ws", mirror)
    with proxy.client() as client:
        client.send(asking(f"size{size}")).read()
        writer = threading.Thread(target=client.socket.sendall, args=(data,))
        writer.start()
        while len(client.buffer) < size:
            assert client.read_some()
        writer.join()
        assert client.buffer == data
    assert logged(proxy, f"size{size}")[3:5] == (str(size), str(size))


FORBIDDEN: Headers = [
    ("connection", "close"),
    ("content-length", "0"),
    ("date", "DATE"),
    ("server", "SERVER"),
]


@pytest.mark.parametrize(
    ("listener_name", "path", "headers"),
    [
        ("none", "/ws", ASK),
        ("disabled", "/ws", ASK),
        ("main", "/off", ASK),
        ("main", "/ws", FOO),
        ("main", "/ws", ASK.replace("websocket", "websocket, foo")),
    ],
)
def test_not_allowed(proxy: Proxy, listener_name: str, path: str, headers: str) -> None:
    case = f"refused-{listener_name}{path}{headers.count('foo') + headers.count(',')}"
    counter = f"http.{listener_name}.downstream_rq_ws_on_non_ws_route"
    before = proxy.stat(counter)
    with proxy.client(listener_name) as client:
        response = client.send(asking(case, path, headers), "GET /ws HTTP/1.1\r\nhost: a\r\n\r\n").read()
        assert (response.status, response.normal) == (403, FORBIDDEN)
        assert client.ended()
    assert logged(proxy, case) == ("403", "-", "upgrade_failed", "0", "0", "app")
    assert proxy.stat(counter) == before + 1
    assert proxy.origin().nothing(0.01)


def test_allowed_by_the_route(proxy: Proxy) -> None:
    """What the upstream says with its 101 comes too."""
    proxy.origin().on("/foo", tunnel(SWITCH.replace("websocket", "foo"), "early"))
    with proxy.client() as client:
        response = client.send(asking("route", "/foo", FOO.replace("foo", "FOO"))).read()
        assert (response.status, response["upgrade"]) == (101, "foo")
        while client.buffer != b"early":
            assert client.read_some()
        client.buffer = b""
        echoed(client, b"1")


def test_no_route(proxy: Proxy) -> None:
    with proxy.client() as client:
        response = client.send(asking("nowhere", "/nowhere")).read()
        assert (response.status, response.normal) == (404, FORBIDDEN)
    assert logged(proxy, "nowhere") == ("404", "NR", "route_not_found", "0", "0", "-")


def test_direct_response(proxy: Proxy) -> None:
    with proxy.client() as client:
        response = client.send(asking("direct", "/direct")).read()
        assert (response.status, response.text, response["connection"]) == (200, "hi", "close")
        assert client.ended()
    assert logged(proxy, "direct")[:3] == ("200", "-", "direct_response")


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "301 Moved Permanently"])
def test_web_socket_that_is_none(proxy: Proxy, status: str) -> None:
    """The head of such an answer goes through, its content does not."""
    length = "" if status[:3] == "204" else "content-length: 5\r\n"
    head = f"HTTP/1.1 {status}\r\nx-a: b\r\ncontent-type: c\r\n{length}\r\n"
    proxy.origin().on("/ws", raw(head + ("hello" if length else "")))
    case = f"none{status[:3]}"
    with proxy.client() as client:
        response = client.send(asking(case)).read()
        assert (response.status, response["x-a"], response["connection"]) == (int(status[:3]), "b", "close")
        assert response["content-length"] == ("0" if length else None)
        assert response["x-envoy-upstream-service-time"] is None
        assert response["content-type"] is None
        assert client.ended()
    assert proxy.origin().take().connection_closed()
    details = "websocket_handshake_unsuccessful"
    assert logged(proxy, case) == (status[:3], "-", details, "0", "0", "app")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("/ws", ASK, "403 Forbidden"), ("/ws", ASK, "500 Internal Server Error"), ("/foo", FOO, "200 OK")],
)
def test_other_answer(proxy: Proxy, path: str, headers: str, status: str) -> None:
    proxy.origin().on(path, raw(f"HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\nhello"))
    case = f"other{status[:3]}"
    with proxy.client() as client:
        # What follows is no request, and reaches nobody.
        response = client.send(asking(case, path, headers), "GET /ws HTTP/1.1\r\nhost: a\r\n\r\n").read()
        assert (response.status, response.text, response["connection"]) == (int(status[:3]), "hello", "close")
        assert response["x-envoy-upstream-service-time"] is None
        assert client.ended()
    assert proxy.origin().take().connection_closed()
    assert proxy.origin().nothing(0.01)
    assert logged(proxy, case) == (status[:3], "-", "via_upstream", "29", "5", "app")


def test_refused_with_upgrade(proxy: Proxy) -> None:
    """Only 101 switches (RFC 9110 section 7.8); for Envoy any answer that names an upgrade opens a tunnel."""
    answer = "HTTP/1.1 426 Upgrade Required\r\nupgrade: foo\r\nconnection: upgrade\r\ncontent-length: 5\r\n\r\nhello"
    proxy.origin().on("/ws", raw(answer))
    with proxy.client() as client:
        response = client.send(asking("426")).read()
        assert (response.status, response.text) == (426, "hello")
        found = (response["connection"], client.ended(0.3))
        proxy.may_be_stricter(found, at_envoy=("upgrade", False), stricter=("close", True))


def test_switched_to_nothing(proxy: Proxy) -> None:
    """A 101 must say to what (RFC 9110 section 15.2.2)."""
    proxy.origin().on("/ws", raw("HTTP/1.1 101 Switching Protocols\r\n\r\n", 0.05, "data"))
    with proxy.client() as client:
        response = client.send(asking("nothing")).read()
        proxy.may_be_stricter(response.status, at_envoy=101, stricter=502)
        assert response["connection"] == "close"
        assert client.read_some() == b"" or response.status == 502


def test_hints_before(proxy: Proxy) -> None:
    proxy.origin().on("/ws", tunnel("HTTP/1.1 103 Early Hints\r\n\r\n" + SWITCH))
    with proxy.client() as client:
        assert client.send(asking("hints")).read().status == 101
        echoed(client, b"x")


@pytest.mark.parametrize(
    ("method", "framing", "data", "told"),
    [
        ("GET", "content-length: 3\r\n", "xyzmore", ("3", None)),
        ("POST", "transfer-encoding: chunked\r\n", "3\r\nxyz\r\n0\r\n\r\nmore", (None, None)),
    ],
)
def test_content_is_the_tunnels(
    proxy: Proxy, method: str, framing: str, data: str, told: tuple[str | None, str | None]
) -> None:
    proxy.origin().on("/ws", tunnel())
    with proxy.client() as client:
        assert (
            client.send(asking(f"body{method}", "/ws", ASK + framing, method=method), data).read().status
            == 101
        )
        seen = proxy.origin().take()
        assert (seen["content-length"], seen["transfer-encoding"]) == told
        expected = f"<{data}>".encode()
        while len(client.buffer) < len(expected):
            assert client.read_some()
        assert client.buffer == expected
        client.buffer = b""
        client.send("QUIT")
        assert wait_for(lambda: not client.read_some())
    assert logged(proxy, f"body{method}")[3:5] == (str(len(data) + 4), str(len(data) + 5))


def test_http_10(proxy: Proxy) -> None:
    proxy.origin().on("/ws", tunnel())
    with proxy.client("old") as client:
        response = client.send(asking("old", version="1.0")).read()
        assert (response.version, response.status, response.normal) == ("HTTP/1.0", 101, SWITCHED)
        echoed(client, b"x")


def test_idle_tunnel(proxy: Proxy) -> None:
    proxy.origin().on("/ws", tunnel())
    with proxy.client("idle") as client:
        client.send(asking("idle")).read()
        echoed(client, b"x")
        assert client.ended()
    assert logged(proxy, "idle")[:3] == ("101", "SI", "stream_idle_timeout")


def test_no_answer(proxy: Proxy) -> None:
    proxy.origin().on("/ws", silent(1))
    with proxy.client("idle") as client:
        response = client.send(asking("silent")).read()
        assert (response.status, response.text) == (408, "stream timeout")
    assert logged(proxy, "silent")[:3] == ("408", "SI", "stream_idle_timeout")


def test_request_timeout_is_over_with_the_answer(proxy: Proxy) -> None:
    proxy.origin().on("/ws", tunnel())
    with proxy.client("hasty") as client:
        client.send(asking("hasty")).read()
        assert client.still_open(0.35)
        echoed(client, b"x")
    proxy.origin().on("/ws", silent(1))
    with proxy.client("hasty") as client:
        assert client.send(asking("hasty2")).read().text == "request timeout"


@pytest.mark.parametrize(
    "headers",
    [
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n",
    ],
)
def test_no_request_for_an_upgrade(proxy: Proxy, headers: str) -> None:
    proxy.origin().on("/ws", raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    assert proxy.ask("/ws", headers=headers).text == "ok"
    seen = proxy.origin().take()
    assert [seen[name] for name in ("connection", "upgrade", "http2-settings")] == [None, None, None]


def test_upstream_connection_is_not_used_again(proxy: Proxy) -> None:
    proxy.origin().on("/ws", tunnel())
    with proxy.client() as client:
        client.send(asking("first")).read()
        first = proxy.origin().take().connection
    proxy.origin().on("/ws", raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    assert proxy.ask("/ws").text == "ok"
    assert proxy.origin().take().connection != first
