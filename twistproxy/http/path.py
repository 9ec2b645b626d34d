"""Making paths uniform before routes are matched: dot segments, percent-encoding, doubled and escaped slashes.

Every function takes and returns the whole path with its query (bytes, starting with "/"); the query is never touched.
The rules are those of RFC 3986 section 6.2.2 with Envoy's choices (Http::PathUtil, which uses Chromium's URL library):
backslashes are slashes, hexadecimal digits keep their case, a "%" that begins no escape stays, and "%00" is an error.
"""

from __future__ import annotations

import re

#: What may need work, in a path without its query.
_ODD = re.compile(rb"/\.|[%\\\"<>^`{|}\x00-\x20\x7f-\xff]")
_SLASH = re.compile(rb"[/\\]")
_ESCAPED_SLASH = re.compile(rb"%(?:2[Ff]|5[Cc])")
_SLASHES = re.compile(rb"//+")
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
#: An escape, or a character that has to be one.
_TO_CODE = re.compile(rb"%[0-9A-Fa-f]{2}|[\"<>^`{|}\x00-\x20\x7f-\xff]")

_DOT = frozenset((b".", b"%2e", b"%2E"))
_DOT_DOT = frozenset(one + other for one in _DOT for other in _DOT)
_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
#: What each escape or character becomes.
_CODED = {b"%c" % code: b"%%%02X" % code for code in range(256)}
for _high in b"0123456789abcdefABCDEF":
    for _low in b"0123456789abcdefABCDEF":
        _code = int(b"%c%c" % (_high, _low), 16)
        _escape = b"%%%c%c" % (_high, _low)
        _CODED[_escape] = b"%c" % _code if _code in _UNRESERVED else _escape
_HEX = b"0123456789abcdefABCDEF"


def normalise(target: bytes) -> bytes | None:
    """Remove dot segments and decode what needs no escape (`normalize_path`); None if there is a "%00"."""
    path, mark, query = target.partition(b"?")
    if _ODD.search(path) is None:
        return target
    if b".;" in path:
        path = b"/".join(map(_without_parameters, path.split(b"/")))
    if b"%00" in path:
        return None
    segments: list[bytes] = []
    last = b""
    for segment in _SLASH.split(path)[1:]:
        last = segment
        if segment in _DOT:
            continue
        if segment in _DOT_DOT:
            if segments:
                segments.pop()
            continue
        segments.append(_decoded(segment))
    if last in _DOT or last in _DOT_DOT:
        segments.append(b"")  # the last slash stays
    return b"/" + b"/".join(segments) + mark + query


def merge_slashes(target: bytes) -> bytes:
    """One slash for several in a row (`merge_slashes`); a path of slashes alone becomes "//", as Envoy has it."""
    path, mark, query = target.partition(b"?")
    if b"//" not in path:
        return target
    merged = _SLASHES.sub(b"/", path)
    return (merged if len(merged) > 1 else b"//") + mark + query


def unescape_slashes(target: bytes) -> bytes:
    """Write %2F and %5C as the characters they stand for (`path_with_escaped_slashes_action`)."""
    if b"%" not in target:
        return target
    path, mark, query = target.partition(b"?")
    return _ESCAPED_SLASH.sub(_slash, path) + mark + query


def _slash(escape: re.Match[bytes]) -> bytes:
    return b"/" if escape[0][1:2] == b"2" else b"\\"


def _without_parameters(segment: bytes) -> bytes:
    """Of "..;x" only "..": an upstream that knows such parameters takes it for the parent directory."""
    if segment.startswith(b"..;"):
        return b".."
    return b"." if segment.startswith(b".;") else segment


def _decoded(segment: bytes) -> bytes:
    """A segment with the escapes it needs and no others."""
    if _TO_CODE.search(segment) is None:
        return segment
    if _BAD_PERCENT.search(segment) is None:
        return _TO_CODE.sub(_code_of, segment)
    return _decoded_with_stray_percents(segment)


def _code_of(found: re.Match[bytes]) -> bytes:
    return _CODED[found[0]]


def _decoded_with_stray_percents(segment: bytes) -> bytes:
    """The same where a "%" begins no escape.  It must not begin one once what follows is decoded ("%%34%31"): such a
    one becomes "%25", so that normalising twice is normalising once."""
    out = bytearray()
    stray = -3  # where in `out` the last such percent sign is
    at = 0
    while at < len(segment):
        found = _TO_CODE.match(segment, at)
        if found is None:
            if segment[at] == 0x25:
                stray = len(out)
            out.append(segment[at])
            at += 1
            continue
        at = found.end()
        code = _CODED[found[0]]
        out += code
        if len(code) == 1 and stray >= len(out) - 3:
            digits = bytes(out[stray + 1 :])
            if len(digits) == 1:
                digits += segment[at : at + 1]
            if len(digits) == 2 and digits[0] in _HEX and digits[1] in _HEX:
                out[stray + 1 : stray + 1] = b"25"
                stray = -3
    return bytes(out)
