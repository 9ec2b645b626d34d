"""The peer `twisted.web.proxy`: Twisted's own reverse proxy, as a script `PORT ORIGIN_PORT`.

It sets the same headers as the other peers.  It cannot keep connections to the origin: it opens one for each
request.
"""

from __future__ import annotations

import sys
import uuid
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.web.proxy import ReverseProxyResource
from twisted.web.server import NOT_DONE_YET, Site

reactor: Any = installed_reactor


class ForwardingResource(ReverseProxyResource):
    """Everything goes to the origin, with a request id and the forwarded headers."""

    isLeaf = True

    def render(self, request: Any) -> int:
        """As in the base class, which drops the Host that the client sent; that is kept here."""
        headers = request.requestHeaders
        headers.setRawHeaders(b"x-request-id", [str(uuid.uuid4()).encode()])
        address = request.getClientAddress().host.encode()
        headers.setRawHeaders(b"x-forwarded-for", [*headers.getRawHeaders(b"x-forwarded-for", []), address])
        headers.setRawHeaders(b"x-forwarded-proto", [b"http"])
        request.content.seek(0)
        make_factory: Any = self.proxyClientFactoryClass
        factory = make_factory(
            request.method,
            request.uri,
            request.clientproto,
            request.getAllHeaders(),
            request.content.read(),
            request,
        )
        self.reactor.connectTCP(self.host, self.port, factory)
        return NOT_DONE_YET


def main() -> None:
    """Serve until killed."""
    port, origin_port = (int(argument) for argument in sys.argv[1:])
    root: Any = ForwardingResource("127.0.0.1", origin_port, b"")  # type: ignore[no-untyped-call]
    reactor.listenTCP(port, Site(root), backlog=4096, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
