"""Clusters of v1 type `sds`: polls `GET /v1/registration/<service_name>` of a discovery service.

Envoy 1.x's behaviour: one poll at start, the next after refresh_delay + random(0 ... refresh_delay) whatever
came of it; one second for all of it; only a 200 with a body of the right shape counts, anything else keeps
the old endpoints; the Host header is the discovery cluster's name.  Unlike Envoy, a poll goes on to the next
host when one cannot be asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import quote

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.api.clock import Timer
from twistproxy.discovery.registration import PATH_PREFIX, RegistrationError, parse_registration
from twistproxy.discovery.source import ClusterUpdates, Random
from twistproxy.model.address import TcpAddress
from twistproxy.model.discovery import V1SdsSource
from twistproxy.model.endpoint import Endpoint

#: Bytes of a request target that go as they are: everything printable that does not end or escape the path.
_UNESCAPED = "".join(map(chr, range(0x21, 0x7F))).replace("#", "").replace("?", "")


class Fetch(Protocol):
    """GETs `target` from an IP address with a Host header; fires with (status, body)."""

    def __call__(self, address: TcpAddress, target: str, host: str) -> Deferred[tuple[int, bytes]]: ...


class V1SdsDiscovery:
    """A running `V1SdsSource`.

    hosts  gives the discovery service's hosts; None while they are not known.  `hosts_changed` is to be
           called when it gives others
    """

    def __init__(
        self,
        reactor: Any,
        source: V1SdsSource,
        hosts: Callable[[], tuple[Endpoint, ...] | None],
        fetch: Fetch,
        updates: ClusterUpdates,
        random: Random,
        log: Logger,
    ) -> None:
        self.source = source
        self._reactor = reactor
        self._hosts = hosts
        self._fetch = fetch
        self._updates = updates
        self._random = random
        self._log = log
        self._timer: Timer | None = None
        self._poll: Deferred[None] | None = None
        self._target = PATH_PREFIX + quote(source.service_name or source.cluster, safe=_UNESCAPED)
        self._waiting = False
        self._running = False
        self._turn = 0
        self._body: bytes | None = None
        self._endpoints: tuple[Endpoint, ...] = ()
        self._problem = ""

    def start(self) -> None:
        """Poll, now and from then on."""
        self._running = True
        self._start_poll()

    def stop(self) -> None:
        """Poll no more; a request under way is cancelled."""
        self._running = False
        self._updates.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._poll is not None:
            self._poll.cancel()

    def hosts_changed(self) -> None:
        """The discovery service's hosts are others: if there were none to ask, ask now."""
        if self._waiting and self._running and self._hosts():
            self._waiting = False
            if self._timer is not None:
                self._timer.cancel()
            self._start_poll()

    def _start_poll(self) -> None:
        self._timer = None
        self._poll = Deferred.fromCoroutine(self._ask_hosts())
        self._poll.addTimeout(self.source.timeout, self._reactor, onTimeoutCancel=self._timed_out)
        self._poll.addErrback(self._failed).addCallback(self._again)

    async def _ask_hosts(self) -> None:
        """Asks one host after the other until one answers."""
        hosts = self._hosts()
        if hosts is None:
            # Not even the first DNS answer is here: that is no failure yet, `hosts_changed` will come.
            self._waiting = True
            return
        self._updates.attempt()
        if not hosts:
            self._waiting = True
            raise RegistrationError("the discovery service has no hosts")
        problem = RegistrationError("the discovery service has no address to ask")
        until = self._reactor.seconds() + self.source.timeout
        for _ in hosts:
            address = hosts[self._turn % len(hosts)].address
            self._turn += 1
            if not isinstance(address, TcpAddress):
                continue
            try:
                self._answered(*await self._fetch(address, self._target, self.source.authority))
                return
            except CancelledError:
                raise
            except RegistrationError as e:
                problem = RegistrationError(f"{address}: {e}")
            except Exception as e:
                if not self._running or self._reactor.seconds() >= until:
                    # What a request that was cancelled ends with is up to those it went through.
                    raise CancelledError from e
                problem = RegistrationError(f"{address}: {_describe(e)}")
        raise problem

    def _answered(self, status: int, body: bytes) -> None:
        if status != 200:
            raise RegistrationError(f"status {status}")
        if body != self._body:
            self._endpoints = parse_registration(body)
            self._body = body
        change = self._updates.success(self._endpoints)
        if self._problem:
            self._log.info("cluster {cluster}: SDS answers again", cluster=self.source.cluster)
            self._problem = ""
        if change:
            self._log.info(
                "cluster {cluster}: SDS changed: {change}", cluster=self.source.cluster, change=change
            )

    def _timed_out(self, _result: object, timeout: float) -> Failure:
        return Failure(RegistrationError(f"no answer within {timeout:g} s"))

    def _failed(self, failure: Failure) -> None:
        if not self._running:
            return
        self._updates.failure()
        if not failure.check(RegistrationError):
            self._log.failure("polling SDS for {cluster}", failure, cluster=self.source.cluster)
        problem = str(failure.value)
        if problem != self._problem:
            self._problem = problem
            self._log.warn("cluster {cluster}: SDS: {reason}", cluster=self.source.cluster, reason=problem)

    def _again(self, _: None) -> None:
        self._poll = None
        if self._running:
            delay = self.source.refresh_delay * (1 + self._random())
            self._timer = self._reactor.callLater(delay, self._start_poll)


def _describe(error: Exception) -> str:
    """A failed request in words.  Twisted wraps what happened on a connection in lists of Failures."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        return _describe(reasons[0].value)
    return str(error) or type(error).__name__
