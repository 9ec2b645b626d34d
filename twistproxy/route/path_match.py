"""Matchers of paths: the path_specifier of envoy.config.route.v3.RouteMatch, compiled."""

from __future__ import annotations

import re2

from twistproxy.http.message import RequestHead
from twistproxy.model.route import RouteMatch
from twistproxy.primitives.described import Described
from twistproxy.route.uri_template import UriTemplate


class PathMatcher(Described):
    """The base of all.

    A request without a path (CONNECT) matches none but `Connect`; so nothing else must match b"".
    """

    __slots__ = ("_wanted", "ignore_case", "text")

    def __init__(self, text: str = "", ignore_case: bool = False) -> None:
        self.text = text
        self.ignore_case = ignore_case
        self._wanted = text.lower().encode() if ignore_case else text.encode()

    @property
    def key(self) -> bytes:
        """What an index finds it by: the path or prefix, in lower case if case is ignored."""
        return self._wanted

    def matches(self, head: RequestHead, path: bytes) -> bool:
        """`path`: that of the head without its query, and without parameters where those do not count."""
        raise NotImplementedError

    def matched_length(self, path: bytes) -> int:
        """How much of a path that matches (it may have its query) a prefix rewrite replaces."""
        return len(path.partition(b"?")[0])

    def _words(self, verb: str) -> str:
        return f"the path {verb} {self.text!r}" + (" in any case" if self.ignore_case else "")


class ExactPath(PathMatcher):
    __slots__ = ()

    def matches(self, head: RequestHead, path: bytes) -> bool:
        return (path.lower() if self.ignore_case else path) == self._wanted and path != b""

    def matched_length(self, path: bytes) -> int:
        return len(self._wanted)

    def describe(self) -> str:
        return self._words("is exactly")


class PrefixPath(PathMatcher):
    __slots__ = ()

    def matches(self, head: RequestHead, path: bytes) -> bool:
        return (path.lower() if self.ignore_case else path).startswith(self._wanted) and path != b""

    def matched_length(self, path: bytes) -> int:
        return len(self._wanted)

    def describe(self) -> str:
        return self._words("starts with")


class SeparatedPrefix(PathMatcher):
    """A prefix that ends where a segment does."""

    __slots__ = ()

    def matches(self, head: RequestHead, path: bytes) -> bool:
        size = len(self._wanted)
        return (path.lower() if self.ignore_case else path).startswith(self._wanted) and path[
            size : size + 1
        ] in (b"", b"/")

    def matched_length(self, path: bytes) -> int:
        return len(self._wanted)

    def describe(self) -> str:
        return self._words("is or is below")


class RegexPath(PathMatcher):
    """The whole path matches an RE2 expression."""

    __slots__ = ("_full_match",)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._full_match = re2.compile(text.encode()).fullmatch

    def matches(self, head: RequestHead, path: bytes) -> bool:
        return path != b"" and self._full_match(path) is not None

    def describe(self) -> str:
        return self._words("matches the regular expression")


class TemplatePath(PathMatcher):
    """The path matches a template such as /users/{name}/**; parameters of segments always count."""

    __slots__ = ("template",)

    def __init__(self, template: UriTemplate) -> None:
        super().__init__(template.text)
        self.template = template

    def matches(self, head: RequestHead, path: bytes) -> bool:
        return self.template.matches(head.path.partition(b"?")[0])

    def describe(self) -> str:
        return self._words("matches the template")


class Connect(PathMatcher):
    """A CONNECT, whatever its target."""

    __slots__ = ()

    def matches(self, head: RequestHead, path: bytes) -> bool:
        return head.method == b"CONNECT"

    def describe(self) -> str:
        return "the method is CONNECT"


def compile_path(match: RouteMatch) -> PathMatcher:
    ignore_case = not match.case_sensitive
    if match.connect:
        return Connect()
    if match.template is not None:
        return TemplatePath(UriTemplate(match.template))
    if match.regex is not None:
        return RegexPath(match.regex)
    if match.path_separated_prefix is not None:
        return SeparatedPrefix(match.path_separated_prefix, ignore_case)
    if match.path is not None:
        return ExactPath(match.path, ignore_case)
    return PrefixPath(match.prefix or "", ignore_case)
