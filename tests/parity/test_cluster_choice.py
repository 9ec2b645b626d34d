"""Actions that choose a cluster: by a header, by weight, with random numbers from a header and weights of the runtime."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, access_log, bootstrap, cluster, listener

pytestmark = pytest.mark.parity


def weighted(prefix: str, *clusters: Config, **more: object) -> Config:
    return {
        "name": prefix[1:],
        "match": {"prefix": prefix},
        "route": {"weighted_clusters": {"clusters": list(clusters), **more}},
    }


def configure(proxy: Proxy) -> Config:
    log = access_log(proxy.log().path, "%REQ(:PATH)%|%UPSTREAM_CLUSTER%|%ROUTE_NAME%|%RESPONSE_FLAGS%\n")
    a, b, c = ({"name": name, "weight": weight} for name, weight in (("a", 20), ("b", 30), ("c", 50)))
    hashed = weighted("/hashed", a, b, c, use_hash_policy=True)
    hashed["route"]["hash_policy"] = [
        {"header": {"header_name": "x-key"}},
        {"cookie": {"name": "sticky", "ttl": "10s"}},
    ]
    routes: list[Config] = [
        {"match": {"prefix": "/header"}, "route": {"cluster_header": "X-Cluster"}},
        {
            "match": {"prefix": "/not-found"},
            "route": {"cluster_header": "x-cluster", "cluster_not_found_response_code": "NOT_FOUND"},
        },
        {
            "match": {"prefix": "/error"},
            "route": {
                "cluster_header": "x-cluster",
                "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
            },
        },
        {
            "match": {"prefix": "/rewritten"},
            "route": {"cluster_header": "x-cluster", "prefix_rewrite": "/new"},
        },
        {"match": {"prefix": "/host"}, "route": {"cluster_header": ":authority"}},
        weighted("/random", a, b, c),
        weighted("/number", a, b, c, header_name="X-Number"),
        weighted("/total", a, b, header_name="x-number", total_weight=1000),
        weighted("/zero", {"name": "a", "weight": 0}, b, header_name="x-number"),
        weighted("/runtime", a, b, header_name="x-number", runtime_key_prefix="weights"),
        weighted("/keys", a, b, header_name="x-number", runtime_key_prefix="other"),
        hashed,
        weighted("/named", {"cluster_header": "x-cluster", "weight": 1}),
        weighted("/mixed", a, {"cluster_header": "x-cluster", "weight": 80}, header_name="x-number"),
        {"name": "nowhere", "match": {"prefix": "/nowhere"}, "non_forwarding_action": {}},
    ]
    layer = {"name": "static", "static_layer": {"weights.a": 0, "weights.b": 7, "other.a": 1}}
    return bootstrap(
        proxy.port("admin"),
        [
            listener(
                "main", proxy.port(), [{"name": "all", "domains": ["*"], "routes": routes}], access_log=[log]
            )
        ],
        [cluster(name, proxy.origin(name).port) for name in ("a", "b", "c")],
        layered_runtime={"layers": [layer, {"name": "admin", "admin_layer": {}}]},
    )


def reached(proxy: Proxy) -> str:
    """The names of the origins that got a request."""
    return "".join(name for name in ("a", "b", "c") if proxy.origin(name).queue.qsize())


@pytest.mark.parametrize(
    ("path", "headers", "status", "origin"),
    [
        ("/header", "x-cluster: a\r\n", 200, "a"),
        ("/header", "X-CLUSTER: b\r\n", 200, "b"),
        ("/header", "x-cluster: A\r\n", 503, ""),
        ("/header", "x-cluster: c\r\nx-cluster: a\r\n", 200, "c"),
        ("/header", "x-cluster: nobody\r\n", 503, ""),
        ("/header", "x-cluster:\r\n", 503, ""),
        ("/header", "", 503, ""),
        ("/not-found", "x-cluster: nobody\r\n", 404, ""),
        ("/not-found", "", 404, ""),
        ("/error", "x-cluster: nobody\r\n", 500, ""),
        ("/named", "x-cluster: c\r\n", 200, "c"),
        ("/named", "", 503, ""),
        ("/mixed", "x-number: 19\r\nx-cluster: c\r\n", 200, "a"),
        ("/mixed", "x-number: 20\r\nx-cluster: c\r\n", 200, "c"),
        ("/nowhere", "", 503, ""),
    ],
)
def test_by_header(proxy: Proxy, path: str, headers: str, status: int, origin: str) -> None:
    assert proxy.ask(path, headers=headers).status == status
    assert reached(proxy) == origin


@pytest.mark.parametrize(
    ("key", "origin"), [("one", "c"), ("two", "c"), ("four", "a"), ("5", "c"), ("11", "b")]
)
def test_by_hash(proxy: Proxy, key: str, origin: str) -> None:
    response = proxy.ask("/hashed", headers=f"x-key: {key}\r\n")
    assert (response.status, response["set-cookie"]) == (200, None)
    assert reached(proxy) == origin


def test_by_the_authority(proxy: Proxy) -> None:
    assert proxy.ask("/host", host="b").status == 200
    assert reached(proxy) == "b"


def test_what_the_log_and_the_upstream_see(proxy: Proxy) -> None:
    proxy.ask("/rewritten/x?logged", headers="x-cluster: b\r\n")
    seen = proxy.origin("b").take()
    assert (seen.target, seen["x-cluster"]) == ("/new/x?logged", "b")
    assert proxy.log().line("x?logged").split("|")[1:] == ["b", "-", "-"]
    proxy.ask("/number?logged", headers="x-number: 0\r\n")
    assert proxy.log().line("/number?logged") == "/number?logged|a|number|-"
    proxy.ask("/nowhere?logged")
    assert proxy.log().line("/nowhere?logged") == "/nowhere?logged|-|nowhere|NC"


def test_statistics_of_no_cluster(proxy: Proxy) -> None:
    names = ("http.main.no_cluster", "http.main.no_route", "http.main.rq_total")
    before = [proxy.stat(name) for name in names]
    proxy.ask("/header")
    proxy.ask("/nowhere")
    assert [proxy.stat(name) for name in names] == [before[0] + 2, before[1], before[2] + 2]


@pytest.mark.parametrize(
    ("path", "number", "origin"),
    [
        ("/number", "0", "a"),
        ("/number", "19", "a"),
        ("/number", "20", "b"),
        ("/number", "49", "b"),
        ("/number", "50", "c"),
        ("/number", "99", "c"),
        ("/number", "100", "a"),
        ("/number", "1049", "b"),
        ("/number", "18446744073709551615", "a"),
        ("/number", "007", "a"),
        ("/number", "+20", "b"),
        ("/total", "19", "a"),
        ("/total", "20", "b"),
        ("/total", "50", "a"),
        ("/zero", "0", "b"),
        ("/zero", "29", "b"),
        ("/runtime", "0", "b"),
        ("/runtime", "6", "b"),
        ("/keys", "0", "a"),
        ("/keys", "1", "b"),
        ("/keys", "30", "b"),
        ("/keys", "31", "a"),
    ],
)
def test_by_a_number(proxy: Proxy, path: str, number: str, origin: str) -> None:
    assert proxy.ask(path, headers=f"x-number: {number}\r\n").status == 200
    assert reached(proxy) == origin


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/random", ""),
        ("/number", ""),
        ("/hashed", ""),
        ("/number", "x-number: one\r\n"),
        ("/number", "x-number: -1\r\n"),
        ("/number", "x-number: 18446744073709551616\r\n"),
        ("/number", "x-number: 1\r\nx-number: 1\r\n"),
    ],
)
def test_by_chance(proxy: Proxy, path: str, headers: str) -> None:
    """Some of each, whatever the header says that is no number."""
    with proxy.client() as client:
        for _ in range(40):
            client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n")
            assert client.read().status == 200
    counts = [proxy.origin(name).queue.qsize() for name in ("a", "b", "c")]
    assert sum(counts) == 40
    assert counts[2] > 4 and counts[1] > 0, counts
