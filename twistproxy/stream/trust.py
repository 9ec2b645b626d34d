"""Whom a request is believed to come from, and what it may say then (Envoy: ConnectionManagerUtility::
mutateRequestHeaders, docs/root/configuration/http/http_conn_man/header_sanitizing).

The order is Envoy's: the client's address, the scheme, what only internal clients may say, what we say of ourselves,
the request id, the trace.
"""

from __future__ import annotations

from twistproxy.http.known_headers import EDGE_STRIP, EXTERNAL_STRIP
from twistproxy.http.message import RequestHead, append_via
from twistproxy.model.http_manager import HeaderDetection, HttpManagerSettings
from twistproxy.observe.request_id import RequestIds
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.stream.fields import (
    INTERNAL,
    REQUEST_ID,
    UNUSUAL,
    XFF,
    XFP,
    clean,
    scheme_of,
)
from twistproxy.stream.remote import (
    Client,
    Downstream,
    HeaderDetector,
    XffDetector,
    forwarded_address,
    is_loopback,
    within,
)
from twistproxy.stream.tracing import NOT_TRACED, Tracing, mark

_PORT = b"x-forwarded-port"


class Trust:
    """The rules of one connection manager.

    local_address   what stands in x-forwarded-for for a client on loopback
    external_strip  what only internal clients may say
    """

    __slots__ = ("_detectors", "_ids", "_local_address", "_settings", "_tracing", "external_strip")

    def __init__(
        self, settings: HttpManagerSettings, ids: RequestIds, local_address: bytes, runtime: RuntimeValues
    ) -> None:
        self._settings = settings
        self._ids = ids
        self._local_address = local_address
        self.external_strip = EXTERNAL_STRIP
        self._detectors: list[XffDetector | HeaderDetector] = [
            HeaderDetector(one) if isinstance(one, HeaderDetection) else XffDetector(one)
            for one in settings.detections
        ]
        self._tracing = (
            None
            if settings.tracing is None
            else Tracing(settings.tracing, settings.pack_trace_reason, ids, runtime)
        )

    def apply(self, head: RequestHead, downstream: Downstream) -> Client:
        """Change `head` in place.  Returns what it tells of its sender."""
        settings = self._settings
        if not UNUSUAL.isdisjoint(head.index):
            clean(head, settings.keep_client_cert)
        client = Client()
        if settings.use_remote_address:
            may_be_internal = self._by_connection(head, downstream, client)
        else:
            may_be_internal = self._by_head(head, downstream, client)
            if client.reject:
                return client
        self._set_scheme(head, downstream, client)
        address = client.address
        if not address and settings.use_remote_address:
            address = downstream.remote_host
        internal = may_be_internal and self._is_internal(address, downstream)
        edge = not internal and settings.use_remote_address
        if internal:
            head.set(INTERNAL, b"true")
        else:
            head.remove_all(self.external_strip)
        if edge:
            head.remove_all(EDGE_STRIP)
        if settings.user_agent or settings.via:
            self._tell_who_we_are(head)
        if edge and address:
            head.set(b"x-envoy-external-address", address.encode())
        self._set_id(head, edge)
        if self._tracing is not None:
            client.trace = self._tracing.decide(head)
        return client

    def _by_connection(self, head: RequestHead, downstream: Downstream, client: Client) -> bool:
        """`use_remote_address`.  Returns whether the client may be internal."""
        settings = self._settings
        forwarded = head.get(XFF)
        hops = settings.xff_num_trusted_hops
        if hops and forwarded is not None:
            client.address = forwarded_address(forwarded, hops - 1)
        if not settings.skip_xff_append:
            self._append_forwarded(head, downstream)
        if not hops or XFP not in head.index:
            head.set(XFP, b"https" if downstream.tls else b"http")
        if settings.append_forwarded_port and not hops:
            head.remove(_PORT)  # of a client that is not trusted
        return forwarded is None

    def _by_head(self, head: RequestHead, downstream: Downstream, client: Client) -> bool:
        """What the detectors say.  Returns whether the client may be internal."""
        for detector in self._detectors:
            found = detector.detect(head, downstream.remote_host)
            if found.reject:
                client.reject = found.reject
                return False
            if found.append:
                self._append_forwarded(head, downstream)
            if found.address:
                client.address = found.address
                return found.may_be_internal
        return False

    def _append_forwarded(self, head: RequestHead, downstream: Downstream) -> None:
        remote = downstream.remote_host
        if remote:
            own = self._local_address if is_loopback(remote) else remote.encode()
            before = head.get(XFF)
            head.set(XFF, before + b"," + own if before else own)

    def _set_scheme(self, head: RequestHead, downstream: Downstream, client: Client) -> None:
        settings = self._settings
        if XFP not in head.index:
            head.set(XFP, b"https" if downstream.tls else b"http")
        if settings.append_forwarded_port and _PORT not in head.index and downstream.local_port:
            head.set(_PORT, b"%d" % downstream.local_port)
        if settings.scheme:
            head.scheme = settings.scheme
            head.set(XFP, settings.scheme)
        client.no_route = not head.index[XFP]
        if not head.scheme:
            head.scheme = scheme_of(head.index[XFP], downstream.tls)

    def _is_internal(self, address: str, downstream: Downstream) -> bool:
        settings = self._settings
        if not address:
            return settings.internal_unix_sockets and not downstream.remote_host
        return within(address, settings.internal_cidrs)

    def _tell_who_we_are(self, head: RequestHead) -> None:
        """`add_user_agent` and `via`."""
        settings = self._settings
        if settings.user_agent:
            head.set(b"x-envoy-downstream-service-cluster", settings.user_agent)
            if settings.node_id:
                head.set(b"x-envoy-downstream-service-node", settings.node_id)
            if not head.get(b"user-agent"):
                head.set(b"user-agent", settings.user_agent)
        if settings.via:
            append_via(head, settings.via)

    def _set_id(self, head: RequestHead, edge: bool) -> None:
        """x-request-id: a new one where there is none, or none to be trusted."""
        settings = self._settings
        if not settings.generate_request_id:
            return
        if not head.get(REQUEST_ID) or (edge and not settings.preserve_external_request_id):
            head.remove(REQUEST_ID)
            head.set(REQUEST_ID, self._ids.next())
        elif edge and settings.pack_trace_reason:
            mark(head, NOT_TRACED)
