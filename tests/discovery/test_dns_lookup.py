"""Lookups on a fake twisted.names resolver: families, what is empty and what is a failure, local names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.names import dns
from twisted.names.error import DNSNameError, DNSServerError

from twistproxy.discovery import dns_lookup
from twistproxy.discovery.dns_lookup import LOOKUP_LIMIT, Answer, DnsLookup, LookupFailed

FILES = {
    "/etc/hosts": "127.0.0.1 localhost\n10.1.1.1 box\nfd00::1 box\n",
    "/etc/resolv.conf": "nameserver 192.0.2.53\nsearch x.test\n",
}


def a(address: str, ttl: int = 60) -> dns.RRHeader:
    return dns.RRHeader(b"n", dns.A, dns.IN, ttl, dns.Record_A(address, ttl))


def aaaa(address: str, ttl: int = 60) -> dns.RRHeader:
    return dns.RRHeader(b"n", dns.AAAA, dns.IN, ttl, dns.Record_AAAA(address, ttl))


def cname(target: str, ttl: int) -> dns.RRHeader:
    return dns.RRHeader(b"n", dns.CNAME, dns.IN, ttl, dns.Record_CNAME(target.encode(), ttl))


class FakeResolver:
    """Stands for twisted.names.client.Resolver.

    `zone`: (name, type) -> records, exception, or None for no answer.
    """

    zone: dict[tuple[str, int], Any] = {}
    made: list[FakeResolver] = []

    def __init__(self, servers: list[tuple[str, int]], timeout: object, reactor: object) -> None:
        self.servers = servers
        self.queries: list[tuple[str, int]] = []
        self.connections: list[Any] = []
        self.over_tcp = 0
        FakeResolver.made.append(self)

    def query(self, query: dns.Query) -> Deferred[Any]:
        key = (query.name.name.decode(), query.type)
        self.queries.append(key)
        found: Deferred[Any] = Deferred()
        records = self.zone.get(key, DNSNameError())
        if isinstance(records, Exception):
            found.errback(records)
        elif records is not None:
            found.callback((records, [], []))
        return found

    def queryTCP(self, queries: list[dns.Query]) -> Deferred[Any]:
        self.over_tcp += 1
        return self.query(queries[0])

    def filterAnswers(self, message: Any) -> Any:
        return message


class World:
    def __init__(self, zone: dict[tuple[str, int], Any], **options: Any) -> None:
        FakeResolver.zone = zone
        FakeResolver.made = []
        self.clock = Clock()
        self.lookup = DnsLookup(self.clock, read=FILES.__getitem__, **options)

    def ask(self, name: str, family: Any) -> Any:
        """The answer, the failure's text, or None while there is neither."""
        found: list[Any] = []
        self.lookup(name, family).addCallbacks(
            found.append, lambda f: found.append(f.trap(LookupFailed) and f)
        )
        if not found:
            return None
        return found[0] if isinstance(found[0], Answer) else str(found[0].value)

    @property
    def queries(self) -> list[tuple[str, int]]:
        return [query for resolver in FakeResolver.made for query in resolver.queries]


@pytest.fixture(autouse=True)
def _fake_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_lookup.client, "Resolver", FakeResolver)


BOTH = {("app.test", dns.A): [a("10.0.0.1", 30)], ("app.test", dns.AAAA): [aaaa("fd00::1", 20)]}


@pytest.mark.parametrize(
    ("family", "addresses", "ttl", "asked"),
    [
        ("AUTO", ("fd00::1",), 20, [dns.AAAA]),
        ("V4_PREFERRED", ("10.0.0.1",), 30, [dns.A]),
        ("V4_ONLY", ("10.0.0.1",), 30, [dns.A]),
        ("V6_ONLY", ("fd00::1",), 20, [dns.AAAA]),
        ("ALL", ("10.0.0.1", "fd00::1"), 20, [dns.A, dns.AAAA]),
    ],
)
def test_families(family: str, addresses: tuple[str, ...], ttl: int, asked: list[int]) -> None:
    world = World(BOTH, search_domains=False)
    assert world.ask("app.test", family) == Answer(addresses, ttl)
    assert [kind for _, kind in world.queries] == asked


@pytest.mark.parametrize(("family", "other"), [("AUTO", dns.AAAA), ("V4_PREFERRED", dns.A)])
@pytest.mark.parametrize("nothing", [[], DNSNameError(), DNSServerError()])
def test_the_other_family_is_asked_when_the_first_has_nothing(
    family: str, other: int, nothing: object
) -> None:
    world = World({**BOTH, ("app.test", other): nothing}, search_domains=False)
    answer = world.ask("app.test", family)
    assert isinstance(answer, Answer)
    assert len(answer.addresses) == 1
    assert len(world.queries) == 2


