"""Configuration text to a tree: YAML or JSON, recognised from the content.

Scalars come out as Envoy's YAML reader takes them (source/common/protobuf/yaml_utility.cc; checked against
Envoy 1.40): unquoted y, n, yes, no, on, off, true, false in lower case, upper case or capitalised are
booleans; unquoted integers may be decimal, octal (010) or hexadecimal (0x10); those beyond 32 bits and all
other numbers stay text, which a number field then reads; `~`, null and nothing are null; what is quoted, or a
block, is text.

A mapping entry whose key is tagged `!ignore` is dropped (a place for anchors).  A key given twice is a
warning: the last one counts.  Merge keys (`<<`) work as YAML 1.1 has them, though Envoy itself refuses them.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from twistproxy.errors import ConfigError, ConfigProblem

from .json_text import MAX_DEPTH, given_twice, parse_json
from .places import Entry, Mapping, Node, Scalar, Sequence, Source, Tree

_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+)\Z")
_TRUE = {"y", "yes", "true", "on"}
_FALSE = {"n", "no", "false", "off"}
_NULL = {"", "~", "null", "Null", "NULL"}
_WORDS: dict[str, bool | None] = {
    **{form: True for word in _TRUE for form in (word, word.upper(), word.capitalize())},
    **{form: False for word in _FALSE for form in (word, word.upper(), word.capitalize())},
    **dict.fromkeys(_NULL),
}


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector from running: a large tree's nodes, none of them garbage, cost it
    seconds.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parse(text: str, name: str) -> Tree:
    """The tree of a YAML or JSON text.  Raises ConfigError with the syntax error.

    What does not begin with a brace or bracket is YAML.  What does is JSON if its name says so; if not it may be
    either, and is read as the one that its name promises first.
    """
    text = text.removeprefix("\ufeff")
    source = Source(name, text)
    if text.lstrip()[:1] not in ("{", "["):
        return parse_yaml(source)
    if name.endswith(".json"):
        return parse_json(source, lenient=True)
    readers = [parse_yaml, parse_json] if name.endswith((".yaml", ".yml")) else [parse_json, parse_yaml]
    try:
        return readers[0](source)
    except ConfigError as first:
        try:
            return readers[1](source)
        except ConfigError:
            raise first from None


def parse_yaml(source: Source) -> Tree:
    """The tree of the first document of a YAML text; a warning says if there are more."""
    loader = _Composer(source.text)
    try:
        loader.check_node()
        composed = loader.get_node()
        extra = loader.check_node()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(source, error) from None
    except yaml.YAMLError as error:
        raise ConfigError(
            [source.problem(getattr(error, "position", 0), "", f"not valid YAML: {error}")]
        ) from None
    finally:
        loader.dispose()
    if composed is None:
        raise ConfigError([source.problem(0, "", "the configuration is empty")])
    reader = _Reader(source)
    tree = Tree(source, reader.node(composed, 0), reader.warnings)
    if extra:
        tree.warnings.append(source.problem(0, "", "only the first of several YAML documents is read"))
    return tree


def _syntax_error(source: Source, error: yaml.MarkedYAMLError) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    text = ", ".join(part for part in (error.context, error.problem) if part)
    if "cannot start any token" in text and mark and source.text[mark.index : mark.index + 1] == "\t":
        text = "a tab cannot indent YAML: use spaces"
    if error.problem and "did not find expected" in error.problem and error.context_mark:
        opened, _ = source.place(error.context_mark.index)
        text += f" (begun in line {opened})"
    return ConfigError([source.problem(mark.index if mark else 0, "", f"not valid YAML: {text}")])


class _Composer(CParser):
    """libyaml's composer with tag resolution left out: scalars are resolved by `_Reader`."""

    def resolve(self, kind: type, value: Any, implicit: Any) -> str:
        """The tag of an untagged node."""
        return ""

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Part of PyYAML's resolver interface; path resolvers are not used."""

    def ascend_resolver(self) -> None:
        """Part of PyYAML's resolver interface; path resolvers are not used."""


class _Reader:
    """PyYAML's nodes to ours."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.warnings: list[ConfigProblem] = []
        self._anchored: dict[int, Node] = {}

    def node(self, found: Any, depth: int) -> Node:
        """Our node for PyYAML's; an alias gives the node of its anchor again."""
        offset: int = found.start_mark.index
        if isinstance(found, ScalarNode):
            return _scalar(found, offset)
        known = self._anchored.get(id(found))
        if known is not None:
            return known
        if depth >= MAX_DEPTH:
            raise ConfigError([self.source.problem(offset, "", f"nested more than {MAX_DEPTH} levels deep")])
        if isinstance(found, SequenceNode):
            result: Node = Sequence([self.node(item, depth + 1) for item in found.value], offset)
        else:
            result = self._mapping(found, offset, depth)
        self._anchored[id(found)] = result
        return result

    def _mapping(self, found: MappingNode, offset: int, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        merged: list[tuple[Node, int]] = []
        for key, value in found.value:
            key_at = key.start_mark.index
            if not isinstance(key, ScalarNode):
                raise ConfigError([self.source.problem(key_at, "", "a key must be plain text")])
            name = key.value
            node = self.node(value, depth + 1)
            if key.tag == "!ignore":
                continue
            if name == "<<" and not key.style:
                merged.append((node, key_at))
                continue
            if name in entries:
                self.warnings.append(given_twice(self.source, key_at, name, entries[name].offset))
            entries[name] = Entry(key_at, node)
        for node, key_at in merged:
            for part in node.items if isinstance(node, Sequence) else [node]:
                if not isinstance(part, Mapping):
                    text = "a merge key (<<) takes a mapping or a list of mappings"
                    raise ConfigError([self.source.problem(key_at, "", text)])
                for name, entry in part.entries.items():
                    entries.setdefault(name, entry)
        return Mapping(entries, offset)


def reads_as_text(value: str) -> bool:
    """Whether a scalar, written without quotes, is read as that text, by this reader and by Envoy's."""
    return value not in _WORDS and _INTEGER.match(value) is None


def _scalar(found: Any, offset: int) -> Scalar:
    text: str = found.value
    if found.style:  # "" is plain
        return Scalar(text, offset)
    if text in _WORDS:
        return Scalar(_WORDS[text], offset, text)
    if text[0] in "+-0123456789" and _INTEGER.match(text):
        value = _integer(text)
        if value is None:
            return Scalar(text, offset)
        return Scalar(value, offset, text) if -(2**31) <= value < 2**31 else Scalar(str(value), offset, text)
    return Scalar(text, offset)


def _integer(text: str) -> int | None:
    """C++'s reading of an integer: 0x is hexadecimal, a leading 0 octal.

    None if it is none within 64 bits.
    """
    digits = text.lstrip("+-")
    if len(text) - len(digits) > 1:
        return None
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" and len(digits) > 1 else 10
    try:
        value = int(digits, base)
    except ValueError:
        return None
    value = -value if text[0] == "-" else value
    return value if -(2**63) <= value < 2**63 else None
