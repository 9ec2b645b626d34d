"""From a name to addresses: IP literals, /etc/hosts, `localhost`, then DNS servers.

The families and what counts as a failure follow Envoy's default resolver (c-ares): `dns_lookup_family` in
envoy.config.cluster.v3.Cluster.  An answer without addresses, NXDOMAIN included, is a success with an empty
result; a query that was not answered (timeout, SERVFAIL, REFUSED...) is a failure.  Seen on Envoy 1.40: half
an answer, no addresses of one family and SERVFAIL for the other, is a failure too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Protocol

from twisted.internet.defer import Deferred, gatherResults

from twistproxy.discovery import dns_wire
from twistproxy.discovery.dns_channel import QueryFailed
from twistproxy.discovery.dns_wire import Reply, ServiceRecord
from twistproxy.discovery.interfaces import routable_families
from twistproxy.discovery.resolv_conf import (
    DNS_PORT,
    ResolverSettings,
    candidate_names,
    is_ip,
    parse_hosts,
    parse_resolv_conf,
)
from twistproxy.model.discovery import CaresResolver, LookupFamily

#: An answer that does not come from DNS has no TTL.
NO_TTL = 0

_LOOPBACK = {dns_wire.A: "127.0.0.1", dns_wire.AAAA: "::1"}

#: The record types of each family in the order in which they are asked for.
_ORDER: dict[LookupFamily, tuple[int, ...]] = {
    "AUTO": (dns_wire.AAAA, dns_wire.A),
    "V4_PREFERRED": (dns_wire.A, dns_wire.AAAA),
    "V4_ONLY": (dns_wire.A,),
    "V6_ONLY": (dns_wire.AAAA,),
    "ALL": (dns_wire.A, dns_wire.AAAA),
}


@dataclass(frozen=True, slots=True)
class Found:
    """One address.  `ttl` in seconds, that of the aliases on the way to it included.

    port, weight, rank, host  what an SRV record says of it; `rank` counts the classes of priority from 0
    """

    address: str
    ttl: int = NO_TTL
    port: int = 0
    weight: int = 1
    rank: int = 0
    host: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, in the order of the answer.  `missing`: why a part of it is not known, "" if it is whole."""

    found: tuple[Found, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Services:
    """The SRV records of a name, their least TTL, and the addresses that came with them, by name in lower case."""

    records: tuple[ServiceRecord, ...] = ()
    ttl: int = NO_TTL
    addresses: Mapping[str, tuple[Found, ...]] = field(default_factory=dict)


class LookupFailed(Exception):
    """The name could not be looked up, which says nothing about its addresses."""


class Lookup(Protocol):
    """Looks up names.  The Deferreds' failure is `LookupFailed`."""

    def __call__(self, name: str, family: LookupFamily) -> Deferred[Answer]:
        """The addresses of a host."""

    def services(self, name: str, family: LookupFamily) -> Deferred[Services]:
        """The SRV records of a service, with the addresses of that family that the server added."""

    def close(self) -> None:
        """Wait for nothing more."""


class Channel(Protocol):
    """What `DnsChannel` is."""

    def use(self, servers: tuple[tuple[str, int], ...]) -> None: ...

    def ask(self, name: str, kind: int) -> Deferred[Reply]: ...

    def close(self) -> None: ...


class LookupStats:
    """What Envoy counts as `dns.cares.*`: one lookup for each family, or one for both together."""

    def __init__(self) -> None:
        self.resolve_total = 0
        self.pending_resolutions = 0
        self.not_found = 0
        self.get_addr_failure = 0
        self.timeouts = 0

    def begin(self) -> None:
        self.pending_resolutions += 1

    def end(self, found: bool, failure: Exception | None) -> None:
        """One lookup is over: with addresses, without, or with a failure."""
        self.pending_resolutions -= 1
        self.resolve_total += 1
        if found:
            return
        if failure is None:
            self.not_found += 1
        elif isinstance(failure, QueryFailed) and failure.timed_out:
            self.timeouts += failure.timeouts
        else:
            self.get_addr_failure += 1


class DnsLookup:
    """`Lookup` through DNS servers.

    channel  asks them
    stats    is counted into
    read     returns the text of a file; OSError if there is none
    """

    def __init__(
        self,
        channel: Channel,
        settings: CaresResolver,
        stats: LookupStats,
        read: Callable[[str], str],
    ) -> None:
        self._settings = settings
        self._stats = stats
        self._channel = channel
        self._read = read

    def __call__(self, name: str, family: LookupFamily) -> Deferred[Answer]:
        return Deferred.fromCoroutine(self._look_up(name, family))

    def services(self, name: str, family: LookupFamily) -> Deferred[Services]:
        return Deferred.fromCoroutine(self._services(name, family))

    def close(self) -> None:
        self._channel.close()

    async def _look_up(self, name: str, family: LookupFamily) -> Answer:
        """Asks for one family after the other; the second only if it is needed, or with ALL both at once.

        A failure of one does not hide the addresses that the other has.  Without any address it is a failure
        as soon as one of them failed, so that no host is removed because half of the question stayed
        unanswered.
        """
        kinds = _ORDER[family]
        steps = (kinds,) if family == "ALL" else tuple((kind,) for kind in kinds)
        failure: Exception | None = None
        for step in steps:
            self._stats.begin()
            found, failed = await self._step(name, step)
            self._stats.end(bool(found), failed)
            failure = failed or failure
            if found:
                return Answer(found)
        if failure is not None:
            raise LookupFailed(str(failure))
        return Answer()

    async def _step(self, name: str, kinds: tuple[int, ...]) -> tuple[tuple[Found, ...], Exception | None]:
        """Looks up some families at once, those that no interface has left out."""
        if self._settings.filter_families:
            v4, v6 = routable_families(self._read)
            kinds = tuple(kind for kind in kinds if (v4 if kind == dns_wire.A else v6))
            if not kinds:
                return (), LookupFailed("no interface has an address of this family")
        local = self._local(name, kinds)
        if local is not None:
            return local
        results = await gatherResults([Deferred.fromCoroutine(self._ask(name, kind)) for kind in kinds])
        found = tuple(each for addresses, _ in results for each in addresses)
        return found, next((failure for _, failure in results if failure is not None), None)

    def _local(self, name: str, kinds: tuple[int, ...]) -> tuple[tuple[Found, ...], Exception | None] | None:
        """What needs no server; None if it takes one."""
        if is_ip(name):
            # As c-ares: an IPv4 address will do where an IPv6 address is asked for, but not the other way round.
            if ":" in name and dns_wire.AAAA not in kinds:
                return (), LookupFailed("an IPv6 address")
            return (Found(str(ip_address(name))),), None
        bare = name.lower().rstrip(".")
        listed = parse_hosts(self._file("/etc/hosts")).get(bare, ())
        # RFC 6761 section 6.3: never asked for
        loopback = bare == "localhost" or bare.endswith(".localhost")
        found: list[str] = []
        for kind in kinds:
            of_kind = [each for each in listed if (":" in each) == (kind == dns_wire.AAAA)]
            found += of_kind or ([_LOOPBACK[kind]] if loopback else [])
        return (tuple(map(Found, dict.fromkeys(found))), None) if found else None

    def _file(self, path: str) -> str:
        try:
            return self._read(path)
        except OSError:
            return ""

    def _candidates(self, name: str) -> tuple[str, ...]:
        """The names to ask for; the channel knows whom to ask from then on."""
        settings = self._settings
        text = self._file("/etc/resolv.conf")
        system = parse_resolv_conf(text)
        own = settings.servers
        if own and settings.fallback and system.nameservers != (("127.0.0.1", DNS_PORT),):
            own = ()
        self._channel.use(own or system.nameservers)
        search = system.search if settings.search_domains else ()
        return candidate_names(name, ResolverSettings((), search, system.ndots))

    async def _ask(self, name: str, kind: int) -> tuple[tuple[Found, ...], Exception | None]:
        """The addresses of one family, by the search list."""
        for candidate in self._candidates(name):
            try:
                found = _addresses(await self._channel.ask(candidate, kind), kind)
            except QueryFailed as failure:
                return (), failure
            if found:
                return found, None
        return (), None

    async def _services(self, name: str, family: LookupFamily) -> Services:
        for candidate in self._candidates(name):
            try:
                reply = await self._channel.ask(candidate, dns_wire.SRV)
            except QueryFailed as failure:
                raise LookupFailed(str(failure)) from None
            records = tuple(each.data for each in reply.answers if isinstance(each.data, ServiceRecord))
            if records:
                ttl = min(record.ttl for record in reply.answers)
                # What no interface can reach is left out where hosts are looked up.
                added = {} if self._settings.filter_families else _added(reply, family)
                return Services(records, ttl, added)
        return Services()


def _addresses(reply: Reply, kind: int) -> tuple[Found, ...]:
    """The addresses in the answer section: as c-ares does, all of them, whatever chain of CNAMEs led there.

    Envoy: an address lives no longer than the aliases on the way to it.
    """
    aliases = min((record.ttl for record in reply.answers if record.kind == dns_wire.CNAME), default=None)
    found: dict[str, Found] = {}
    for record in reply.answers:
        if record.kind == kind and isinstance(record.data, str):
            ttl = record.ttl if aliases is None else min(record.ttl, aliases)
            found.setdefault(record.data, Found(record.data, ttl))
    return tuple(found.values())


def _added(reply: Reply, family: LookupFamily) -> dict[str, tuple[Found, ...]]:
    """The addresses of the additional section by name, of the family that is preferred among those that are there."""
    by_name: dict[str, dict[int, list[Found]]] = {}
    for record in reply.additional:
        if record.kind in _ORDER[family] and isinstance(record.data, str):
            kinds = by_name.setdefault(record.name, {})
            kinds.setdefault(record.kind, []).append(Found(record.data, record.ttl))
    added = {}
    for name, kinds in by_name.items():
        in_order = [kinds[kind] for kind in _ORDER[family] if kind in kinds]
        taken = in_order if family == "ALL" else in_order[:1]
        added[name] = tuple(each for of_kind in taken for each in of_kind)
    return added
