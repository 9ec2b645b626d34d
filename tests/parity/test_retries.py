"""Retries: what is retried, how often, what the upstreams and the client see of it, what is counted and logged."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from .harness import Proxy
from .origin import Answer, Exchange, raw, silent, text
from .settings import Config, access_log, bootstrap, cluster, endpoint, listener, protocol_options
from .wire import Response

pytestmark = pytest.mark.parity
FORMAT = (
    "id=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%"
    "\tattempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT%\n"
)
RESET = "upstream connect error or disconnect/reset before headers. reset reason: "
AGAIN = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "
QUICK = {"base_interval": "0.001s", "max_interval": "0.002s"}

# route and cluster: the retry policy, further fields of the route's action
POLICIES: dict[str, tuple[Config | None, Config]] = {
    "none": (None, {}),
    "empty": ({}, {}),
    "nonsense": ({"retry_on": "whatever,,"}, {}),
    "r5xx": ({"retry_on": "5xx"}, {}),
    "three": ({"retry_on": "5xx", "num_retries": 3}, {}),
    "zero": ({"retry_on": "5xx", "num_retries": 0}, {}),
    "gateway": ({"retry_on": "gateway-error", "num_retries": 2}, {}),
    "reset": ({"retry_on": "reset", "num_retries": 2}, {}),
    "before": ({"retry_on": "reset-before-request", "num_retries": 2}, {}),
    "connect": ({"retry_on": "connect-failure", "num_retries": 2}, {}),
    "limited": ({"retry_on": "envoy-ratelimited", "num_retries": 2}, {}),
    "conflict": ({"retry_on": "retriable-4xx", "num_retries": 2}, {}),
    "refused": ({"retry_on": "refused-stream"}, {}),
    "codes": (
        {
            "retry_on": "retriable-status-codes",
            "num_retries": 2,
            "retriable_status_codes": [418, 425],
        },
        {},
    ),
    "grpc": ({"retry_on": "cancelled, unavailable ,internal", "num_retries": 2}, {}),
    "headers": (
        {
            "retry_on": "retriable-headers",
            "retriable_headers": [
                {"name": "x-again"},
                {"name": "x-b", "string_match": {"exact": "yes"}},
                {"name": ":status", "string_match": {"exact": "299"}},
            ],
        },
        {},
    ),
    "only": (
        {
            "retry_on": "5xx",
            "retriable_request_headers": [
                {"name": ":method", "string_match": {"exact": "PUT"}},
                {"name": "x-a"},
            ],
        },
        {},
    ),
    "http3": ({"retry_on": "http3-post-connect-failure"}, {}),
    "per_try": ({"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.05s"}, {}),
    "per_try_no": ({"per_try_timeout": "0.05s"}, {}),
    "per_try_long": ({"retry_on": "5xx", "per_try_timeout": "0.1s"}, {"timeout": "0.1s"}),
    "per_try_idle": ({"retry_on": "5xx", "num_retries": 1, "per_try_idle_timeout": "0.05s"}, {}),
    "total": ({"retry_on": "5xx", "num_retries": 9, "per_try_timeout": "0.1s"}, {"timeout": "0.15s"}),
    "waiting": (
        {"retry_on": "5xx", "num_retries": 9, "retry_back_off": {"base_interval": "10s"}},
        {"timeout": "0.3s"},
    ),
    "asked": (
        {
            "retry_on": "5xx",
            "num_retries": 1,
            "rate_limited_retry_back_off": {
                "reset_headers": [
                    {"name": "X-Reset", "format": "SECONDS"},
                    {"name": "x-at", "format": "UNIX_TIMESTAMP"},
                ],
                "max_interval": "1.5s",
            },
        },
        {},
    ),
    "breaker": ({"retry_on": "5xx", "num_retries": 2}, {}),
    "budget": ({"retry_on": "5xx", "num_retries": 2}, {}),
    "budget_low": ({"retry_on": "5xx", "num_retries": 2}, {}),
    "body": ({"retry_on": "5xx", "num_retries": 2}, {}),
    "hedge": (
        {"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.05s"},
        {"hedge_policy": {"hedge_on_per_try_timeout": True}, "timeout": "0.3s"},
    ),
    "told": (None, {}),  # by a header rule
    "high": ({"retry_on": "5xx", "num_retries": 1}, {"priority": "HIGH"}),
}
CLUSTERS: dict[str, Config] = {
    "waiting": {"circuit_breakers": {"thresholds": [{"max_retries": 1, "track_remaining": True}]}},
    "breaker": {"circuit_breakers": {"thresholds": [{"max_retries": 0, "track_remaining": True}]}},
    "budget": {
        "circuit_breakers": {"thresholds": [{"max_retries": 0, "retry_budget": {}, "track_remaining": True}]}
    },
    "budget_low": {
        "circuit_breakers": {
            "thresholds": [
                {
                    "retry_budget": {"budget_percent": {"value": 1}, "min_retry_concurrency": 0},
                    "track_remaining": True,
                }
            ]
        }
    },
}


def routes() -> list[Config]:
    found = []
    for name, (policy, action) in POLICIES.items():
        route: Config = {"cluster": name, **action}
        if policy is not None:
            if "retry_back_off" not in policy and policy:
                policy = {**policy, "retry_back_off": QUICK}
            route["retry_policy"] = policy
        found.append({"match": {"path": f"/{name}"}, "route": route})
    found[[*POLICIES].index("body")]["per_request_buffer_limit_bytes"] = 10
    told = [{"header": {"key": "x-envoy-retry-on", "value": "5xx"}}]
    found[[*POLICIES].index("told")]["request_headers_to_add"] = told
    return found


#: By path: what a route says of the content that is kept.
KEPT: dict[str, Config] = {
    "kept_listener": {},
    "kept_old": {"per_request_buffer_limit_bytes": 9000},
    "kept_new": {"request_body_buffer_limit": 9000},
    "kept_both": {"per_request_buffer_limit_bytes": 10, "request_body_buffer_limit": 9000},
}


def limited(port: int) -> list[Config]:
    """Virtual hosts that limit what is kept, and one that does not."""
    retry = {"retry_on": "5xx", "num_retries": 1, "retry_back_off": QUICK}
    routes = [
        {"match": {"path": f"/{name}"}, "route": {"cluster": "none", "retry_policy": retry}, **fields}
        for name, fields in KEPT.items()
    ]
    return [
        {"name": "kept", "domains": ["kept"], "routes": routes},
        {"name": "old", "domains": ["old"], "routes": routes, "per_request_buffer_limit_bytes": 200},
        {"name": "new", "domains": ["new"], "routes": routes, "request_body_buffer_limit": 200},
    ]


def configure(proxy: Proxy) -> Config:
    port = proxy.origin().port
    clusters = [cluster(name, port, **CLUSTERS.get(name, {})) for name in POLICIES]
    log = access_log(proxy.log().path, FORMAT)
    counting = {
        "name": "counting",
        "domains": ["counting"],
        "include_request_attempt_count": True,
        "include_attempt_count_in_response": True,
        "include_is_timeout_retry_header": True,
        "retry_policy": {"retry_on": "gateway-error", "num_retries": 5, "retry_back_off": QUICK},
        "routes": [
            {
                "match": {"prefix": "/own"},
                "route": {
                    "cluster": "counting",
                    "retry_policy": {
                        "retry_on": "5xx",
                        "num_retries": 1,
                        "per_try_timeout": "0.1s",
                        "retry_back_off": QUICK,
                    },
                },
            },
            {"match": {"prefix": "/"}, "route": {"cluster": "counting"}},
        ],
    }
    policy = {"retry_on": "5xx", "num_retries": 2, "retry_back_off": QUICK, "per_try_timeout": "9s"}
    own = protocol_options(retry_policy=policy)
    clusters += [
        cluster("own", port, typed_extension_protocol_options=own),
        cluster("nobody"),
        cluster("counting", port),
        cluster("dead", proxy.port("dead")),
        cluster("half", endpoint(port), endpoint(proxy.port("dead"))),
        cluster(
            "tiers",
            load_assignment={
                "cluster_name": "tiers",
                "endpoints": [
                    {"lb_endpoints": [endpoint(proxy.port("dead"))], "priority": 0},
                    {"lb_endpoints": [endpoint(port)], "priority": 1},
                ],
            },
        ),
    ]
    hosts = "envoy.extensions.retry.host."
    kind = "type.googleapis.com/"
    dead = [
        ("dead", {"retry_on": "connect-failure", "num_retries": 2}),
        (
            "half",
            {
                "retry_on": "connect-failure",
                "num_retries": 1,
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {"@type": f"{kind}{hosts}previous_hosts.v3.PreviousHostsPredicate"},
                    }
                ],
                "host_selection_retry_max_attempts": 20,
            },
        ),
        (
            "tiers",
            {
                "retry_on": "connect-failure",
                "num_retries": 1,
                "retry_priority": {
                    "name": "envoy.retry_priorities.previous_priorities",
                    "typed_config": {
                        "@type": f"{kind}envoy.extensions.retry.priority.previous_priorities.v3"
                        ".PreviousPrioritiesConfig",
                        "update_frequency": 1,
                    },
                },
            },
        ),
    ]
    others = [
        {
            "match": {"prefix": f"/{name}"},
            "route": {"cluster": name, "retry_policy": {**policy, "retry_back_off": QUICK}},
        }
        for name, policy in dead
    ]
    own_routes: list[Config] = [
        {"match": {"path": "/clusters-own"}, "route": {"cluster": "own"}},
        {
            "match": {"path": "/routes-own"},
            "route": {
                "cluster": "own",
                "retry_policy": {"retry_on": "reset", "per_try_timeout": "0.2s"},
            },
        },
        {
            "match": {"path": "/nobody"},
            "route": {"cluster": "nobody", "retry_policy": {"retry_on": "5xx"}},
        },
    ]
    vhosts = [
        {"name": "all", "domains": ["*"], "routes": [*routes(), *others, *own_routes]},
        counting,
        *limited(port),
    ]
    inside = {
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]},
        "use_remote_address": True,
    }
    listeners = [
        listener("main", proxy.port(), vhosts, access_log=[log]),
        {**listener("small", proxy.port("small"), vhosts), "per_connection_buffer_limit_bytes": 5000},
        listener("inside", proxy.port("inside"), vhosts, access_log=[log], **inside),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def failing(times: int, failure: Answer, then: Answer | None = None) -> Answer:
    """Fail so often, then answer well."""
    count = itertools.count(1)
    last = then or text("good")

    def answer(exchange: Exchange) -> None:
        (failure if next(count) <= times else last)(exchange)

    return answer


def status(code: int, headers: str = "", body: str = "bad") -> Answer:
    return text(body, f"{code} X", headers)


def counted(proxy: Proxy, name: str) -> dict[str, int]:
    """What the cluster has counted of retries."""
    prefix = f"cluster.{name}."
    found = proxy.stats("^" + prefix.replace(".", "%5C."))
    short = {key.removeprefix(prefix).removeprefix("upstream_rq_"): value for key, value in found.items()}
    return {key: value for key, value in short.items() if value and key.startswith(("retry", "per_try"))}


def run(proxy: Proxy, name: str, answer: Answer, word: str, **request: Any) -> tuple[Response, int]:
    """One request; how many attempts reached the origin."""
    proxy.origin().on(f"/{name}", answer)
    response = proxy.ask(f"/{name}?{word}", **request)
    count = 0
    while not proxy.origin().queue.empty():
        proxy.origin().queue.get()
        count += 1
    return response, count


def logged(proxy: Proxy, name: str, word: str) -> tuple[str, str, str, str]:
    line = proxy.log().fields(f"/{name}?{word}\t")
    return line["code"], line["flags"], line["details"], line["attempts"]


GRPC = "content-type: application/grpc\r\n"
CLOSE = raw(then="close")

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


def test_hosts_that_were_tried_are_left_out(proxy: Proxy) -> None:
    for number in range(6):
        assert proxy.ask(f"/half?{number}").status == 200


def test_priorities_that_were_tried_are_left_out(proxy: Proxy) -> None:
    for number in range(3):
        assert proxy.ask(f"/tiers?{number}").status == 200


def test_per_try_timeout(proxy: Proxy) -> None:
    response, count = run(proxy, "per_try", silent(), "slow")
    assert (response.status, response.text, count) == (504, "upstream request timeout", 2)
    assert logged(proxy, "per_try", "slow") == ("504", "URX,UT", "upstream_per_try_timeout", "2")
    assert counted(proxy, "per_try") == {
        "per_try_timeout": 2,
        "retry": 1,
        "retry_backoff_exponential": 1,
        "retry_limit_exceeded": 1,
    }
    response, count = run(proxy, "per_try", failing(1, silent()), "once-slow")
    assert (response.status, count) == (200, 2)


def test_per_try_timeout_without_retries(proxy: Proxy) -> None:
    response, count = run(proxy, "per_try_no", silent(), "slow")
    assert (response.status, count) == (504, 1)
    assert logged(proxy, "per_try_no", "slow") == ("504", "UT", "upstream_per_try_timeout", "1")


def test_per_try_timeout_that_is_too_long(proxy: Proxy) -> None:
    response, count = run(proxy, "per_try_long", silent(), "slow")
    assert (response.status, count) == (504, 1)
    assert logged(proxy, "per_try_long", "slow") == ("504", "UT", "response_timeout", "1")


def test_per_try_timeout_after_the_head(proxy: Proxy) -> None:
    """It does not matter any more."""
    slow = raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", 0.12, "ok")
    response, count = run(proxy, "per_try", slow, "slow-body")
    assert (response.status, response.text, count) == (200, "ok", 1)


def test_per_try_idle_timeout(proxy: Proxy) -> None:
    response, count = run(proxy, "per_try_idle", silent(), "slow")
    assert (response.status, count) == (504, 2)
    assert logged(proxy, "per_try_idle", "slow") == ("504", "URX,UT", "upstream_per_try_idle_timeout", "2")
    assert counted(proxy, "per_try_idle")["per_try_idle_timeout"] == 2
    drops = raw("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", 0.03, "a", 0.03, "b", 0.03, "c")
    response, count = run(proxy, "per_try_idle", drops, "drops")
    assert (response.status, response.text, count) == (200, "abc", 1)


def test_total_timeout(proxy: Proxy) -> None:
    response, count = run(proxy, "total", silent(), "slow")
    assert (response.status, count) == (504, 2)
    assert logged(proxy, "total", "slow") == ("504", "UT", "response_timeout", "2")
    assert proxy.stat("cluster.total.upstream_rq_timeout") == 1
    assert proxy.stat("cluster.total.upstream_rq_504") == 1


def test_total_timeout_within_the_back_off(proxy: Proxy) -> None:
    response, count = run(proxy, "waiting", status(503), "slow")
    assert (response.status, count) == (504, 1)
    assert logged(proxy, "waiting", "slow") == ("504", "UT", "response_timeout", "1")
    assert proxy.stat("cluster.waiting.upstream_rq_timeout") == 0
    assert proxy.stat("cluster.waiting.upstream_rq_504") == 0


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("x-reset: 1", "ratelimited"),
        ("x-reset: 0", "exponential"),
        ("x-reset: 2", "exponential"),
        ("x-reset: later", "exponential"),
        ("x-reset: 9\r\nx-at: 5", "exponential"),
    ],
)
def test_back_off_as_asked(proxy: Proxy, header: str, kind: str) -> None:
    """Only what is within the maximum counts."""
    name = f"cluster.asked.upstream_rq_retry_backoff_{kind}"
    before = proxy.stat(name)
    answer = status(503, f"{header}\r\n")
    started = time.monotonic()
    assert run(proxy, "asked", answer, "asked")[1] == 2
    assert (time.monotonic() - started > 0.9) == (kind == "ratelimited")
    assert proxy.stat(name) == before + 1


def test_circuit_breaker(proxy: Proxy) -> None:
    response, count = run(proxy, "breaker", status(503), "full")
    assert (response.status, response.text, count) == (503, "bad", 1)
    assert logged(proxy, "breaker", "full") == ("503", "UO", "via_upstream", "1")
    assert counted(proxy, "breaker") == {"retry_overflow": 1}
    response, count = run(proxy, "breaker", CLOSE, "closed", method="POST")
    assert (response.text, count) == (RESET + "connection termination", 1)
    assert logged(proxy, "breaker", "closed")[1] == "UO,UC"


def test_circuit_breaker_while_a_retry_waits(proxy: Proxy) -> None:
    """A retry counts from the decision on; what it adds to the statistics is added when it is made."""
    proxy.origin().on("/waiting", status(503))
    prefix = "cluster.waiting."
    gauges = f"{prefix}circuit_breakers.default."
    assert proxy.stats(f"^{gauges}.*retr") == {gauges + "rq_retry_open": 0, gauges + "remaining_retries": 1}
    with proxy.client() as client:
        client.send("GET /waiting?first HTTP/1.1\r\nhost: a\r\n\r\n")
        assert proxy.stat_becomes(gauges + "rq_retry_open", 1)
        assert proxy.stat(gauges + "remaining_retries") == 0
        assert proxy.ask("/waiting?second").status == 503
        assert proxy.stat(prefix + "upstream_rq_retry") == 0
        assert proxy.stat(prefix + "upstream_rq_retry_overflow") == 1
        assert client.read().status == 504
    assert proxy.stat(gauges + "rq_retry_open") == 0


def test_budget(proxy: Proxy) -> None:
    """It takes the place of max_retries, also where it is empty."""
    assert run(proxy, "budget", failing(1, status(503)), "empty")[1] == 2
    assert run(proxy, "budget_low", failing(1, status(503)), "low")[1] == 1
    assert counted(proxy, "budget_low") == {"retry_overflow": 1}


def test_a_body_is_sent_again(proxy: Proxy) -> None:
    bodies = []

    def answer(exchange: Exchange) -> None:
        bodies.append(exchange.read_body())
        status(503)(exchange)

    assert run(proxy, "three", answer, "body", method="POST", body=b"x" * 3000)[1] == 4
    assert bodies == [b"x" * 3000] * 4


def test_chunks_and_trailers_are_sent_again(proxy: Proxy) -> None:
    proxy.origin().on("/r5xx", failing(1, status(503)))
    with proxy.client() as client:
        client.send("POST /r5xx?chunks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        client.send("3\r\nabc\r\n4\r\ndefg\r\n")
        client.send("0\r\n\r\n")
        assert client.read().text == "good"
    assert [proxy.origin().take().wait().body for _ in range(2)] == [b"abcdefg"] * 2


def test_a_body_over_the_limit_is_not_kept(proxy: Proxy) -> None:
    name = "cluster.body.retry_or_shadow_abandoned"
    assert run(proxy, "body", status(503), "kept", method="POST", body=b"x" * 10)[1] == 3
    assert proxy.stat(name) == 0
    response, count = run(proxy, "body", status(503), "large", method="POST", body=b"x" * 11)
    assert (response.status, response.text, count) == (503, "bad", 1)
    assert logged(proxy, "body", "large")[1] == "-"
    assert proxy.stat(name) == 1


# virtual host, route: the largest content that is kept
LIMITS = {
    ("kept", "kept_listener"): 5000,
    ("kept", "kept_old"): 9000,
    ("kept", "kept_new"): 9000,
    ("kept", "kept_both"): 9000,
    ("old", "kept_listener"): 200,
    ("old", "kept_old"): 9000,
    ("new", "kept_listener"): 200,
    ("new", "kept_old"): 200,
    ("new", "kept_new"): 9000,
}


@pytest.mark.parametrize(("host", "route"), LIMITS)
def test_how_much_is_kept(proxy: Proxy, host: str, route: str) -> None:
    """The nearest word of the newer field, or else of the older one, or else the listener's limit."""
    proxy.origin().on(f"/{route}", status(503))
    limit = LIMITS[host, route]
    for size, attempts in ((limit, 2), (limit + 1, 1)):
        proxy.ask(f"/{route}", "small", method="POST", body=b"x" * size, host=host)
        for _ in range(attempts):
            proxy.origin().take().wait()
        assert proxy.origin().nothing(0.01)


