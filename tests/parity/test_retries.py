"""Retries: what is retried, how often, where, what the upstreams and the client see of it, what is counted."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import Answer, raw, silent
from .retry_policies import AGAIN, CLOSE, GRPC, counted, failing, logged, run, status
from .retry_policies import configure as configure

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)


# policy, what fails, how often -> status, attempts at the origin, flags
CASES: dict[str, tuple[str, Answer, int, int, int, str]] = {
    "no-policy": ("none", status(503), 1, 503, 1, "-"),
    "empty-policy": ("empty", status(503), 1, 503, 1, "-"),
    "nonsense": ("nonsense", status(503), 1, 503, 1, "-"),
    "told-by-a-rule": ("told", status(503), 1, 200, 2, "-"),
    "5xx-once": ("r5xx", status(500), 1, 200, 2, "-"),
    "5xx-twice": ("r5xx", status(503), 2, 503, 2, "URX"),
    "5xx-599": ("r5xx", status(599), 1, 200, 2, "-"),
    "5xx-not-404": ("r5xx", status(404), 1, 404, 1, "-"),
    "5xx-no-body": ("r5xx", status(500, body=""), 1, 200, 2, "-"),
    "5xx-reset": ("three", CLOSE, 3, 200, 4, "-"),
    "5xx-garbage": ("three", raw("no http at all\r\n\r\n"), 1, 200, 2, "-"),
    "5xx-rate-limited": ("three", status(503, "x-envoy-ratelimited: true\r\n"), 1, 503, 1, "-"),
    "zero": ("zero", status(503), 1, 503, 1, "URX"),
    "gateway-503": ("gateway", status(503), 2, 200, 3, "-"),
    "gateway-500": ("gateway", status(500), 1, 500, 1, "-"),
    "gateway-reset": ("gateway", CLOSE, 1, 200, 2, "-"),
    "reset": ("reset", CLOSE, 2, 200, 3, "-"),
    "reset-too-often": ("reset", CLOSE, 3, 503, 3, "URX,UC"),
    "reset-503": ("reset", status(503), 1, 503, 1, "-"),
    "limited": ("limited", status(503, "x-envoy-ratelimited: true\r\n"), 1, 200, 2, "-"),
    "limited-200": ("limited", status(200, "x-envoy-ratelimited: true\r\n"), 1, 200, 2, "-"),
    "limited-503": ("limited", status(503), 1, 503, 1, "-"),
    "conflict": ("conflict", status(409), 1, 200, 2, "-"),
    "conflict-404": ("conflict", status(404), 1, 404, 1, "-"),
    "refused": ("refused", CLOSE, 1, 503, 1, "UC"),
    "codes": ("codes", status(418), 2, 200, 3, "-"),
    "codes-early": ("codes", status(425), 1, 200, 2, "-"),
    "codes-419": ("codes", status(419), 1, 419, 1, "-"),
    "grpc": ("grpc", status(200, GRPC + "grpc-status: 14\r\n", ""), 1, 200, 2, "-"),
    "grpc-body": ("grpc", status(200, "grpc-status: 1\r\n"), 1, 200, 2, "-"),
    "grpc-other": ("grpc", status(200, GRPC + "grpc-status: 4\r\n", ""), 1, 200, 1, "-"),
    "grpc-500": ("grpc", status(500), 1, 500, 1, "-"),
    "headers": ("headers", status(200, "x-again:\r\n"), 1, 200, 2, "-"),
    "headers-value": ("headers", status(404, "x-b: yes\r\n"), 1, 200, 2, "-"),
    "headers-pseudo": ("headers", status(299), 1, 200, 2, "-"),
    "headers-none": ("headers", status(503, "x-b: no\r\n"), 1, 503, 1, "-"),
    "only": ("only", status(503), 1, 503, 1, "-"),
    "http3": ("http3", CLOSE, 1, 503, 1, "UC"),
    "high": ("high", status(500), 1, 200, 2, "-"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_retried(proxy: Proxy, case: str) -> None:
    name, failure, times, code, attempts, flags = CASES[case]
    # POST: that an idle connection ends is no reason to try again.
    response, count = run(proxy, name, failing(times, failure), case, method="POST")
    assert (response.status, count) == (code, attempts)
    assert logged(proxy, name, case)[1] == flags
    assert logged(proxy, name, case)[3] == str(attempts)


def test_only_certain_requests_are_retried(proxy: Proxy) -> None:
    assert run(proxy, "only", failing(1, status(500)), "put", method="PUT")[1] == 2
    assert run(proxy, "only", failing(1, status(500)), "header", headers="x-a: 1\r\n")[1] == 2


def test_answers_of_retries(proxy: Proxy) -> None:
    assert run(proxy, "reset", CLOSE, "again", method="POST")[0].text == AGAIN + "connection termination"
    details = "upstream_reset_before_response_started{connection_termination}"
    assert logged(proxy, "reset", "again") == ("503", "URX,UC", details, "3")
    assert run(proxy, "three", failing(9, status(503)), "bad")[0].text == "bad"
    assert logged(proxy, "three", "bad") == ("503", "URX", "via_upstream", "4")


def test_counts(proxy: Proxy) -> None:
    name = "before"
    assert counted(proxy, name) == {}
    assert run(proxy, name, CLOSE, "one", method="POST")[1] == 1  # the request had been sent
    assert counted(proxy, name) == {}


def test_counts_of_success(proxy: Proxy) -> None:
    before = counted(proxy, "three")
    run(proxy, "three", failing(2, status(502)), "count")
    after = counted(proxy, "three")
    grown = {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}
    assert grown == {
        "retry": 2,
        "retry_backoff_exponential": 2,
        "retry_success": 1,
        "retry.upstream_rq_502": 2,
        "retry.upstream_rq_5xx": 2,
        "retry.upstream_rq_completed": 2,
    }


def test_counts_of_failure(proxy: Proxy) -> None:
    before = counted(proxy, "r5xx")
    run(proxy, "r5xx", failing(2, status(502)), "count-failure")
    after = counted(proxy, "r5xx")
    grown = {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}
    assert grown == {
        "retry": 1,
        "retry_backoff_exponential": 1,
        "retry_limit_exceeded": 1,
        "retry.upstream_rq_502": 1,
        "retry.upstream_rq_5xx": 1,
        "retry.upstream_rq_completed": 1,
    }


def test_connect_failure(proxy: Proxy) -> None:
    response = proxy.ask("/dead?refused")
    assert response.status == 503
    assert response.text.startswith(AGAIN + "remote connection failure")
    assert logged(proxy, "dead", "refused")[1::2] == ("URX,UF", "3")
    assert counted(proxy, "dead") == {
        "retry": 2,
        "retry_backoff_exponential": 2,
        "retry_limit_exceeded": 1,
    }
    assert proxy.stat("cluster.dead.upstream_cx_connect_fail") == 3
    assert proxy.stat("cluster.dead.upstream_rq_503") == 1
    assert run(proxy, "connect", CLOSE, "closed", method="POST")[1] == 1


@pytest.mark.parametrize("name", ["half", "labels", "canaries"])
def test_hosts_that_are_left_out(proxy: Proxy, name: str) -> None:
    """The first attempt may go to them, a retry does not."""
    before = proxy.stat(f"cluster.{name}.upstream_rq_retry")
    for number in range(6):
        assert proxy.ask(f"/{name}?{number}").status == 200
    assert proxy.stat(f"cluster.{name}.upstream_rq_retry") - before >= 2


def test_priorities_that_were_tried_are_left_out(proxy: Proxy) -> None:
    for number in range(3):
        assert proxy.ask(f"/tiers?{number}").status == 200


def test_policy_of_the_cluster(proxy: Proxy) -> None:
    """It takes the place of the route's, but for the time limits of that."""
    assert run(proxy, "clusters-own", failing(2, status(503)), "cluster")[1] == 3
    assert run(proxy, "routes-own", failing(2, status(503)), "route")[1] == 3
    proxy.ask("/routes-own?expected")
    assert proxy.origin().take()["x-envoy-expected-rq-timeout-ms"] == "200"


