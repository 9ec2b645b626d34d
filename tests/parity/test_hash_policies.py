"""Hash policies of routes, and the hash balancers: which host a request goes to is the same on both engines.

Most hosts are called by names (`use_hostname_for_hashing`), so that their places do not depend on their ports; what is
expected was seen at Envoy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle

import pytest
import xxhash

from .harness import Proxy, wait_for
from .hash_choices import CHOICES, POLICY_CHOICES
from .origin import Seen, silent, text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
NAMES = "abc"
PREVIOUS_HOSTS = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
KEYS = [f"key-{number}" for number in range(200)]


def header(name: str, **fields: object) -> Config:
    return {"header": {"header_name": name, **fields}}


def extension(name: str, **config: object) -> Config:
    config = {"@type": "type.googleapis.com/envoy.extensions.load_balancing_policies." + name, **config}
    return {
        "load_balancing_policy": {
            "policies": [{"typed_extension_config": {"name": "policy", "typed_config": config}}]
        }
    }


#: Route (and what the path begins with) → its hash policies.
POLICIES: dict[str, list[Config]] = {
    "header": [header("x-key")],
    "rewritten": [
        header("x-key", regex_rewrite={"pattern": {"regex": "^/([^/]+)/.*"}, "substitution": "\\1"})
    ],
    "pseudo": [header(":path")],
    "authority": [header(":authority")],
    "host": [header("host")],
    "several": [header("x-many")],
    "cookie": [{"cookie": {"name": "sid"}}],
    "given": [
        {
            "cookie": {
                "name": "sid",
                "ttl": "60s",
                "path": "/given",
                "attributes": [{"name": "SameSite", "value": "Strict"}, {"name": "Secure"}],
            }
        }
    ],
    "session": [{"cookie": {"name": "sid", "ttl": "0s"}}],
    "query": [{"query_parameter": {"name": "q"}}],
    "address": [{"connection_properties": {"source_ip": True}}],
    "no-address": [{"connection_properties": {"source_ip": False}}],
    "both": [header("x-key"), header("x-other")],
    "twice": [header("x-key"), header("x-key")],
    "terminal": [{**header("x-key"), "terminal": True}, header("x-other")],
    "late-terminal": [header("x-other"), {**header("x-absent"), "terminal": True}, header("x-key")],
}

#: Cluster → what it is beyond its three hosts.
HOSTNAME = {"use_hostname_for_hashing": True}
CLUSTERS: dict[str, Config] = {
    "ring": {"lb_policy": "RING_HASH"},
    "ring-murmur": {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"hash_function": "MURMUR_HASH_2"}},
    "ring-small": {
        "lb_policy": "RING_HASH",
        "ring_hash_lb_config": {"minimum_ring_size": 3, "maximum_ring_size": 8},
    },
    "ring-weighted": {"lb_policy": "RING_HASH"},
    "ring-named": {
        "type": "STRICT_DNS",
        "lb_policy": "RING_HASH",
        "common_lb_config": {"consistent_hashing_lb_config": HOSTNAME},
    },
    "ring-bounded": {
        "lb_policy": "RING_HASH",
        "common_lb_config": {"consistent_hashing_lb_config": {"hash_balance_factor": 120}},
    },
    "maglev": {"lb_policy": "MAGLEV"},
    "maglev-small": {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 11}},
    "maglev-weighted": {"lb_policy": "MAGLEV"},
    "ring-extension": extension(
        "ring_hash.v3.RingHash", minimum_ring_size=100, hash_function="MURMUR_HASH_2"
    ),
    "ring-localities": {"lb_policy": "RING_HASH", "common_lb_config": {"locality_weighted_lb_config": {}}},
    "maglev-localities": extension("maglev.v3.Maglev", locality_weighted_lb_config={}),
    "ring-spilled": {"lb_policy": "RING_HASH"},
    "maglev-extension": extension("maglev.v3.Maglev", table_size=101, consistent_hashing_lb_config=HOSTNAME),
}
WEIGHTS = {
    "ring-weighted": (1, 2, 5),
    "maglev-weighted": (1, 2, 5),
    "ring-localities": (4, 2, 5),
    "maglev-localities": (4, 2, 5),
}


def hosts(proxy: Proxy, name: str) -> list[Config]:
    found = []
    for at, letter in enumerate(NAMES):
        one = endpoint(proxy.origin(letter).port, weight=WEIGHTS[name][at] if name in WEIGHTS else None)
        one["endpoint"]["hostname"] = f"host-{letter}"
        if name not in ("ring-named", "maglev-extension"):
            one["metadata"] = {"filter_metadata": {"envoy.lb": {"hash_key": f"key-of-{letter}"}}}
        found.append(one)
    return found


def group(made: Config) -> None:
    """Where localities or priorities are to be had: a by itself, b and c together."""
    assignment = made["load_assignment"]
    (everybody,) = assignment["endpoints"]
    first, *others = everybody["lb_endpoints"]
    groups: list[Config] = [{"lb_endpoints": [first]}, {"lb_endpoints": others}]
    if made["name"].endswith("-localities"):
        for number, one in enumerate(groups):
            one["locality"] = {"zone": str(number)}
            one["load_balancing_weight"] = 1 + 2 * number
        assignment["endpoints"] = groups
    elif made["name"].endswith("-spilled"):
        gone = endpoint(1) | {"health_status": "UNHEALTHY"}
        groups[0]["lb_endpoints"].append(gone)
        groups[1]["priority"] = 1
        assignment["endpoints"] = groups


def configure(proxy: Proxy) -> Config:
    for name in NAMES:
        proxy.origin(name).default = text(name)
    clusters = [cluster(name, *hosts(proxy, name), **fields) for name, fields in CLUSTERS.items()]
    for made in clusters:
        group(made)
    routes = [
        {
            "match": {"path_separated_prefix": f"/{name}"},
            "route": {"cluster": "ring", "hash_policy": policies},
        }
        for name, policies in POLICIES.items()
    ]
    routes += [
        {
            "match": {"path_separated_prefix": f"/to/{name}"},
            "route": {"cluster": name, "hash_policy": POLICIES["header"]},
        }
        for name in CLUSTERS
    ]
    clusters.append(cluster("round-robin", *hosts(proxy, "round-robin")))
    routes.append(
        {
            "match": {"path": "/round-robin"},
            "route": {"cluster": "round-robin", "hash_policy": POLICIES["given"]},
        }
    )
    again = {
        "retry_on": "5xx",
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.001s"},
    }
    elsewhere = {
        "retry_host_predicate": [{"name": "p", "typed_config": {"@type": PREVIOUS_HOSTS}}],
        "host_selection_retry_max_attempts": 5,
    }
    routes += [
        {
            "match": {"path_separated_prefix": f"/{path}/{name}"},
            "route": {
                "cluster": name,
                "hash_policy": POLICIES["given"] + POLICIES["header"],
                "retry_policy": policy,
            },
        }
        for path, policy in {"again": again, "elsewhere": {**again, **elsewhere}}.items()
        for name in ("ring", "maglev")
    ]
    own = {"hash_policy": [header("x-other")]}
    clusters.append(
        cluster(
            "own",
            *hosts(proxy, "own"),
            **extension("ring_hash.v3.RingHash", consistent_hashing_lb_config=own),
        )
    )
    routes.append({"match": {"path": "/own"}, "route": {"cluster": "own", "hash_policy": POLICIES["header"]}})
    routes.append({"match": {"path": "/own-only"}, "route": {"cluster": "own"}})
    virtual = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), virtual)], clusters)


def chosen(workers: Workers, requests: Iterable[tuple[str, str]]) -> str:
    """Which host each request (path, header lines) went to, one after the other, by turns to each worker."""
    found = ""
    clients = cycle(workers.clients())
    for path, lines in requests:
        client = next(clients)
        client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n{lines}\r\n")
        found += client.read().text
    return found


def policy_requests(name: str) -> Iterator[tuple[str, str]]:
    for number, key in enumerate(KEYS[:40]):
        lines = f"x-key: {key}\r\nx-other: {key[::-1]}\r\ncookie: a=b; sid={key}\r\n"
        lines += f"x-forwarded-for: 1.2.3.{number}\r\nx-many: {number}\r\nx-many: {key}\r\n"
        yield f"/{name}?q={key}", lines


@pytest.mark.parametrize("name", CLUSTERS)
def test_which_host(workers: Workers, name: str) -> None:
    """Over one connection nothing is ever active: a bound on the load changes nothing."""
    found = chosen(workers, ((f"/to/{name}", f"x-key: {key}\r\n") for key in KEYS))
    assert found == CHOICES[name]


@pytest.mark.parametrize("path", ["/own", "/own-only"])
def test_a_clusters_own_policies(workers: Workers, path: str) -> None:
    """They go before the route's."""
    lines = (f"x-key: other\r\nx-other: {key}\r\n" for key in KEYS[:40])
    assert chosen(workers, ((path, each) for each in lines)) == CHOICES["ring"][:40]


