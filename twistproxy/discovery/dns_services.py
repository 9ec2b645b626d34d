"""SRV records (RFC 2782) to addresses with ports, weights and ranks.  Envoy has nothing of the kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import lcm
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from twistproxy.discovery.dns_lookup import Answer, Found, Lookup, LookupFailed, Services
from twistproxy.discovery.dns_wire import ServiceRecord
from twistproxy.model.discovery import LookupFamily

#: Hosts of one service that are looked up at the same time.
AT_ONCE = 16

#: RFC 2782: next to others, a weight of 0 is "a very small chance of being selected".
SMALL_CHANCE = 100
#: A host whose weight is split between so many addresses, and no more, weighs as much as one with one address.
MOST_SPLIT = 60


class ServiceLookup:
    """Looks up one service, again and again.  `lookup` finds its records and hosts.

    A host that cannot be looked up keeps the addresses that it had.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._known: dict[str, tuple[Found, ...]] = {}

    def __call__(self, name: str, family: LookupFamily) -> Deferred[Answer]:
        return Deferred.fromCoroutine(self._look_up(name, family))

    async def _look_up(self, name: str, family: LookupFamily) -> Answer:
        services = await self._lookup.services(name, family)
        # RFC 2782: the target "." says that there is no such service.
        records = tuple(record for record in services.records if record.target)
        slots: Any = DeferredSemaphore(AT_ONCE)
        wanted = dict.fromkeys(record.target for record in records if record.target not in services.addresses)
        answers = await gatherResults(
            [slots.run(self._host, target, family) for target in wanted], consumeErrors=True
        )
        hosts = dict(services.addresses) | {
            target: answer.found for target, answer in zip(wanted, answers, strict=True)
        }
        missing = next((answer.missing for answer in answers if answer.missing), "")
        self._known = {record.target: hosts[record.target] for record in records}
        found = endpoints_of(Services(records, services.ttl), hosts)
        if missing and not found:
            raise LookupFailed(missing)
        return Answer(found, missing)

    def _host(self, target: str, family: LookupFamily) -> Deferred[Answer]:
        def kept(failure: Any) -> Answer:
            failure.trap(LookupFailed)
            return Answer(self._known.get(target, ()), f"{target}: {failure.value}")

        return self._lookup(target, family).addErrback(kept)


def endpoints_of(services: Services, hosts: Mapping[str, Sequence[Found]]) -> tuple[Found, ...]:
    """The addresses of all records, the lowest class of priority first; `hosts`: addresses by target."""
    classes: dict[int, list[ServiceRecord]] = {}
    for record in services.records:
        classes.setdefault(record.priority, []).append(record)
    found: dict[tuple[str, int], Found] = {}
    for rank, priority in enumerate(sorted(classes)):
        records = classes[priority]
        weights = _weights(records, [len(hosts[record.target]) for record in records])
        for record, weight in zip(records, weights, strict=True):
            for host in hosts[record.target]:
                ttl = min(host.ttl or services.ttl, services.ttl)
                one = Found(host.address, ttl, record.port, weight, rank, record.target)
                found.setdefault((one.address, one.port), one)
    return tuple(found.values())


def _weights(records: Iterable[ServiceRecord], counts: Sequence[int]) -> list[int]:
    """What each address of each record weighs, so that a host has its share however many addresses it has."""
    weights = [record.weight for record in records]
    if not any(weights):
        weights = [1] * len(weights)
    elif not all(weights):
        weights = [weight * SMALL_CHANCE or 1 for weight in weights]
    split = lcm(*(count for count in counts if count))
    if split > MOST_SPLIT or len({count for count in counts if count}) == 1:
        return weights
    return [
        weight * split // count if count else weight for weight, count in zip(weights, counts, strict=True)
    ]
