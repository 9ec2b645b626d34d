"""Requests that say which host they want."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .test_localities import policy
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

SET_METADATA = "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
SOURCES = [
    {"header": "X-Target"},
    {"metadata": {"key": "wanted", "path": [{"key": "hosts"}, {"key": "first"}]}},
]


def address(proxy: Proxy, name: str) -> str:
    return proxy.origin(name).address if name in "abc" else f"127.0.0.1:{proxy.port(name)}"


def configure(proxy: Proxy) -> Config:
    for name in "abc":
        proxy.origin(name).default = text(name)
    hosts = [endpoint(proxy.origin(name).port) for name in "ab"]
    hosts.append(endpoint(proxy.origin("c").port) | {"health_status": "UNHEALTHY"})
    hosts.append(endpoint(proxy.port("dead")) | {"health_status": "UNHEALTHY"})
    override = policy(
        "override_host",
        "OverrideHost",
        override_host_sources=SOURCES,
        fallback_policy=policy("round_robin", "RoundRobin"),
    )
    clusters = [cluster("app", *hosts, load_balancing_policy=override)]
    retry = {
        "retry_on": "connect-failure",
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
    }
    routes = [
        {"match": {"prefix": "/retry"}, "route": {"cluster": "app", "retry_policy": retry}},
        {
            "match": {"prefix": "/metadata"},
            "route": {"cluster": "app"},
            "typed_per_filter_config": {"set": set_metadata({"hosts": {"first": address(proxy, "b")}})},
        },
        {"match": {"prefix": "/"}, "route": {"cluster": "app"}},
    ]
    filters = [
        {"name": "set", "typed_config": {"@type": SET_METADATA}},
        {"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}},
    ]
    virtual_hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    listeners = [listener("main", proxy.port(), virtual_hosts, http_filters=filters)]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def set_metadata(value: Config) -> Config:
    return {"@type": SET_METADATA, "metadata": [{"metadata_namespace": "wanted", "value": value}]}


def answered(workers: Workers, path: str, *targets: str) -> set[str]:
    """Who answered four requests, of which each has the header once for each of `targets`: one answer, if all workers
    agree on it.  Host names in the targets stand for their addresses."""
    lines = ""
    for target in targets:
        for name in ("a", "b", "c", "dead", "nobody"):
            target = target.replace(f"<{name}>", address(workers.proxy, name))
        lines += f"x-target: {target}\r\n"
    return {" ".join(sorted(found)) for found in workers.ask(path, 4, lines)}


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["<a>"], "a a a a"),
        (["<b>"], "b b b b"),
        (["<c>"], "c c c c"),  # whatever its health
        (["<dead>"], "503 503 503 503"),
        (["<nobody>, <b>,<a>"], "b b b b"),
        ([" ,<b> , "], "b b b b"),
        (["<a>", "<b>"], "a a a a"),  # only the first field counts
    ],
)
def test_wanted(workers: Workers, targets: list[str], expected: str) -> None:
    assert answered(workers, "/", *targets) == {expected}


@pytest.mark.parametrize("targets", [[], ["<nobody>"], [""], ["nonsense"]])
def test_nobody_there(workers: Workers, targets: list[str]) -> None:
    assert answered(workers, "/", *targets) == {"a a b b"}


def test_metadata(workers: Workers) -> None:
    assert answered(workers, "/metadata") == {"b b b b"}
    assert answered(workers, "/metadata", "<a>") == {"a a a a"}


def test_retries_go_to_the_next_one(workers: Workers) -> None:
    assert answered(workers, "/retry", "<dead>, <b>") == {"b b b b"}
    assert answered(workers, "/retry", "<dead>,<nobody>,<dead>, <c>") == {"c c c c"}
    assert answered(workers, "/retry", "<dead>") == {"a a b b"}