@pytest.mark.parametrize("name", POLICY_CHOICES)
def test_what_is_hashed(workers: Workers, name: str) -> None:
    assert chosen(workers, policy_requests(name)) == POLICY_CHOICES[name]


def test_equal_hashes(workers: Workers) -> None:
    """A policy that finds nothing leaves the hash as it is; a pattern decides on what is the same."""
    assert POLICY_CHOICES["terminal"] == POLICY_CHOICES["header"]
    keys = [f"/{letter}/{number}" for number in range(10) for letter in "pq"]
    found = chosen(workers, (("/rewritten", f"x-key: {key}\r\n") for key in keys))
    assert found == found[:2] * 10


@pytest.mark.parametrize("name", ["no-address", "header", "cookie", "query"])
def test_nothing_to_hash(workers: Workers, name: str) -> None:
    """Any host will do."""
    found = chosen(workers, ((f"/{name}", "") for _ in range(40)))
    assert set(found) == set(NAMES)


def test_cookie_forms(workers: Workers) -> None:
    """Quotes do not count; of two the first does; a longer name is another cookie."""
    forms = ["sid=key-3", 'sid="key-3"', "sid=key-3; sid=key-0", "xsid=key-0;sid=key-3", "a;  sid=key-3"]
    found = chosen(workers, (("/cookie", f"cookie: {form}\r\n") for form in forms))
    assert found == CHOICES["ring"][3] * len(forms)
    assert CHOICES["ring"][0] != CHOICES["ring"][3]


