"""Which responses are meant: envoy.config.common.matcher.v3.MatchPredicate, as far as it is about their heads."""

from __future__ import annotations

from twistproxy.http.header_match import HeaderMatcher
from twistproxy.http.message import ResponseHead
from twistproxy.primitives.described import Described


class ResponseMatcher(Described):
    """All of `headers` must match (`:status` stands for the status), and all of `all_of`, and, if there are any, one of
    `any_of`; `invert`: or the opposite of all that.  Without anything every response is meant."""

    __slots__ = ("all_of", "any_of", "headers", "invert")

    def __init__(
        self,
        headers: tuple[HeaderMatcher, ...] = (),
        all_of: tuple[ResponseMatcher, ...] = (),
        any_of: tuple[ResponseMatcher, ...] = (),
        invert: bool = False,
    ) -> None:
        self.headers = headers
        self.all_of = all_of
        self.any_of = any_of
        self.invert = invert

    def describe(self) -> str:
        """In words: "not (header ':status' is exactly '404')"."""
        words = [one.describe() for one in self.headers]
        words += [one.describe() for one in self.all_of]
        if self.any_of:
            words.append("one of (" + "; ".join([one.describe() for one in self.any_of]) + ")")
        return ("not " if self.invert else "") + "(" + "; ".join(words) + ")"

    def matches(self, head: ResponseHead) -> bool:
        return self._matches(head) != self.invert

    def _matches(self, head: ResponseHead) -> bool:
        for header in self.headers:
            if not header.matches(head):
                return False
        for one in self.all_of:
            if not one.matches(head):
                return False
        for one in self.any_of:
            if one.matches(head):
                return True
        return not self.any_of
