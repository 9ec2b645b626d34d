"""JSON text (RFC 8259) to nodes that know their places; a syntax error says where and what was expected."""

from __future__ import annotations

import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed lacks it

from twistproxy.errors import ConfigError, ConfigProblem

from .places import Entry, Mapping, Node, Scalar, Sequence, Source, Tree

MAX_DEPTH = 100  # as the protobuf JSON parser that Envoy uses

_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN_STRING = re.compile(r'"([^"\\\x00-\x1f]*)"')
_SINGLE_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[A-Za-z]+")


def parse_json(source: Source, lenient: bool = False) -> Tree:
    """The tree of a JSON text.  Raises ConfigError with the one syntax error at which reading had to stop.

    lenient: as Envoy's own reader (protobuf's, in legacy mode) take single quotes, bare keys and a comma too many.
    """
    parser = _Parser(source, lenient)
    root, end = parser.value(parser.skip(0), 0)
    end = parser.skip(end)
    if end != len(source.text):
        raise parser.error(end, "expected nothing more after the end of the document")
    return Tree(source, root, parser.warnings)


class _Parser:
    def __init__(self, source: Source, lenient: bool) -> None:
        self.source = source
        self.lenient = lenient
        self.text = source.text
        self.warnings: list[ConfigProblem] = []

    def skip(self, at: int) -> int:
        """The offset of the next character that is not white space."""
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def error(self, at: int, expected: str) -> ConfigError:
        """The syntax error at an offset."""
        found = repr(self.text[at]) if at < len(self.text) else "the end of the text"
        return ConfigError([self.source.problem(at, "", f"not valid JSON: {expected}, found {found}")])

    def value(self, at: int, depth: int) -> tuple[Node, int]:
        """The value that begins at `at`, and the offset after it."""
        first = self.text[at : at + 1]
        if first == '"' or (first == "'" and self.lenient):
            text, end = self.string(at)
            return Scalar(text, at), end
        if first == "{":
            return self.mapping(at, depth)
        if first == "[":
            return self.sequence(at, depth)
        number = _NUMBER.match(self.text, at)
        if number:
            literal = number.group()
            exact = number.group(1) is None and number.group(2) is None
            return Scalar(int(literal) if exact else float(literal), at), number.end()
        word = _WORD.match(self.text, at)
        if word and word.group() in _WORDS:
            return Scalar(_WORDS[word.group()], at), word.end()
        raise self.error(at, "expected a value")

    def string(self, at: int) -> tuple[str, int]:
        """The string whose opening quote is at `at`."""
        if self.text[at] == "'":
            return self._single_quoted(at)
        plain = _PLAIN_STRING.match(self.text, at)
        if plain:
            return plain.group(1), plain.end()
        try:
            # Not strict: Envoy takes control characters, such as a tab, within strings.
            text, end = scanstring(self.text, at + 1, False)
        except ValueError as error:
            where = getattr(error, "pos", at)
            raise self.error(where, f"expected a string to be well-formed ({error})") from None
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.error(at, "expected surrogate escapes only in pairs") from None
        return text, end

    def _single_quoted(self, at: int) -> tuple[str, int]:
        quoted = _SINGLE_QUOTED.match(self.text, at)
        if quoted is None:
            raise self.error(at, "expected a string to be well-formed (Unterminated string)")
        # The same string in double quotes, for the one reader of escapes that there is.
        content = quoted.group(1).replace("\\'", "'").replace('"', '\\"')
        inner = _Parser(Source(self.source.name, f'"{content}"'), False)
        return inner.string(0)[0], quoted.end()

    def key(self, at: int) -> tuple[str, int]:
        """The key that begins at `at`."""
        first = self.text[at : at + 1]
        if first == '"' or (first == "'" and self.lenient):
            return self.string(at)
        bare = _BARE_KEY.match(self.text, at) if self.lenient else None
        if bare is None:
            raise self.error(at, "expected a key in double quotes")
        return bare.group(), bare.end()

    def mapping(self, at: int, depth: int) -> tuple[Node, int]:
        """The object whose brace is at `at`."""
        if depth >= MAX_DEPTH:
            raise self.error(at, f"expected at most {MAX_DEPTH} levels")
        entries: dict[str, Entry] = {}
        here = self.skip(at + 1)
        if self.text[here : here + 1] == "}":
            return Mapping(entries, at), here + 1
        while True:
            key_at = here
            key, here = self.key(here)
            here = self.skip(here)
            if self.text[here : here + 1] != ":":
                raise self.error(here, "expected ':' after the key")
            node, here = self.value(self.skip(here + 1), depth + 1)
            if key in entries:
                self.warnings.append(given_twice(self.source, key_at, key, entries[key].offset))
            entries[key] = Entry(key_at, node)
            here = self.skip(here)
            mark = self.text[here : here + 1]
            if mark == "}":
                return Mapping(entries, at), here + 1
            if mark != ",":
                raise self.error(here, "expected ',' or '}'")
            here = self.skip(here + 1)
            if self.lenient and self.text[here : here + 1] == "}":
                return Mapping(entries, at), here + 1

    def sequence(self, at: int, depth: int) -> tuple[Node, int]:
        """The array whose bracket is at `at`."""
        if depth >= MAX_DEPTH:
            raise self.error(at, f"expected at most {MAX_DEPTH} levels")
        items: list[Node] = []
        here = self.skip(at + 1)
        if self.text[here : here + 1] == "]":
            return Sequence(items, at), here + 1
        while True:
            node, here = self.value(here, depth + 1)
            items.append(node)
            here = self.skip(here)
            mark = self.text[here : here + 1]
            if mark == "]":
                return Sequence(items, at), here + 1
            if mark != ",":
                raise self.error(here, "expected ',' or ']'")
            here = self.skip(here + 1)
            if self.lenient and self.text[here : here + 1] == "]":
                return Sequence(items, at), here + 1


def given_twice(source: Source, offset: int, key: str, first: int) -> ConfigProblem:
    """The warning about a key that a mapping has twice."""
    line, _ = source.place(first)
    return source.problem(offset, "", f"the key {key!r} was given before, in line {line}; this one counts")
