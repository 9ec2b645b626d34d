"""TCP and gRPC health checks: what is sent, and which answers pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .harness import Proxy, wait_for
from .health import STRICT, all_find, check, counts, events, flags_become, kinds, routes
from .health_peers import HEAD, SERVING, GrpcAnswer, GrpcPeer, Server, TcpPeer
from .settings import HTTP_OPTIONS, Config, bootstrap, cluster, endpoint, listener
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

_HEALTHY = "healthy"
_FAILED = "/failed_active_hc"
_TIMEOUT = _FAILED + "/active_hc_timeout"


def hexed(content: bytes) -> Config:
    return {"text": content.hex()}


def echo(data: bytes) -> bytes:
    return data


# name: (fields of tcp_health_check, what the server says at once, what to each piece, flags, what is counted)
TCP: dict[str, tuple[dict[str, Any], bytes, Callable[[bytes], bytes | None], str, str]] = {
    "connects": ({}, b"", echo, _HEALTHY, "success"),
    "sends_only": ({"send": hexed(b"x")}, b"", echo, _HEALTHY, "success"),
    "echo": ({"send": hexed(b"ping"), "receive": [hexed(b"ping")]}, b"", echo, _HEALTHY, "success"),
    "upper": ({"send": {"text": "6A"}, "receive": [{"text": "6a"}]}, b"", echo, _HEALTHY, "success"),
    "binary": ({"send": hexed(b"a"), "receive": [{"binary": "YQ=="}]}, b"", echo, _HEALTHY, "success"),
    "pieces": (
        {"send": hexed(b"x"), "receive": [hexed(b"b"), hexed(b"d")]},
        b"",
        lambda data: b"abcde",
        _HEALTHY,
        "success",
    ),
    "wrong_order": (
        {"send": hexed(b"x"), "receive": [hexed(b"d"), hexed(b"b")]},
        b"",
        lambda data: b"abcde",
        _TIMEOUT,
        "failure network_failure",
    ),
    "wrong": (
        {"send": hexed(b"x"), "receive": [hexed(b"y")]},
        b"",
        echo,
        _TIMEOUT,
        "failure network_failure",
    ),
    "says_nothing": (
        {"send": hexed(b"x"), "receive": [hexed(b"y")]},
        b"",
        lambda data: b"",
        _TIMEOUT,
        "failure network_failure",
    ),
    "closes": (
        {"send": hexed(b"x"), "receive": [hexed(b"y")]},
        b"",
        lambda data: None,
        _FAILED,
        "failure network_failure",
    ),
    "proxy_v1": (
        {"proxy_protocol_config": {"version": "V1"}, "receive": [hexed(b"P")]},
        b"",
        lambda data: data[:1],
        _HEALTHY,
        "success",
    ),
    "proxy_v2": (
        {
            "send": hexed(b"x"),
            "proxy_protocol_config": {"version": "V2"},
            "receive": [hexed(b"QUIT\n\x20\0\0\0x")],
        },
        b"",
        echo,
        _HEALTHY,
        "success",
    ),
}

# name: (what the server answers, flags, what is counted)
GRPC: dict[str, tuple[GrpcAnswer, str, str]] = {
    "serving": (GrpcAnswer(), _HEALTHY, "success"),
    "suffix": (GrpcAnswer([HEAD[0], ("content-type", "application/grpc+proto")]), _HEALTHY, "success"),
    "more_fields": (GrpcAnswer(data=b"\0\0\0\0\4\x10\5\x08\1"), _HEALTHY, "success"),
    "not_serving": (GrpcAnswer(data=b"\0\0\0\0\2\x08\2"), _FAILED, "failure"),
    "unknown": (GrpcAnswer(data=b"\0\0\0\0\0"), _FAILED, "failure"),
    "service_unknown": (GrpcAnswer(data=b"\0\0\0\0\2\x08\3"), _FAILED, "failure"),
    "no_message": (GrpcAnswer(data=b""), _FAILED, "failure"),
    "two_messages": (GrpcAnswer(data=SERVING + SERVING), _FAILED, "failure"),
    "compressed": (GrpcAnswer(data=b"\1\0\0\0\2\x08\1"), _FAILED, "failure"),
    "no_proto": (GrpcAnswer(data=b"\0\0\0\0\2\x08\x80"), _FAILED, "failure"),
    "not_found": (GrpcAnswer(trailers=[("grpc-status", "5")]), _FAILED, "failure"),
    "no_status": (GrpcAnswer(trailers=[("x", "y")]), _FAILED, "failure"),
    "no_trailers": (GrpcAnswer(trailers=None), _FAILED, "failure"),
    "unimplemented": (GrpcAnswer([*HEAD, ("grpc-status", "12")], None, None), _FAILED, "failure"),
    "head_only": (GrpcAnswer(data=None, trailers=None), _FAILED, "failure"),
    "http_503": (GrpcAnswer([(":status", "503")], None, None), _FAILED, "failure"),
    "no_grpc": (GrpcAnswer([HEAD[0], ("content-type", "text/plain")]), _FAILED, "failure"),
    "reset": (GrpcAnswer(reset=True), _FAILED, "failure network_failure"),
    "silent": (GrpcAnswer(head=None), _TIMEOUT, "failure network_failure"),
    "leaving": (GrpcAnswer(goaway=True), _HEALTHY, "success"),
}


def both_versions() -> Config:
    """HTTP/2 is possible: it is what a gRPC check needs."""
    options = {"http_protocol_options": {}, "http2_protocol_options": {}}
    settings = {"@type": HTTP_OPTIONS, "use_downstream_protocol_config": options}
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": settings}


def peer(proxy: Proxy, name: str, made: Callable[[], Server]) -> Any:
    """A server that lives as long as the proxy's origins."""
    if name not in proxy.origins:
        proxy.origins[name] = made()  # type: ignore[assignment]  # it can be stopped, that is what matters
    return proxy.origins[name]


