"""Which events outlier detection counts, and how: in a row, by kind, with retries, timeouts, tunnels, mirrors.

Nothing is ejected here: every cluster has all enforcing percentages at 0, so that what was detected adds up.
"""

from __future__ import annotations

from typing import Any

import pytest
from ports import free_port

from .harness import Proxy, wait_for
from .origin import raw, silent, text
from .settings import Config, bootstrap, cluster, listener, protocol_options
from .wire import Ended, request_bytes

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

NEVER = {
    "interval": "3600s",
    "max_ejection_percent": 100,
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_consecutive_local_origin_failure": 0,
}
SPLIT = {"split_external_local_origin_errors": True}
TWO = {"consecutive_5xx": 2, "consecutive_gateway_failure": 2, "consecutive_local_origin_failure": 2}

# name: (settings, the paths that are asked one after the other, what is detected as (5xx, gateway, local origin))
CASES: dict[str, tuple[Config, str, tuple[int, int, int]]] = {
    "five": ({}, "500 500 500 500 500", (1, 0, 0)),
    "four": ({}, "500 500 500 500", (0, 0, 0)),
    "twice-five": ({}, "500 500 500 500 500 500 500 500 500 500", (2, 0, 0)),
    "broken-row": (TWO, "500 200 500 200 500 500", (1, 0, 0)),
    "other-classes": (TWO, "500 404 500 302 500 400 500 204 500 500", (1, 0, 0)),
    "gateway": (TWO, "502 503 504 502", (2, 2, 0)),
    "gateway-broken": (TWO, "502 500 502 501 502 200 503 504", (3, 1, 0)),
    "other-5xx": (TWO, "501 505 599 500", (2, 0, 0)),
    "off": ({"consecutive_5xx": 0, "consecutive_gateway_failure": 1}, "500 500 503", (0, 1, 0)),
    "one": ({"consecutive_5xx": 1}, "500 200 500", (2, 0, 0)),
    "close": (TWO, "close close", (1, 1, 0)),
    "reset": (TWO, "reset reset", (1, 1, 0)),
    "garbage": (TWO, "garbage garbage", (1, 1, 0)),
    "cut": (TWO, "cut cut", (0, 0, 0)),
    "cut-after-5xx": (TWO, "cut 500", (1, 0, 0)),
    "timeout": (TWO, "silent silent", (1, 1, 0)),
    "timeout-after-head": (TWO, "stalled stalled", (0, 0, 0)),
    "dead": (TWO, "dead dead", (1, 1, 0)),
    "grpc": (TWO, "grpc14 grpc14", (1, 1, 0)),
    "grpc-internal": (TWO, "grpc13 grpc13", (1, 0, 0)),
    "grpc-cancelled": (TWO, "grpc1 grpc1", (0, 0, 0)),
    "grpc-in-trailers": (TWO, "500 grpc-late 500", (0, 0, 0)),
    "split-5xx": (SPLIT | TWO, "500 500 503 503", (2, 1, 0)),
    "split-close": (SPLIT | TWO, "close close", (0, 0, 0)),
    "split-reset": (SPLIT | TWO, "reset reset", (0, 0, 0)),
    "split-timeout": (SPLIT | TWO, "silent silent", (0, 0, 0)),
    "split-dead": (SPLIT | TWO, "dead dead dead dead", (0, 0, 2)),
    "split-mixed": (SPLIT | TWO, "500 close 500 reset", (1, 0, 0)),
    "split-one": (SPLIT | {"consecutive_local_origin_failure": 1}, "close reset silent", (0, 0, 3)),
    "no-split": (TWO | {"consecutive_local_origin_failure": 1}, "close reset", (1, 1, 0)),
    "overflow": (TWO, "full full", (0, 0, 0)),
    "retried": (TWO, "retried/500", (1, 0, 0)),
    "retried-close": (TWO, "retried/close", (1, 1, 0)),
    "per-try": (TWO, "per-try/silent", (1, 1, 0)),
    "hedged": (TWO, "hedged/silent", (1, 1, 0)),
    "mirrored": ({"consecutive_5xx": 2}, "500 500", (1, 0, 0)),
    "max-duration": (TWO, "max-duration/silent max-duration/silent", (0, 0, 0)),
    "gone": (TWO, "gone gone", (0, 0, 0)),
    "matched": (TWO, "error200 error200", (1, 0, 0)),
    "matched-not": (TWO, "error200 500 error404 503 error500 error500", (1, 0, 0)),
    "matched-close": (TWO, "close close", (1, 1, 0)),
    "matched-split": (SPLIT | TWO, "error200 error200", (1, 0, 0)),
    "tunnel": (TWO, "500 tunnel 500 500", (1, 0, 0)),
}
_OK = "HTTP/1.1 200 OK\r\n"
ANSWERS: dict[str, Any] = {
    "close": raw(then="close"),
    "reset": raw(then="reset"),
    "garbage": raw("nonsense\r\n\r\n", then="close"),
    "cut": raw(_OK + "content-length: 9\r\n\r\nhalf", then="close"),
    "silent": silent(),
    "tunnel": raw(
        "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", 0.05, then="close"
    ),
    "stalled": raw(_OK + "content-length: 9\r\n\r\nhalf", 0.6, then="close"),
    "grpc-late": raw(
        _OK
        + "content-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n0\r\ngrpc-status: 14\r\n\r\n"
    ),
}
#: Of the cases that are called so.
MATCHER = {
    "error_matcher": {
        "and_match": {
            "rules": [
                {"http_response_headers_match": {"headers": [{"name": "x-error", "present_match": True}]}},
                {
                    "not_match": {
                        "http_response_headers_match": {
                            "headers": [{"name": ":status", "string_match": {"exact": "404"}}]
                        }
                    }
                },
            ]
        }
    }
}
DETECTED = ("consecutive_5xx", "consecutive_gateway_failure", "consecutive_local_origin_failure")


