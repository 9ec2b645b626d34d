"""How the names of fields are written, where they are not to be in lower case (`header_key_format`).

Names are in lower case everywhere inside.  A message whose spelling is kept carries it with its list of fields, so
that it costs nothing where it is not configured.
"""

from __future__ import annotations

from functools import lru_cache

from twistproxy.http.headers import Header

_Names = dict[bytes, bytes]


class Spelling:
    """names   what the sender wrote, by the name in lower case
    proper  whether names that it has not written are written Like-This
    reason  the sender's reason phrase, b"" for the usual one
    """

    __slots__ = ("names", "proper", "reason")

    def __init__(self, names: _Names, proper: bool, reason: bytes = b"") -> None:
        self.names = names
        self.proper = proper
        self.reason = reason

    def apply(self, head: bytes) -> bytes:
        """A whole head, written anew."""
        lines = head.split(b"\r\n")
        if self.reason and lines[0].startswith(b"HTTP/"):
            lines[0] = lines[0][:13] + self.reason
        for at in range(1, len(lines)):
            name, colon, value = lines[at].partition(b":")
            if colon:
                lines[at] = self.spelled(name) + colon + value
        return b"\r\n".join(lines)

    def spelled(self, name: bytes) -> bytes:
        """How a name is written."""
        known = self.names.get(name)
        if known is not None:
            return known
        return proper_case(name) if self.proper else name


class SpelledItems(list[Header]):
    """`HeaderMap.items` of a message with a spelling."""

    def __init__(self, items: list[Header], spelling: Spelling) -> None:
        super().__init__(items)
        self.spelling = spelling


#: What `proper_case_words` writes.
PROPER = Spelling({}, True)


def keep_spelling(items: list[Header], head: bytes, proper: bool, reason: bool) -> SpelledItems:
    """`items` with the spelling of `head`, the bytes from which they were parsed."""
    names: _Names = {}
    lines = head.lstrip(b"\r\n").split(b"\n")
    for line in lines[1:]:
        name, colon, _ = line.partition(b":")
        if not colon and not line.strip():
            break
        names.setdefault(name.lower(), name)
    phrase = lines[0].rstrip(b"\r")[13:] if reason else b""
    return SpelledItems(items, Spelling(names, proper, phrase))


def spelling_of(items: list[Header], proper: bool) -> Spelling | None:
    """How to write a message with these fields; `proper`: what is done with one that has no spelling of its own."""
    if isinstance(items, SpelledItems):
        return items.spelling
    return PROPER if proper else None


@lru_cache(1024)
def proper_case(name: bytes) -> bytes:
    """The first letter, and each behind anything but a letter or a digit, as a capital."""
    out = bytearray(name)
    capital = True
    for at, byte in enumerate(name):
        if capital and 97 <= byte < 123:
            out[at] = byte - 32
        capital = not (48 <= byte < 58 or 65 <= byte < 91 or 97 <= byte < 123)
    return bytes(out)
