"""What the connection manager sets and strips in a request's head (Envoy: ConnectionManagerUtility::mutateRequestHeaders,
docs/root/configuration/http/http_conn_man/headers)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from twistproxy.http.known_headers import EDGE_STRIP, EXTERNAL_STRIP, SINGLE_REQUEST
from twistproxy.http.message import RequestHead, append_via
from twistproxy.http.target import valid_referer
from twistproxy.model.address import Cidr
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.model.route import RouteConfiguration
from twistproxy.observe.request_id import RequestIds

_XFF = b"x-forwarded-for"
_XFP = b"x-forwarded-proto"
_REQUEST_ID = b"x-request-id"
_INTERNAL = b"x-envoy-internal"
_REFERER = b"referer"

#: Present in few requests; one look tells whether any of it has to be dealt with.
_UNUSUAL = EXTERNAL_STRIP | {_INTERNAL, b"te", b"x-forwarded-client-cert", _REFERER}


class RequestHeaders:
    """The rules of one connection manager.  `apply` changes a head in place.

    own_address  of this machine, as others see it
    """

    __slots__ = (
        "_external_strip",
        "_ids",
        "_internal_cidrs",
        "_settings",
        "_trivial",
        "_unusual",
        "own_address",
    )

    def __init__(self, settings: HttpManagerSettings, ids: RequestIds, local_address: str) -> None:
        self._settings = settings
        self._ids = ids
        self.own_address = local_address.encode()
        self._internal_cidrs = settings.internal_cidrs
        self._trivial = (
            not settings.use_remote_address
            and not settings.internal_cidrs
            and not settings.user_agent
            and not settings.via
        )
        self._external_strip: frozenset[bytes]
        self._unusual: frozenset[bytes]
        self.use_routes(settings.routes)

    def use_routes(self, routes: RouteConfiguration) -> None:
        """From now on `internal_only_headers` are those of this configuration."""
        own = frozenset(name.encode() for name in routes.internal_only_headers)
        self._external_strip = EXTERNAL_STRIP | own
        self._unusual = _UNUSUAL | own

    def apply(self, head: RequestHead, remote: str, tls: bool) -> None:
        """`remote`: the address of the direct downstream, without its port."""
        items = head.items
        index = head.index
        if len(items) != len(index):
            head.join(SINGLE_REQUEST)
        if not self._unusual.isdisjoint(index):
            head.remove(_INTERNAL)
            head.remove(b"x-forwarded-client-cert")
            if b"te" in index:
                _keep_trailers(head)
            if _REFERER in index and not (
                len(head.get_all(_REFERER)) == 1 and valid_referer(index[_REFERER])
            ):
                head.remove(_REFERER)
            if self._trivial:
                head.remove_all(self._external_strip)
        edge = False
        if not self._trivial:
            edge = self._trust(head, remote, tls)
        if _XFP not in index:
            value = b"https" if tls else b"http"
            items.append((_XFP, value))
            index[_XFP] = value
        settings = self._settings
        if settings.generate_request_id and (
            _REQUEST_ID not in index or (edge and not settings.preserve_external_request_id)
        ):
            if edge:
                head.remove(_REQUEST_ID)
            value = self._ids.next()
            items.append((_REQUEST_ID, value))
            index[_REQUEST_ID] = value

    def client_host(self, head: RequestHead, remote: str) -> str:
        """Whom x-forwarded-for names as the client, as far as it is trusted, else `remote`; after `apply`."""
        settings = self._settings
        forwarded = head.get(_XFF)
        hops = settings.xff_num_trusted_hops
        if settings.use_remote_address:
            if not hops:
                return remote
            if settings.skip_xff_append or not remote:
                hops -= 1  # what `apply` has not added
        return (_hop(forwarded, hops) if forwarded is not None else "") or remote

    def _trust(self, head: RequestHead, remote: str, tls: bool) -> bool:
        """x-forwarded-for, and who counts as internal.  True for a request from outside at the edge."""
        settings = self._settings
        forwarded = head.get(_XFF)
        if settings.use_remote_address:
            single = forwarded is None
            final = remote
            if settings.xff_num_trusted_hops and forwarded is not None:
                final = _hop(forwarded, settings.xff_num_trusted_hops - 1) or remote
            if not settings.skip_xff_append and remote:
                own = self.own_address if _is_loopback(remote) else remote.encode()
                head.set(_XFF, own if forwarded is None else forwarded + b"," + own)
            if not settings.xff_num_trusted_hops or _XFP not in head.index:
                head.set(_XFP, b"https" if tls else b"http")
        else:
            single = forwarded is not None and b"," not in forwarded
            final = _hop(forwarded, settings.xff_num_trusted_hops) if forwarded is not None else ""
            if not final:
                single, final = False, ""
        internal = single and bool(final) and _within(final, self._internal_cidrs)
        edge = not internal and settings.use_remote_address
        if internal:
            head.set(_INTERNAL, b"true")
        else:
            head.remove_all(self._external_strip)
        if edge:
            head.remove_all(EDGE_STRIP)
            if final:
                head.set(b"x-envoy-external-address", final.encode())
        if settings.user_agent:
            self._tell_who_we_are(head)
        if settings.via:
            append_via(head, settings.via)
        return edge

    def _tell_who_we_are(self, head: RequestHead) -> None:
        """`add_user_agent`."""
        settings = self._settings
        head.set(b"x-envoy-downstream-service-cluster", settings.user_agent)
        if settings.node_id:
            head.set(b"x-envoy-downstream-service-node", settings.node_id)
        if not head.get(b"user-agent"):
            head.set(b"user-agent", settings.user_agent)


def _keep_trailers(head: RequestHead) -> None:
    """Of TE only "trailers" goes beyond this hop (Envoy: sanitizeTEHeader)."""
    if b"trailers" in [word.strip() for word in (head.get(b"te") or b"").split(b",")]:
        head.set(b"te", b"trailers")
    else:
        head.remove(b"te")


def _hop(forwarded: bytes, back: int) -> str:
    """The address `back` places before the last one of x-forwarded-for; "" if there is none or it is none."""
    addresses = forwarded.split(b",")
    if back >= len(addresses):
        return ""
    text = addresses[-1 - back].strip().decode("latin-1")
    return text if _is_address(text) else ""


@lru_cache(4096)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(4096)
def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback


@lru_cache(4096)
def _within(text: str, cidrs: tuple[Cidr, ...]) -> bool:
    if not _is_address(text):
        return False
    address = ipaddress.ip_address(text)
    return any(address in cidr.network() for cidr in cidrs)
