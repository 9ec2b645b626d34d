"""HTTP health checks: what is sent, which answers pass, and what the results do."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy, wait_for
from .health import (
    STRICT,
    all_find,
    attempted,
    check,
    counts,
    events,
    flags_become,
    http_check,
    kinds,
    routes,
)
from .origin import Answer, raw, silent, text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

_HEALTHY = "healthy"
_FAILED = "/failed_active_hc"
_CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


def hexed(content: bytes) -> Config:
    return {"text": content.hex()}


# name: (fields of http_health_check, the answer, flags, what is counted beside attempt)
VERDICTS: dict[str, tuple[dict[str, Any], Answer | None, str, str]] = {
    "ok": ({}, text("yes"), _HEALTHY, "success"),
    "not_ok": ({}, text("no", "503 Service Unavailable"), _FAILED, "failure"),
    "created": ({}, text("", "201 Created"), _FAILED, "failure"),
    "no_content": ({}, raw("HTTP/1.1 204 No Content\r\n\r\n"), _FAILED, "failure"),
    "moved": ({}, text("", "301 Moved Permanently", "location: /x\r\n"), _FAILED, "failure"),
    "expected": (
        {"expected_statuses": [{"start": 200, "end": 204}, {"start": 500, "end": 501}]},
        text("", "500 Internal Server Error"),
        _HEALTHY,
        "success",
    ),
    "expected_end": (
        {"expected_statuses": [{"start": 200, "end": 201}]},
        text("", "201 x"),
        _FAILED,
        "failure",
    ),
    "only_others": ({"expected_statuses": [{"start": 300, "end": 301}]}, text(), _FAILED, "failure"),
    "head": ({"method": "HEAD"}, raw("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"), _HEALTHY, "success"),
    "receive": ({"receive": [hexed(b"a"), hexed(b"c")]}, text("abc"), _HEALTHY, "success"),
    "receive_order": ({"receive": [hexed(b"c"), hexed(b"a")]}, text("abc"), _FAILED, "failure"),
    "receive_twice": ({"receive": [hexed(b"a"), hexed(b"a")]}, text("abc"), _FAILED, "failure"),
    "receive_binary": ({"receive": [{"binary": "YmM="}]}, text("abc"), _HEALTHY, "success"),
    "receive_chunks": ({"receive": [hexed(b"bc")]}, raw(_CHUNKED), _HEALTHY, "success"),
    "receive_late": ({"receive": [hexed(b"abc")]}, text("x" * 1022 + "abc"), _FAILED, "failure"),
    "receive_all": (
        {"receive": [hexed(b"abc")], "response_buffer_size": 0},
        text("x" * 5000 + "abc"),
        _HEALTHY,
        "success",
    ),
    "receive_500": ({"receive": [hexed(b"a")]}, text("a", "500 x"), _FAILED, "failure"),
    "named": (
        {"service_name_matcher": {"prefix": "locations"}},
        text("", headers="x-envoy-upstream-healthchecked-cluster: locations-production\r\n"),
        _HEALTHY,
        "success verify_cluster",
    ),
    "misnamed": (
        {"service_name_matcher": {"exact": "locations"}},
        text("", headers="x-envoy-upstream-healthchecked-cluster: api\r\n"),
        _FAILED,
        "failure verify_cluster",
    ),
    "nameless": ({"service_name_matcher": {"prefix": "x"}}, text(""), _FAILED, "failure verify_cluster"),
    "named_500": ({"service_name_matcher": {"prefix": "x"}}, text("", "500 x"), _FAILED, "failure"),
    "degraded": ({}, text("", headers="x-envoy-degraded: 1\r\n"), "/degraded_active_hc", "success"),
    "degraded_empty": ({}, text("", headers="x-envoy-degraded:\r\n"), "/degraded_active_hc", "success"),
    "degraded_500": ({}, text("", "500 x", "x-envoy-degraded: 1\r\n"), _FAILED, "failure"),
    "excluded": (
        {},
        text("", "503 x", "x-envoy-immediate-health-check-fail: true\r\n"),
        _FAILED + "/excluded_via_immediate_hc_fail",
        "failure",
    ),
    "excluded_200": (
        {},
        text("", headers="x-envoy-immediate-health-check-fail: true\r\n"),
        _HEALTHY,
        "success",
    ),
    "continue": (
        {},
        raw("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        _HEALTHY,
        "success",
    ),
    "until_close": ({}, raw("HTTP/1.1 200 OK\r\n\r\nyes", then="close"), _HEALTHY, "success"),
    "http10": ({}, raw("HTTP/1.0 200 OK\r\n\r\nyes", then="close"), _HEALTHY, "success"),
    "closed": ({}, raw(then="close"), _FAILED, "failure network_failure"),
    "reset": ({}, raw(then="reset"), _FAILED, "failure network_failure"),
    "cut": (
        {},
        raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nye", then="close"),
        _FAILED,
        "failure network_failure",
    ),
    "garbage": ({}, raw("nonsense\r\n\r\n"), _FAILED, "failure network_failure"),
    "silent": ({}, silent(), _FAILED + "/active_hc_timeout", "failure network_failure"),
    "slow_head": (
        {},
        raw(*[piece for byte in "HTTP/1.1 200 OK\r\n" for piece in (byte, 0.1)]),
        _FAILED + "/active_hc_timeout",
        "failure network_failure",
    ),
    "slow_body": (
        {},
        raw("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", *[0.1, "x"] * 20),
        _FAILED + "/active_hc_timeout",
        "failure network_failure",
    ),
    "full": ({}, None, _FAILED + "/active_hc_timeout", "failure network_failure"),
    "nobody": ({}, None, _FAILED, "failure network_failure"),
}

# name: (fields of http_health_check, of the endpoint's health_check_config, the head that is sent, the content)
SENT: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "plain": ({}, {}, "GET /health HTTP/1.1|host: sent_plain|user-agent: Envoy/HC", ""),
    "host": ({"host": "example.com"}, {}, "GET /health HTTP/1.1|host: example.com|user-agent: Envoy/HC", ""),
    "host_of_endpoint": (
        {"host": "example.com"},
        {"hostname": "own.example"},
        "GET /health HTTP/1.1|host: own.example|user-agent: Envoy/HC",
        "",
    ),
    "query": ({"path": "/a?b=c"}, {}, "GET /a?b=c HTTP/1.1|host: sent_query|user-agent: Envoy/HC", ""),
    "post": (
        {"method": "POST", "send": {"text": "616263"}},
        {},
        "POST /health HTTP/1.1|host: sent_post|user-agent: Envoy/HC|content-length: 3",
        "abc",
    ),
    "put_binary": (
        {"method": "PUT", "send": {"binary": "YQBi"}},
        {},
        "PUT /health HTTP/1.1|host: sent_put_binary|user-agent: Envoy/HC|content-length: 3",
        "a\0b",
    ),
    "options": (
        {"method": "OPTIONS"},
        {},
        "OPTIONS /health HTTP/1.1|host: sent_options|user-agent: Envoy/HC|content-length: 0",
        "",
    ),
    "headers": (
        {
            "request_headers_to_add": [
                {"header": {"key": "X-One", "value": "1"}},
                {"header": {"key": "x-one", "value": "2"}},
                {
                    "header": {
                        "key": "x-two",
                        "value": "%PROTOCOL% %REQ(user-agent)% %DOWNSTREAM_REMOTE_ADDRESS%",
                    }
                },
                {
                    "header": {"key": "x-one", "value": "3"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                },
            ],
            "request_headers_to_remove": ["user-agent"],
        },
        {},
        "GET /health HTTP/1.1|host: sent_headers|x-one: 3|x-one: 1|x-one: 2|x-two: HTTP/1.1  127.0.0.1:0",
        "",
    ),
    "agent": (
        {
            "request_headers_to_add": [
                {
                    "header": {"key": "user-agent", "value": "mine"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ]
        },
        {},
        "GET /health HTTP/1.1|host: sent_agent|user-agent: mine",
        "",
    ),
}


def configure(proxy: Proxy) -> Config:
    clusters: list[Config] = []
    for name, (fields, answer, *_) in VERDICTS.items():
        port = proxy.full_port() if name == "full" else proxy.port("nobody")
        if answer is not None:
            proxy.origin(name).default = answer
            port = proxy.origin(name).port
        clusters.append(cluster(name, port, health_checks=[http_check(http=fields)], common_lb_config=STRICT))
    for name, (fields, target, *_) in SENT.items():
        where = endpoint(proxy.origin(f"sent_{name}").port)
        where["endpoint"]["health_check_config"] = target
        clusters.append(cluster(f"sent_{name}", where, health_checks=[http_check(http=fields)]))
    log = str(proxy.log("events").path)
    clusters += [
        cluster(
            name,
            proxy.origin(name).port,
            health_checks=[http_check(event_log_path=log, always_log_health_check_success=True, **fields)],
            common_lb_config=STRICT,
        )
        for name, fields in {
            "threshold": {
                "unhealthy_threshold": 3,
                "healthy_threshold": 3,
                "always_log_health_check_failures": True,
            },
            "retriable": {
                "unhealthy_threshold": 3,
                "always_log_health_check_failures": True,
                "http": {"retriable_statuses": [{"start": 500, "end": 504}]},
            },
            "kept": {},
            "not_kept": {"reuse_connection": False},
        }.items()
    ]
    other = endpoint(9)
    other["endpoint"]["health_check_config"] = {"port_value": proxy.origin("other_port").port}
    clusters.append(cluster("other_port", other, health_checks=[http_check()]))
    other = endpoint(9)
    other["endpoint"]["health_check_config"] = {
        "port_value": proxy.origin("other_address").port,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
    }
    clusters.append(cluster("other_address", other, health_checks=[http_check()]))
    other = endpoint(9)
    other["endpoint"]["health_check_config"] = {"disable_active_health_check": True}
    clusters.append(cluster("disabled", other, health_checks=[http_check()]))
    clusters.append(cluster("rare", proxy.origin("rare").port, health_checks=[check(**_RARE)]))
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), routes(clusters))], clusters)


_RARE = {"http_health_check": {"path": "/health"}, "no_traffic_interval": "1s"}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(proxy: Proxy, workers: Workers, name: str) -> None:
    """What is found once is true for all workers."""
    *_, wanted, counted = VERDICTS[name]
    assert flags_become(proxy, name, wanted) == wanted
    if _FAILED not in wanted:
        proxy.origin(name).on(f"/{name}/asked", text("asked"))
    assert all_find(workers, name, "503" if _FAILED in wanted else "asked")
    found = counts(proxy, name)
    assert found.pop("attempt") > 0
    assert found.pop("healthy") == (_FAILED not in wanted)
    assert found.pop("degraded") == ("degraded" in wanted)
    assert {kind for kind, count in found.items() if count} == set(counted.split())


@pytest.mark.parametrize("name", SENT)
def test_sent(proxy: Proxy, name: str) -> None:
    *_, head, content = SENT[name]
    seen = proxy.origin(f"sent_{name}").take().wait()
    assert seen.head.decode() == head.replace("|", "\r\n")
    assert seen.body == content.encode()


def test_failures_of_the_network_count(proxy: Proxy, workers: Workers) -> None:
    origin = proxy.origin("threshold")
    origin.on("/threshold/asked", text("asked"))
    path = proxy.log("events").path
    assert wait_for(lambda: len(events(path, "threshold")) > 2)
    start = len(events(path, "threshold"))
    assert kinds(events(path, "threshold"))[:2] == ["add_healthy", "successful_health_check"]
    origin.default = raw(then="reset")
    assert flags_become(proxy, "threshold", _FAILED) == _FAILED
    assert all_find(workers, "threshold", "503")
    assert attempted(proxy, "threshold", 2)
    origin.default = text()
    assert flags_become(proxy, "threshold", _HEALTHY) == _HEALTHY
    assert all_find(workers, "threshold", "asked")
    words = {
        "successful_health_check": "ok",
        "health_check_failure NETWORK": "failed",
        "eject_unhealthy NETWORK": "OUT",
        "add_healthy": "BACK",
    }

    def story() -> str:
        return " ".join(words[kind] for kind in kinds(events(path, "threshold"))[start:])

    assert wait_for(lambda: "BACK ok" in story())
    found = story()
    assert "ok failed failed OUT failed failed" in "ok " + found
    assert "failed ok ok BACK ok" in found
    assert found.count("OUT") == found.count("BACK") == 1
    added, ejected = (
        next(one[name] for one in events(path, "threshold") if name in one)
        for name in ("add_healthy_event", "eject_unhealthy_event")
    )
    assert added == {"first_check": True}
    assert ejected == {"failure_type": "NETWORK", "http_status_code": 0} or ejected == {
        "failure_type": "NETWORK"
    }


def test_an_answer_that_says_no_counts_at_once_unless_it_is_retriable(proxy: Proxy) -> None:
    origin = proxy.origin("retriable")
    path = proxy.log("events").path
    assert flags_become(proxy, "retriable", _HEALTHY) == _HEALTHY
    origin.default = text("", "503 x")
    assert flags_become(proxy, "retriable", _FAILED) == _FAILED
    origin.default = text()
    assert flags_become(proxy, "retriable", _HEALTHY) == _HEALTHY
    origin.default = text("", "504 x")
    assert flags_become(proxy, "retriable", _FAILED) == _FAILED

    def failures() -> list[tuple[str, int]]:
        return [
            (name, facts["http_status_code"])
            for one in events(path, "retriable")
            for name, facts in one.items()
            if name == "health_check_failure_event"
        ]

    assert wait_for(lambda: ("health_check_failure_event", 504) in failures())
    found = kinds(events(path, "retriable"))
    first = found.index("eject_unhealthy ACTIVE")
    assert found[first - 2 : first] == ["health_check_failure ACTIVE"] * 2
    second = found.index("eject_unhealthy ACTIVE", first + 1)
    assert found[second - 1] in ("successful_health_check", "add_healthy")
    assert set(failures()) == {("health_check_failure_event", 503), ("health_check_failure_event", 504)}


@pytest.mark.parametrize(("name", "same"), [("kept", True), ("not_kept", False)])
def test_connections(proxy: Proxy, name: str, same: bool) -> None:
    origin = proxy.origin(name)
    first, second = origin.take(), origin.take()
    assert (first.connection == second.connection) is same
    if same:
        origin.default = text(headers="connection: close\r\n")
        assert attempted(proxy, name, 3)
        origin.forget()
        third, fourth = origin.take(), origin.take()
        assert third.connection != fourth.connection
        assert counts(proxy, name)["failure"] == 0


@pytest.mark.parametrize("name", ["other_port", "other_address"])
def test_checked_elsewhere(proxy: Proxy, name: str) -> None:
    assert proxy.origin(name).take().target == "/health"
    assert flags_become(proxy, name, _HEALTHY, 9) == _HEALTHY


def test_not_checked(proxy: Proxy) -> None:
    assert flags_become(proxy, "disabled", _HEALTHY) == _HEALTHY
    assert counts(proxy, "disabled")["attempt"] == 0
    assert counts(proxy, "disabled")["healthy"] == 0
    assert proxy.stat("cluster.disabled.membership_healthy") == 1


def test_a_cluster_that_nobody_uses_is_checked_rarely(proxy: Proxy) -> None:
    before = counts(proxy, "rare")["attempt"]
    assert counts(proxy, "sent_plain")["attempt"] > 2 * before
    assert proxy.ask("/rare/").status == 200
    # Within the time of four checks.
    assert wait_for(lambda: counts(proxy, "rare")["attempt"] > before + 8, 4.0)


def test_event(proxy: Proxy) -> None:
    path = proxy.log("events").path
    (event, *_) = events(path, "kept")
    stamp = event.pop("timestamp")
    assert stamp[10] == "T" and stamp.endswith("Z") and len(stamp) in (20, 24)
    port = proxy.origin("kept").port
    assert event == {
        "health_checker_type": "HTTP",
        "host": {
            "socket_address": {
                "protocol": "TCP",
                "address": "127.0.0.1",
                "port_value": port,
                "resolver_name": "",
                "ipv4_compat": False,
                "network_namespace_filepath": "",
            }
        },
        "cluster_name": "kept",
        "add_healthy_event": {"first_check": True},
        "locality": {"region": "", "zone": "", "sub_zone": ""},
    }


def test_json_fields(proxy: Proxy) -> None:
    page = proxy.admin_json("/clusters?format=json")
    found = {one["name"]: one["host_statuses"][0]["health_status"] for one in page["cluster_statuses"]}
    assert found["ok"] == {"eds_health_status": "HEALTHY"}
    assert found["silent"] == {
        "eds_health_status": "HEALTHY",
        "failed_active_health_check": True,
        "active_hc_timeout": True,
    }
    assert found["degraded"] == {"eds_health_status": "HEALTHY", "failed_active_degraded_check": True}
    assert found["excluded"] == {
        "eds_health_status": "HEALTHY",
        "failed_active_health_check": True,
        "excluded_via_immediate_hc_fail": True,
    }
