"""Lookups on a fake channel: families, what is empty and what is a failure, local names."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistproxy.discovery.dns_channel import QueryFailed
from twistproxy.discovery.dns_lookup import Answer, DnsLookup, Found, LookupFailed, LookupStats, Services
from twistproxy.discovery.dns_wire import AAAA, CNAME, NXDOMAIN, OK, SRV, A, Record, Reply, ServiceRecord
from twistproxy.model.discovery import CaresResolver

FILES = {
    "/etc/hosts": "127.0.0.1 localhost\n10.1.1.1 box\nfd00::1 box\n10.1.1.2 four\n",
    "/etc/resolv.conf": "nameserver 192.0.2.53\nsearch x.test\n",
}
V4_ROUTES = "/proc/net/fib_trie"
V6_ADDRESSES = "/proc/net/if_inet6"
LOCAL = "           |-- {}\n              /32 host LOCAL\n"

SERVFAIL = QueryFailed("SERVFAIL")
SILENCE = QueryFailed("no answer in time", 3, True)
Zone = dict[tuple[str, int], Any]


def a(address: str, ttl: int = 60, name: str = "n") -> Record:
    return Record(name, AAAA if ":" in address else A, ttl, address)


class FakeChannel:
    """`zone`: (name, type) -> records of the answer, a Reply, an exception, or None for no answer."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.asked: list[tuple[str, int]] = []
        self.servers: list[tuple[tuple[str, int], ...]] = []
        self.closed = False

    def use(self, servers: tuple[tuple[str, int], ...]) -> None:
        self.servers.append(servers)

    def ask(self, name: str, kind: int) -> Deferred[Reply]:
        self.asked.append((name, kind))
        found = self.zone.get((name, kind), Reply(1, NXDOMAIN, False, name, kind))
        answer: Deferred[Reply] = Deferred()
        if isinstance(found, Exception):
            answer.errback(Failure(found))
        elif found is not None:
            answer.callback(
                found if isinstance(found, Reply) else Reply(1, OK, False, name, kind, tuple(found))
            )
        return answer

    def close(self) -> None:
        self.closed = True


class World:
    def __init__(self, zone: Zone, files: dict[str, str] | None = None, **settings: Any) -> None:
        settings.setdefault("search_domains", False)
        self.channel = FakeChannel(zone)
        self.stats = LookupStats()
        files = FILES | (files or {})

        def read(path: str) -> str:
            if path not in files:
                raise OSError(path)
            return files[path]

        self.lookup = DnsLookup(self.channel, CaresResolver(**settings), self.stats, read)

    def result(self, asked: Deferred[Any]) -> Any:
        """The answer, the failure's text, or None while there is neither."""
        found: list[Any] = []
        asked.addCallbacks(found.append, lambda failure: found.append(failure.value))
        if not found:
            return None
        assert not isinstance(found[0], Exception) or isinstance(found[0], LookupFailed)
        return str(found[0]) if isinstance(found[0], Exception) else found[0]

    def ask(self, name: str, family: Any = "V4_ONLY") -> Any:
        return self.result(self.lookup(name, family))

    def counted(self) -> list[int]:
        """total, not found, failures, timeouts"""
        stats = self.stats
        return [stats.resolve_total, stats.not_found, stats.get_addr_failure, stats.timeouts]


BOTH: Zone = {("app.test", A): [a("10.0.0.1", 30)], ("app.test", AAAA): [a("fd00::1", 20)]}


@pytest.mark.parametrize(
    ("family", "found", "asked"),
    [
        ("AUTO", [("fd00::1", 20)], [AAAA]),
        ("V4_PREFERRED", [("10.0.0.1", 30)], [A]),
        ("V4_ONLY", [("10.0.0.1", 30)], [A]),
        ("V6_ONLY", [("fd00::1", 20)], [AAAA]),
        ("ALL", [("10.0.0.1", 30), ("fd00::1", 20)], [A, AAAA]),
    ],
)
def test_families(family: str, found: list[tuple[str, int]], asked: list[int]) -> None:
    world = World(BOTH)
    assert world.ask("app.test", family) == Answer(tuple(Found(*each) for each in found))
    assert [kind for _, kind in world.channel.asked] == asked
    assert world.counted() == [1, 0, 0, 0]


