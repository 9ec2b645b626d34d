"""Requests to discovery services.

treq and all that it needs takes 4 MB: this module is imported where a cluster asks such a service only.
"""

from __future__ import annotations

from typing import Any

import treq
from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twistproxy.model.address import TcpAddress

#: Keep an idle connection to a discovery service for this long: longer than most refresh delays.
KEEP_ALIVE = 60


@implementer(IAgentEndpointFactory)
class _OneAddress:
    """Connects to an IP address as it is: Twisted's own way asks a thread to resolve even that."""

    def __init__(self, reactor: Any, address: TcpAddress, timeout: float) -> None:
        kind = TCP6ClientEndpoint if ":" in address.host else TCP4ClientEndpoint
        self._endpoint = kind(reactor, address.host, address.port, timeout=timeout)

    def endpointForURI(self, uri: object) -> Any:
        return self._endpoint


class TreqFetch:
    """`Fetch` by treq on a pool of connections."""

    def __init__(self, reactor: Any, pool: HTTPConnectionPool, timeout: float) -> None:
        self._reactor = reactor
        self._pool = pool
        self._timeout = timeout
        # What Envoy's router adds to the request of its own REST client.
        self._headers = {
            "x-envoy-internal": "true",
            "x-envoy-expected-rq-timeout-ms": str(round(timeout * 1000)),
        }

    def __call__(self, address: TcpAddress, target: str, host: str) -> Deferred[tuple[int, bytes]]:
        agent = Agent.usingEndpointFactory(
            self._reactor, _OneAddress(self._reactor, address, self._timeout), self._pool
        )
        # The URL's host only names the connection in the pool.  treq takes no IPv6 address there.
        url = EncodedURL.from_text(f"http://{address.host.replace(':', 'x')}:{address.port}{target}")

        async def get() -> tuple[int, bytes]:
            headers = {"Host": host, **self._headers}
            response = await HTTPClient(agent).get(url, headers=headers, allow_redirects=False)
            return response.code, await treq.content(response)

        return Deferred.fromCoroutine(get())


class Fetches:
    """Makes what sources ask with; connections to one address are shared by all of them."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._pool.cachedConnectionTimeout = KEEP_ALIVE

    def make(self, timeout: float) -> TreqFetch:
        """`timeout`: seconds to connect."""
        return TreqFetch(self._reactor, self._pool, timeout)

    def close(self) -> Deferred[Any]:
        """Close the connections that are kept; fires when they are closed."""
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed
