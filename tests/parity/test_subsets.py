"""Subsets of a cluster's hosts, chosen by metadata of routes and requests (`lb_subset_config`)."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, endpoint, listener

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

#: Host → its `envoy.lb` metadata.
HOSTS: dict[str, Config] = {
    "a": {"version": "1.0", "stage": "prod", "zone": ["x", "y"], "number": 1, "flag": True},
    "b": {"version": "1.1", "stage": "prod", "zone": ["y"], "number": 1.0},
    "c": {"version": "1.0", "stage": "dev", "zone": "x", "number": "1", "flag": "true"},
    "d": {"version": "1.2-pre", "stage": "dev", "nested": {"p": 1, "q": [1, "2"]}, "nothing": None},
    "e": {},
}


def selectors(*keys: str, **fields: Any) -> Config:
    return {"keys": list(keys), **fields}


BOTH = [selectors("stage", "version"), selectors("version")]

#: Cluster → its `lb_subset_config`.
CONFIGS: dict[str, Config] = {
    "none": {"subset_selectors": BOTH},
    "any": {"fallback_policy": "ANY_ENDPOINT", "subset_selectors": BOTH},
    "default": {
        "fallback_policy": "DEFAULT_SUBSET",
        "default_subset": {"version": "1.0", "stage": "prod"},
        "subset_selectors": BOTH,
    },
    "default-empty": {"fallback_policy": "DEFAULT_SUBSET", "subset_selectors": BOTH},
    "default-nowhere": {
        "fallback_policy": "DEFAULT_SUBSET",
        "default_subset": {"version": "none"},
        "subset_selectors": BOTH,
    },
    "default-panic": {
        "fallback_policy": "DEFAULT_SUBSET",
        "default_subset": {"version": "none"},
        "subset_selectors": BOTH,
        "panic_mode_any": True,
    },
    "none-panic": {"subset_selectors": BOTH, "panic_mode_any": True},
    "disabled": {"default_subset": {"version": "1.0"}, "fallback_policy": "DEFAULT_SUBSET"},
    "values": {
        "subset_selectors": [
            selectors("number"),
            selectors("flag"),
            selectors("nested"),
            selectors("nothing"),
        ]
    },
    "list": {"subset_selectors": [selectors("zone"), selectors("stage", "zone")]},
    "list-any": {
        "list_as_any": True,
        "subset_selectors": [selectors("zone"), selectors("stage", "zone")],
        "fallback_policy": "DEFAULT_SUBSET",
        "default_subset": {"zone": "y"},
    },
    "single": {"subset_selectors": [selectors("stage", single_host_per_subset=True)]},
    "single-unique": {"subset_selectors": [selectors("version", single_host_per_subset=True)]},
    "per-selector": {
        "fallback_policy": "NO_FALLBACK",
        "default_subset": {"version": "1.1"},
        "subset_selectors": [
            selectors("version", fallback_policy="ANY_ENDPOINT"),
            selectors("stage", fallback_policy="DEFAULT_SUBSET"),
            selectors("stage", "version", fallback_policy="KEYS_SUBSET", fallback_keys_subset=["version"]),
            selectors("number", fallback_policy="NO_FALLBACK"),
            selectors("flag"),
            selectors("flag", "version", fallback_policy="KEYS_SUBSET", fallback_keys_subset=["flag"]),
        ],
    },
    "per-selector-any": {
        "fallback_policy": "ANY_ENDPOINT",
        "subset_selectors": [
            selectors("stage", "version", fallback_policy="NO_FALLBACK"),
            selectors("stage", fallback_policy="NO_FALLBACK"),
            selectors("version", fallback_policy="NO_FALLBACK"),
        ],
    },
    "fallback-list": {
        "metadata_fallback_policy": "FALLBACK_LIST",
        "subset_selectors": BOTH,
        "fallback_policy": "NO_FALLBACK",
    },
    "fallback-list-any": {
        "metadata_fallback_policy": "FALLBACK_LIST",
        "subset_selectors": BOTH,
        "fallback_policy": "ANY_ENDPOINT",
    },
}

V1, V11, PRE = {"version": "1.0"}, {"version": "1.1"}, {"version": "1.2-pre"}
BAD = {"version": "9"}

#: Name → cluster, criteria of the route, the hosts that it reaches ("" for 503).
CASES: dict[str, tuple[str, Config | None, str]] = {
    "one key": ("none", V1, "ac"),
    "another value": ("none", V11, "b"),
    "two keys": ("none", {**V1, "stage": "dev"}, "c"),
    "no such value": ("none", BAD, ""),
    "not a selector": ("none", {"stage": "prod"}, ""),
    "too many keys": ("none", {**V1, "stage": "dev", "x": "y"}, ""),
    "no criteria": ("none", None, ""),
    "empty criteria": ("none", {}, ""),
    "any of known": ("any", V1, "ac"),
    "any": ("any", BAD, "abcde"),
    "any without criteria": ("any", None, "abcde"),
    "default of known": ("default", V11, "b"),
    "default": ("default", BAD, "a"),
    "default without criteria": ("default", None, "a"),
    "empty default": ("default-empty", BAD, "abcde"),
    "default nowhere": ("default-nowhere", BAD, ""),
    "panic": ("default-panic", BAD, "abcde"),
    "panic without fallback": ("none-panic", BAD, ""),
    "disabled": ("disabled", V11, "abcde"),
    "number": ("values", {"number": 1}, "a"),
    "number with a fraction": ("values", {"number": 1.0}, "b"),
    "number that is text in YAML": ("values", {"number": "1.0"}, "b"),
    "number as text": ("values", {"number": "1"}, "c"),
    "true": ("values", {"flag": True}, "a"),
    "true as text": ("values", {"flag": "true"}, "c"),
    "true as number": ("values", {"flag": 1}, ""),
    "struct": ("values", {"nested": {"q": [1, "2"], "p": 1}}, "d"),
    "other struct": ("values", {"nested": {"p": 1}}, ""),
    "null": ("values", {"nothing": None}, "d"),
    "list": ("list", {"zone": ["x", "y"]}, "a"),
    "no element of a list": ("list", {"zone": "y"}, ""),
    "element": ("list-any", {"zone": "x"}, "ac"),
    "other element": ("list-any", {"zone": "y"}, "ab"),
    "element and another": ("list-any", {"zone": "y", "stage": "prod"}, "ab"),
    "list as any list": ("list-any", {"zone": ["x", "y"]}, "ab"),
    "single": ("single", {"stage": "dev"}, "c"),
    "single of one": ("single-unique", V11, "b"),
    "selector any": ("per-selector", BAD, "abcde"),
    "selector default": ("per-selector", {"stage": "none"}, "b"),
    "selector fewer keys": ("per-selector", {**V11, "stage": "dev"}, "b"),
    "selector fewer keys, and then any": ("per-selector", {**BAD, "stage": "dev"}, "abcde"),
    "selector none": ("per-selector", {"number": 5}, ""),
    "selector says nothing": ("per-selector", {"flag": 5}, ""),
    "selector no keys": ("per-selector", {"flag": True, **BAD}, "a"),
    "selectors any": ("per-selector-any", {"x": 1}, "abcde"),
    "selectors none": ("per-selector-any", BAD, ""),
    "selectors two none": ("per-selector-any", {**BAD, "stage": "prod"}, ""),
    "selectors prefix": ("per-selector-any", {"stage": "none"}, "abcde"),
    "list first": ("fallback-list", {"fallback_list": [V1, V11]}, "ac"),
    "list second": ("fallback-list", {"fallback_list": [BAD, V11]}, "b"),
    "list with more": ("fallback-list", {"stage": "dev", "fallback_list": [V11, V1]}, "c"),
    "list overrides": ("fallback-list", {**V11, "fallback_list": [BAD, V1]}, "ac"),
    "list of nothing": ("fallback-list", {**V11, "fallback_list": []}, "b"),
    "list that is none": ("fallback-list", {**V11, "fallback_list": "x"}, "b"),
    "list ends": ("fallback-list", {**V11, "fallback_list": [BAD]}, ""),
    "list with an empty one": ("fallback-list", {**V11, "fallback_list": [BAD, {}]}, "b"),
    "list any": ("fallback-list-any", {"fallback_list": [BAD, V11]}, "abcde"),
    "list without policy": ("none", {**V1, "fallback_list": [V11]}, ""),
}


def metadata(values: Config | None) -> Config:
    return {} if values is None else {"filter_metadata": {"envoy.lb": values}}


def hosts(proxy: Proxy) -> list[Config]:
    return [
        {**endpoint(proxy.origin(name).port), "metadata": metadata(values)} for name, values in HOSTS.items()
    ]


def configure(proxy: Proxy) -> Config:
    clusters = [cluster(name, *hosts(proxy), lb_subset_config=config) for name, config in CONFIGS.items()]
    clusters.append(cluster("plain", *hosts(proxy)))
    routes = []
    for number, (name, criteria, _) in enumerate(CASES.values()):
        action: Config = {"cluster": name}
        if criteria is not None:
            action["metadata_match"] = metadata(criteria)
        routes.append({"match": {"path": f"/{number}"}, "route": action})
    virtual_host = {
        "name": "all",
        "domains": ["*"],
        "routes": routes,
        "response_headers_to_add": [{"header": {"key": "x-host", "value": "%UPSTREAM_REMOTE_ADDRESS%"}}],
    }
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), [virtual_host])], clusters)


def reached(proxy: Proxy, path: str, count: int = 8) -> str:
    """The names of the hosts that requests went to, each once, on two connections."""
    ports = {f"127.0.0.1:{proxy.origin(name).port}": name for name in HOSTS}
    found = set()
    for _ in range(2):
        with proxy.client() as client:
            for _ in range(count):
                client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
                response = client.read()
                if response.status == 503:
                    assert response.body == b"no healthy upstream"
                else:
                    found.add(ports[str(response["x-host"])])
    return "".join(sorted(found))


@pytest.mark.parametrize("case", CASES)
def test_reached(proxy: Proxy, case: str) -> None:
    expected = CASES[case][2]
    assert reached(proxy, f"/{list(CASES).index(case)}") == expected


#: Cluster → lb_subsets_… of it: how many subsets there are, and how many hosts too many for those of one host.
SUBSETS = {"none": (7, 0), "list": (6, 0), "list-any": (5, 0), "single": (2, 2), "single-unique": (3, 1)}


@pytest.mark.parametrize("name", SUBSETS)
def test_how_many_subsets_there_are(proxy: Proxy, name: str) -> None:
    """Envoy counts them once for each of its threads, of which one does not serve."""
    count, duplicates = SUBSETS[name]
    times = proxy.concurrency + 1 if proxy.engine == "envoy" else 1
    prefix = f"cluster.{name}.lb_subsets_"
    assert proxy.stat(prefix + "active") == count * times
    assert proxy.stat(prefix + "created") == count * times
    assert proxy.stat(prefix + "removed") == 0
    assert proxy.stat(prefix + "single_host_per_subset_duplicate") == duplicates


#: Case → which of the counters it adds to, by how much for each request.
COUNTED = {
    "one key": {"selected": 1},
    "no such value": {},
    "any": {"fallback": 1},
    "default without criteria": {"fallback": 1},
    "default nowhere": {},
    "panic": {"fallback_panic": 1},
    "panic without fallback": {},
    "selector any": {},
    "selector fewer keys": {"selected": 1},
    "list second": {"selected": 1},
    "list any": {"fallback": 1},
}


@pytest.mark.parametrize("case", COUNTED)
def test_what_is_counted(proxy: Proxy, case: str) -> None:
    prefix = f"cluster.{CASES[case][0]}.lb_subsets_"
    before = proxy.stats(prefix)
    reached(proxy, f"/{list(CASES).index(case)}", 2)
    after = proxy.stats(prefix)
    changes = {name.removeprefix(prefix): after[name] - before[name] for name in after}
    assert {name: change for name, change in changes.items() if change} == {
        name: 4 * change for name, change in COUNTED[case].items()
    }
