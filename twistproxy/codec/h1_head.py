"""What both ends of HTTP/1 share about heads: the parser's quirks, limits, and heads as bytes.

llhttp (through httptools) parses heads and only heads.  It is strict, and what it does not decide (Host rules, versions,
several Transfer-Encoding fields) is decided in `h1_server` and `h1_client`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from httptools import HttpParserError, HttpRequestParser, HttpResponseParser

from twistproxy.http.headers import Header

#: The end of a head, also where lines end with a bare LF, which RFC 9112 section 2.2 lets a recipient take.
HEAD_END = re.compile(rb"\n\r?\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")

_COMMON = (  # the usual ones
    "accept accept-encoding accept-language accept-ranges access-control-allow-origin age authorization cache-control "
    "connection content-disposition content-encoding content-language content-length content-type cookie date dnt etag "
    "expect expires forwarded from grpc-accept-encoding grpc-encoding grpc-status grpc-timeout host if-match "
    "if-modified-since if-none-match if-range keep-alive last-modified link location origin pragma priority range referer "
    "sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user server "
    "set-cookie strict-transport-security te traceparent tracestate trailer transfer-encoding upgrade "
    "upgrade-insecure-requests user-agent vary via x-b3-sampled x-b3-spanid x-b3-traceid x-content-type-options "
    "x-envoy-upstream-service-time x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-frame-options "
    "x-powered-by x-real-ip x-request-id x-xss-protection"
)


def _spellings() -> dict[bytes, bytes]:
    names = {}
    for name in _COMMON.encode().split():
        title = b"-".join(word.capitalize() for word in name.split(b"-"))
        for spelling in (name, title, name.upper()):
            names[spelling] = name
    names[b"DNT"] = b"dnt"
    names[b"ETag"] = b"etag"
    names[b"TE"] = b"te"
    return names


#: Usual spelling → lower case.  One object a name, so that its hash is computed once.
LOWER = _spellings()

#: Joins a (name, value) pair; with `map` no Python frame is needed for it.
colon_join = b": ".join


def fields(items: Iterable[Header]) -> bytes:
    """Header fields as bytes, without the CRLF after the last one."""
    return b"\r\n".join(map(colon_join, items))


def strip_values(items: list[Header]) -> None:
    """llhttp leaves white space behind a value in place (RFC 9112 section 5.1 takes it away)."""
    items[:] = [(name, value.rstrip(b" \t")) for name, value in items]


def has_bare_lf(raw: bytes) -> bool:
    return _BARE_LF.search(raw) is not None


def with_crlf(raw: bytes) -> bytes:
    """The same head with every line ended by CRLF."""
    return _BARE_LF.sub(b"\r\n", raw)


class HeadProbe:
    """Finds out, while a head is still arriving, that it can never become a good one.

    Some clients send garbage and then wait: they get their 400 at once instead of after a timeout.
    """

    __slots__ = ("_parser",)

    def __init__(self, parser: type[HttpRequestParser] | type[HttpResponseParser]) -> None:
        self._parser = parser(self)

    def feed(self, data: bytes) -> HttpParserError | None:
        """The parser's complaint, or None while all is well or only line ends are unusual."""
        if has_bare_lf(data):
            return None
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            return error
        return None
