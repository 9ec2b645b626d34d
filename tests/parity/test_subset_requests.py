"""What a request wants of a host's metadata, and what a subset is beyond its hosts: retries, mirrors, hashes, panic,
changes of the hosts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .harness import Proxy, wait_for
from .settings import ROUTER, Config, bootstrap, cluster, endpoint, listener
from .test_cluster_types import ASSIGNMENT, eds_cluster, replace

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
SET_METADATA = "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config"
POLICIES = "type.googleapis.com/envoy.extensions.load_balancing_policies."
PREVIOUS_HOSTS = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
PREVIOUS_PRIORITIES = (
    "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
)

#: Host → its `envoy.lb` metadata.
HOSTS: dict[str, Config] = {
    "a": {"version": "1", "stage": "prod", "hash_key": "key-of-a"},
    "b": {"version": "2", "stage": "prod", "hash_key": "key-of-b"},
    "c": {"version": "1", "stage": "dev", "hash_key": "key-of-c"},
    "d": {"version": "2", "stage": "dev", "hash_key": "key-of-d"},
}
SUBSETS: Config = {
    "subset_selectors": [{"keys": ["version"]}, {"keys": ["stage"]}, {"keys": ["stage", "version"]}]
}


def match(**values: object) -> Config:
    return {"metadata_match": {"filter_metadata": {"envoy.lb": values}}}


def host(proxy: Proxy, name: str, **fields: object) -> Config:
    metadata = {"filter_metadata": {"envoy.lb": HOSTS[name]}}
    return {**endpoint(proxy.origin(name).port), "metadata": metadata, **fields}


def extension(kind: str, **config: object) -> Config:
    typed = {"name": kind, "typed_config": {"@type": POLICIES + kind, **config}}
    return {"policies": [{"typed_extension_config": typed}]}


def redundant(*keys: list[str]) -> Config:
    return {
        "load_balancing_policy": extension(
            "subset.v3.Subset",
            subset_selectors=[{"keys": each} for each in keys],
            allow_redundant_keys=True,
            subset_lb_policy=extension("round_robin.v3.RoundRobin"),
        )
    }


def localities(proxy: Proxy) -> list[Config]:
    """Two priorities; of version 1 and of version 2 there is one host in each, and those of version 1 are ill in the
    first."""
    return [
        {"priority": 0, "lb_endpoints": [host(proxy, "a", health_status="UNHEALTHY"), host(proxy, "b")]},
        {"priority": 1, "lb_endpoints": [host(proxy, "c"), host(proxy, "d")]},
    ]


def clusters(proxy: Proxy) -> list[Config]:
    every = [host(proxy, name) for name in HOSTS]
    ill = [host(proxy, "a", health_status="UNHEALTHY"), *(host(proxy, name) for name in "bcd")]
    of_locality = {
        "filter_metadata": {"envoy.lb": {"version": "1", "stage": "prod"}},
    }
    return [
        cluster("app", *every, lb_subset_config=SUBSETS),
        cluster("any", *every, lb_subset_config={**SUBSETS, "fallback_policy": "ANY_ENDPOINT"}),
        cluster("hashing", *every, lb_policy="RING_HASH", lb_subset_config=SUBSETS),
        cluster("hashing-all", *every, lb_policy="RING_HASH"),
        cluster("least", *every, lb_policy="LEAST_REQUEST", lb_subset_config=SUBSETS),
        cluster("ill", *ill, lb_subset_config=SUBSETS),
        cluster(
            "priorities",
            load_assignment={"cluster_name": "priorities", "endpoints": localities(proxy)},
            lb_subset_config=SUBSETS,
        ),
        cluster(
            "of-locality",
            load_assignment={
                "cluster_name": "of-locality",
                "endpoints": [
                    {"lb_endpoints": [endpoint(proxy.origin("a").port)], "metadata": of_locality},
                    {"lb_endpoints": [host(proxy, "b")]},
                ],
            },
            lb_subset_config=SUBSETS,
        ),
        cluster(
            "extension",
            *every,
            load_balancing_policy=extension(
                "subset.v3.Subset", **SUBSETS, subset_lb_policy=extension("random.v3.Random")
            ),
        ),
        cluster("redundant", *every, **redundant(["version"], ["stage"], ["stage", "version"])),
        cluster("redundant-two", *every, **redundant(["version"], ["stage"])),
        cluster("redundant-two-turned", *every, **redundant(["stage"], ["version"])),
        cluster("redundant-longest", *every, **redundant(["stage", "version"], ["version"])),
        eds_cluster("eds", eds_path(proxy)) | {"lb_subset_config": SUBSETS},
    ]


def eds_path(proxy: Proxy) -> Path:
    return proxy.directory / "eds.json"


def write_eds(proxy: Proxy, names: str, **changed: Config) -> None:
    found = []
    for name in names:
        one = host(proxy, name)
        if name in changed:
            one["metadata"]["filter_metadata"]["envoy.lb"] = changed[name]
        found.append(one)
    assignment = {"@type": ASSIGNMENT, "cluster_name": "eds", "endpoints": [{"lb_endpoints": found}]}
    replace(eds_path(proxy), json.dumps({"version_info": "1", "resources": [assignment]}))


def leaving(values: Config, namespace: str = "envoy.lb") -> Config:
    """A route's setting of the filter that leaves dynamic metadata."""
    one = {"metadata_namespace": namespace, "value": values}
    return {"typed_per_filter_config": {"leaving": {"@type": SET_METADATA, "metadata": [one]}}}