@pytest.mark.parametrize(("family", "other"), [("AUTO", AAAA), ("V4_PREFERRED", A)])
@pytest.mark.parametrize(
    ("nothing", "counted"), [([], [2, 1, 0, 0]), (SERVFAIL, [2, 0, 1, 0]), (SILENCE, [2, 0, 0, 3])]
)
def test_the_other_family_is_asked_when_the_first_has_nothing(
    family: str, other: int, nothing: object, counted: list[int]
) -> None:
    world = World({**BOTH, ("app.test", other): nothing})
    assert len(world.ask("app.test", family).found) == 1
    assert world.counted() == counted
    assert world.stats.pending_resolutions == 0


def test_no_such_name_and_no_data_are_empty_answers() -> None:
    assert World({}).ask("gone.test") == Answer(())
    assert World({("app.test", A): []}).ask("app.test") == Answer(())


@pytest.mark.parametrize("family", ["AUTO", "ALL", "V4_PREFERRED"])
def test_half_an_empty_answer_is_a_failure(family: str) -> None:
    world = World({("app.test", AAAA): [], ("app.test", A): SERVFAIL})
    assert world.ask("app.test", family) == "SERVFAIL"


def test_all_takes_what_one_family_has_and_asks_for_both_at_once() -> None:
    world = World({**BOTH, ("app.test", A): SERVFAIL})
    assert world.ask("app.test", "ALL") == Answer((Found("fd00::1", 20),))
    world = World({**BOTH, ("app.test", A): None})
    assert world.ask("app.test", "ALL") is None
    assert len(world.channel.asked) == 2
    assert world.stats.pending_resolutions == 1


def test_aliases_and_repeated_addresses() -> None:
    chain = [Record("app.test", CNAME, 5, None), a("10.0.0.1", 9), a("10.0.0.2", 3), a("10.0.0.1")]
    found = World({("app.test", A): chain}).ask("app.test")
    assert found == Answer((Found("10.0.0.1", 5), Found("10.0.0.2", 3)))
    only_alias = World({("app.test", A): [Record("app.test", CNAME, 5, None)]})
    assert only_alias.ask("app.test") == Answer(())


def test_search_domains() -> None:
    zone: Zone = {("app.x.test", A): [a("10.0.0.9")]}
    world = World(zone, search_domains=True)
    assert world.ask("app") == Answer((Found("10.0.0.9", 60),))
    assert [name for name, _ in world.channel.asked] == ["app.x.test"]
    assert World(zone).ask("app") == Answer(())


OWN = (("127.0.0.1", 5353),)
SYSTEM = (("192.0.2.53", 53),)


@pytest.mark.parametrize(
    ("settings", "resolv_conf", "servers"),
    [
        ({}, "nameserver 192.0.2.53\n", SYSTEM),
        ({"servers": OWN}, "nameserver 192.0.2.53\n", OWN),
        ({"servers": OWN, "fallback": True}, "nameserver 192.0.2.53\n", SYSTEM),
        ({"servers": OWN, "fallback": True}, "", OWN),
        ({}, "", (("127.0.0.1", 53),)),
    ],
)
def test_servers(settings: dict[str, Any], resolv_conf: str, servers: object) -> None:
    world = World(BOTH, {"/etc/resolv.conf": resolv_conf}, **settings)
    world.ask("app.test")
    assert world.channel.servers == [servers]


