"""A parsed configuration text whose every part knows where it stands.

YAML and JSON both become the same three kinds of node.  A node holds an offset into its text, and only a
problem turns that into line and column, so that a correct file pays nothing for it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple, TypeAlias

from twistproxy.errors import ConfigProblem

_BREAK = re.compile(r"\r\n|\r|\n")
# One step of a path: `name`, `[3]`, or `["any key"]`.
_STEP = re.compile(r'\.?(?:\["(?P<key>.*?)"\](?=[.\[]|$)|\[(?P<index>[0-9]+)\]|(?P<name>[^.\[]+))')


class Scalar:
    """A leaf.  value: str, bool, int, float or None.

    Text: how a YAML user wrote what was not taken as text.
    """

    __slots__ = ("offset", "text", "value")

    def __init__(self, value: str | bool | int | float | None, offset: int, text: str | None = None) -> None:
        self.value = value
        self.offset = offset
        self.text = text


class Sequence:
    """A list of nodes."""

    __slots__ = ("items", "offset")

    def __init__(self, items: list[Node], offset: int) -> None:
        self.items = items
        self.offset = offset


class Entry(NamedTuple):
    """What stands under one key: where the key is, and the value."""

    offset: int
    node: Node


class Mapping:
    """Keys (always text) and their entries, in the order of the text."""

    __slots__ = ("entries", "offset")

    def __init__(self, entries: dict[str, Entry], offset: int) -> None:
        self.entries = entries
        self.offset = offset

    def get(self, key: str) -> Node | None:
        """The node under `key`, None if there is none."""
        entry = self.entries.get(key)
        return None if entry is None else entry.node


Node: TypeAlias = Scalar | Sequence | Mapping


class Source:
    """One text and the name its problems carry (a file name, or `--config-yaml`)."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in _BREAK.finditer(self.text))]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, of the character at `offset`."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def problem(self, offset: int, path: str, message: str) -> ConfigProblem:
        """A problem at `offset` of this text."""
        line, column = self.place(offset)
        return ConfigProblem(path, message, self.name, line, column)


class Tree(NamedTuple):
    """A parsed text.  warnings: what is legal but surely not meant, such as a key given twice."""

    source: Source
    root: Node
    warnings: list[ConfigProblem]


def flattened(node: Node) -> list[Node]:
    """The elements that a node is for a repeated field: Envoy takes one value for a list of one, and lists in
    a list, such as aliases of lists, for their elements.
    """
    if not isinstance(node, Sequence):
        return [node]
    if not any(isinstance(item, Sequence) for item in node.items):
        return node.items
    return [inner for item in node.items for inner in flattened(item)]


def describe(node: Node) -> str:
    """What a node is, in the words of an error message."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    value = node.value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return f"the text {value!r}" if len(value) <= 60 else f"the text {value[:57]!r}…"


def steps(path: str) -> Iterator[str | int]:
    """The steps of a path: field names and map keys as str, list indices as int."""
    for match in _STEP.finditer(path):
        if match["index"] is not None:
            yield int(match["index"])
        else:
            yield match["key"] if match["key"] is not None else match["name"]


def locate(trees: list[Tree], path: str) -> tuple[Source, int] | None:
    """Where the field at `path` stands, or else the innermost part around it that was written down.

    Several trees are an original and its overlays: lists continue one another, and the last one that has a
    field has the say.  None if there are no trees.
    """
    found, _ = _walk(trees, path)
    if not found:
        return None
    tree, _, offset = found[-1]
    return tree.source, offset


def is_written(trees: list[Tree], path: str) -> bool:
    """Whether the field at `path` itself is in one of the texts."""
    return _walk(trees, path)[1]


def _walk(trees: list[Tree], path: str) -> tuple[list[tuple[Tree, Node, int]], bool]:
    """The nodes as far along the path as there are any, and whether that is all of it."""
    here: list[tuple[Tree, Node, int]] = [(tree, tree.root, tree.root.offset) for tree in trees]
    for step in steps(path):
        inner = _step_index(here, step) if isinstance(step, int) else _step_key(here, step)
        if not inner:
            return here, False
        here = inner
    return here, True


def _step_key(here: list[tuple[Tree, Node, int]], step: str) -> list[tuple[Tree, Node, int]]:
    found = []
    for tree, node, _ in here:
        if not isinstance(node, Mapping):
            continue
        entry = node.entries.get(step) or node.entries.get(camel_case(step))
        if entry is None and "@type" in node.entries and isinstance(value := node.get("value"), Mapping):
            # The content of a TypedStruct, or of a well-known type in an Any, has one level more in the text.
            entry = value.entries.get(step) or value.entries.get(camel_case(step))
        if entry is not None:
            place = entry.node.offset if isinstance(entry.node, Scalar) else entry.offset
            found.append((tree, entry.node, place))
    return found


def _step_index(here: list[tuple[Tree, Node, int]], index: int) -> list[tuple[Tree, Node, int]]:
    for tree, node, offset in here:
        items = flattened(node)
        if index < len(items):
            item = items[index]
            return [(tree, item, item.offset if isinstance(node, Sequence) else offset)]
        index -= len(items)
    return []


def camel_case(name: str) -> str:
    """The JSON name of a proto field: `route_config` → `routeConfig` (proto3 JSON mapping)."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)
