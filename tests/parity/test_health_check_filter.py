"""The filter health_check: answering, passing through, caching, and /healthcheck/fail.  The last tests fail it."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy, wait_for
from .origin import text
from .settings import FILE_LOG, ROUTER, Config, bootstrap, cluster, endpoint, listener

pytestmark = pytest.mark.parity

TYPE = "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck"
FORMAT = "path=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%\n"
WHERE = [{"name": ":path", "string_match": {"prefix": "/health"}}]


def configure(proxy: Proxy) -> Config:
    def one(name: str, **fields: Any) -> Config:
        check = {"@type": TYPE, "headers": WHERE, **fields}
        filters = [
            {"name": "health", "typed_config": check},
            {"name": "router", "typed_config": {"@type": ROUTER}},
        ]
        logs = [
            {
                "name": "log",
                "typed_config": {
                    "@type": FILE_LOG,
                    "path": str(proxy.log(log).path),
                    "log_format": {"text_format_source": {"inline_string": FORMAT}},
                },
                **more,
            }
            for log, more in (
                (name, {}),
                (f"{name}_traffic", {"filter": {"not_health_check_filter": {}}}),
            )
        ]
        hosts = [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [
                    {"match": {"prefix": "/direct"}, "direct_response": {"status": 204}},
                    {"match": {"prefix": "/"}, "route": {"cluster": "app"}},
                ],
            }
        ]
        return listener(name, proxy.port(name), hosts, http_filters=filters, access_log=logs)

    two_headers = [*WHERE, {"name": "x-check", "present_match": True}]
    listeners = [
        one("own", pass_through_mode=False),
        one("through", pass_through_mode=True),
        one("cached", pass_through_mode=True, cache_time="60s"),
        one("cached_ok", pass_through_mode=True, cache_time="60s"),
        one("strict", pass_through_mode=False, headers=two_headers),
        one("good", pass_through_mode=False, cluster_min_healthy_percentages={"app": {"value": 100}}),
        one("half", pass_through_mode=False, cluster_min_healthy_percentages={"half": {"value": 51}}),
        one("half_ok", pass_through_mode=False, cluster_min_healthy_percentages={"half": {"value": 50}}),
        one("empty", pass_through_mode=False, cluster_min_healthy_percentages={"empty": {"value": 1}}),
        one("empty_ok", pass_through_mode=False, cluster_min_healthy_percentages={"empty": {"value": 0}}),
        one("missing", pass_through_mode=False, cluster_min_healthy_percentages={"nobody": {"value": 0}}),
    ]
    sick = {**endpoint(2), "health_status": "UNHEALTHY"}
    clusters = [cluster("app", proxy.origin().port), cluster("half", 1, sick), cluster("empty")]
    return bootstrap(proxy.port("admin"), listeners, clusters)


ANSWERS = [
    ("own", "/health", 200, "-", "health_check_ok"),
    ("strict", "/health/x", 200, "-", "via_upstream"),
    ("good", "/health", 200, "-", "health_check_ok_cluster_healthy"),
    ("half", "/health", 503, "LH", "health_check_failed_cluster_unhealthy"),
    ("half_ok", "/health", 200, "-", "health_check_ok_cluster_healthy"),
    ("empty", "/health", 503, "LH", "health_check_failed_cluster_empty"),
    ("empty_ok", "/health", 200, "-", "health_check_ok_cluster_healthy"),
    ("missing", "/health", 503, "LH", "health_check_failed_no_cluster_found"),
    ("through", "/health", 200, "-", "via_upstream"),
]


@pytest.mark.parametrize(("name", "path", "status", "flags", "details"), ANSWERS)
def test_answers(proxy: Proxy, name: str, path: str, status: int, flags: str, details: str) -> None:
    response = proxy.ask(f"{path}?first", name)
    is_check = name != "strict"
    assert response.status == status
    assert response["x-envoy-upstream-healthchecked-cluster"] == ("parity-cluster" if is_check else None)
    assert response["x-envoy-immediate-health-check-fail"] is None
    assert proxy.log(name).fields("?first") == {
        "path": f"{path}?first",
        "code": str(status),
        "flags": flags,
        "details": details,
    }


def test_health_checks_are_not_traffic(proxy: Proxy) -> None:
    proxy.ask("/health?unlogged", "own")
    proxy.ask("/other?logged", "own")
    assert proxy.log("own").line("?unlogged")
    assert proxy.log("own_traffic").line("?logged")
    assert not [line for line in proxy.log("own_traffic").lines() if "?unlogged" in line]


def test_the_answer_comes_when_the_request_is_complete(proxy: Proxy) -> None:
    with proxy.client("own") as client:
        client.send("POST /health HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
        assert client.still_open(0.05)
        answer = client.send("cd").read()
        assert (answer.status, answer["connection"]) == (200, None)
        assert client.send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200


def test_all_headers_are_wanted(proxy: Proxy) -> None:
    proxy.ask("/health?with", "strict", headers="x-check: 1\r\n")
    assert proxy.log("strict").fields("?with")["details"] == "health_check_ok"


def test_what_the_upstream_said_is_cached(proxy: Proxy) -> None:
    proxy.origin().on("/health", text("no", status="404 Not Found"))
    assert proxy.ask("/health?1", "cached").status == 404
    assert proxy.origin().take().target == "/health?1"
    response = proxy.ask("/health?2", "cached")
    assert (response.status, response.body) == (404, b"")
    assert proxy.origin().nothing(0.05)
    fields = proxy.log("cached").fields("?2")
    assert (fields["details"], fields["flags"]) == ("health_check_cached", "LH")
    assert proxy.ask("/other", "cached").status == 200


def test_statistics(proxy: Proxy) -> None:
    names = ("request_total", "ok", "failed", "failed_cluster_empty", "cached_response", "degraded")
    before = proxy.stats("health_check")
    proxy.ask("/health", "empty")
    proxy.ask("/health", "own")
    proxy.ask("/health", "cached")
    proxy.origin().on("/health", text("ok", headers="x-envoy-degraded: 1\r\n"))
    proxy.ask("/health", "cached_ok")
    assert proxy.ask("/health", "cached_ok")["x-envoy-degraded"] == ""
    after = proxy.stats("health_check")

    def more(name: str) -> dict[str, int]:
        keys = {one: f"http.{name}.health_check.{one}" for one in names}
        return {one: after[key] - before[key] for one, key in keys.items() if after[key] != before[key]}

    assert more("empty") == {"request_total": 1, "failed": 1, "failed_cluster_empty": 1}
    assert more("own") == {"request_total": 1, "ok": 1}
    assert more("cached") == {"request_total": 1, "failed": 1, "cached_response": 1}
    assert more("cached_ok") == {"request_total": 1, "ok": 1, "cached_response": 1, "degraded": 1}


def test_failed_by_the_admin(proxy: Proxy) -> None:
    assert proxy.admin("/healthcheck/fail", "POST").status == 200
    try:
        assert wait_for(lambda: proxy.ask("/health?failed", "own").status == 503)
        for name in ("through", "cached"):
            assert proxy.ask("/health?failed", name).status == 503
            fields = proxy.log(name).fields("?failed")
            assert (fields["details"], fields["flags"]) == ("health_check_failed", "LH")
        for path in ("/other", "/direct"):
            response = proxy.ask(path, "own")
            assert response["x-envoy-immediate-health-check-fail"] == "true"
            assert response["x-envoy-upstream-healthchecked-cluster"] is None
    finally:
        proxy.admin("/healthcheck/ok", "POST")
    assert wait_for(lambda: proxy.ask("/health?again", "own").status == 200)
    assert proxy.ask("/other", "own")["x-envoy-immediate-health-check-fail"] is None
