"""Heads of HTTP/1 messages, from bytes and to bytes.

Two implementations of the same strict rules: `_h1`, a small C module, and `h1_fallback` over llhttp (httptools), which
serves where the first cannot be built.  A parser that calls back for every field costs a Python call for each; one
call for the whole head takes a quarter of the time.

parse_request(data, max_fields)
    → (size, method, target, minor, host, items, index, flags) for a whole head at the start of `data`: its size in
    bytes, start line (`minor` 0 or 1), the value of Host or None, the other fields with names in lower case and
    without white space around the values, and `flags`;
    → INCOMPLETE, MALFORMED, TOO_MANY (fields), or UNUSUAL: there are line ends other than CRLF, or empty lines first,
    which `mended` may put right.
parse_response(data, max_fields)
    → (size, status, minor, items, index, flags) or a code; a folded line is UNUSUAL.
encode(parts, items, tail)
    → the bytes of `parts`, a line for each item, `tail`.

Refused are all of: unknown methods, folded lines, white space before a colon, control characters in values, targets
with anything but printable ASCII, versions other than 1.0 and 1.1 (RFC 9112 sections 2.2, 3, 5.1 and 5.2).  llhttp
refuses a few more here that the codecs refuse next: Content-Length and Transfer-Encoding that make no sense.
"""

from __future__ import annotations

import re

from twistproxy.http.headers import Header

INCOMPLETE = 0
MALFORMED = -1
UNUSUAL = -2
TOO_MANY = -3

#: Bits of `flags`.  FRAMING: a field is there that the codec has to act on itself.
FRAMING = 1
TWO_HOSTS = 2

#: Content up to so many bytes is copied behind the head that goes before it; more is written by itself.
MAX_JOINED = 64 * 1024

FRAMING_NAMES = (
    b"connection content-length http2-settings keep-alive proxy-connection transfer-encoding upgrade".split()
)
_USUAL_NAMES = (
    "accept accept-encoding accept-language accept-ranges access-control-allow-origin age authorization cache-control "
    "content-disposition content-encoding content-language content-type cookie date dnt etag expect expires "
    "forwarded from grpc-accept-encoding grpc-encoding grpc-status grpc-timeout host if-match if-modified-since "
    "if-none-match if-range if-unmodified-since last-modified link location origin pragma priority range referer "
    "sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user server "
    "set-cookie strict-transport-security te traceparent tracestate trailer upgrade-insecure-requests user-agent "
    "vary via x-b3-parentspanid x-b3-sampled x-b3-spanid x-b3-traceid x-content-type-options "
    "x-envoy-upstream-service-time x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-frame-options "
    "x-powered-by x-real-ip x-request-id x-xss-protection"
)
#: Names that are met often, each one object with its hash known, and their flags.
NAMES = dict.fromkeys(FRAMING_NAMES, FRAMING) | dict.fromkeys(_USUAL_NAMES.encode().split(), 0)

#: The methods that are taken: those of Envoy's parser.
METHODS = {
    name: name
    for name in (
        b"ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE "
        b"NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE "
        b"UNBIND UNLINK UNLOCK UNSUBSCRIBE"
    ).split()
}

ParsedRequest = tuple[int, bytes, bytes, int, bytes | None, list[Header], dict[bytes, bytes], int]
ParsedResponse = tuple[int, int, int, list[Header], dict[bytes, bytes], int]

_HEAD_END = re.compile(rb"\n\r?\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_FOLD = re.compile(rb"[ \t]*\r\n[ \t]+")


def mended(data: bytes, unfold: bool = False) -> tuple[bytes, int] | None:
    """What a recipient may do for a sender that ends lines with a bare LF, or sends empty lines before a request
    (RFC 9112 section 2.2): the whole first head of `data` with every line ended by CRLF, and how many bytes of `data`
    it took.  None if the head is not complete yet.

    `unfold` also joins folded lines, which a proxy may do to a response (section 5.2); a request with them is refused.
    """
    stripped = data.lstrip(b"\r\n")
    skipped = len(data) - len(stripped)
    found = _HEAD_END.search(stripped)
    if found is None:
        return None
    head = _BARE_LF.sub(b"\r\n", stripped[: found.end()])
    return _FOLD.sub(b" ", head) if unfold else head, skipped + found.end()


def is_news(held: bytes, piece: bytes) -> bool:
    """Whether a head that was not complete is worth another look, now that `piece` has come behind `held`.

    Parsing begins anew each time, so a long head in tiny pieces is looked at only when a line ends: there are few
    lines.  A short one always is, so that garbage gets its answer at once.
    """
    return len(held) < 1024 or b"\n" in piece


try:
    from twistproxy.codec import _h1

    _h1.setup(NAMES, METHODS)
    parse_request = _h1.parse_request
    parse_response = _h1.parse_response
    encode = _h1.encode
    COMPILED = True
except ImportError:
    from twistproxy.codec.h1_fallback import Fallback

    _fallback = Fallback(NAMES, METHODS)
    parse_request = _fallback.parse_request
    parse_response = _fallback.parse_response
    encode = _fallback.encode
    COMPILED = False
