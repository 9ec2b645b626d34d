"""STRICT_DNS and LOGICAL_DNS clusters on a DNS server whose zones change and which misbehaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .harness import Proxy, wait_for
from .origin import raw
from .settings import Config, bootstrap, cluster, dns_resolver, endpoint, listener

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

DNS_CLUSTER = "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster"
SOON = "0.05s"
NEVER = "600s"
FAMILIES = ("AUTO", "V4_ONLY", "V6_ONLY", "V4_PREFERRED", "ALL")
#: what each family finds of a name: its addresses, or "-" for none, "failure" for no answer
NAMES = {
    "both.test": ["::1", "127.0.0.1 127.0.0.2", "::1", "127.0.0.1 127.0.0.2", "127.0.0.1 127.0.0.2 ::1"],
    "four.test": ["127.0.0.1", "127.0.0.1", "-", "127.0.0.1", "127.0.0.1"],
    "six.test": ["::1", "-", "::1", "::1", "::1"],
    "none.test": ["-", "-", "-", "-", "-"],
    "missing.test": ["-", "-", "-", "-", "-"],
    "no-four.test": ["::1", "failure", "::1", "::1", "::1"],
    "no-six.test": ["127.0.0.1", "127.0.0.1", "failure", "127.0.0.1", "127.0.0.1"],
    "empty-no-four.test": ["failure", "failure", "-", "failure", "failure"],
    "empty-no-six.test": ["failure", "-", "failure", "failure", "failure"],
    "localhost": ["::1", "127.0.0.1", "::1", "127.0.0.1", "127.0.0.1 ::1"],
    "127.0.0.3": ["127.0.0.3", "127.0.0.3", "127.0.0.3", "127.0.0.3", "127.0.0.3"],
    "::1": ["::1", "failure", "::1", "::1", "::1"],
}
FOUND = {
    f"{name} {family}": found
    for name, row in NAMES.items()
    for family, found in zip(FAMILIES, row, strict=True)
}


def plain(key: str) -> str:
    """The name of the cluster for a name and a family: colons do not go into names of statistics."""
    return key.replace("::", "v6-")


def zones(proxy: Proxy) -> None:
    dns = proxy.dns
    dns.a("both.test", "127.0.0.1", "127.0.0.2", "::1")
    dns.a("four.test", "127.0.0.1")
    dns.a("six.test", "::1")
    dns.a("none.test")
    dns.a("no-four.test", "::1")
    dns.says("no-four.test", "SERVFAIL", "A")
    dns.a("no-six.test", "127.0.0.1")
    dns.says("no-six.test", "SERVFAIL", "AAAA")
    dns.a("empty-no-four.test")
    dns.says("empty-no-four.test", "SERVFAIL", "A")
    dns.a("empty-no-six.test")
    dns.says("empty-no-six.test", "SERVFAIL", "AAAA")
    dns.a("order.test", "127.0.0.9", "127.0.0.1", "127.0.0.9", "127.0.0.5", "127.0.0.1")
    dns.cname("alias.test", "four.test", ttl=1)
    for name in ("changing", "moving", "fading", "shy", "quick"):
        dns.a(f"{name}.test", "127.0.0.1")
    dns.a("ttl.test", "127.0.0.1", ttl=1)
    dns.a("ttl0.test", "127.0.0.1", ttl=0)
    dns.a("late.test", "127.0.0.1")
    dns.slow("late.test", 0.3)
    dns.a("later.test", "127.0.0.1")
    dns.says("later.test", "silence")


def configure(proxy: Proxy) -> Config:
    zones(proxy)
    port = proxy.origin().port

    def named(name: str, *hosts: str, **fields: object) -> Config:
        fields.setdefault("type", "STRICT_DNS")
        fields.setdefault("dns_refresh_rate", NEVER)
        fields.setdefault("dns_lookup_family", "V4_ONLY")
        fields.setdefault("typed_dns_resolver_config", dns_resolver(proxy.dns.port))
        return cluster(name, *(endpoint(port, host) for host in hosts), **fields)

    def extended(name: str, host: str, priority: int = 0, **settings: object) -> Config:
        settings["typed_dns_resolver_config"] = dns_resolver(proxy.dns.port)
        config = {"@type": DNS_CLUSTER, "dns_refresh_rate": NEVER, **settings}
        made = cluster(name, endpoint(port, host))
        del made["type"]
        made["cluster_type"] = {"name": "envoy.cluster.dns", "typed_config": config}
        made["load_assignment"]["endpoints"][0]["priority"] = priority
        return made

    logical = {"type": "LOGICAL_DNS"}
    back_off = {"base_interval": "0.02s", "max_interval": "0.05s"}
    clusters = [named(plain(key), key.split()[0], dns_lookup_family=key.split()[1]) for key in FOUND]
    clusters += [
        named("order", "order.test"),
        named("twice", "both.test", "order.test"),
        named("alias", "alias.test", respect_dns_ttl=True),
        named("logical", "order.test", **logical),
        named("logical-none", "none.test", **logical),
        extended("extension", "both.test", dns_lookup_family="ALL"),
        extended("extension-default", "both.test"),
        extended("extension-logical", "order.test", 2, all_addresses_in_single_endpoint=True),
        named("changing", "changing.test", dns_refresh_rate=SOON),
        named("logical-changing", "changing.test", dns_refresh_rate=SOON, **logical),
        named("moving", "moving.test", dns_refresh_rate=SOON),
        named("logical-moving", "moving.test", dns_refresh_rate=SOON, **logical),
        named("fading", "fading.test", dns_refresh_rate=SOON),
        named("shy", "shy.test", dns_refresh_rate=SOON, dns_failure_refresh_rate=back_off),
        named("fixed", "quick.test", dns_refresh_rate=SOON, dns_jitter="0.01s"),
        named("ttl", "ttl.test", respect_dns_ttl=True),
        named("ttl0", "ttl0.test", respect_dns_ttl=True, dns_refresh_rate="0.1s"),
        named("waits", "late.test"),
        named(
            "does-not-wait",
            "later.test",
            wait_for_warm_on_init=False,
            typed_dns_resolver_config=dns_resolver(proxy.dns.port, query_timeout_seconds=1),
        ),
    ]
    routes = [
        {"match": {"path_separated_prefix": f"/{each['name']}"}, "route": {"cluster": each["name"]}}
        for each in clusters
        if " " not in each["name"]
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), hosts)], clusters)


def hosts_of(proxy: Proxy, pattern: str = ".") -> dict[str, list[tuple[str, str]]]:
    """(address, host name) of the hosts of all clusters with such names in /clusters."""
    found = {}
    for each in proxy.admin_json(f"/clusters?format=json&filter={pattern}")["cluster_statuses"]:
        hosts = each.get("host_statuses", [])
        found[each["name"]] = [
            (host["address"]["socket_address"]["address"], host.get("hostname", "")) for host in hosts
        ]
    return found


def addresses(proxy: Proxy, name: str) -> str:
    return " ".join(address for address, _ in hosts_of(proxy, f"^{name}$")[name])


def becomes(probe: Callable[[], str], expected: str, timeout: float = 10.0) -> None:
    wait_for(lambda: probe() == expected, timeout)
    assert probe() == expected


def counted(proxy: Proxy, name: str) -> dict[str, int]:
    """The update_* counters of a cluster."""
    prefix = f"cluster.{name}.update_"
    found = proxy.stats(f"^cluster%5C.{name}%5C.update_".replace(" ", "%20"))
    return {stat.removeprefix(prefix): value for stat, value in found.items()}


def test_a_cluster_waits_for_its_first_answer_unless_told_otherwise(proxy: Proxy) -> None:
    """Must be the first: it is about what is known when the engine says that it is ready."""
    assert addresses(proxy, "waits") == "127.0.0.1"
    assert proxy.ask("/waits").status == 200
    assert addresses(proxy, "does-not-wait") == ""
    assert proxy.ask("/does-not-wait").status == 503
    proxy.dns.clear("later.test")
    becomes(lambda: addresses(proxy, "does-not-wait"), "127.0.0.1", 5.0)
    assert proxy.ask("/does-not-wait").status == 200


def test_families(proxy: Proxy) -> None:
    hosts = hosts_of(proxy)
    stats = proxy.stats("update_(success|failure|no_rebuild)$")
    found = {}
    for key in FOUND:
        name = plain(key)
        shown = " ".join(address for address, _ in hosts[name]) or "-"
        failed = stats[f"cluster.{name}.update_failure"]
        assert stats[f"cluster.{name}.update_success"] + failed == 1
        assert stats[f"cluster.{name}.update_no_rebuild"] == int(shown == "-" and not failed)
        found[key] = "failure" if failed else shown
    assert found == FOUND


def test_hosts_have_the_name_and_the_order_of_the_answer(proxy: Proxy) -> None:
    hosts = hosts_of(proxy)
    name = "order.test"
    assert hosts["order"] == [("127.0.0.9", name), ("127.0.0.1", name), ("127.0.0.5", name)]
    assert hosts["logical"] == [("127.0.0.9", name)]
    assert hosts["alias"] == [("127.0.0.1", "alias.test")]
    assert hosts["logical-none"] == []


def test_the_other_addresses_of_a_logical_host_take_connections_that_the_first_does_not(proxy: Proxy) -> None:
    """Nobody listens on the first and the third."""
    assert [proxy.ask("/logical").status for _ in range(4)] == [200] * 4
    assert hosts_of(proxy, "^logical$")["logical"] == [("127.0.0.9", "order.test")]
    assert proxy.stat("cluster.logical.upstream_cx_connect_fail") == 0


def test_two_targets_with_one_address(proxy: Proxy) -> None:
    """Envoy has it twice, twistproxy once with the weight of both."""
    page = proxy.admin_json("/clusters?format=json")
    [found] = [each for each in page["cluster_statuses"] if each["name"] == "twice"]
    weights: dict[str, int] = {}
    for host in found["host_statuses"]:
        address = host["address"]["socket_address"]["address"]
        weights[address] = weights.get(address, 0) + host["weight"]
    assert weights == {"127.0.0.1": 2, "127.0.0.2": 1, "127.0.0.9": 1, "127.0.0.5": 1}


def test_extension(proxy: Proxy) -> None:
    assert addresses(proxy, "extension") == "127.0.0.1 127.0.0.2 ::1"
    assert addresses(proxy, "extension-default") == "::1"
    assert addresses(proxy, "extension-logical") == "127.0.0.9"
    page = proxy.admin_json("/clusters?format=json")
    [found] = [each for each in page["cluster_statuses"] if each["name"] == "extension-logical"]
    assert "priority" not in found["host_statuses"][0]


def test_changes(proxy: Proxy) -> None:
    """An answer without addresses empties a STRICT_DNS cluster; a LOGICAL_DNS one keeps its host."""
    dns = proxy.dns
    for after, strict, logical in [
        (("127.0.0.2", "127.0.0.1"), "127.0.0.1 127.0.0.2", "127.0.0.2"),
        (("127.0.0.1", "127.0.0.2"), "127.0.0.1 127.0.0.2", "127.0.0.1"),
        (("127.0.0.3",), "127.0.0.3", "127.0.0.3"),
        ((), "", "127.0.0.3"),
        (("127.0.0.1",), "127.0.0.1", "127.0.0.1"),
    ]:
        dns.a("changing.test", *after)
        becomes(lambda: " ".join(sorted(addresses(proxy, "changing").split())), strict)
        becomes(lambda: addresses(proxy, "logical-changing"), logical)
    dns.says("changing.test", "NXDOMAIN")
    before = counted(proxy, "logical-changing")["failure"]
    becomes(lambda: addresses(proxy, "changing"), "")
    assert proxy.ask("/changing").status == 503
    assert wait_for(lambda: counted(proxy, "logical-changing")["failure"] > before)
    assert proxy.ask("/logical-changing").status == 200
    dns.clear("changing.test")
    becomes(lambda: addresses(proxy, "changing"), "127.0.0.1")


@pytest.mark.parametrize("trouble", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR", "garbage"])
def test_a_failure_keeps_the_hosts(proxy: Proxy, trouble: str) -> None:
    dns = proxy.dns
    before = counted(proxy, "fading")["failure"]
    dns.says("fading.test", trouble)
    assert wait_for(lambda: counted(proxy, "fading")["failure"] >= before + 2)
    assert addresses(proxy, "fading") == "127.0.0.1"
    assert proxy.ask("/fading").status == 200
    dns.clear("fading.test")
    dns.a("fading.test", "127.0.0.2")
    becomes(lambda: addresses(proxy, "fading"), "127.0.0.2")
    dns.a("fading.test", "127.0.0.1")
    becomes(lambda: addresses(proxy, "fading"), "127.0.0.1")


@pytest.mark.parametrize("name", ["moving", "logical-moving"])
def test_what_is_in_flight_on_an_address_that_goes_is_finished(proxy: Proxy, name: str) -> None:
    # The other cluster of this name may have moved back first.
    assert wait_for(lambda: proxy.ask(f"/{name}").status == 200)
    proxy.origin().forget()
    proxy.origin().on(f"/{name}", raw(0.4, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate"))
    with proxy.client() as client:
        client.send(f"GET /{name} HTTP/1.1\r\nhost: a\r\n\r\n")
        seen = proxy.origin().take()
        proxy.dns.a("moving.test", "127.0.0.2")
        becomes(lambda: addresses(proxy, name), "127.0.0.2")
        assert client.read().text == "late"
    assert seen.connection_closed()
    # Nobody listens there.
    assert proxy.ask(f"/{name}").status == 503
    proxy.dns.a("moving.test", "127.0.0.1")
    becomes(lambda: addresses(proxy, name), "127.0.0.1")


def test_failures_have_a_rhythm_of_their_own(proxy: Proxy) -> None:
    """With jittered back-off: never more than 0.05 s apart; four questions each, as SERVFAIL is asked again."""
    dns = proxy.dns
    dns.says("shy.test", "SERVFAIL")
    first = counted(proxy, "shy")["failure"]
    assert wait_for(lambda: counted(proxy, "shy")["failure"] >= first + 5)
    asked = len(dns.questions("shy.test"))
    assert wait_for(lambda: len(dns.questions("shy.test")) >= asked + 4 * 4, 2.0)
    dns.clear("shy.test")
    assert wait_for(lambda: len(dns.questions("shy.test")) > 0 and proxy.ask("/shy").status == 200)


def test_time_to_live(proxy: Proxy) -> None:
    """A TTL of a second, of the addresses or of an alias, wins over a refresh rate; a TTL of 0 does not."""
    for name in ("ttl.test", "alias.test"):
        assert wait_for(lambda name=name: len(proxy.dns.questions(name, "A")) >= 2, 2.5)
    assert len(proxy.dns.questions("ttl0.test")) > 4
    assert len(proxy.dns.questions("order.test")) == 5


def test_nothing_new(proxy: Proxy) -> None:
    """Answers that change nothing are counted as that."""
    assert wait_for(lambda: counted(proxy, "fixed")["attempt"] >= 3)
    found = counted(proxy, "fixed")
    assert found["success"] - found["no_rebuild"] == 1
    assert found["failure"] == found["empty"] == 0
    assert set(found) == {"attempt", "success", "failure", "empty", "no_rebuild"}
    assert proxy.stat("cluster.fixed.membership_change") == 1
