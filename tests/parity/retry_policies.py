"""One configuration with a cluster and a path for each retry policy, and what the tests of retries ask of it."""

from __future__ import annotations

import itertools
from typing import Any

from .harness import Proxy
from .origin import Answer, Exchange, raw, text
from .settings import Config, access_log, bootstrap, cluster, endpoint, listener, protocol_options
from .wire import Response

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
    "per_try_idle": ({"retry_on": "5xx", "num_retries": 1, "per_try_idle_timeout": "0.15s"}, {}),
    "total": ({"retry_on": "5xx", "num_retries": 9, "per_try_timeout": "0.1s"}, {"timeout": "0.15s"}),
    # The pause is anything up to the base interval.
    "waiting": (
        {"retry_on": "5xx", "num_retries": 9, "retry_back_off": {"base_interval": "10000s"}},
        {"timeout": "1s"},
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
    "budget_own": ({"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.2s"}, {}),
    "body": ({"retry_on": "5xx", "num_retries": 2}, {}),
    "hedge": (
        {"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.05s"},
        {"hedge_policy": {"hedge_on_per_try_timeout": True}, "timeout": "0.3s"},
    ),
    "told": (None, {}),  # by a header rule
    "high": ({"retry_on": "5xx", "num_retries": 1}, {"priority": "HIGH"}),
}
CLUSTERS: dict[str, Config] = {
    "budget_own": {
        "circuit_breakers": {
            "thresholds": [
                {"retry_budget": {"budget_percent": {"value": 100}, "min_retry_concurrency": 0}},
            ]
        }
    },
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


def dead_with(proxy: Proxy, values: Config) -> list[Config]:
    """Two hosts that refuse connections, with metadata for balancers."""
    more = {"metadata": {"filter_metadata": {"envoy.lb": values}}}
    return [endpoint(proxy.port(name)) | more for name in ("dead", "dead too")]


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
        cluster("labels", endpoint(port), *dead_with(proxy, {"state": ["old", "older"], "zone": 1})),
        cluster("canaries", endpoint(port), *dead_with(proxy, {"canary": True})),
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
            "labels",
            {
                "retry_on": "connect-failure",
                "num_retries": 1,
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.omit_host_metadata",
                        "typed_config": {
                            "@type": f"{kind}{hosts}omit_host_metadata.v3.OmitHostMetadataConfig",
                            "metadata_match": {"filter_metadata": {"envoy.lb": {"state": "old", "zone": 1}}},
                        },
                    }
                ],
                "host_selection_retry_max_attempts": 60,
            },
        ),
        (
            "canaries",
            {
                "retry_on": "connect-failure",
                "num_retries": 1,
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.omit_canary_hosts",
                        "typed_config": {
                            "@type": f"{kind}{hosts}omit_canary_hosts.v3.OmitCanaryHostsPredicate"
                        },
                    }
                ],
                "host_selection_retry_max_attempts": 60,
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
    proxy.origin().take()  # on a busy machine it may come later than the answer to a time limit
    count = 1
    while not proxy.origin().queue.empty():
        proxy.origin().queue.get()
        count += 1
    return response, count


def logged(proxy: Proxy, name: str, word: str) -> tuple[str, str, str, str]:
    line = proxy.log().fields(f"/{name}?{word}\t")
    return line["code"], line["flags"], line["details"], line["attempts"]


GRPC = "content-type: application/grpc\r\n"
CLOSE = raw(then="close")