def to(cluster_name: str, **fields: object) -> Config:
    return {"route": {"cluster": cluster_name, **fields}}


def weighted(*parts: tuple[int, Config], **fields: object) -> Config:
    found = [{"name": "app", "weight": weight, **part} for weight, part in parts]
    return {"route": {"weighted_clusters": {"clusters": found}, **fields}}


RETRIES: Config = {
    "retry_on": "5xx",
    "num_retries": 1,
    "retry_host_predicate": [{"name": "p", "typed_config": {"@type": PREVIOUS_HOSTS}}],
    "host_selection_retry_max_attempts": "5",
}
#: Path → what its route does.
ROUTES: dict[str, Config] = {
    "weighted": weighted((1, match(version="1"))),
    "weighted-and-route": weighted((1, match(version="2")), **match(stage="dev")),
    "weighted-over-route": weighted((1, match(version="2")), **match(version="1", stage="dev")),
    "weighted-none": weighted((1, {}), **match(version="1", stage="dev")),
    "weighted-two": weighted((1, match(version="1", stage="dev")), (1, match(version="2", stage="prod"))),
    "dynamic": to("app") | leaving({"version": "2"}),
    "dynamic-and-route": to("app", **match(stage="dev")) | leaving({"version": "2"}),
    "dynamic-over-route": to("app", **match(stage="dev", version="1")) | leaving({"version": "2"}),
    "dynamic-weighted": weighted((1, match(version="2")), **match(stage="dev")) | leaving({"stage": "prod"}),
    "dynamic-other": to("app", **match(version="1")) | leaving({"version": "2"}, "other"),
    "dynamic-empty": to("app", **match(version="1")) | leaving({}),
    "other-namespace": to("app", metadata_match={"filter_metadata": {"other": {"version": "1"}}}),
    "least": to("least", **match(version="1")),
    "extension": to("extension", **match(version="1")),
    "redundant-first": to("redundant", **match(version="1", stage="dev")),
    "redundant-two": to("redundant-two", **match(version="1", stage="dev")),
    "redundant-two-turned": to("redundant-two-turned", **match(version="1", stage="dev")),
    "redundant-unknown": to("redundant", **match(version="1", x="y")),
    "redundant-second": to("redundant", **match(x="y", stage="dev")),
    "redundant-none": to("redundant", **match(x="y")),
    "redundant-longest": to("redundant-longest", **match(version="1", stage="dev", x="y")),
    "ill": to("ill", **match(version="1", stage="prod")),
    "ill-of-two": to("ill", **match(version="1")),
    "priority-failover": to("priorities", **match(version="1")),
    "priority-first": to("priorities", **match(version="2")),
    "priority-second": to("priorities", **match(stage="dev")),
    "priority-panic": to("priorities", **match(stage="prod", version="1")),
    "of-locality": to("of-locality", **match(stage="prod")),
    "retry": to("app", retry_policy=RETRIES, **match(version="1")),
    "retry-alone": to("app", retry_policy=RETRIES, **match(version="1", stage="prod")),
    "mirror-dynamic": to("app", request_mirror_policies=[{"cluster": "any"}])
    | leaving({"version": "2", "stage": "dev"}),
    "mirror-both": to("app", request_mirror_policies=[{"cluster": "any"}], **match(version="1", stage="dev"))
    | leaving({"stage": "prod"}),
    "mirror-weighted": weighted(
        (1, match(version="1", stage="dev")), request_mirror_policies=[{"cluster": "any"}]
    ),
    "hash": to("hashing", hash_policy=[{"header": {"header_name": "x-key"}}], **match(version="1")),
    "eds1": to("eds", **match(version="1")),
    "eds2": to("eds", **match(version="2")),
    "eds3": to("eds", **match(version="3")),
    "tunnel": to("app", upgrade_configs=[{"upgrade_type": "websocket"}], **match(version="1", stage="dev")),
}
#: Path → the hosts that requests on it reach, "" for 503.
REACHED = {
    "weighted": "ac",
    "weighted-and-route": "d",
    "weighted-over-route": "d",
    "weighted-none": "c",
    "weighted-two": "bc",
    "dynamic": "bd",
    "dynamic-and-route": "d",
    "dynamic-over-route": "d",
    "dynamic-weighted": "b",
    "dynamic-other": "ac",
    "dynamic-empty": "ac",
    "other-namespace": "",
    "least": "ac",
    "extension": "ac",
    "redundant-first": "c",
    "redundant-two": "ac",
    "redundant-two-turned": "cd",
    "redundant-unknown": "ac",
    "redundant-second": "cd",
    "redundant-none": "",
    "redundant-longest": "c",
    "ill": "a",
    "ill-of-two": "c",
    "priority-failover": "c",
    "priority-first": "b",
    "priority-second": "cd",
    "priority-panic": "a",
    "of-locality": "b",
    "retry": "ac",
    "retry-alone": "a",
}


