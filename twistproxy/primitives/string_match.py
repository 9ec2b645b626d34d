"""Matchers of text: envoy.type.matcher.v3.StringMatcher, compiled.

Each matches bytes, and says in words what it wants: `Prefix("/a").describe()` is "starts with '/a'".
"""

from __future__ import annotations

import re

import re2

from twistproxy.primitives.described import Described

#: What absl::SimpleAtoi reads as an integer: sign, significant digits.
_INTEGER = re.compile(rb"[ \t\n\v\f\r]*([+-]?)0*([0-9]{1,20})[ \t\n\v\f\r]*")


def parse_integer(value: bytes) -> int | None:
    """A decimal integer as Envoy reads it from a header, or None."""
    found = _INTEGER.fullmatch(value)
    if found is None:
        return None
    return -int(found.group(2)) if found.group(1) == b"-" else int(found.group(2))


class TextMatcher(Described):
    """The base of all.  `describe` is what comes after "the value …"."""

    __slots__ = ()

    def matches(self, value: bytes) -> bool:
        """Whether this value is what is wanted."""
        raise NotImplementedError


class StringMatcher(TextMatcher):
    """One that looks for a text."""

    __slots__ = ("_lower", "ignore_case", "text")

    def __init__(self, text: str, ignore_case: bool = False) -> None:
        self.text = text
        self.ignore_case = ignore_case
        #: what is looked for
        self._lower = text.lower().encode() if ignore_case else text.encode()

    def _words(self, verb: str) -> str:
        return f"{verb} {self.text!r}" + (" in any case" if self.ignore_case else "")


class Exact(StringMatcher):
    __slots__ = ()

    def matches(self, value: bytes) -> bool:
        return (value.lower() if self.ignore_case else value) == self._lower

    def describe(self) -> str:
        return self._words("is exactly")


class Prefix(StringMatcher):
    __slots__ = ()

    def matches(self, value: bytes) -> bool:
        return (value.lower() if self.ignore_case else value).startswith(self._lower)

    def describe(self) -> str:
        return self._words("starts with")


class Suffix(StringMatcher):
    __slots__ = ()

    def matches(self, value: bytes) -> bool:
        return (value.lower() if self.ignore_case else value).endswith(self._lower)

    def describe(self) -> str:
        return self._words("ends with")


class Contains(StringMatcher):
    __slots__ = ()

    def matches(self, value: bytes) -> bool:
        return self._lower in (value.lower() if self.ignore_case else value)

    def describe(self) -> str:
        return self._words("contains")


class Regex(StringMatcher):
    """The whole value matches an RE2 expression: linear time, whatever the value.

    A value that is no UTF-8 matches as the bytes it is.
    """

    __slots__ = ("_full_match",)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._full_match = re2.compile(text.encode()).fullmatch

    def matches(self, value: bytes) -> bool:
        return self._full_match(value) is not None

    def describe(self) -> str:
        return self._words("matches the regular expression")


class IntegerRange(TextMatcher):
    """A decimal integer of 64 bits in [start, end)."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end

    def matches(self, value: bytes) -> bool:
        number = parse_integer(value)
        return number is not None and self.start <= number < self.end

    def describe(self) -> str:
        return f"is an integer from {self.start} to below {self.end}"