def configure(proxy: Proxy) -> Config:
    clusters: list[Config] = []
    routes: list[Config] = []
    for name, (settings, *_) in CASES.items():
        port = free_port() if "dead" in name else proxy.origin(name).port
        limits = {"circuit_breakers": {"thresholds": [{"max_requests": 0}]}} if name == "overflow" else {}
        options = protocol_options(outlier_detection=MATCHER) if name.startswith("matched") else None
        more = {"typed_extension_protocol_options": options} if options else limits
        clusters.append(cluster(name, port, outlier_detection=NEVER | settings, **more))
        routes += _routes(name)
    clusters.append(cluster("front", proxy.origin("front").port))
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    main = listener("main", proxy.port(), hosts, upgrade_configs=[{"upgrade_type": "websocket"}])
    return bootstrap(proxy.port("admin"), [main], clusters)


def _routes(name: str) -> list[Config]:
    if name == "mirrored":
        return [
            {
                "match": {"prefix": f"/{name}/"},
                "route": {"cluster": "front", "request_mirror_policies": [{"cluster": name}]},
            }
        ]
    retries = {"retry_on": "5xx", "num_retries": 1}
    hedge = {
        "retry_policy": retries | {"per_try_timeout": "0.05s"},
        "hedge_policy": {"hedge_on_per_try_timeout": True},
        "timeout": "0.15s",
    }
    special: dict[str, Config] = {
        "retried": {"retry_policy": retries},
        "per-try": {"retry_policy": retries | {"per_try_timeout": "0.05s"}, "timeout": "1s"},
        "hedged": hedge,
        "max-duration": {"max_stream_duration": {"max_stream_duration": "0.1s"}},
    }
    first = [
        {"match": {"prefix": f"/{name}/{word}/"}, "route": {"cluster": name} | fields}
        for word, fields in special.items()
        if name.startswith(word)
    ]
    # Only what waits for its end is short: a busy machine may be slow with an answer.
    ends = [
        {"match": {"prefix": f"/{name}/{word}"}, "route": {"cluster": name, "timeout": limit}}
        for word, limit in (("silent", "0.1s"), ("stalled", "0.3s"), ("", "5s"))
    ]
    return [*first, *ends]


def _answer(word: str) -> Any:
    if word.isdigit():
        length = "" if word == "204" else "content-length: 0\r\n"
        return raw(f"HTTP/1.1 {word} Word\r\n{length}\r\n")
    if word.startswith("error"):
        return raw(f"HTTP/1.1 {word[5:]} Word\r\nx-error: 1\r\ncontent-length: 0\r\n\r\n")
    if word.startswith("grpc") and word[4:].isdigit():
        return text("", headers=f"content-type: application/grpc\r\ngrpc-status: {word[4:]}\r\n")
    return ANSWERS.get(word, text())


def _ask(proxy: Proxy, name: str, path: str) -> None:
    """One request on a connection of its own, until its answer has ended somehow."""
    word = path.rpartition("/")[2]
    target = f"/{name}/{path}"
    if word != "dead":
        proxy.origin(name).on(target, _answer(word))
    headers = "content-type: application/grpc\r\nte: trailers\r\n" if word.startswith("grpc") else ""
    if word == "tunnel":
        headers = "connection: upgrade\r\nupgrade: websocket\r\n"
    with proxy.client() as client:
        client.send(request_bytes(target, headers=headers))
        if word == "gone":
            proxy.origin(name).take()
            return
        try:
            client.read()
        except Ended:
            return
        if word == "tunnel":
            client.ended()


def detected(proxy: Proxy, name: str) -> tuple[int, ...]:
    prefix = f"cluster.{name}.outlier_detection.ejections_detected_"
    found = proxy.stats(f"^{prefix}consecutive")
    return tuple(found[prefix + kind] for kind in DETECTED)


@pytest.mark.parametrize("name", CASES)
def test_what_counts(proxy: Proxy, name: str) -> None:
    _, paths, expected = CASES[name]
    for path in paths.split():
        _ask(proxy, name, path)
        if proxy.engine == "envoy":
            # What fails before its main thread has heard of a row does not count for the next one.
            proxy.admin("/ready")
    wait_for(lambda: detected(proxy, name) == expected)
    assert detected(proxy, name) == expected
