"""Requests that say which host they want."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .test_localities import policy

pytestmark = pytest.mark.parity

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


def answered(proxy: Proxy, path: str, *targets: str, count: int = 4) -> str:
    """Who answered these requests, of which each has the header once for each of `targets`; host names in them stand for
    their addresses."""
    lines = ""
    for target in targets:
        for name in ("a", "b", "c", "dead", "nobody"):
            target = target.replace(f"<{name}>", address(proxy, name))
        lines += f"x-target: {target}\r\n"
    found = ""
    with proxy.client() as client:
        for _ in range(count):
            response = client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n{lines}\r\n").read()
            found += response.text if response.status == 200 else f"{response.status} "
    return found


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["<a>"], "aaaa"),
        (["<b>"], "bbbb"),
        (["<c>"], "cccc"),  # whatever its health
        (["<dead>"], "503 503 503 503 "),
        (["<nobody>, <b>,<a>"], "bbbb"),
        ([" ,<b> , "], "bbbb"),
        (["<a>", "<b>"], "aaaa"),  # only the first field counts
    ],
)
def test_wanted(proxy: Proxy, targets: list[str], expected: str) -> None:
    assert answered(proxy, "/", *targets) == expected


@pytest.mark.parametrize("targets", [[], ["<nobody>"], [""], ["nonsense"]])
def test_nobody_there(proxy: Proxy, targets: list[str]) -> None:
    assert sorted(answered(proxy, "/", *targets)) == list("aabb")


def test_metadata(proxy: Proxy) -> None:
    assert answered(proxy, "/metadata") == "bbbb"
    assert answered(proxy, "/metadata", "<a>") == "aaaa"


def test_retries_go_to_the_next_one(proxy: Proxy) -> None:
    assert answered(proxy, "/retry", "<dead>, <b>") == "bbbb"
    assert answered(proxy, "/retry", "<dead>,<nobody>,<dead>, <c>") == "cccc"
    assert sorted(answered(proxy, "/retry", "<dead>")) == list("aabb")
