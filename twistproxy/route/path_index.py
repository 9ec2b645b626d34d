"""The routes of a virtual host, found by the path without trying each.

Exact paths and prefixes are in dictionaries, prefixes by their lengths; regular expressions are one automaton, which
reads a path once for all of them.  So the cost of a look-up does not depend on how many there are.  Whatever else there
is (templates, CONNECT) is tried one by one.  The order of the configuration decides as ever: the first route that
matches is taken.
"""

from __future__ import annotations

from typing import Any

import re2

from twistproxy.http.message import RequestHead
from twistproxy.route.entry import Entry
from twistproxy.route.path_match import ExactPath, PrefixPath, RegexPath, SeparatedPrefix

#: Up to so many routes are tried one by one, which is faster.
FEW = 6
#: Bytes that the automaton may take for itself and what it remembers; RE2 forgets before it takes more.
_MEMORY = 64 * 1024 * 1024

#: Regular expressions look at the path alone.
_ANY = RequestHead(b"", b"", b"", [], {})

_Found = dict[bytes, list[Entry]]
_NONE: list[Entry] = []


class PathIndex:
    """`entries` in the order of the configuration."""

    __slots__ = (
        "_exact",
        "_lower_exact",
        "_lower_prefixes",
        "_others",
        "_plain",
        "_prefixes",
        "_regexes",
        "entries",
    )

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self._plain = len(entries) <= FEW
        self._exact: _Found = {}
        self._lower_exact: _Found = {}
        self._prefixes: list[tuple[int, _Found]] = []
        self._lower_prefixes: list[tuple[int, _Found]] = []
        self._others: list[Entry] = []
        self._regexes: _Regexes | None = None
        if not self._plain:
            self._build()

    def _build(self) -> None:
        prefixes: dict[int, _Found] = {}
        lower_prefixes: dict[int, _Found] = {}
        regexes: list[Entry] = []
        for entry in self.entries:
            path = entry.path
            key = path.key
            exact = self._lower_exact if path.ignore_case else self._exact
            sizes = lower_prefixes if path.ignore_case else prefixes
            if isinstance(path, ExactPath):
                exact.setdefault(key, []).append(entry)
            elif isinstance(path, PrefixPath):
                sizes.setdefault(len(key), {}).setdefault(key, []).append(entry)
            elif isinstance(path, SeparatedPrefix):
                # Either the path is that, or it goes on after a slash.
                exact.setdefault(key, []).append(entry)
                key += b"/"
                sizes.setdefault(len(key), {}).setdefault(key, []).append(entry)
            elif isinstance(path, RegexPath):
                regexes.append(entry)
            else:
                self._others.append(entry)
        self._prefixes = sorted(prefixes.items())
        self._lower_prefixes = sorted(lower_prefixes.items())
        if regexes:
            self._regexes = _Regexes(regexes)

    def first(self, head: RequestHead, path: bytes, stream: Any) -> Entry | None:
        """The first route that matches.  `path` as for `PathMatcher.matches`."""
        if self._plain or not path:
            for entry in self.entries:
                if entry.first_failed(head, path, stream) is None:
                    return entry
            return None
        others = self._others
        tried = 0
        for entry in self.indexed(path):
            while tried < len(others) and others[tried].order < entry.order:
                if others[tried].first_failed(head, path, stream) is None:
                    return others[tried]
                tried += 1
            if entry.failed_condition(head, stream) is None:
                return entry
        while tried < len(others):
            if others[tried].first_failed(head, path, stream) is None:
                return others[tried]
            tried += 1
        return None

    def indexed(self, path: bytes) -> list[Entry]:
        """The routes with an exact path, a prefix or a regular expression that matches this path, in order."""
        found = self._exact.get(path, _NONE)
        found = _with_prefixes(found, self._prefixes, path)
        if self._lower_exact or self._lower_prefixes:
            lower = path.lower()
            found = found + self._lower_exact.get(lower, _NONE)
            found = _with_prefixes(found, self._lower_prefixes, lower)
        if self._regexes is not None:
            found = found + self._regexes.matching(path)
        if len(found) > 1:
            found = sorted(found, key=_order)
        return found


def _with_prefixes(found: list[Entry], sizes: list[tuple[int, _Found]], path: bytes) -> list[Entry]:
    """`found` and the entries with a prefix of `path`."""
    length = len(path)
    for size, prefixes in sizes:
        if size > length:
            break
        entries = prefixes.get(path[:size])
        if entries is not None:
            found = found + entries if found else entries
    return found


class _Regexes:
    """Routes by the regular expression of their path."""

    __slots__ = ("_entries", "_match")

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._match: Any = None
        options = re2.Options()
        options.max_mem = _MEMORY
        together = re2.Set.FullMatchSet(options)
        # Matches everything, and so tells a path that nothing matches from an automaton that outgrew its memory.
        together.Add(rb"\C*")
        try:
            for entry in entries:
                together.Add(entry.path.key)
            together.Compile()
        except re2.error:  # too large; one by one, then
            return
        self._match = together.Match

    def matching(self, path: bytes) -> list[Entry]:
        numbers = None if self._match is None else self._match(path)
        if numbers is None:
            return [entry for entry in self._entries if entry.path.matches(_ANY, path)]
        return [self._entries[number - 1] for number in numbers if number]


def _order(entry: Entry) -> int:
    return entry.order
