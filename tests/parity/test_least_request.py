"""LEAST_REQUEST: who is asked while others are busy, however many workers there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from .harness import Proxy, wait_for
from .origin import silent, text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .test_localities import policy
from .wire import Client
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

NAMES = "abc"
SCAN = {"load_balancing_policy": policy("least_request", "LeastRequest", selection_method="FULL_SCAN")}


def least(**fields: object) -> Config:
    return {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": fields}


#: name: (fields, weights of the hosts)
CLUSTERS: dict[str, tuple[Config, tuple[int, ...]]] = {
    "scan": (SCAN, (1, 1, 1)),
    "choices": (least(choice_count=20), (1, 1)),
    "unbiased": (least(active_request_bias={"default_value": 0.0, "runtime_key": "some.bias"}), (1, 2)),
    "biased": (least(active_request_bias={"default_value": 20.0, "runtime_key": "some.bias"}), (9, 10)),
}


def configure(proxy: Proxy) -> Config:
    clusters = [
        cluster(
            name,
            *(
                endpoint(proxy.origin(f"{name}-{host}").port, weight=weight)
                for host, weight in zip(NAMES, weights)
            ),
            **fields,
        )
        for name, (fields, weights) in CLUSTERS.items()
    ]
    routes = [
        {"match": {"path_separated_prefix": f"/{name}"}, "route": {"cluster": name, "timeout": "0s"}}
        for name in CLUSTERS
    ]
    virtual_hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), virtual_hosts)], clusters)


class Held:
    """Requests without an answer, and which of a cluster's hosts have how many of them."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        self.proxy = proxy
        self.name = name
        self.clients: list[Client] = []
        for host, _ in zip(NAMES, CLUSTERS[name][1]):
            self.origin(host).on(f"/{name}/held", silent())
            self.origin(host).default = text(host)

    def origin(self, host: str) -> object:
        return self.proxy.origin(f"{self.name}-{host}")

    def more(self, count: int) -> dict[str, int]:
        for _ in range(count):
            client = self.proxy.client().send(f"GET /{self.name}/held HTTP/1.1\r\nhost: a\r\n\r\n")
            self.clients.append(client)
            assert wait_for(lambda: sum(self.counts().values()) == len(self.clients))
        return self.counts()

    def counts(self) -> dict[str, int]:
        """Requests that each host has."""
        return {host: self.origin(host).queue.qsize() for host, _ in zip(NAMES, CLUSTERS[self.name][1])}


@pytest.fixture
def held(request: pytest.FixtureRequest, proxy: Proxy) -> Iterator[Held]:
    name = request.param
    made = Held(proxy, name)
    yield made
    for client in made.clients:
        client.close()
    assert proxy.stat_becomes(f"cluster.{name}.upstream_rq_active", 0)


@pytest.mark.parametrize("held", ["scan"], indirect=True)
def test_full_scan(proxy: Proxy, workers: Workers, held: Held) -> None:
    """Of all hosts the one with the fewest, whichever worker gave it the others."""
    assert sorted(held.more(3).values()) == [1, 1, 1]
    assert sorted(held.more(2).values()) == [1, 2, 2]
    (freer,) = [host for host, count in held.counts().items() if count == 1]
    assert workers.ask("/scan/free", 10) == [[freer] * 10] * proxy.concurrency


@pytest.mark.parametrize("held", ["choices"], indirect=True)
def test_choice_count(proxy: Proxy, held: Held) -> None:
    """Both are looked at but for one time in half a million."""
    assert sorted(held.more(4).values()) == [2, 2]


@pytest.mark.parametrize("held", ["unbiased"], indirect=True)
def test_no_bias(workers: Workers, held: Held) -> None:
    held.more(3)
    for found in workers.ask("/unbiased/free", 60):
        assert Counter(found) == {"a": 20, "b": 40}


@pytest.mark.parametrize("held", ["biased"], indirect=True)
def test_bias(workers: Workers, held: Held) -> None:
    """Weights count less and less with each request."""
    (busy,) = [host for host, count in held.more(1).items() if count]
    for _ in range(2):
        for found in workers.ask("/biased/free", 20):
            assert found.count(busy) <= 1, found
