"""The routes of a virtual host, found by the path without trying each.

Exact paths and prefixes are in dictionaries, prefixes by their lengths, so that the cost of a look-up does not depend on
how many there are.  Whatever else there is (regular expressions, templates, CONNECT) is tried one by one.  The
order of the configuration decides as ever: the first route that matches is taken.
"""

from __future__ import annotations

from typing import Any

from twistproxy.http.message import RequestHead
from twistproxy.route.entry import Entry
from twistproxy.route.path_match import ExactPath, PrefixPath, SeparatedPrefix

#: Up to so many routes are tried one by one, which is faster.
FEW = 6

_Found = dict[bytes, list[Entry]]


class PathIndex:
    """`entries` in the order of the configuration."""

    __slots__ = ("_exact", "_lower_exact", "_lower_prefixes", "_others", "_prefixes", "entries")

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self._exact: _Found = {}
        self._lower_exact: _Found = {}
        prefixes: dict[int, _Found] = {}
        lower_prefixes: dict[int, _Found] = {}
        self._others: list[Entry] = []
        for entry in entries:
            path = entry.path
            if len(entries) <= FEW:
                self._others.append(entry)
            elif isinstance(path, ExactPath):
                exact = self._lower_exact if path.ignore_case else self._exact
                exact.setdefault(path.key, []).append(entry)
            elif isinstance(path, (PrefixPath, SeparatedPrefix)):
                sizes = lower_prefixes if path.ignore_case else prefixes
                sizes.setdefault(len(path.key), {}).setdefault(path.key, []).append(entry)
            else:
                self._others.append(entry)
        self._prefixes = sorted(prefixes.items())
        self._lower_prefixes = sorted(lower_prefixes.items())

    def first(self, head: RequestHead, path: bytes, stream: Any) -> Entry | None:
        """The first route that matches.  `path` as for `PathMatcher.matches`."""
        others = self._others
        tried = 0
        for entry in self.indexed(path):
            while tried < len(others) and others[tried].order < entry.order:
                if others[tried].first_failed(head, path, stream) is None:
                    return others[tried]
                tried += 1
            if entry.first_failed(head, path, stream) is None:
                return entry
        while tried < len(others):
            if others[tried].first_failed(head, path, stream) is None:
                return others[tried]
            tried += 1
        return None

    def indexed(self, path: bytes) -> list[Entry]:
        """The routes with an exact path or a prefix that can match this path, in order."""
        found: list[Entry] = []
        hits = 0
        exact = self._exact.get(path)
        if exact is not None:
            hits = 1
            found = exact
        if self._lower_exact:
            exact = self._lower_exact.get(path.lower())
            if exact is not None:
                hits += 1
                found = found + exact
        for sizes, subject in (
            (self._prefixes, path),
            (self._lower_prefixes, path.lower() if self._lower_prefixes else path),
        ):
            length = len(subject)
            for size, prefixes in sizes:
                if size > length:
                    break
                entries = prefixes.get(subject[:size])
                if entries is not None:
                    hits += 1
                    found = found + entries if hits > 1 else entries
        if hits > 1:
            found.sort(key=_order)
        return found


def _order(entry: Entry) -> int:
    return entry.order
