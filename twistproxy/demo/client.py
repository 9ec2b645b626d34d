"""The demo's user: asks the edge for foo.com, and keeps account of who answered."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from treq.client import HTTPClient
from treq.content import content
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twistproxy.demo.configs import DOMAIN

_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.  `status` is 0 and `error` says why if nothing did.

    headers  the response's, by lower-case names
    text     the body
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    error: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """What the application answered; empty if it was not the application."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def copy(self) -> int:
        """The number of the copy that answered; 0 if none did."""
        return int(self.body.get("copy", 0)) if self.status == 200 else 0

    def __str__(self) -> str:
        return f"{self.status} {self.text[:100]!r}" if self.status else self.error


@implementer(IAgentEndpointFactory)
class _Loopback:
    """Every host name is 127.0.0.1."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def endpointForURI(self, uri: Any) -> TCP4ClientEndpoint:
        return TCP4ClientEndpoint(self._reactor, "127.0.0.1", uri.port, timeout=_TIMEOUT)


class Client:
    """Sends requests for foo.com to ports of loopback.

    `ending` is set when the demo is to end: then a request that fails has been cancelled.
    """

    def __init__(self, reactor: Any) -> None:
        self.ending = False
        self._reactor = reactor
        # A request that fails is a failure: it is not sent again behind our back.
        self._kept = HTTPConnectionPool(reactor)
        self._kept.retryAutomatically = False
        self._fresh = HTTPConnectionPool(reactor, persistent=False)
        loopback = _Loopback(reactor)
        self._on_kept = HTTPClient(Agent.usingEndpointFactory(reactor, loopback, self._kept))
        self._on_fresh = HTTPClient(Agent.usingEndpointFactory(reactor, loopback, self._fresh))

    async def ask(
        self, port: int, path: str = "/", headers: dict[str, str] | None = None, fresh: bool = False
    ) -> Answer:
        """One request; `fresh` on a connection of its own."""
        client = self._on_fresh if fresh else self._on_kept
        url = f"http://{DOMAIN}:{port}{path}"
        try:
            response = await client.get(
                url, headers=headers or {}, timeout=_TIMEOUT, reactor=self._reactor, allow_redirects=False
            )
            body = await content(response)
        except Exception as e:
            # A request that is cancelled fails in many ways, and one that timed out was cancelled, too.
            if self.ending:
                raise CancelledError from None
            return Answer(0, error=_describe(e))
        found = {
            name.decode().lower(): values[0].decode() for name, values in response.headers.getAllRawHeaders()
        }
        return Answer(response.code, found, body.decode("utf-8", "replace"))

    async def close(self) -> None:
        """Close the kept connections."""
        await self._kept.closeCachedConnections()


@dataclass(slots=True)
class Lap:
    """What the traffic brought in a while: answers by copy, and what went wrong."""

    counts: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many requests there were."""
        return self.counts.total() + len(self.failures)


class Traffic:
    """Users that ask the edge one request after the other, all the time."""

    def __init__(self, reactor: Any, client: Client, port: int, users: int, pause: float) -> None:
        self._reactor = reactor
        self._client = client
        self._port = port
        self._pause = pause
        self._lap = Lap()
        self._users = [Deferred.fromCoroutine(self._user(at)) for at in range(users)]
        self._stopping = False

    def lap(self) -> Lap:
        """What was counted since the last time this was asked."""
        lap, self._lap = self._lap, Lap()
        return lap

    def count(self, answer: Answer) -> None:
        """Take account of an answer, also of one that somebody else asked for."""
        if answer.copy:
            self._lap.counts[answer.copy] += 1
        else:
            self._lap.failures.append(str(answer))

    async def stop(self) -> None:
        """Finish the requests under way, and send no more."""
        self._stopping = True
        await gatherResults(self._users)

    async def _user(self, at: int) -> None:
        """Half of the users keep their connections, the others open one for each request."""
        await deferLater(self._reactor, 0)
        while not self._stopping:
            answer = await self._client.ask(self._port, "/traffic", fresh=at % 2 == 1)
            self.count(answer)
            await deferLater(self._reactor, self._pause)


def _describe(error: Exception) -> str:
    """A failed request in words.  Twisted wraps what happened on a connection in lists of Failures."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        return _describe(reasons[0].value)
    return str(error) or type(error).__name__
