"""What a request head that parsed well must still satisfy, and what of it ends at this hop (RFC 9112 sections 3, 6, 9).

Pure: a head goes in and is changed in place; a `Refusal` comes out, or what the connection has to know.
"""

from __future__ import annotations

import re

from twistproxy.http.message import HttpVersion, RequestHead
from twistproxy.http.target import split_target
from twistproxy.model.http1 import Http1Settings

#: `Framing.length` of content in chunks, and of what follows a request for an upgrade or CONNECT, which has no end.
CHUNKED = -1
UPGRADE = -4
CONNECT = -5

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"http2-settings")
)
#: The same of a request for an upgrade: `Connection` and `Upgrade` go on as they came.
_HOP_BY_HOP_OF_UPGRADE = _HOP_BY_HOP - {b"connection"}

#: Fields named in `Connection` that are not taken away: they mean something beyond this hop (Envoy:
#: Http::Utility::sanitizeConnectionHeader).
_KEPT_NOMINATIONS = frozenset((b"close", b"keep-alive", b"te", b"upgrade", b"content-length"))

#: Fields that `Connection` may not name: what they say of the client must not be lost on the way.
_REFUSED_NOMINATIONS = frozenset((b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"))

_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Refusal:
    """An answer in place of the request; `details` is Envoy's response code detail."""

    __slots__ = ("body", "details", "status")

    def __init__(self, status: int, body: bytes, details: str) -> None:
        self.status = status
        self.body = body
        self.details = details


class Framing:
    """`length` of the content, or CHUNKED, UPGRADE, CONNECT; `close`: no further request comes on this connection."""

    __slots__ = ("close", "length")

    def __init__(self, length: int, close: bool) -> None:
        self.length = length
        self.close = close


def _why_no_target(head: RequestHead) -> str:
    """Envoy's detail for a target that is none."""
    scheme = _SCHEME.match(head.path)
    if scheme is not None and scheme[1].lower() not in (b"http", b"https"):
        return "http1.invalid_scheme"
    if scheme is not None or head.path[:1] == b"*" or head.method == b"CONNECT":
        return "http1.invalid_url"
    return "http1.codec_error"


def malformed_details(data: bytes) -> str:
    """Envoy's detail for a head that is none: whether there are control characters in it."""
    head = data.partition(b"\r\n\r\n")[0]
    return "http1.invalid_characters" if _CONTROL.search(head) else "http1.codec_error"


def check_target(head: RequestHead, http10: bool, settings: Http1Settings) -> Refusal | None:
    """Target forms other than a plain path, HTTP/1.0, and QUERY, which must have content."""
    if http10:
        if not settings.accept_http_10:
            return Refusal(426, b"Upgrade Required", "low_version")
        head.version = HttpVersion.HTTP10
    if head.method == b"QUERY" and b"content-type" not in head.index:
        return Refusal(400, b"", "query_missing_content_type")
    split = split_target(head.method, head.path, settings.allow_absolute_url)
    if split is None:
        return Refusal(400, b"Bad Request", _why_no_target(head))
    scheme, authority, head.path = split
    if scheme:
        head.scheme = scheme
    if authority:
        head.authority = authority
    if http10 and not head.authority:
        head.authority = settings.default_host_for_http_10
    return None


def take_framing(head: RequestHead, http10: bool, settings: Http1Settings) -> Framing | Refusal:
    """Read the fields that are about this hop, and take them out of the head."""
    index = head.index
    length = 0
    coding = index.get(b"transfer-encoding")
    if coding is not None:
        # Anything but exactly "chunked", once, in HTTP/1.1, is where requests are smuggled.
        chunked = coding.lower() == b"chunked" and head.get(b"transfer-encoding") == coding
        if b"content-length" in index:
            if not chunked or not settings.allow_chunked_length:
                return Refusal(400, b"Bad Request", "http1.content_length_and_chunked_not_allowed")
            if head.get(b"content-length") != index[b"content-length"]:
                return Refusal(400, b"Bad Request", "http1.codec_error")
            head.remove(b"content-length")  # RFC 9112 section 6.1
        if not chunked:
            return Refusal(501, b"Not Implemented", "http1.invalid_transfer_encoding")
        if http10 and settings.accept_http_10:
            return Refusal(400, b"Bad Request", "http1.codec_error")  # there are no chunks in it
        length = CHUNKED
    elif b"content-length" in index:
        value = index[b"content-length"]
        if not value.isdigit() or head.get(b"content-length") != value or len(value.lstrip(b"0")) > 18:
            return Refusal(400, b"Bad Request", "http1.codec_error")
        length = int(value)
        if length and value[:1] == b"0":
            head.set(b"content-length", b"%d" % length)  # no upstream shall take it for octal
    close = http10
    connection = head.get(b"connection")
    if connection is not None:
        tokens = [token.strip(b" \t").lower() for token in connection.split(b",")]
        close = b"close" in tokens or (http10 and b"keep-alive" not in tokens)
        if not _REFUSED_NOMINATIONS.isdisjoint(tokens):
            return Refusal(400, b"Bad Request", "http1.connection_header_rejected")
        _take_nominated(head, tokens, settings)
    elif b"upgrade" in index:
        head.remove(b"upgrade")
    if b"proxy-connection" in index and index[b"proxy-connection"].lower() == b"close":
        close = True
    if b"upgrade" in index:
        length = UPGRADE
        head.remove_all(_HOP_BY_HOP_OF_UPGRADE)
    else:
        head.remove_all(_HOP_BY_HOP)
    if head.method == b"CONNECT":
        if length == CHUNKED:
            return Refusal(501, b"Not Implemented", "http1.invalid_transfer_encoding")
        if length > 0:
            return Refusal(400, b"Bad Request", "http1.body_disallowed")
        head.remove(b"content-length")
        length = CONNECT
    return Framing(length, close)


def _take_nominated(head: RequestHead, tokens: list[bytes], settings: Http1Settings) -> None:
    index = head.index
    for token in tokens:
        if token in index and token not in _KEPT_NOMINATIONS:
            head.remove(token)
    if b"host" in tokens:
        head.authority = b""
    if b"upgrade" in index and (b"upgrade" not in tokens or _is_ignored(index[b"upgrade"], settings)):
        head.remove(b"upgrade")


def _is_ignored(upgrade: bytes, settings: Http1Settings) -> bool:
    """Whether a request for this upgrade is taken without it; that for h2c is always, as by Envoy."""
    return upgrade.lower() == b"h2c" or any(one.matches(upgrade) for one in settings.ignored_upgrades)