def test_policy_of_the_cluster(proxy: Proxy) -> None:
    """It takes the place of the route's, but for the time limits of that."""
    assert run(proxy, "clusters-own", failing(2, status(503)), "cluster")[1] == 3
    assert run(proxy, "routes-own", failing(2, status(503)), "route")[1] == 3
    proxy.ask("/routes-own?expected")
    assert proxy.origin().take()["x-envoy-expected-rq-timeout-ms"] == "200"


def test_no_host_at_all(proxy: Proxy) -> None:
    assert proxy.ask("/nobody?none").status == 503
    assert logged(proxy, "nobody", "none") == ("503", "UH", "no_healthy_upstream", "1")


def test_an_answer_before_the_whole_request_is_retried(proxy: Proxy) -> None:
    proxy.origin().on("/three", failing(1, raw("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n", early=True)))
    with proxy.client() as client:
        client.send("POST /three?early HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc")
        proxy.origin().take()
        second = proxy.origin().take()
        client.send("def")
        assert client.read().text == "good"
        assert second.wait().body == b"abcdef"


def test_a_body_over_the_limit_while_there_is_no_attempt(proxy: Proxy) -> None:
    early = raw("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n", early=True)
    proxy.origin().on("/waiting", early)
    with proxy.client() as client:
        client.send("POST /waiting?grows HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\nabc")
        proxy.origin().take()
        assert proxy.stat_becomes("cluster.waiting.upstream_rq_active", 0)
        client.send(b"x" * 1_500_000)
        response = client.read()
        assert (response.status, response.text) == (
            507,
            "exceeded request buffer limit while retrying upstream",
        )
    assert logged(proxy, "waiting", "grows")[1:3] == ("-", "request_payload_exceeded_retry_buffer_limit")


def test_hedging(proxy: Proxy) -> None:
    """The first attempt may still win."""
    slow = raw(0.15, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow")
    response, count = run(proxy, "hedge", failing(1, slow, silent()), "first-wins")
    assert (response.status, response.text, count) == (200, "slow", 2)
    assert logged(proxy, "hedge", "first-wins")[0::3] == ("200", "2")
    response, count = run(proxy, "hedge", failing(1, silent()), "second-wins")
    assert (response.status, response.text, count) == (200, "good", 2)
    response, count = run(proxy, "hedge", silent(), "none-wins")
    assert (response.status, count) == (504, 2)
    assert logged(proxy, "hedge", "none-wins") == ("504", "URX,UT", "response_timeout", "2")


def test_hedging_with_a_bad_answer(proxy: Proxy) -> None:
    bad_late = raw(0.1, "HTTP/1.1 503 X\r\ncontent-length: 3\r\n\r\nbad")
    good_later = raw(0.12, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
    response, count = run(proxy, "hedge", failing(1, bad_late, good_later), "bad-then-good")
    assert (response.status, response.text, count) == (200, "good", 2)


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