def test_a_cookie_is_given(proxy: Proxy) -> None:
    with proxy.client() as client:
        ends = f"127.0.0.1:{client.local_port}127.0.0.1:{proxy.port()}"
        value = f"{xxhash.xxh64_intdigest(ends.encode()):016x}"
        found = []
        for path in ("/given", "/session", "/cookie"):
            client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
            found.append(client.read()["set-cookie"])
    given = f'sid="{value}"; Max-Age=60; Path=/given; SameSite=Strict; Secure; HttpOnly'
    assert found == [given, f'sid="{value}"; HttpOnly', None]


def test_a_given_cookie_leads_to_the_same_host(proxy: Proxy, workers: Workers) -> None:
    with proxy.client() as client:
        client.send("GET /given HTTP/1.1\r\nhost: a\r\n\r\n")
        first = client.read()
    cookie = (first["set-cookie"] or "").partition(";")[0]
    assert chosen(workers, (("/given", f"cookie: {cookie}\r\n") for _ in range(5))) == first.text * 5


def test_no_cookie_is_given_where_no_balancer_asks(proxy: Proxy) -> None:
    response = proxy.ask("/round-robin")
    assert response.status == 200
    assert response["set-cookie"] is None


#: The hosts of all attempts (in the order of their names) for the first keys.
RETRIED = {
    "/again/ring": [letter * 3 for letter in "bacbcaabbaac"],
    "/again/maglev": [letter * 3 for letter in "acacbbabcaaa"],
    "/elsewhere/ring": ["abc", "abc", "abc", "bcc", "abc", "abc", "abc", "abc", "bbc", "abc", "abc", "abc"],
    "/elsewhere/maglev": ["abc", "abc", "abb", "abc", "aab", "abc", "abc", "abc", "abc", "abc", "aab", "acc"],
}