@pytest.mark.parametrize(
    ("name", "family", "addresses"),
    [
        ("10.0.0.7", "V6_ONLY", ["10.0.0.7"]),
        ("FD00:0::7", "AUTO", ["fd00::7"]),
        ("FD00:0::7", "ALL", ["fd00::7"]),
        ("FD00:0::7", "V4_PREFERRED", ["fd00::7"]),
        ("localhost", "V4_ONLY", ["127.0.0.1"]),
        ("localhost", "AUTO", ["::1"]),
        ("localhost", "V6_ONLY", ["::1"]),
        ("localhost", "ALL", ["127.0.0.1", "::1"]),
        ("Box.", "AUTO", ["fd00::1"]),
        ("box", "V4_PREFERRED", ["10.1.1.1"]),
        ("box", "ALL", ["10.1.1.1", "fd00::1"]),
        ("four", "ALL", ["10.1.1.2"]),
        ("app.localhost", "ALL", ["127.0.0.1", "::1"]),
    ],
)
def test_local_names_ask_nobody(name: str, family: str, addresses: list[str]) -> None:
    world = World({})
    assert world.ask(name, family) == Answer(tuple(map(Found, addresses)))
    assert not world.channel.asked


def test_a_name_of_one_family_in_the_hosts_file_is_asked_for_in_the_other() -> None:
    world = World({("four", AAAA): [a("fd00::4")]})
    assert world.ask("four", "AUTO") == Answer((Found("fd00::4", 60),))


def test_an_ipv6_address_is_no_ipv4_address() -> None:
    world = World({})
    assert world.ask("fd00::7") == "an IPv6 address"
    assert world.counted() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("v4", "v6", "family", "found"),
    [
        (["127.0.0.1"], ["00000000000000000000000000000001 01 80 10 80 lo"], "ALL", "no interface"),
        (["127.0.0.1", "192.0.2.7"], [], "ALL", ["10.0.0.1"]),
        (["192.0.2.7"], [], "AUTO", ["10.0.0.1"]),
        ([], ["fd000000000000000000000000000002 04 40 00 82 eth0"], "V4_PREFERRED", ["fd00::1"]),
        ([], ["fd000000000000000000000000000002 04 40 00 82 eth0"], "V4_ONLY", "no interface"),
        (None, None, "ALL", ["10.0.0.1", "fd00::1"]),
        (["?"], [], "ALL", ["10.0.0.1", "fd00::1"]),
    ],
)
def test_families_without_an_interface(
    v4: list[str] | None, v6: list[str] | None, family: str, found: list[str] | str
) -> None:
    files = {}
    if v4 is not None and v6 is not None:
        files = {V4_ROUTES: "".join(map(LOCAL.format, v4)), V6_ADDRESSES: "\n".join(v6)}
    answer = World(BOTH, files, filter_families=True).ask("app.test", family)
    if isinstance(found, str):
        assert found in answer
    else:
        assert [each.address for each in answer.found] == found


SERVICE = Record("_http._tcp.app.test", SRV, 30, ServiceRecord(0, 1, 80, "a.test"))
ADDED = (a("10.0.0.1", 9, "a.test"), a("fd00::1", 9, "a.test"), a("10.0.0.2", 9, "b.test"))


@pytest.mark.parametrize(
    ("family", "added"),
    [
        ("ALL", {"a.test": ["10.0.0.1", "fd00::1"], "b.test": ["10.0.0.2"]}),
        ("AUTO", {"a.test": ["fd00::1"], "b.test": ["10.0.0.2"]}),
        ("V4_PREFERRED", {"a.test": ["10.0.0.1"], "b.test": ["10.0.0.2"]}),
        ("V6_ONLY", {"a.test": ["fd00::1"]}),
    ],
)
def test_services(family: Any, added: dict[str, list[str]]) -> None:
    name = "_http._tcp.app.test"
    reply = Reply(1, OK, False, name, SRV, (SERVICE,), ADDED)
    world = World({(name, SRV): reply})
    found = world.result(world.lookup.services(name, family))
    assert (found.records, found.ttl) == ((SERVICE.data,), 30)
    assert {host: [each.address for each in all_of] for host, all_of in found.addresses.items()} == added


def test_no_services() -> None:
    world = World({("_failing._tcp", SRV): SERVFAIL})
    assert world.result(world.lookup.services("_http._tcp.app.test", "AUTO")) == Services()
    assert world.result(world.lookup.services("_failing._tcp", "AUTO")) == "SERVFAIL"


def test_close() -> None:
    world = World({})
    world.lookup.close()
    assert world.channel.closed
