"""Reading v1 objects strictly, and building v3 ones that remember where in the v1 text they came from.

v1 was checked against a JSON schema: objects are closed (an unknown key is an error) and types strict (`"80"`
is no number).  `V1Object` does that while it is read: a key counts as known when it is asked for, and `close`
complains of the others.  Problems and warnings carry the user's own v1 path.

v3 is built from plain dicts, lists and scalars in which None means absent.  Strings taken from the v1 text
are `Text`, and `V1Object.v3` marks a dict with the object it was made from, so that `to_node` can give every
node of the v3 tree a place in the v1 text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from twistproxy.errors import ConfigProblem

from .places import Entry, Mapping, Node, Scalar, Sequence, Source, describe
from .suggest import did_you_mean

MAX_NAME = 60  # characters: names of listeners, clusters, virtual hosts
_SIMPLE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Text(str):
    """A string of the v1 text and its offset there."""

    offset: int

    def __new__(cls, value: str, offset: int) -> Text:
        """The string with its offset."""
        text = super().__new__(cls, value)
        text.offset = offset
        return text


class Part(dict[str, Any]):
    """A v3 mapping and the offset of the v1 object it stands for."""

    offset: int


class Conversion:
    """What is known and what came up while one v1 text is translated.

    problems   what keeps it from being translated
    warnings   what is translated but deserves a word: old spellings, meanings that v3 cannot express
    notes      v1 meanings that had to be written out, for `twistproxy convert`; each once
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[ConfigProblem] = []
        self.warnings: list[ConfigProblem] = []
        self.notes: dict[str, None] = {}
        self.rate_limit_service: dict[str, Any] | None = None
        self.tracing_provider: dict[str, Any] | None = None
        self.sds_cluster: str | None = None
        self.sds_refresh_delay = ""

    def note(self, text: str) -> None:
        """Remember what had to be written out."""
        self.notes[text] = None


