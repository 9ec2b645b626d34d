"""What the tests of sources share."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogEvent, Logger, formatEvent

from twistproxy.discovery.dns_lookup import Answer, Found, LookupFailed, Services
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.discovery.source import ClusterUpdates
from twistproxy.model.discovery import LookupFamily
from twistproxy.model.endpoint import Endpoint


class Log:
    """A Logger whose lines can be looked at."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failures = 0
        self.logger = Logger(namespace="test", observer=self)

    def __call__(self, event: LogEvent) -> None:
        self.lines.append(formatEvent(event))
        self.failures += "log_failure" in event


class Updates:
    """A store with one declared cluster, and what is published into it."""

    def __init__(self, cluster: str) -> None:
        self.changes = 0
        self.cluster = cluster
        self.store = EndpointStore(self._changed)
        self.updates = ClusterUpdates(self.store, cluster)
        self.store.declare(cluster)
        self.changes = 0

    def _changed(self, cluster: str) -> None:
        assert cluster == self.cluster
        self.changes += 1

    @property
    def resolved(self) -> bool:
        found = self.store.get(self.cluster)
        assert found is not None
        return found.resolved

    @property
    def complete(self) -> bool:
        return self.store.complete(self.cluster)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        found = self.store.get(self.cluster)
        assert found is not None
        return found.endpoints

    @property
    def addresses(self) -> list[str]:
        return addresses(self.endpoints)

    def counted(self) -> dict[str, int]:
        """The counters that are not 0, without their common prefix."""
        return {name.removeprefix("update_"): value for name, value in self.updates.counters.items() if value}


def addresses(endpoints: Iterable[Endpoint]) -> list[str]:
    return [str(endpoint.address) for endpoint in endpoints]


class FakeLookup:
    """`Lookup` whose answers the test gives; `services_of` what is known of services."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, LookupFamily]] = []
        self.waiting: list[tuple[str, Deferred[Answer]]] = []
        self.services_of: Services | LookupFailed = Services()

    def __call__(self, name: str, family: LookupFamily) -> Deferred[Answer]:
        self.asked.append((name, family))
        answer: Deferred[Answer] = Deferred()
        self.waiting.append((name, answer))
        return answer

    def services(self, name: str, family: LookupFamily) -> Deferred[Services]:
        found = self.services_of
        return fail(found) if isinstance(found, LookupFailed) else succeed(found)

    def close(self) -> None:
        pass

    def answer(self, *found: str, ttl: int = 0) -> None:
        """Answer the oldest question."""
        self.waiting.pop(0)[1].callback(Answer(tuple(Found(address, ttl) for address in found)))

    def fail(self, reason: str = "TimeoutError") -> None:
        self.waiting.pop(0)[1].errback(LookupFailed(reason))
