"""Conditions on the headers of a message: envoy.config.route.v3.HeaderMatcher, compiled.

Used wherever a configuration chooses by headers: routes, virtual clusters, access log filters, retries.
"""

from __future__ import annotations

from typing import Any

from twistproxy.http.condition import Condition
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.primitives.string_match import TextMatcher


class HeaderMatcher(Condition):
    """What a header must be.

    name              lower case; `:method`, `:path`, `:authority` (or `host`), `:scheme`, `:status` stand for these
    value             what its value must be; None: only whether it is there counts
    present           without `value`: whether it must be there
    invert            the opposite of all that
    missing_as_empty  a header that is not there counts as one with the value ""
    Of several fields of one name one must be what is wanted (Envoy: match_headers_individually); inverted, none.
    """

    __slots__ = ("_present", "_pseudo", "_value", "invert", "missing_as_empty", "name")

    def __init__(
        self,
        name: str,
        value: TextMatcher | None = None,
        present: bool = True,
        invert: bool = False,
        missing_as_empty: bool = False,
    ) -> None:
        self.name = name.lower().encode()
        self.invert = invert
        self.missing_as_empty = missing_as_empty
        self._present = present
        self._pseudo = is_pseudo(self.name)
        self._value = value

    def matches(self, head: HeaderMap, stream: Any = None) -> bool:
        """Whether the head of this request or response (or these trailers) is what is wanted."""
        value = pseudo_header(head, self.name) if self._pseudo else head.index.get(self.name)
        if value is None:
            if not self.missing_as_empty:
                return self._value is None and self._present == self.invert
            value = b""
        elif len(head.index) != len(head.items):
            values = head.get_all(self.name)
            if len(values) > 1:
                return any(self._is_wanted(one) for one in values) != self.invert
        return self._is_wanted(value) != self.invert

    def _is_wanted(self, value: bytes) -> bool:
        return self._present if self._value is None else self._value.matches(value)

    def describe(self) -> str:
        """In words: "header 'x-a' is exactly 'b'"."""
        subject = f"header {self.name.decode()!r}"
        if self._value is None:
            words = f"{subject} is {'present' if self._present != self.invert else 'absent'}"
        else:
            words = f"{subject} {self._value.describe()}"
            if self.invert:
                words = f"not: {words}"
        return words + (", with a missing one taken as empty" if self.missing_as_empty else "")


def is_pseudo(name: bytes) -> bool:
    """Whether `pseudo_header` has to be asked for this name."""
    return name[:1] == b":" or name == b"host"


def pseudo_header(head: HeaderMap, name: bytes) -> bytes | None:
    """The value of `:method` and the like, and of `host`; None where the message has none."""
    if isinstance(head, RequestHead):
        if name == b":path":
            return head.path or None
        if name == b":method":
            return head.method
        if name in (b":authority", b"host"):
            return head.authority or None
        if name == b":scheme":
            return head.scheme
    elif isinstance(head, ResponseHead) and name == b":status":
        return b"%d" % head.status
    return head.index.get(name)
