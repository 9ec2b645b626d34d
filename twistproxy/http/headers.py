"""Header maps: ordered, names in lower case, with a fast look-up."""

from __future__ import annotations

from collections.abc import Callable

Header = tuple[bytes, bytes]


def first_value(head: HeaderMap, name: bytes) -> bytes:
    """The value of the first field of that name; b"" if there is none."""
    value = head.index.get(name, b"")
    if value and len(head.index) != len(head.items):
        return head.get_all(name)[0]
    return value


class HeaderMap:
    """Headers of one message.  Names are lower-case bytes; values have no white space around them.

    `items`  the fields in their order
    `index`  name → value of the last field of that name; kept in step by the methods here.  Code that knows a name
             to be absent may append to both itself: that is the hot way.
    """

    __slots__ = ("index", "items")

    def __init__(self, items: list[Header], index: dict[bytes, bytes] | None = None) -> None:
        self.items = items
        self.index = dict(items) if index is None else index

    def get(self, name: bytes) -> bytes | None:
        """The value; several fields of one name are joined with "," (RFC 9110 section 5.3)."""
        index = self.index
        if len(index) == len(self.items):
            return index.get(name)
        if name not in index:
            return None
        return b",".join([value for key, value in self.items if key == name])

    def get_all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.items if key == name]

    def add(self, name: bytes, value: bytes) -> None:
        """One more field, also where there is one already."""
        self.items.append((name, value))
        self.index[name] = value

    def set(self, name: bytes, value: bytes) -> None:
        """The only field of that name, in the place of the first there was."""
        items = self.items
        if name in self.index:
            for at, (key, _) in enumerate(items):
                if key == name:
                    items[at] = (name, value)
                    items[at + 1 :] = [item for item in items[at + 1 :] if item[0] != name]
                    break
        else:
            items.append((name, value))
        self.index[name] = value

    def remove(self, name: bytes) -> None:
        if self.index.pop(name, None) is not None:
            self.items[:] = [item for item in self.items if item[0] != name]

    def remove_all(self, names: frozenset[bytes]) -> None:
        """Remove each of `names` that is there; costs one set operation where none is."""
        index = self.index
        if not names.isdisjoint(index):
            self.items[:] = [item for item in self.items if item[0] not in names]
            for name in names:
                index.pop(name, None)

    def remove_matching(self, matches: Callable[[bytes], bool]) -> None:
        """Remove all fields whose name matches."""
        for name in [name for name in self.index if matches(name)]:
            self.remove(name)

    def join(self, names: frozenset[bytes]) -> None:
        """Make one field of the several of each of `names` (RFC 9110 section 5.3)."""
        for name in names.intersection(self.index):
            value = self.get(name)
            if value is not None:
                self.set(name, value)

    def __contains__(self, name: bytes) -> bool:
        return name in self.index
