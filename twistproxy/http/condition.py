"""Conditions on a request."""

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
