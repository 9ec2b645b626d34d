"""The resolvers that clusters share: one for equal settings, and what all of them count."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twistproxy.discovery.dns_channel import DnsChannel
from twistproxy.discovery.dns_lookup import DnsLookup, Lookup, LookupStats
from twistproxy.discovery.source import Random
from twistproxy.discovery.system_lookup import SystemLookup
from twistproxy.model.discovery import CaresResolver, Resolver


class Resolvers:
    """Makes and keeps a `Lookup` for each resolver.  `read` returns the text of a file, OSError if there is none."""

    def __init__(self, reactor: Any, random: Random, read: Callable[[str], str]) -> None:
        self._reactor = reactor
        self._random = random
        self._read = read
        self._stats: LookupStats | None = None
        self._lookups: dict[Resolver, Lookup] = {}

    def get(self, resolver: Resolver) -> Lookup:
        """The lookup for these settings."""
        lookup = self._lookups.get(resolver)
        if lookup is None:
            lookup = self._lookups[resolver] = self._make(resolver)
        return lookup

    def keep(self, wanted: Collection[Resolver]) -> None:
        """Close the others."""
        for resolver in tuple(self._lookups):
            if resolver not in wanted:
                self._lookups.pop(resolver).close()

    def snapshot(self) -> dict[str, dict[str, int]]:
        """`{"counters": {"dns.cares.resolve_total": ..., ...}, "gauges": ...}`; empty if there never was one."""
        stats = self._stats
        if stats is None:
            return {"counters": {}, "gauges": {}}
        names = ("resolve_total", "not_found", "get_addr_failure", "timeouts")
        return {
            # Envoy counts there how often it has opened its sockets anew; ours are opened all the time.
            "counters": {"dns.cares.reinits": 0}
            | {f"dns.cares.{name}": getattr(stats, name) for name in names},
            "gauges": {"dns.cares.pending_resolutions": stats.pending_resolutions},
        }

    def _make(self, resolver: Resolver) -> Lookup:
        if not isinstance(resolver, CaresResolver):
            return SystemLookup(self._reactor, resolver)
        if self._stats is None:
            self._stats = LookupStats()
        return DnsLookup(DnsChannel(self._reactor, resolver, self._random), resolver, self._stats, self._read)
