"""Fields of requests that the connection manager knows, and what becomes of some whoever sends them (Envoy:
docs/root/configuration/http/http_conn_man/headers)."""

from __future__ import annotations

from twistproxy.http.known_headers import EXTERNAL_STRIP
from twistproxy.http.message import RequestHead

XFF = b"x-forwarded-for"
XFP = b"x-forwarded-proto"
REQUEST_ID = b"x-request-id"
INTERNAL = b"x-envoy-internal"
FORCE_TRACE = b"x-envoy-force-trace"
REFERER = b"referer"

#: Present in few requests; one look tells whether any of it has to be dealt with.
UNUSUAL = EXTERNAL_STRIP | {INTERNAL, b"te", b"x-forwarded-client-cert"}


def clean(head: RequestHead, keep_client_cert: bool) -> None:
    """Take away what nobody may say."""
    index = head.index
    if INTERNAL in index:
        head.remove(INTERNAL)
    if not keep_client_cert and b"x-forwarded-client-cert" in index:
        head.remove(b"x-forwarded-client-cert")
    if b"te" in index:
        _keep_trailers(head)


def _keep_trailers(head: RequestHead) -> None:
    """Of TE only "trailers" goes beyond this hop (Envoy: sanitizeTEHeader)."""
    if b"trailers" in [word.strip() for word in (head.get(b"te") or b"").split(b",")]:
        head.set(b"te", b"trailers")
    else:
        head.remove(b"te")


def scheme_of(forwarded_proto: bytes, tls: bool) -> bytes:
    """The scheme by x-forwarded-proto, if that holds one (Envoy: ConnectionManagerUtility, getScheme)."""
    scheme = forwarded_proto.lower()
    return scheme if scheme in (b"http", b"https") else (b"https" if tls else b"http")
