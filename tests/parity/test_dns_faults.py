"""DNS that says NXDOMAIN, then nothing, then answers again, while traffic flows: what can be kept is kept."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .harness import Proxy, wait_for
from .origin import raw
from .settings import Config, bootstrap, cluster, dns_resolver, endpoint, listener

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

PHASE = 0.4
SLOW_ANSWER = raw(0.6, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate")


def configure(proxy: Proxy) -> Config:
    port = proxy.origin().port
    impatient = dns_resolver(proxy.dns.port, query_timeout_seconds=1, query_tries=1)
    clusters = []
    for name in ("strict", "logical", "other", "big", "slow"):
        proxy.dns.a(f"{name}.test", "127.0.0.1")
        kind = "LOGICAL_DNS" if name == "logical" else "STRICT_DNS"
        clusters.append(
            cluster(
                name,
                endpoint(port, f"{name}.test"),
                type=kind,
                dns_lookup_family="V4_ONLY",
                dns_refresh_rate="0.05s",
                typed_dns_resolver_config=impatient,
            )
        )
    routes = [
        {"match": {"path_separated_prefix": f"/{each['name']}"}, "route": {"cluster": each["name"]}}
        for each in clusters
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), hosts)], clusters)


class Traffic:
    """Requests to some clusters, one after the other without a pause; `statuses` of the current phase by cluster."""

    def __init__(self, proxy: Proxy, names: tuple[str, ...]) -> None:
        self._proxy = proxy
        self._names = names
        self._stopped = False
        self.statuses: dict[str, Counter[int]] = {}
        self.phase()
        self._threads = [threading.Thread(target=self._run, args=(name,)) for name in names]

    def _run(self, name: str) -> None:
        while not self._stopped:
            statuses = self.statuses[name]
            statuses[self._proxy.ask(f"/{name}").status] += 1
            time.sleep(0.002)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped = True
        for thread in self._threads:
            thread.join(10)

    def phase(self) -> dict[str, Counter[int]]:
        """What came back since the last call."""
        before = self.statuses
        self.statuses = {name: Counter() for name in self._names}
        return before


@contextmanager
def traffic(proxy: Proxy, *names: str) -> Iterator[Traffic]:
    flowing = Traffic(proxy, names)
    flowing.start()
    try:
        yield flowing
    finally:
        flowing.stop()


def membership(proxy: Proxy, name: str, count: int) -> bool:
    return proxy.stat_becomes(f"cluster.{name}.membership_total", count)


def test_no_such_name_then_nothing_then_again(proxy: Proxy) -> None:
    """A LOGICAL_DNS cluster loses nothing at all.  A STRICT_DNS one that is told that it has no hosts has none until
    there are some again; what is in flight is finished; silence changes nothing.
    """
    dns = proxy.dns
    proxy.origin().on("/strict/slow", SLOW_ANSWER)
    with traffic(proxy, "logical", "strict") as flowing, proxy.client() as client:
        time.sleep(PHASE)
        client.send("GET /strict/slow HTTP/1.1\r\nhost: a\r\n\r\n")
        time.sleep(0.1)
        dns.says("logical.test", "NXDOMAIN")
        dns.says("strict.test", "NXDOMAIN")
        assert membership(proxy, "strict", 0)
        before = flowing.phase()
        time.sleep(PHASE)
        dns.says("logical.test", "silence")
        dns.says("strict.test", "silence")
        assert client.read().text == "late"
        without = flowing.phase()
        time.sleep(PHASE)
        dns.clear("logical.test")
        dns.clear("strict.test")
        assert membership(proxy, "strict", 1)
        time.sleep(0.1)
        flowing.phase()
        time.sleep(PHASE)
        again = flowing.phase()
    assert set(before["strict"]) <= {200, 503}
    assert set(without["strict"]) == {503}
    assert set(again["strict"]) == {200}
    assert [set(phase["logical"]) for phase in (before, without, again)] == [{200}] * 3


@pytest.mark.parametrize("trouble", ["silence", "SERVFAIL", "REFUSED", "garbage"])
def test_servers_that_fail_take_nothing_away(proxy: Proxy, trouble: str) -> None:
    dns = proxy.dns
    failures = proxy.stat("cluster.other.update_failure")
    with traffic(proxy, "other", "logical") as flowing:
        for name in ("other", "logical"):
            dns.says(f"{name}.test", trouble)
        assert wait_for(lambda: proxy.stat("cluster.other.update_failure") > failures)
        for name in ("other", "logical"):
            dns.clear(f"{name}.test")
        time.sleep(0.1)
        found = flowing.phase()
    assert [set(statuses) for statuses in found.values()] == [{200}, {200}]


def test_a_slow_and_failing_name_holds_up_no_other(proxy: Proxy) -> None:
    dns = proxy.dns
    dns.says("slow.test", "SERVFAIL")
    dns.slow("slow.test", 0.5)
    asked = len(dns.questions("slow.test"))
    assert wait_for(lambda: len(dns.questions("slow.test")) > asked)
    others = len(dns.questions("other.test"))
    asked = len(dns.questions("slow.test"))
    assert wait_for(lambda: len(dns.questions("slow.test")) > asked, 2.0)
    # Ten times as many as the slow one, at the least.
    assert len(dns.questions("other.test")) - others >= 3
    dns.clear("slow.test")


def test_a_large_answer_comes_over_tcp(proxy: Proxy) -> None:
    dns = proxy.dns
    dns.asked.clear()
    dns.a("big.test", *(f"127.1.{at // 250}.{at % 250 + 1}" for at in range(1500)))
    try:
        assert membership(proxy, "big", 1500)
        large = dns.questions("big.test")[-6:]
        assert {each.tcp for each in large} == {False, True}
    finally:
        dns.a("big.test", "127.0.0.1")
        assert membership(proxy, "big", 1)


def test_a_large_answer_over_and_over_disturbs_nobody(proxy: Proxy) -> None:
    """A thousand addresses, others each time."""
    dns = proxy.dns
    try:
        with traffic(proxy, "other") as flowing:
            for turn in range(4):
                changes = proxy.stat("cluster.big.membership_change")
                dns.a("big.test", *(f"127.{turn + 1}.{at // 250}.{at % 250 + 1}" for at in range(1000)))
                assert membership(proxy, "big", 1000)
                assert wait_for(lambda at=changes: proxy.stat("cluster.big.membership_change") > at)
                successes = proxy.stat("cluster.other.update_success")
                assert wait_for(
                    lambda since=successes: proxy.stat("cluster.other.update_success") > since + 2
                )
            assert set(flowing.phase()["other"]) == {200}
    finally:
        dns.a("big.test", "127.0.0.1")
