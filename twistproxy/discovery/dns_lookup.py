"""From a name to addresses: IP literals, /etc/hosts, `localhost`, then DNS through twisted.names.

The families and what counts as a failure follow Envoy's default resolver (c-ares): `dns_lookup_family` in
envoy.config.cluster.v3.Cluster.  An answer without addresses, NXDOMAIN included, is a success with an empty
result; a query that was not answered (timeout, SERVFAIL, REFUSED...) is a failure.  Seen on Envoy 1.40: half
an answer, no addresses of one family and SERVFAIL for the other, is a failure too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.names import client, dns
from twisted.names.error import DNSNameError
from twisted.python.failure import Failure

from twistproxy.discovery.resolv_conf import (
    ResolverSettings,
    candidate_names,
    is_ip,
    parse_hosts,
    parse_resolv_conf,
)
from twistproxy.model.discovery import LookupFamily

#: Seconds that one nameserver has in each round.  A lookup ends after LOOKUP_LIMIT in any case: a dead
#: nameserver must not hold up the next attempt for a minute, which is twisted.names' default.
QUERY_TIMEOUTS = (2, 4)
LOOKUP_LIMIT = 15.0

#: An answer that does not come from DNS has no TTL.
NO_TTL = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """Addresses in the order of the answer, and the least TTL of its records in seconds (`NO_TTL`: none)."""

    addresses: tuple[str, ...]
    ttl: int = NO_TTL


class LookupFailed(Exception):
    """The name could not be looked up, which says nothing about its addresses."""


class Lookup(Protocol):
    """Looks up one name.  The Deferred's failure is `LookupFailed`."""

    def __call__(self, name: str, family: LookupFamily) -> Deferred[Answer]: ...


#: The record types of each family in the order in which they are asked for.
_ORDER: dict[LookupFamily, tuple[int, ...]] = {
    "AUTO": (dns.AAAA, dns.A),
    "V4_PREFERRED": (dns.A, dns.AAAA),
    "V4_ONLY": (dns.A,),
    "V6_ONLY": (dns.AAAA,),
    "ALL": (dns.A, dns.AAAA),
}


class DnsLookup:
    """`Lookup` for one list of nameservers.

    nameservers     (IP address, port); empty: those of /etc/resolv.conf, which is read again for each lookup
    search_domains  whether resolv.conf's search list applies
    read            returns the text of a file; OSError if there is none
    """

    def __init__(
        self,
        reactor: Any,
        nameservers: Sequence[tuple[str, int]] = (),
        *,
        search_domains: bool = True,
        tcp_only: bool = False,
        read: Callable[[str], str],
    ) -> None:
        self._reactor = reactor
        self._nameservers = tuple(nameservers)
        self._search_domains = search_domains
        self._tcp_only = tcp_only
        self._read = read
        self._resolver: tuple[tuple[tuple[str, int], ...], Any] | None = None

    def __call__(self, name: str, family: LookupFamily) -> Deferred[Answer]:
        local = self._local(name, family)
        if local is not None:
            done: Deferred[Answer] = Deferred()
            done.callback(local)
            return done
        lookup: Deferred[Answer] = Deferred.fromCoroutine(self._ask(name, family))
        lookup.addTimeout(LOOKUP_LIMIT, self._reactor)
        return lookup.addErrback(_as_lookup_failed)

    def close(self) -> None:
        """Close the connections that answers over TCP have left open."""
        if self._resolver is not None:
            for connection in tuple(self._resolver[1].connections):
                connection.transport.loseConnection()

    def _local(self, name: str, family: LookupFamily) -> Answer | None:
        """What needs no nameserver; None if it takes one."""
        if is_ip(name):
            return Answer((str(ip_address(name)),))
        bare = name.lower().rstrip(".")
        listed = parse_hosts(self._file("/etc/hosts")).get(bare, ())
        if not listed and (bare == "localhost" or bare.endswith(".localhost")):
            listed = ("127.0.0.1", "::1")  # RFC 6761 section 6.3: never asked for
        if not listed:
            return None
        v4 = tuple(address for address in listed if ":" not in address)
        v6 = tuple(address for address in listed if ":" in address)
        match family:
            case "V4_ONLY":
                return Answer(v4)
            case "V6_ONLY":
                return Answer(v6)
            case "AUTO":
                return Answer(v6 or v4)
            case "V4_PREFERRED":
                return Answer(v4 or v6)
            case _:
                return Answer(v4 + v6)

    def _file(self, path: str) -> str:
        try:
            return self._read(path)
        except OSError:
            return ""

    async def _ask(self, name: str, family: LookupFamily) -> Answer:
        system = parse_resolv_conf(self._file("/etc/resolv.conf"))
        settings = ResolverSettings(
            self._nameservers or system.nameservers,
            system.search if self._search_domains else (),
            system.ndots,
        )
        resolver = self._resolver_for(settings.nameservers)
        for candidate in candidate_names(name, settings):
            answer = await self._ask_families(resolver, candidate, family)
            if answer.addresses:
                return answer
        return Answer(())

    def _resolver_for(self, nameservers: tuple[tuple[str, int], ...]) -> Any:
        if self._resolver is None or self._resolver[0] != nameservers:
            resolver = client.Resolver(
                servers=list(nameservers), timeout=QUERY_TIMEOUTS, reactor=self._reactor
            )
            self.close()
            self._resolver = (nameservers, resolver)
        return self._resolver[1]

    async def _ask_families(self, resolver: Any, name: str, family: LookupFamily) -> Answer:
        """Asks for one family after the other; the second only if it is needed.

        A failure of one does not hide the addresses that the other has.  Without any address it is a failure
        as soon as one of them failed, so that no host is removed because half of the question stayed
        unanswered.
        """
        found: list[str] = []
        ttls: list[int] = []
        failure: Exception | None = None
        for kind in _ORDER[family]:
            try:
                answer = await self._query(resolver, name, kind)
            except CancelledError:
                raise
            except Exception as e:
                failure = e
                continue
            found += answer.addresses
            if answer.addresses:
                ttls.append(answer.ttl)
                if family != "ALL":
                    break
        if failure is not None and not found:
            raise failure
        return Answer(tuple(found), min(ttls, default=NO_TTL))

    def _query(self, resolver: Any, name: str, kind: int) -> Deferred[Answer]:
        query = dns.Query(name.encode("idna") if not name.isascii() else name.encode(), kind, dns.IN)

        def send() -> Deferred[Any]:
            if self._tcp_only:
                return resolver.queryTCP([query]).addCallback(resolver.filterAnswers)  # type: ignore[no-any-return]
            return resolver.query(query)  # type: ignore[no-any-return]

        return maybeDeferred(send).addCallbacks(_answer, _empty_if_no_such_name, callbackArgs=(kind,))


def _answer(sections: Any, kind: int) -> Answer:
    """The addresses in the answer section.

    As c-ares does, all of them, whatever chain of CNAMEs led there.
    """
    records = sections[0]
    addresses = tuple(
        record.payload.dottedQuad() if kind == dns.A else str(ip_address(record.payload.address))
        for record in records
        if record.type == kind
    )
    return Answer(tuple(dict.fromkeys(addresses)), min((record.ttl for record in records), default=NO_TTL))


def _empty_if_no_such_name(failure: Failure) -> Answer:
    failure.trap(DNSNameError)
    return Answer(())


def _as_lookup_failed(failure: Failure) -> Any:
    if failure.check(LookupFailed):
        return failure
    reason = type(failure.value).__name__
    raise LookupFailed(reason.removeprefix("DNS") or "failed") from None