def where(proxy: Proxy, port: int, **fields: Any) -> Config:
    """The host of requests, an ordinary upstream, which is checked at another port."""
    found = endpoint(proxy.origin("app").port)
    found["endpoint"]["health_check_config"] = {"port_value": port, **fields}
    return found


def configure(proxy: Proxy) -> Config:
    clusters: list[Config] = []
    for name, (fields, greeting, answer, *_) in TCP.items():
        server = peer(
            proxy, f"tcp_{name}", lambda answer=answer, greeting=greeting: TcpPeer(answer, greeting)
        )  # type: ignore[misc]
        clusters.append(tcp_cluster(f"tcp_{name}", where(proxy, server.port), fields))
    clusters.append(tcp_cluster("tcp_nobody", where(proxy, proxy.port("nobody")), {}))
    once = {"send": hexed(b"x"), "receive": [hexed(b"x")]}
    server = peer(proxy, "tcp_once", lambda: TcpPeer(echo))
    log = str(proxy.log("events").path)
    clusters.append(
        tcp_cluster("tcp_once", where(proxy, server.port), once, reuse_connection=False, event_log_path=log)
    )
    for name, (answer, *_) in GRPC.items():
        server = peer(proxy, f"grpc_{name}", lambda answer=answer: GrpcPeer(answer))  # type: ignore[misc]
        clusters.append(grpc_cluster(f"grpc_{name}", where(proxy, server.port), {}))
    for name in ("meta", "once", "stops"):
        peer(proxy, f"grpc_{name}", lambda: GrpcPeer(GrpcAnswer()))
    fields = {
        "service_name": "s" * 200,
        "authority": "auth.example",
        "initial_metadata": [{"header": {"key": "x-meta", "value": "1"}}],
    }
    meta, once_more, stops = (proxy.origins[f"grpc_{name}"].port for name in ("meta", "once", "stops"))
    clusters.append(grpc_cluster("grpc_meta", where(proxy, meta), fields))
    own = where(proxy, once_more, hostname="own.example")
    clusters.append(grpc_cluster("grpc_once", own, {}, reuse_connection=False))
    clusters.append(grpc_cluster("grpc_stops", where(proxy, stops), {}, event_log_path=log))
    for name, answer in (("http1", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), ("mute", b"")):
        server = peer(proxy, f"grpc_{name}", lambda answer=answer: TcpPeer(lambda data: answer))  # type: ignore[misc]
        clusters.append(grpc_cluster(f"grpc_{name}", where(proxy, server.port), {}))
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), routes(clusters))], clusters)


def tcp_cluster(name: str, host: Config, fields: Config, **more: Any) -> Config:
    checks = [check(tcp_health_check=fields, **more)]
    return cluster(name, host, health_checks=checks, common_lb_config=STRICT)


def grpc_cluster(name: str, host: Config, fields: Config, **more: Any) -> Config:
    checks = [check(grpc_health_check=fields, **more)]
    options = {"typed_extension_protocol_options": both_versions()}
    return cluster(name, host, health_checks=checks, common_lb_config=STRICT, **options)


def verdict(workers: Workers, name: str, wanted: str, counted: str) -> None:
    """What is found once is true for all workers."""
    proxy = workers.proxy
    assert flags_become(proxy, name, wanted) == wanted
    assert all_find(workers, name, "hello" if wanted == _HEALTHY else "503")
    found = counts(proxy, name)
    assert found.pop("attempt") > 0
    assert found.pop("healthy") == (wanted == _HEALTHY)
    assert {kind for kind, count in found.items() if count} == set(counted.split())


@pytest.mark.parametrize("name", TCP)
def test_tcp(workers: Workers, name: str) -> None:
    verdict(workers, f"tcp_{name}", *TCP[name][3:])


