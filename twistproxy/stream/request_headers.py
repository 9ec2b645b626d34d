"""What the connection manager sets and strips in a request's head (Envoy: ConnectionManagerUtility::mutateRequestHeaders,
docs/root/configuration/http/http_conn_man/headers).

The usual configuration, of a sidecar that believes what it is told, is dealt with here; `trust` has the long way.
"""

from __future__ import annotations

from twistproxy.http.known_headers import EXTERNAL_STRIP, SINGLE_REQUEST
from twistproxy.http.message import RequestHead
from twistproxy.http.target import valid_referer
from twistproxy.model.http_manager import HttpManagerSettings, XffDetection
from twistproxy.model.route import RouteConfiguration
from twistproxy.observe.request_id import RequestIds
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.stream.fields import REFERER, REQUEST_ID, UNUSUAL, XFF, XFP, clean, scheme_of
from twistproxy.stream.remote import Client, Downstream
from twistproxy.stream.trust import Trust


class RequestHeaders:
    """The rules of one connection manager.

    own_address  of this machine, as others see it
    """

    __slots__ = ("_external_strip", "_generate_id", "_ids", "_trust", "_unusual", "own_address")

    def __init__(
        self, settings: HttpManagerSettings, ids: RequestIds, local_address: str, runtime: RuntimeValues
    ) -> None:
        self._ids = ids
        self.own_address = local_address.encode()
        self._generate_id = settings.generate_request_id
        usual = (
            not settings.use_remote_address
            and settings.detections == (XffDetection(),)
            and not settings.internal_cidrs
            and not settings.internal_unix_sockets
            and not settings.append_forwarded_port
            and not settings.scheme
            and not settings.keep_client_cert
            and not settings.user_agent
            and not settings.via
            and settings.tracing is None
        )
        self._trust = None if usual else Trust(settings, ids, self.own_address, runtime)
        self._external_strip: frozenset[bytes]
        self._unusual: frozenset[bytes]
        self.use_routes(settings.routes)

    def use_routes(self, routes: RouteConfiguration) -> None:
        """From now on `internal_only_headers` are those of this configuration."""
        own = frozenset(name.encode() for name in routes.internal_only_headers)
        self._external_strip = EXTERNAL_STRIP | own
        self._unusual = UNUSUAL | own
        if self._trust is not None:
            self._trust.external_strip = self._external_strip

    def apply(self, head: RequestHead, downstream: Downstream) -> Client | None:
        """Change `head` in place.  Returns what it tells of its sender, if anything."""
        items = head.items
        index = head.index
        if len(items) != len(index):
            head.join(SINGLE_REQUEST)
        if REFERER in index and not valid_referer(index[REFERER]):
            head.remove(REFERER)
        if self._trust is not None:
            return self._trust.apply(head, downstream)
        client: Client | None = None
        if not self._unusual.isdisjoint(index):
            clean(head, False)
            head.remove_all(self._external_strip)
        if XFF in index:
            client = Client(index[XFF])
        if XFP not in index:
            scheme = b"https" if downstream.tls else b"http"
            items.append((XFP, scheme))
            index[XFP] = scheme
        else:
            scheme = index[XFP]
            if not scheme:
                client = Client(no_route=True)
            scheme = scheme_of(scheme, downstream.tls)
        if not head.scheme:
            head.scheme = scheme
        if self._generate_id and not index.get(REQUEST_ID):
            if REQUEST_ID in index:
                head.remove(REQUEST_ID)
            value = self._ids.next()
            items.append((REQUEST_ID, value))
            index[REQUEST_ID] = value
        return client
