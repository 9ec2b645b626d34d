"""envoy.type.matcher.v3.RegexMatchAndSubstitute: RE2, every match replaced, as RE2::GlobalReplace does it."""

from __future__ import annotations

import re
from typing import Any

import re2

_REFERENCE = re.compile(rb"\\(.?)", re.DOTALL)


class Substitution:
    r"""A pattern and what takes the place of its matches; in that `\0` to `\9` stand for groups and `\\` for `\`."""

    __slots__ = ("_nothing", "_parts", "_pattern")

    def __init__(self, pattern: str, substitution: str) -> None:
        self._pattern: Any = re2.compile(pattern.encode())
        #: literals, and groups by their number
        self._parts: list[bytes | int] = []
        self._read(substitution.encode())
        groups = [part for part in self._parts if isinstance(part, int)]
        # A group that the pattern does not have: RE2 replaces nothing.
        self._nothing = bool(groups) and max(groups) > self._pattern.groups

    def _read(self, text: bytes) -> None:
        at = 0
        for found in _REFERENCE.finditer(text):
            self._parts.append(text[at : found.start()])
            at = found.end()
            letter = found[1]
            if letter.isdigit():
                self._parts.append(int(letter))
            elif letter == b"\\":
                self._parts.append(b"\\")
            else:
                return  # what follows is no rewrite to RE2, which leaves it at that
        self._parts.append(text[at:])

    def apply(self, text: bytes) -> bytes:
        if self._nothing:
            return text
        out: list[bytes] = []
        at, end, last_end = 0, len(text), -1
        while at <= end:
            found = self._pattern.search(text, at)
            if found is None:
                break
            start, stop = found.span()
            if at < start:
                out.append(text[at:start])
            if start == stop == last_end:
                # No empty match right behind a match: a character goes by as it is.
                out.append(text[start : start + 1])
                at = start + 1
                continue
            for part in self._parts:
                out.append(part if isinstance(part, bytes) else found.group(part) or b"")
            at = last_end = stop
        out.append(text[at:])
        return b"".join(out)