class V1Object:
    """One object of the v1 text."""

    def __init__(self, node: Mapping, path: str, conversion: Conversion) -> None:
        self.node = node
        self.path = path
        self.conversion = conversion
        self._known: set[str] = set()

    # what is wrong

    def path_of(self, key: str) -> str:
        """The path of one of its keys."""
        return f"{self.path}.{key}" if self.path else key

    def problem(self, text: str, key: str | None = None) -> None:
        """Note what is wrong with the object, or with the value under `key`."""
        self.conversion.problems.append(self._placed(text, key))

    def warning(self, text: str, key: str | None = None) -> None:
        """Note what deserves a word."""
        self.conversion.warnings.append(self._placed(text, key))

    def _placed(self, text: str, key: str | None) -> ConfigProblem:
        entry = self.node.entries.get(key) if key else None
        offset = self.node.offset if entry is None else entry.offset
        return self.conversion.source.problem(offset, self.path_of(key) if key else self.path, text)

    def close(self) -> None:
        """Complain of the keys that nobody asked for."""
        for key in self.node.entries:
            if key not in self._known:
                self.problem(f'unknown key "{key}"{did_you_mean(key, self._known)}', key)

    def v3(self, content: dict[str, Any], close: bool = True) -> Part:
        """A v3 mapping that stands for this object, which is thereby read completely (unless it is an open
        one).
        """
        if close:
            self.close()
        part = Part(content)
        part.offset = self.node.offset
        return part

    # what is there

    def has(self, key: str) -> bool:
        """Whether the key is there; that alone does not count as reading it."""
        return key in self.node.entries

    def raw(self, key: str) -> Node | None:
        """The node under a key, unchecked."""
        self._known.add(key)
        return self.node.get(key)

    def string(
        self, key: str, required: bool = False, least: int = 0, most: int | None = None
    ) -> Text | None:
        """A string of `least` to `most` characters."""
        node = self._value(key, required)
        if node is None:
            return None
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            self._mistyped(key, node, "text")
            return None
        if len(node.value) < least:
            self.problem("must not be empty", key)
        if most is not None and len(node.value) > most:
            self.problem(f"must have at most {most} characters, has {len(node.value)}", key)
        return Text(node.value, node.offset)

    def name(self, key: str = "name", required: bool = True) -> Text | None:
        """A name of something: 1 to 60 characters."""
        return self.string(key, required, least=1, most=MAX_NAME)

    def integer(
        self, key: str, required: bool = False, low: int | None = None, high: int | None = None
    ) -> int | None:
        """A whole number within bounds."""
        node = self._value(key, required)
        if node is None:
            return None
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(node, Scalar) and isinstance(value, str) and node.text and value.isdigit():
            value = int(value)  # beyond 32 bits and unquoted in YAML
        if not isinstance(value, int) or isinstance(value, bool):
            self._mistyped(key, node, "a whole number")
            return None
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = f"at least {low}" if high is None else f"from {low} to {high}"
            self.problem(f"must be {bounds}, is {value}", key)
            return None
        return value

    def milliseconds(self, key: str, required: bool = False, low: int = 1) -> str | None:
        """A whole number of milliseconds as a v3 duration."""
        value = self.integer(key, required, low)
        return None if value is None else duration(value)

    def boolean(self, key: str, required: bool = False) -> bool | None:
        """true or false."""
        node = self._value(key, required)
        if node is None:
            return None
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self._mistyped(key, node, "true or false")
        return None

    def choice(self, key: str, choices: Iterable[str], required: bool = False) -> Text | None:
        """One of a few words."""
        value = self.string(key, required)
        words = list(choices)
        if value is None or value in words:
            return value
        self.problem(f'must be one of {", ".join(words)}, is "{value}"{did_you_mean(value, words)}', key)
        return None

    def object(self, key: str, required: bool = False) -> V1Object | None:
        """The object under a key."""
        node = self._value(key, required)
        if node is None:
            return None
        if isinstance(node, Mapping):
            return V1Object(node, self.path_of(key), self.conversion)
        self._mistyped(key, node, "an object")
        return None

    def objects(self, key: str, required: bool = False, least: int = 0) -> list[V1Object]:
        """The objects in the array under a key, which has at least so many."""
        found = []
        for index, item in enumerate(self._items(key, required, least)):
            if isinstance(item, Mapping):
                found.append(V1Object(item, f"{self.path_of(key)}[{index}]", self.conversion))
            else:
                self._mistyped(f"{key}[{index}]", item, "an object")
        return found

    def strings(self, key: str, required: bool = False, least: int = 0, unique: bool = False) -> list[Text]:
        """The strings in the array under a key."""
        found: list[Text] = []
        for index, item in enumerate(self._items(key, required, least)):
            if isinstance(item, Scalar) and isinstance(item.value, str):
                if unique and item.value in found:
                    self.problem(f'has "{item.value}" twice', key)
                found.append(Text(item.value, item.offset))
            else:
                self._mistyped(f"{key}[{index}]", item, "text")
        return found

    def plain(self, key: str) -> Any:
        """The value under a key as plain Python data; None if absent."""
        node = self.raw(key)
        return None if node is None else to_plain(node)

    def _items(self, key: str, required: bool, least: int) -> list[Node]:
        node = self._value(key, required)
        if node is None:
            return []
        if not isinstance(node, Sequence):
            self._mistyped(key, node, "an array")
            return []
        if len(node.items) < least:
            self.problem(
                f"must have at least {least} item{'s' if least > 1 else ''}, has {len(node.items)}", key
            )
        return node.items

    def _value(self, key: str, required: bool) -> Node | None:
        self._known.add(key)
        node = self.node.get(key)
        if node is None and required:
            self.problem(f'the key "{key}" is required')
        return node

    def _mistyped(self, key: str, node: Node, expected: str) -> None:
        found = describe(node)
        place = self.conversion.source.problem(
            node.offset, self.path_of(key), f"expected {expected}, found {found}"
        )
        self.conversion.problems.append(place)


def duration(milliseconds: int) -> str:
    """Milliseconds as the text of a v3 duration."""
    return f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".") + "s"


def typed(name: str, type_name: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
    """A v3 extension: its name, and its configuration of a message type."""
    config = {"@type": f"type.googleapis.com/{type_name}", **(content or {})}
    return {"name": name, "typed_config": config}


def typed_struct(name: str, type_name: str, content: dict[str, Any]) -> dict[str, Any]:
    """A v3 extension whose configuration no installed message type describes."""
    value = {"type_url": f"type.googleapis.com/{type_name}", "value": content}
    return typed(name, "xds.type.v3.TypedStruct", value)


def to_plain(node: Node) -> Any:
    """A node as plain Python data, its strings as Text."""
    if isinstance(node, Mapping):
        return {key: to_plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [to_plain(item) for item in node.items]
    return Text(node.value, node.offset) if isinstance(node.value, str) else node.value


def to_node(value: Any, offset: int) -> Node:
    """v3 data as a tree; what has no place of its own has that of the data around it.  None is left out."""
    if isinstance(value, dict):
        here = value.offset if isinstance(value, Part) else offset
        entries = {}
        for key, item in value.items():
            if item is not None:
                node = to_node(item, here)
                entries[key] = Entry(node.offset, node)
        return Mapping(entries, here)
    if isinstance(value, list):
        items = [to_node(item, offset) for item in value]
        return Sequence(items, items[0].offset if items else offset)
    return Scalar(str(value) if isinstance(value, Text) else value, getattr(value, "offset", offset))


def without_none(value: Any) -> Any:
    """v3 data with what is None left out and plain strings, for writing it as YAML."""
    if isinstance(value, dict):
        return {str(key): without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_none(item) for item in value]
    return str(value) if isinstance(value, Text) else value
