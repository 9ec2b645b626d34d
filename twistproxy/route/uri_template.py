"""URI templates: envoy.path.match.uri_template and envoy.path.rewrite.uri_template.

A pattern is segments between slashes: text, `*` for one segment, `**` for any number, `{name}` or `{name=pattern}` for
what a rewrite takes up again, with text around it.  The last may be a `*` with text after it (`/videos/*.m3u8`).
https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/path/match/uri_template/v3/uri_template_match.proto
"""

from __future__ import annotations

import re

import re2

_PRINTABLE = re.compile(r"/[!-~]*")
#: pchar of RFC 3986
_CHARACTERS = r"a-zA-Z0-9\-._~%!$&'()*+,;=:@"
_LITERAL = re.compile(f"[{_CHARACTERS}]+")
_REWRITE_LITERAL = re.compile(f"[{_CHARACTERS}/]+")
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_ONE_SEGMENT = f"[{_CHARACTERS}]+"
_ANY_SEGMENTS = f"[{_CHARACTERS}/]*"
_MOST_VARIABLES = 5
_LONGEST_NAME = 16


class TemplateError(ValueError):
    """A pattern that is none; says why, in Envoy's words."""


class UriTemplate:
    """A compiled pattern.  Raises TemplateError."""

    __slots__ = ("_full_match", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        #: of the variables, in their order
        self.names: list[str] = []
        self._full_match = re2.compile(_Pattern(text, self.names).expression.encode()).fullmatch

    def matches(self, path: bytes) -> bool:
        """`path`: without its query."""
        return self._full_match(path) is not None

    def captures(self, path: bytes) -> dict[str, bytes] | None:
        """What the variables stand for in this path; None if it does not match."""
        found = self._full_match(path)
        return None if found is None else dict(zip(self.names, found.groups(), strict=True))


class TemplateRewrite:
    """A new path from what a `UriTemplate` has captured: text and `{name}`.  Raises TemplateError."""

    __slots__ = ("_parts", "_template")

    def __init__(self, text: str, template: UriTemplate) -> None:
        self._template = template
        #: literals and names of variables, in turn, beginning with a literal
        self._parts = _rewrite_parts(text)
        for name in self._parts[1::2]:
            if name not in template.names:
                raise TemplateError(f"Nonexisting variable name {name!r}")

    def apply(self, path: bytes) -> bytes:
        """`path` without its query; as it is if it does not match (a filter has changed it)."""
        captured = self._template.captures(path)
        if captured is None:
            return path
        out = []
        for at, part in enumerate(self._parts):
            out.append(captured[part] if at % 2 else part.encode())
        return b"".join(out)


def _rewrite_parts(text: str) -> list[str]:
    if not text.startswith("/"):
        raise TemplateError("Invalid rewrite variable placement")
    if "//" in text:
        raise TemplateError("Invalid rewrite literal")
    parts = []
    while True:
        literal, opened, rest = text.partition("{")
        if literal and _REWRITE_LITERAL.fullmatch(literal) is None:
            raise TemplateError("Invalid rewrite literal pattern")
        parts.append(literal)
        if not opened:
            return parts
        name, closed, text = rest.partition("}")
        if not closed:
            raise TemplateError("Unmatched variable bracket")
        if _NAME.fullmatch(name) is None:
            raise TemplateError("Invalid variable name")
        parts.append(name)


def _text(literal: str) -> str:
    """The expression for a piece of text, which may be empty.

    Envoy lets a "*" in the middle of text through to its expression, where it repeats the character before it.
    """
    if literal and _LITERAL.fullmatch(literal) is None:
        raise TemplateError(f"Invalid literal: {literal!r}")
    if "**" in literal:
        raise TemplateError(f"Invalid literal: {literal!r} (it would never match)")
    return re.escape(literal).replace(r"\*", "*")


class _Pattern:
    """Reads a pattern; `expression` is the RE2 expression for it, `names` gets those of the variables."""

    def __init__(self, text: str, names: list[str]) -> None:
        if _PRINTABLE.fullmatch(text) is None:
            raise TemplateError("Invalid pattern")
        self._rest = text[1:]
        self._names = names
        self._any_seen = False
        out = ["/"]
        while self._rest:
            out.append(self._segment())
            if self._rest:  # a slash
                out.append("/")
                self._rest = self._rest[1:]
        self.expression = "".join(out)

    def _segment(self) -> str:
        if self._rest.startswith("*"):
            glob = self._glob()
            after = self._literal()
            if after and self._rest:
                raise TemplateError("Prefix match not supported.")
            return glob + after
        text = self._rest.partition("/")[0]
        if not text:
            raise TemplateError("Invalid literal: ''")
        before, opened, rest = text.partition("{")
        if before and "}" not in rest:
            opened = ""
        if not opened:
            return self._literal()
        self._rest = self._rest[len(before) :]
        return _text(before) + self._variable() + self._literal()

    def _literal(self) -> str:
        """The text up to the next slash."""
        literal = self._rest.partition("/")[0]
        self._rest = self._rest[len(literal) :]
        return _text(literal)

    def _glob(self) -> str:
        if self._any_seen:
            raise TemplateError("Glob after text glob.")
        self._any_seen = self._rest.startswith("**")
        self._rest = self._rest[2 if self._any_seen else 1 :]
        return _ANY_SEGMENTS if self._any_seen else _ONE_SEGMENT

    def _variable(self) -> str:
        inner, closed, after = self._rest[1:].partition("}")
        if not closed:
            raise TemplateError("Unmatched variable bracket")
        name, has_pattern, pattern = inner.partition("=")
        self._add(name)
        if not has_pattern:
            if self._any_seen:
                raise TemplateError("Implicit variable path glob after text glob.")
            self._rest = after
            return f"({_ONE_SEGMENT})"
        if not pattern:
            raise TemplateError("Empty variable match")
        out = []
        self._rest = pattern
        while self._rest:
            out.append(self._glob() if self._rest.startswith("*") else self._literal())
            if not out[-1]:
                raise TemplateError("Invalid literal: ''")
            if self._rest:
                if not self._rest.startswith("/") or self._rest == "/":
                    raise TemplateError("Invalid variable match")
                self._rest = self._rest[1:]
        self._rest = after
        return "(" + "/".join(out) + ")"

    def _add(self, name: str) -> None:
        if _NAME.fullmatch(name) is None:
            raise TemplateError("Invalid variable name")
        if len(self._names) >= _MOST_VARIABLES:
            raise TemplateError("Exceeded variable count limit")
        if len(name) > _LONGEST_NAME:
            raise TemplateError("Invalid variable length")
        if name in self._names:
            raise TemplateError("Repeated variable name")
        self._names.append(name)
