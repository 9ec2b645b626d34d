"""HTTP health checks over HTTP/2 (`codec_client_type`): what is sent, and which answers pass."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy, wait_for
from .health import STRICT, all_find, check, counts, flags_become, routes
from .health_peers import GrpcAnswer, GrpcPeer, TcpPeer
from .settings import Config, bootstrap, cluster, endpoint, listener
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

_HEALTHY = "healthy"
_FAILED = "/failed_active_hc"
_TIMEOUT = _FAILED + "/active_hc_timeout"
OK = [(":status", "200")]


def answer(*fields: tuple[str, str], status: str = "200", **more: Any) -> GrpcAnswer:
    return GrpcAnswer([(":status", status), *fields], **{"data": b"fine", "trailers": None, **more})


#: name: (fields of http_health_check, the answer, flags, what is counted)
CHECKS: dict[str, tuple[Config, GrpcAnswer, str, str]] = {
    "ok": ({}, answer(), _HEALTHY, "success"),
    "head_only": ({}, answer(data=None), _HEALTHY, "success"),
    "trailers": ({}, answer(trailers=[("x-t", "1")]), _HEALTHY, "success"),
    "refused": ({}, answer(status="503"), _FAILED, "failure"),
    "expected": (
        {"expected_statuses": [{"start": 500, "end": 600}]},
        answer(status="503"),
        _HEALTHY,
        "success",
    ),
    "content": ({"receive": [{"text": b"fi".hex()}]}, answer(), _HEALTHY, "success"),
    "wrong_content": ({"receive": [{"text": b"no".hex()}]}, answer(), _FAILED, "failure"),
    "degraded": ({}, answer(("x-envoy-degraded", "")), "/degraded_active_hc", "success degraded"),
    "posts": ({"method": "POST", "send": {"text": b"abc".hex()}}, answer(), _HEALTHY, "success"),
    "reset": ({}, answer(reset=True), _FAILED, "failure network_failure"),
    "silent": ({}, GrpcAnswer(head=None), _TIMEOUT, "failure network_failure"),
    "leaving": ({}, answer(goaway=True), _HEALTHY, "success"),
    "once": ({}, answer(), _HEALTHY, "success"),
}


def configure(proxy: Proxy) -> Config:
    clusters = []
    for name, (fields, said, *_) in CHECKS.items():
        if name not in proxy.origins:
            proxy.origins[name] = GrpcPeer(said)  # type: ignore[assignment]  # it can be stopped
        clusters.append(checked(proxy, name, fields, reuse_connection=name != "once"))
    proxy.origins.setdefault("http1", TcpPeer(lambda data: b"HTTP/1.1 200 OK\r\n\r\n"))  # type: ignore[arg-type]
    clusters.append(checked(proxy, "http1", {}))
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), routes(clusters))], clusters)


def checked(proxy: Proxy, name: str, fields: Config, **more: Any) -> Config:
    host = endpoint(proxy.origin("app").port)
    host["endpoint"]["health_check_config"] = {"port_value": proxy.origins[name].port}
    http = {"path": "/health?x", "codec_client_type": "HTTP2", **fields}
    checks = [check(http_health_check=http, **more)]
    return cluster(name, host, health_checks=checks, common_lb_config=STRICT)


def verdict(workers: Workers, name: str, wanted: str, counted: str) -> None:
    proxy = workers.proxy
    assert flags_become(proxy, name, wanted) == wanted
    assert all_find(workers, name, "503" if _FAILED in wanted else "hello")
    found = counts(proxy, name)
    assert found.pop("attempt") > 0
    assert found.pop("healthy") == (_FAILED not in wanted)
    assert {kind for kind, count in found.items() if count} == set(counted.split())


@pytest.mark.parametrize("name", CHECKS)
def test_verdict(workers: Workers, name: str) -> None:
    verdict(workers, name, *CHECKS[name][2:])


def test_a_server_of_http1(workers: Workers) -> None:
    verdict(workers, "http1", _FAILED, "failure network_failure")


def test_sent(proxy: Proxy) -> None:
    common = {(":path", "/health?x"), (":scheme", "http"), ("user-agent", "Envoy/HC")}
    call = proxy.origins["ok"].calls.get(timeout=10)  # type: ignore[attr-defined]
    assert set(call.headers) == common | {(":method", "GET"), (":authority", "ok")}
    assert call.content == b""
    call = proxy.origins["posts"].calls.get(timeout=10)  # type: ignore[attr-defined]
    assert set(call.headers) >= common | {(":method", "POST"), (":authority", "posts")}
    assert call.content == b"abc"


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        ("ok", True),
        ("refused", True),
        ("silent", False),
        ("reset", True),
        ("once", False),
        ("leaving", False),
    ],
)
def test_connections(proxy: Proxy, name: str, is_kept: bool) -> None:
    assert wait_for(lambda: counts(proxy, name)["attempt"] >= 3)
    assert (proxy.origins[name].connections == 1) is is_kept  # type: ignore[attr-defined]