def test_no_such_name_and_no_data_are_empty_answers() -> None:
    assert World({}, search_domains=False).ask("gone.test", "V4_ONLY") == Answer(())
    empty = World({("app.test", dns.A): []}, search_domains=False)
    assert empty.ask("app.test", "V4_ONLY") == Answer(())


@pytest.mark.parametrize("family", ["AUTO", "ALL", "V4_PREFERRED"])
def test_half_an_empty_answer_is_a_failure(family: str) -> None:
    world = World({("app.test", dns.AAAA): [], ("app.test", dns.A): DNSServerError()}, search_domains=False)
    assert world.ask("app.test", family) == "ServerError"


def test_all_takes_what_one_family_has() -> None:
    world = World({**BOTH, ("app.test", dns.A): DNSServerError()}, search_domains=False)
    assert world.ask("app.test", "ALL") == Answer(("fd00::1",), 20)


def test_cname_chain_and_least_ttl() -> None:
    world = World(
        {("app.test", dns.A): [cname("real.test", 5), a("10.0.0.1"), a("10.0.0.2"), a("10.0.0.1")]},
        search_domains=False,
    )
    assert world.ask("app.test", "V4_ONLY") == Answer(("10.0.0.1", "10.0.0.2"), 5)


def test_a_cname_loop_is_empty() -> None:
    world = World({("app.test", dns.A): [cname("app.test", 5)]}, search_domains=False)
    assert world.ask("app.test", "V4_ONLY") == Answer(())


def test_no_answer_ends_at_the_limit() -> None:
    world = World({("app.test", dns.A): None, ("app.test", dns.AAAA): [aaaa("fd00::1")]})
    found: list[Any] = []
    world.lookup("app.test", "V4_PREFERRED").addErrback(found.append)
    world.clock.advance(LOOKUP_LIMIT - 0.1)
    assert not found
    world.clock.advance(0.1)
    assert found[0].check(LookupFailed)
    assert not world.clock.getDelayedCalls()


def test_search_domains() -> None:
    zone = {("app.x.test", dns.A): [a("10.0.0.9")]}
    world = World(zone)
    assert world.ask("app", "V4_ONLY") == Answer(("10.0.0.9",), 60)
    assert [name for name, _ in world.queries] == ["app.x.test"]
    assert World(zone, search_domains=False).ask("app", "V4_ONLY") == Answer(())


def test_nameservers() -> None:
    world = World(BOTH)
    world.ask("app.test", "V4_ONLY")
    world.ask("app.test", "V4_ONLY")
    assert [resolver.servers for resolver in FakeResolver.made] == [[("192.0.2.53", 53)]]
    world = World(BOTH, nameservers=[("127.0.0.1", 5353)])
    world.ask("app.test", "V4_ONLY")
    assert [resolver.servers for resolver in FakeResolver.made] == [[("127.0.0.1", 5353)]]


def test_close_ends_connections() -> None:
    world = World(BOTH)
    world.lookup.close()
    world.ask("app.test", "V4_ONLY")
    connection = StringTransport()
    FakeResolver.made[0].connections.append(SimpleNamespace(transport=connection))
    world.lookup.close()
    assert connection.disconnecting


def test_tcp_only() -> None:
    world = World(BOTH, tcp_only=True)
    assert world.ask("app.test", "V4_ONLY") == Answer(("10.0.0.1",), 30)
    assert FakeResolver.made[0].over_tcp == 1


@pytest.mark.parametrize(
    ("name", "family", "addresses"),
    [
        ("10.0.0.7", "V6_ONLY", ("10.0.0.7",)),
        ("FD00:0::7", "AUTO", ("fd00::7",)),
        ("localhost", "V4_ONLY", ("127.0.0.1",)),
        ("localhost", "AUTO", ("127.0.0.1",)),
        ("localhost", "V6_ONLY", ()),
        ("Box.", "AUTO", ("fd00::1",)),
        ("box", "V4_PREFERRED", ("10.1.1.1",)),
        ("box", "ALL", ("10.1.1.1", "fd00::1")),
        ("app.localhost", "ALL", ("127.0.0.1", "::1")),
    ],
)
def test_local_names_ask_nobody(name: str, family: str, addresses: tuple[str, ...]) -> None:
    world = World({})
    assert world.ask(name, family) == Answer(addresses)
    assert not world.queries


def test_a_name_that_cannot_be_asked_for_fails() -> None:
    assert isinstance(World(BOTH, search_domains=False).ask("ä" * 70, "V4_ONLY"), str)