def test_no_host_at_all(proxy: Proxy) -> None:
    assert proxy.ask("/nobody?none").status == 503
    assert logged(proxy, "nobody", "none") == ("503", "UH", "no_healthy_upstream", "1")


def test_attempt_count(proxy: Proxy) -> None:
    proxy.origin().on("/own", failing(1, status(500)))
    response = proxy.ask("/own", host="counting", headers="x-envoy-attempt-count: 7\r\n")
    assert (response.status, response["x-envoy-attempt-count"]) == (200, "2")
    first, second = proxy.origin().take(), proxy.origin().take()
    assert (first["x-envoy-attempt-count"], second["x-envoy-attempt-count"]) == ("1", "2")
    assert (first["x-envoy-is-timeout-retry"], second["x-envoy-is-timeout-retry"]) == (None, "false")
    assert first["x-envoy-expected-rq-timeout-ms"] == "100"


def test_attempt_count_of_a_timeout(proxy: Proxy) -> None:
    proxy.origin().on("/own", silent())
    response = proxy.ask("/own", host="counting")
    assert (response.status, response["x-envoy-attempt-count"]) == (504, "2")
    first, second = proxy.origin().take(), proxy.origin().take()
    assert (first["x-envoy-is-timeout-retry"], second["x-envoy-is-timeout-retry"]) == (None, "true")