def configure(proxy: Proxy) -> Config:
    write_eds(proxy, "ab")
    routes = [{"match": {"path": f"/{name}"}, **route} for name, route in ROUTES.items()]
    virtual_host = {
        "name": "all",
        "domains": ["*"],
        "routes": routes,
        "response_headers_to_add": [{"header": {"key": "x-host", "value": "%UPSTREAM_REMOTE_ADDRESS%"}}],
    }
    # What a route says takes the place of this.
    outer = [{"metadata_namespace": "unused", "value": {}}]
    filters = [
        {"name": "leaving", "typed_config": {"@type": SET_METADATA, "metadata": outer}},
        {"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}},
    ]
    main = listener("main", proxy.port(), [virtual_host], http_filters=filters)
    return bootstrap(proxy.port("admin"), [main], clusters(proxy))


def reached(proxy: Proxy, path: str, count: int = 8, *headers: str) -> str:
    """The names of the hosts that requests went to, each once, on two connections."""
    ports = {f"127.0.0.1:{proxy.origin(name).port}": name for name in HOSTS}
    lines = "".join(f"{line}\r\n" for line in ("host: a", *headers))
    found = set()
    for _ in range(2):
        with proxy.client() as client:
            for _ in range(count):
                client.send(f"GET /{path} HTTP/1.1\r\n{lines}\r\n")
                response = client.read()
                if response.status == 503:
                    assert response.body == b"no healthy upstream"
                else:
                    found.add(ports[str(response["x-host"])])
    return "".join(sorted(found))


@pytest.mark.parametrize("path", REACHED)
def test_reached(proxy: Proxy, path: str) -> None:
    assert reached(proxy, path, 12) == REACHED[path]


def test_a_panic_is_counted(proxy: Proxy) -> None:
    before = proxy.stat("cluster.ill.lb_healthy_panic")
    reached(proxy, "ill", 2)
    assert proxy.stat("cluster.ill.lb_healthy_panic") == before + 4


def test_a_hash_has_one_host_of_its_subset(proxy: Proxy) -> None:
    found = [reached(proxy, "hash", 2, f"x-key: {number}") for number in range(12)]
    assert set(found) == {"a", "c"}
    assert found == [reached(proxy, "hash", 1, f"x-key: {number}") for number in range(12)]


def test_a_retry_stays_in_the_subset(proxy: Proxy) -> None:
    """It goes to the other host, where there is one."""
    for name in HOSTS:
        proxy.origin(name).forget()
    failing = "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
    for name in HOSTS:
        proxy.origin(name).on("/retry", lambda exchange: exchange.send(failing))
    try:
        for _ in range(4):
            assert proxy.ask("/retry").status == 500
            proxy.origin("a").take()
            proxy.origin("c").take()
        assert all(proxy.origin(name).queue.empty() for name in HOSTS)
    finally:
        for name in HOSTS:
            proxy.origin(name).forget()


@pytest.mark.parametrize(
    ("path", "there"), [("mirror-both", "a"), ("mirror-dynamic", "d"), ("mirror-weighted", "c")]
)
def test_copies_want_the_same(proxy: Proxy, path: str, there: str) -> None:
    for name in HOSTS:
        proxy.origin(name).forget()
    assert reached(proxy, path, 3) == there
    for _ in range(12):
        proxy.origin(there).take()
    assert all(proxy.origin(name).queue.empty() for name in HOSTS)


def test_a_tunnel_goes_to_its_subset(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("GET /tunnel HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert wait_for(lambda: not proxy.origin("c").queue.empty())
        proxy.origin("c").take()


def times(proxy: Proxy) -> int:
    """How often a subset that comes or goes is counted: Envoy counts it in each of its threads."""
    return proxy.concurrency + 1 if proxy.engine == "envoy" else 1


def test_subsets_come_and_go_with_hosts(proxy: Proxy) -> None:
    prefix = "cluster.eds.lb_subsets_"
    # version 1 and 2, stage prod, and each version with it
    assert proxy.stat(prefix + "active") == 5 * times(proxy)
    assert [reached(proxy, f"eds{number}") for number in (1, 2, 3)] == ["a", "b", ""]
    write_eds(proxy, "ac")
    assert wait_for(lambda: reached(proxy, "eds1", 4) == "ac")
    assert reached(proxy, "eds2", 2) == ""
    # version 2 is gone, with stage prod and by itself; stage dev has come
    assert proxy.stat_becomes(prefix + "active", 5 * times(proxy))
    assert proxy.stat(prefix + "created") == 7 * times(proxy)
    assert proxy.stat(prefix + "removed") == 2 * times(proxy)
    write_eds(proxy, "ac", c={"version": "3"})
    assert wait_for(lambda: reached(proxy, "eds3", 2) == "c" and reached(proxy, "eds1") == "a")
    assert proxy.stat_becomes(prefix + "removed", 4 * times(proxy))
