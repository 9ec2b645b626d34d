"""The URL of a Location field (RFC 9110 section 10.2.2) as far as we follow it: whole, with scheme and host."""

from __future__ import annotations

import re2

#: Scheme, user information, host, port; then path and query, then a fragment.
_URL = re2.compile(
    rb"([A-Za-z]+)://(?:[^@/?#\[\]<>\x00-\x20\x7f-\xff]*@)?"
    rb"((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\])(?::([0-9]{1,5}))?)"
    rb"((?:[/?][^#\x00-\x20\x7f-\xff]*)?)(?:#[^\x00-\x20\x7f-\xff]*)?"
)


def parse_location(value: bytes) -> tuple[bytes, bytes, bytes] | None:
    """(scheme in lower case, authority without user information, path with query); None for anything else.

    The path is "/" where there is neither a path nor a query.
    """
    found = _URL.fullmatch(value)
    if found is None:
        return None
    scheme, authority, port, path = found.groups()
    if port is not None and int(port) > 65535:
        return None
    return scheme.lower(), authority, path or b"/"
