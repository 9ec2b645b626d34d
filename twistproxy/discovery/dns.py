"""STRICT_DNS and LOGICAL_DNS clusters (Envoy: intro/arch_overview/upstream/service_discovery).

STRICT_DNS: every address of an answer is an endpoint, and an answer without addresses takes the target's
endpoints away.  LOGICAL_DNS: one endpoint, with the first address, and the others for connections that it does not
take (RFC 8305); an answer without addresses counts as a failure.  A failure keeps what there was.  Each target has
its own rhythm: it is looked up again after the refresh rate, or its TTL, or a back-off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.api.clock import Timer
from twistproxy.discovery.dns_lookup import Answer, Found, Lookup, LookupFailed
from twistproxy.discovery.dns_services import ServiceLookup
from twistproxy.discovery.source import ClusterUpdates, Random
from twistproxy.model.address import Address, TcpAddress
from twistproxy.model.discovery import DnsSource, DnsTarget, LookupFamily
from twistproxy.model.endpoint import Endpoint
from twistproxy.primitives.backoff import Backoff


class DnsDiscovery:
    """A running `DnsSource`.  `lookup` finds addresses, `updates` is told of endpoints."""

    def __init__(
        self,
        reactor: Any,
        source: DnsSource,
        lookup: Lookup,
        updates: ClusterUpdates,
        random: Random,
        log: Logger,
    ) -> None:
        self.source = source
        self.updates = updates
        self.lookup = lookup
        self.log = log
        self.random = random
        self._targets = [_Target(reactor, self, target) for target in source.targets]

    def start(self) -> None:
        """Begin to look up."""
        for target in self._targets:
            target.start()
        if not self._targets:
            # Envoy: a cluster without targets is resolved at once, as empty.
            self.updates.success(())
        elif not self.source.wait:
            self.updates.do_not_wait()

    def stop(self) -> None:
        """Look up no more; an answer that is on its way is ignored."""
        self.updates.stop()
        for target in self._targets:
            target.stop()

    def publish(self) -> None:
        """One target has answered: publish the endpoints of all."""
        change = self.updates.success(
            merged(endpoint for target in self._targets for endpoint in target.endpoints),
            complete=all(target.answered for target in self._targets),
        )
        if change:
            self.log.info(
                "cluster {cluster}: DNS changed: {change}", cluster=self.source.cluster, change=change
            )


def merged(endpoints: Iterable[Endpoint]) -> Iterable[Endpoint]:
    """One endpoint for each address.

    Where several targets of a priority have an address in common, Envoy has a host for each; one host that weighs as
    much as all of them has the same share.  Of several priorities the lowest number counts.
    """
    found: dict[Address, Endpoint] = {}
    for endpoint in endpoints:
        known = found.get(endpoint.address)
        if known is not None and known.priority == endpoint.priority:
            endpoint = replace(known, weight=known.weight + endpoint.weight)
        elif known is not None and known.priority < endpoint.priority:
            continue
        found[endpoint.address] = endpoint
    return found.values()


class _Target:
    """One name of the cluster: the last answer, and the timer until the next query."""

    def __init__(self, reactor: Any, discovery: DnsDiscovery, target: DnsTarget) -> None:
        self.endpoints: tuple[Endpoint, ...] = ()
        self.answered = False
        self._reactor = reactor
        self._discovery = discovery
        self._target = target
        self._timer: Timer | None = None
        self._running = False
        self._failing = False
        source = discovery.source
        rates = source.failure_refresh_rate
        self._backoff = Backoff(*rates, discovery.random) if rates else None
        lookup: Callable[[str, LookupFamily], Deferred[Answer]] = discovery.lookup
        self._lookup = ServiceLookup(discovery.lookup) if target.service else lookup

    def start(self) -> None:
        self._running = True
        self._resolve()

    def stop(self) -> None:
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _resolve(self) -> None:
        self._timer = None
        self._discovery.updates.attempt()
        found = self._lookup(self._target.host, self._discovery.source.family)
        found.addCallback(self._found).addErrback(self._failed).addCallback(self._again)

    def _found(self, answer: Answer) -> float:
        """Returns the delay until the next query."""
        source = self._discovery.source
        found: Sequence[Found] = answer.found
        others: tuple[Address, ...] = ()
        if source.logical:
            if not found:
                return self._failed(None)
            first = self._chosen(found)
            others = tuple(self._address(each) for each in found if each is not first)
            found = (first,)
        if self._running:
            self.endpoints = tuple(self._endpoint(each, others) for each in found)
            self.answered = True
            self._discovery.publish()
        if answer.missing:
            return self._complain(answer.missing)
        self._failing = False
        if self._backoff is not None:
            self._backoff.reset()
        delay = source.refresh_rate
        if source.respect_dns_ttl:
            delay = float(min((each.ttl for each in found), default=0)) or delay
        return delay + self._discovery.random() * source.jitter

    def _chosen(self, found: Sequence[Found]) -> Found:
        """The one address of a LOGICAL_DNS cluster: the first.

        Of a service the one that is in use, as long as it is in the first class, else one by weight (RFC 2782).
        """
        if not self._target.service:
            return found[0]
        first = [each for each in found if each.rank == 0] or found
        in_use = {endpoint.address for endpoint in self.endpoints}
        for each in first:
            if self._address(each) in in_use:
                return each
        at = self._discovery.random() * sum(each.weight for each in first)
        for each in first:
            at -= each.weight
            if at < 0:
                return each
        return first[-1]

    def _failed(self, failure: Failure | None) -> float:
        """Returns the delay until the next query."""
        discovery = self._discovery
        if not self._running:
            return 0.0
        discovery.updates.failure()
        if failure is not None and not failure.check(LookupFailed):
            discovery.log.failure("resolving {name}", failure, name=self._target.host)
        return self._complain("no addresses" if failure is None else str(failure.value))

    def _complain(self, reason: str) -> float:
        """A lookup failed, in whole or in part.  Returns the delay until the next query."""
        discovery = self._discovery
        if self._running and not self._failing:
            self._failing = True
            discovery.log.warn(
                "cluster {cluster}: cannot resolve {name}: {reason}",
                cluster=discovery.source.cluster,
                name=self._target.host,
                reason=reason,
            )
        return discovery.source.refresh_rate if self._backoff is None else self._backoff.next()

    def _again(self, delay: float) -> None:
        if self._running:
            self._timer = self._reactor.callLater(delay, self._resolve)

    def _address(self, found: Found) -> TcpAddress:
        return TcpAddress(found.address, found.port or self._target.port)

    def _endpoint(self, found: Found, others: tuple[Address, ...]) -> Endpoint:
        target = self._target
        return Endpoint(
            self._address(found),
            weight=target.weight * found.weight,
            hostname=target.hostname or found.host or target.host,
            health=target.health,
            # Envoy moves the only host of a LOGICAL_DNS cluster to priority 0.
            priority=0 if self._discovery.source.logical else target.priority + found.rank,
            locality=target.locality,
            locality_weight=target.locality_weight,
            canary=target.canary,
            hash_key=target.hash_key,
            metadata=target.metadata,
            check=target.check,
            additional=others,
        )
