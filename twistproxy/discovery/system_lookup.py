"""`Lookup` through the system's getaddrinfo(3), in threads (Envoy: envoy.network.dns_resolver.getaddrinfo)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from twistproxy.discovery.dns_lookup import Answer, Found, LookupFailed, Services
from twistproxy.model.discovery import LookupFamily, SystemResolver
from twistproxy.transport.system_resolver import Temporary, system_addresses

#: The system tells no TTL; Envoy takes a minute.
TTL = 60
#: Seconds between the attempts of a lookup that fails for now.
AGAIN = 0.5

#: Runs a function elsewhere.
Threads = Callable[[Callable[[str], "list[str] | Temporary"], str], Deferred[Any]]


class SystemLookup:
    """`threads` runs what blocks; by default a pool of the settings' size, which `close` ends."""

    def __init__(self, reactor: Any, settings: SystemResolver, threads: Threads | None = None) -> None:
        self._reactor = reactor
        self._retries = settings.retries
        self._pool: ThreadPool | None = None
        self._closed = False
        if threads is None:
            pool = self._pool = ThreadPool(0, settings.threads, name="getaddrinfo")
            pool.start()

            def threads(work: Any, name: str) -> Deferred[Any]:
                return deferToThreadPool(reactor, pool, work, name)

        self._threads = threads

    def __call__(self, name: str, family: LookupFamily) -> Deferred[Answer]:
        return Deferred.fromCoroutine(self._look_up(name, family))

    def services(self, name: str, family: LookupFamily) -> Deferred[Services]:
        raise LookupFailed("getaddrinfo knows no SRV records")

    def close(self) -> None:
        self._closed = True
        if self._pool is not None:
            # Threads that are in getaddrinfo leave when it returns; nobody waits for them.
            self._pool.adjustPoolsize(0, 0)

    async def _look_up(self, name: str, family: LookupFamily) -> Answer:
        attempts = 0
        while True:
            try:
                found = await self._threads(system_addresses, name)
            except OSError as error:
                raise LookupFailed(str(error)) from None
            if found != "again":
                return Answer(tuple(Found(address, TTL) for address in of_family(found, family)))
            attempts += 1
            if self._closed or (self._retries is not None and attempts > self._retries):
                raise LookupFailed("temporary failure of the system's resolver")
            await deferLater(self._reactor, AGAIN)


def of_family(found: list[str], family: LookupFamily) -> list[str]:
    """Those addresses that the family wants, in order."""
    v4 = [address for address in found if ":" not in address]
    v6 = [address for address in found if ":" in address]
    match family:
        case "V4_ONLY":
            return v4
        case "V6_ONLY":
            return v6
        case "V4_PREFERRED":
            return v4 or v6
        case "AUTO":
            return v6 or v4
        case _:
            return found
