"""Conditions on a request, and what they may look at."""

from __future__ import annotations

from typing import Any

from twistproxy.http.message import RequestHead
from twistproxy.primitives.described import Described


class Condition(Described):
    """Something that a request is or is not."""

    __slots__ = ()

    def matches(self, head: RequestHead, stream: Any) -> bool:
        """Whether it is.

        stream  whose request it is (`stream.stream.Stream`), for what is not in the head; None where there is only a
                head (tests, explanations), and then the condition says what it would of a stream that nobody has
                touched
        """
        raise NotImplementedError


class Input(Described):
    """Something of a request that the generic matching API looks at."""

    __slots__ = ()

    def value(self, head: RequestHead, stream: Any) -> bytes | None:
        """None if it has none.  `stream` as for `Condition.matches`."""
        raise NotImplementedError
