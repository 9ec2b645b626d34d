"""The rules of `h1_parse` in Python, over llhttp."""

from __future__ import annotations

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from twistproxy.http.headers import Header

# As in `h1_parse`, which imports this module.
_INCOMPLETE = 0
_MALFORMED = -1
_UNUSUAL = -2
_TOO_MANY = -3
_TWO_HOSTS = 2

_BARE_LF = re.compile(rb"(?<!\r)\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FOLD = re.compile(rb"\r\n[ \t]")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_MAX_NAME = 256


class _Fields:
    """What llhttp calls back."""

    __slots__ = ("items", "names")

    def __init__(self, names: dict[bytes, bytes]) -> None:
        self.items: list[Header] = []
        self.names = names

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        self.items.append((self.names.get(lower, lower), value.strip(b" \t")))


class Fallback:
    """The three functions of `h1_parse`."""

    def __init__(self, names: dict[bytes, int], methods: dict[bytes, bytes]) -> None:
        self._flags = names
        self._names = {name: name for name in names}
        self._methods = methods

    def parse_request(
        self, data: bytes, max_fields: int
    ) -> tuple[int, bytes, bytes, int, bytes | None, list[Header], dict[bytes, bytes], int] | int:
        if data[:1] in (b"\r", b"\n"):
            return _UNUSUAL
        fields = _Fields(self._names)
        size = _feed(HttpRequestParser(fields), data)
        if size == _INCOMPLETE and b"\r\n" in data:
            line = data[: data.index(b"\r\n")]
            return (
                _INCOMPLETE if line.endswith((b" HTTP/1.1", b" HTTP/1.0")) else _MALFORMED
            )  # llhttp knows HTTP/0.9
        if size <= 0:
            return size
        parts = data[: data.index(b"\r\n")].split()
        if len(parts) != 3 or parts[0] not in self._methods or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            return _MALFORMED
        if _TARGET.fullmatch(parts[1]) is None:
            return _MALFORMED
        checked = _checked(fields.items, max_fields)
        if checked < 0:
            return checked
        hosts = [value for name, value in fields.items if name == b"host"]
        items = [item for item in fields.items if item[0] != b"host"]
        return (
            size,
            self._methods[parts[0]],
            parts[1],
            parts[2][-1] - 48,
            hosts[0] if hosts else None,
            items,
            dict(items),
            self._flags_of(items) | (_TWO_HOSTS if len(hosts) > 1 else 0),
        )

    def parse_response(
        self, data: bytes, max_fields: int
    ) -> tuple[int, int, int, list[Header], dict[bytes, bytes], int] | int:
        if not b"HTTP/1.".startswith(data[:7]):
            return _MALFORMED
        fields = _Fields(self._names)
        parser = HttpResponseParser(fields)
        size = _feed(parser, data)
        if size == _MALFORMED and _FOLD.search(data) is not None:
            return _UNUSUAL
        if size <= 0:
            return size
        status = parser.get_status_code()
        line = data[: data.index(b"\r\n")]
        # llhttp lets control characters into the reason phrase; RFC 9112 section 4 does not.
        if data[7:9] not in (b"1 ", b"0 ") or not 100 <= status <= 599 or _CONTROL.search(line) is not None:
            return _MALFORMED
        checked = _checked(fields.items, max_fields)
        if checked < 0:
            return checked
        return size, status, data[7] - 48, fields.items, dict(fields.items), self._flags_of(fields.items)

    def _flags_of(self, items: list[Header]) -> int:
        flags = 0
        for name, _ in items:
            flags |= self._flags.get(name, 0)
        return flags

    @staticmethod
    def encode(parts: tuple[bytes, ...], items: list[Header], tail: bytes) -> bytes:
        return b"".join((*parts, *[b"%b: %b\r\n" % item for item in items], tail))


def _feed(parser: HttpRequestParser | HttpResponseParser, data: bytes) -> int:
    """The size of the head, or a code.  llhttp refuses a bare LF, so a
    head cannot have ended before the first CRLF CRLF."""
    end = data.find(b"\r\n\r\n") + 4
    head = data[:end] if end > 3 else data
    try:
        parser.feed_data(head)
    except HttpParserUpgrade:
        pass
    except HttpParserError:
        return _UNUSUAL if _BARE_LF.search(head) is not None else _MALFORMED
    return end if end > 3 else _INCOMPLETE


def _checked(items: list[Header], max_fields: int) -> int:
    if len(items) > max_fields:
        return _TOO_MANY
    if any(len(name) > _MAX_NAME for name, _ in items):
        return _MALFORMED
    return 0