def test_tcp_without_a_listener(workers: Workers) -> None:
    verdict(workers, "tcp_nobody", _FAILED, "failure network_failure")


def attempted_thrice(proxy: Proxy, name: str) -> bool:
    """Whether a cluster is checked so often, since the start."""
    return bool(wait_for(lambda: counts(proxy, name)["attempt"] >= 3))


def test_tcp_connections(proxy: Proxy) -> None:
    for name, kept in (("echo", True), ("connects", False), ("once", False), ("wrong", False)):
        assert attempted_thrice(proxy, f"tcp_{name}")
        assert (proxy.origins[f"tcp_{name}"].connections == 1) is kept, name  # type: ignore[attr-defined]


def test_tcp_sends(proxy: Proxy) -> None:
    received = [proxy.origins["tcp_echo"].received.get(timeout=10) for _ in range(3)]  # type: ignore[attr-defined]
    assert [data for _, data, _ in received] == [b"ping"] * 3
    assert proxy.origins["tcp_connects"].received.empty()  # type: ignore[attr-defined]
    assert proxy.origins["tcp_sends_only"].received.empty()  # type: ignore[attr-defined]
    server: Any = proxy.origins["tcp_proxy_v1"]
    for _ in range(2):  # again for each check, on the one connection
        _, data, peer_port = server.received.get(timeout=10)
        assert data == f"PROXY TCP4 127.0.0.1 127.0.0.1 {peer_port} {server.port}\r\n".encode()


def test_tcp_events(proxy: Proxy, workers: Workers) -> None:
    path = proxy.log("events").path
    server: Any = proxy.origins["tcp_once"]
    server.answer = lambda data: None
    assert flags_become(proxy, "tcp_once", _FAILED) == _FAILED
    assert all_find(workers, "tcp_once", "503")
    assert wait_for(lambda: len(events(path, "tcp_once")) > 1)
    found = events(path, "tcp_once")
    assert kinds(found) == ["add_healthy", "eject_unhealthy NETWORK"]
    assert {one["health_checker_type"] for one in found} == {"TCP"}


@pytest.mark.parametrize("name", GRPC)
def test_grpc(workers: Workers, name: str) -> None:
    verdict(workers, f"grpc_{name}", *GRPC[name][1:])


def test_grpc_to_a_server_of_http1(workers: Workers) -> None:
    verdict(workers, "grpc_http1", _FAILED, "failure network_failure")
    verdict(workers, "grpc_mute", _TIMEOUT, "failure network_failure")


def test_grpc_sends(proxy: Proxy) -> None:
    common = {
        (":method", "POST"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":scheme", "http"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "Envoy/HC"),
        ("grpc-timeout", "2000m"),
    }
    call = proxy.origins["grpc_serving"].calls.get(timeout=10)  # type: ignore[attr-defined]
    assert set(call.headers) == common | {(":authority", "grpc_serving")}
    assert call.content == b"\0\0\0\0\0"
    call = proxy.origins["grpc_meta"].calls.get(timeout=10)  # type: ignore[attr-defined]
    assert set(call.headers) == common | {(":authority", "auth.example"), ("x-meta", "1")}
    assert call.content == b"\0\0\0\0\xcb\x0a\xc8\x01" + b"s" * 200
    call = proxy.origins["grpc_once"].calls.get(timeout=10)  # type: ignore[attr-defined]
    assert set(call.headers) == common | {(":authority", "own.example")}


def test_grpc_connections(proxy: Proxy) -> None:
    for name, kept in (
        ("meta", True),
        ("no_grpc", True),
        ("silent", True),
        ("reset", True),
        ("once", False),
        ("leaving", False),
    ):
        assert attempted_thrice(proxy, f"grpc_{name}")
        assert (proxy.origins[f"grpc_{name}"].connections == 1) is kept, name  # type: ignore[attr-defined]
    assert wait_for(lambda: proxy.origins["grpc_silent"].resets > 0)  # type: ignore[attr-defined]


def test_grpc_events(proxy: Proxy, workers: Workers) -> None:
    path = proxy.log("events").path
    server: Any = proxy.origins["grpc_stops"]
    server.answer = GrpcAnswer(data=b"\0\0\0\0\2\x08\2")
    assert flags_become(proxy, "grpc_stops", _FAILED) == _FAILED
    assert all_find(workers, "grpc_stops", "503")
    assert wait_for(lambda: len(events(path, "grpc_stops")) > 1)
    found = events(path, "grpc_stops")
    assert kinds(found) == ["add_healthy", "eject_unhealthy ACTIVE"]
    assert {one["health_checker_type"] for one in found} == {"GRPC"}


def test_clients_of_http1_are_served_over_http1(proxy: Proxy, workers: Workers) -> None:
    assert all_find(workers, "grpc_serving", "hello")
    assert proxy.origin("app").take().version == "HTTP/1.1"