@pytest.mark.parametrize("path", RETRIED)
def test_retries(proxy: Proxy, path: str) -> None:
    """Each attempt has the hash of the first, so all go to one host unless the policy wants others."""
    found = []
    for key in KEYS[:12]:
        for name in NAMES:
            proxy.origin(name).forget()
            proxy.origin(name).on(path, text("no", "503 No"))
        response = proxy.ask(path, headers=f"x-key: {key}\r\ncookie: sid={key}\r\n")
        assert response.status == 503
        seen = [(each.head, name) for name in NAMES for each in all_of(proxy, name)]
        found.append("".join(name for _, name in seen))
    assert found == RETRIED[path]


def test_retries_and_a_cookie_that_is_given(proxy: Proxy) -> None:
    """Envoy gives it once for each attempt, twistproxy once (RFC 6265 section 4.1.1)."""
    for name in NAMES:
        proxy.origin(name).on("/again/ring", text("no", "503 No"))
    response = proxy.ask("/again/ring")
    found = [value for name, value in response.headers if name == "set-cookie"]
    assert len(set(found)) == 1
    assert len(found) == (3 if proxy.engine == "envoy" else 1)


def all_of(proxy: Proxy, name: str) -> list[Seen]:
    found = []
    while not proxy.origin(name).queue.empty():
        found.append(proxy.origin(name).take())
    return found


def test_statistics(proxy: Proxy) -> None:
    stats = {
        name.removeprefix("cluster."): value
        for name, value in proxy.stats("^cluster%5C..*_per_host|_lb.size").items()
    }
    assert stats == {
        "maglev.maglev_lb.max_entries_per_host": 21846,
        "maglev.maglev_lb.min_entries_per_host": 21845,
        "maglev-extension.maglev_lb.max_entries_per_host": 34,
        "maglev-extension.maglev_lb.min_entries_per_host": 33,
        "maglev-localities.maglev_lb.max_entries_per_host": 35108,
        "maglev-localities.maglev_lb.min_entries_per_host": 14044,
        "maglev-small.maglev_lb.max_entries_per_host": 4,
        "maglev-small.maglev_lb.min_entries_per_host": 3,
        "maglev-weighted.maglev_lb.max_entries_per_host": 40959,
        "maglev-weighted.maglev_lb.min_entries_per_host": 8193,
        **ring("own", 1026, 342, 342),
        **ring("ring", 1026, 342, 342),
        **ring("ring-bounded", 1026, 342, 342),
        **ring("ring-extension", 102, 34, 34),
        **ring("ring-localities", 1027, 220, 550),
        **ring("ring-murmur", 1026, 342, 342),
        **ring("ring-named", 1026, 342, 342),
        **ring("ring-small", 3, 1, 1),
        **ring("ring-spilled", 1024, 512, 512),
        **ring("ring-weighted", 1024, 128, 640),
    }
    assert proxy.stat("cluster.ring-named.max_host_weight") == 1
    assert proxy.stat("cluster.ring.max_host_weight") == 0


def ring(name: str, size: int, fewest: int, most: int) -> dict[str, int]:
    prefix = f"{name}.ring_hash_lb."
    return {
        prefix + "size": size,
        prefix + "min_hashes_per_host": fewest,
        prefix + "max_hashes_per_host": most,
    }


def test_bounded_load(proxy: Proxy, workers: Workers) -> None:
    """Requests of one key that are not answered fill its host, then the others in a certain order, whichever worker
    has them."""
    for name in NAMES:
        proxy.origin(name).on("/to/ring-bounded", silent())
    clients = []
    found = ""
    for number in range(9):
        request = "GET /to/ring-bounded HTTP/1.1\r\nhost: a\r\nx-key: key-1\r\n\r\n"
        clients.append(workers.client(number % proxy.concurrency).send(request))
        assert wait_for(lambda: any(not proxy.origin(name).queue.empty() for name in NAMES))
        for name in NAMES:
            if not proxy.origin(name).queue.empty():
                proxy.origin(name).take()
                found += name
    for client in clients:
        client.close()
    assert found == "aaaccacac"