def test_policy_of_the_virtual_host(proxy: Proxy) -> None:
    proxy.origin().on("/other", failing(5, status(503)))
    assert proxy.ask("/other", host="counting")["x-envoy-attempt-count"] == "6"
    proxy.origin().on("/other", failing(1, status(500)))
    assert proxy.ask("/other", host="counting").status == 500


# header lines, what fails, how often -> status, attempts
TOLD = {
    "on": ("x-envoy-retry-on: 5xx\r\n", status(500), 1, 200, 2),
    "on-more": ("x-envoy-retry-on: reset, retriable-4xx\r\n", status(409), 1, 200, 2),
    "on-unknown": ("x-envoy-retry-on: nonsense\r\n", status(500), 1, 500, 1),
    "max": ("x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 3\r\n", status(500), 3, 200, 4),
    "max-zero": ("x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 0\r\n", status(500), 1, 500, 1),
    "max-nonsense": ("x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: x\r\n", status(500), 2, 500, 2),
    "max-alone": ("x-envoy-max-retries: 3\r\n", status(500), 1, 500, 1),
    "grpc": ("x-envoy-retry-grpc-on: internal\r\n", status(200, "grpc-status: 13\r\n", ""), 1, 200, 2),
    "grpc-not": ("x-envoy-retry-on: internal\r\n", status(200, "grpc-status: 13\r\n", ""), 1, 200, 1),
    "codes": (
        "x-envoy-retry-on: retriable-status-codes\r\nx-envoy-retriable-status-codes: 404,x, 418\r\n",
        status(418),
        1,
        200,
        2,
    ),
    "names": (
        "x-envoy-retry-on: retriable-headers\r\nx-envoy-retriable-header-names: x-a, X-Again\r\n",
        status(200, "x-again: 1\r\n"),
        1,
        200,
        2,
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_told_by_the_request(proxy: Proxy, case: str) -> None:
    headers, failure, times, code, attempts = TOLD[case]
    proxy.origin().on("/none", failing(times, failure))
    assert proxy.ask("/none", "inside", headers=headers).status == code
    names = []
    for _ in range(attempts):
        names += [name for name, _ in proxy.origin().take().headers if "retr" in name]
    assert names == []
    assert proxy.origin().nothing(0.02)


def test_not_told_from_outside(proxy: Proxy) -> None:
    headers = "x-envoy-retry-on: 5xx\r\nx-envoy-upstream-rq-timeout-ms: 1\r\n"
    assert run(proxy, "none", status(500), "outside", headers=headers)[1] == 1
