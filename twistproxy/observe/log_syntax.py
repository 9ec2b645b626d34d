"""What the operators of access log formats have in common: their type, their errors, the clocks they read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

#: A value of a stream: text, a number, or what JSON can hold; None where the stream has none (written as "-").
#: Bytes that are no UTF-8 are in text as surrogates (`surrogateescape`), so that they are written as they came.
Operator = Callable[[Any], Any]


class FormatError(ValueError):
    """A format that Envoy would refuse, in its words."""


class Clocks:
    """What turns a monotonic time of a stream into wall time.

    metered  some operator that was built with these clocks asks for bytes on the wire, so somebody must count them
    routed   … or for how often and how long routes were looked up
    """

    __slots__ = ("metered", "monotonic", "routed", "wall")

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self.metered = False
        self.routed = False

    def wall_at(self, moment: float) -> float:
        return self.wall() - (self.monotonic() - moment)


class Spec(NamedTuple):
    """An operator that takes an argument.

    build     makes the operator of its argument, "" for none; raises FormatError
    required  whether it needs one
    length    whether `:Z` may follow
    """

    build: Callable[[str, Clocks], Operator]
    required: bool = True
    length: bool = True


class Json:
    """A value that text formats write as JSON, too, and may cut; in JSON it stays as it is."""

    __slots__ = ("_most", "value")

    def __init__(self, value: Any, most: int | None = None) -> None:
        self.value = value
        self._most = most

    def __str__(self) -> str:
        text = as_json(self.value).encode("utf-8", "surrogateescape")
        return text[: self._most].decode("utf-8", "surrogateescape")

    def limited(self, most: int) -> Json:
        return Json(self.value, most)


def text_of(value: bytes) -> str:
    """Bytes of a header as the text of a log."""
    return value.decode("utf-8", "surrogateescape")


def limited(of: Operator, most: int) -> Operator:
    """`of` with its text cut to so many bytes (`:Z`)."""

    def cut(stream: Any) -> Any:
        value = of(stream)
        if isinstance(value, Json):
            return value.limited(most)
        if not isinstance(value, str) or len(value) * 4 <= most:
            return value
        return value.encode("utf-8", "surrogateescape")[:most].decode("utf-8", "surrogateescape")

    return cut


def as_text(value: Any) -> str | None:
    """A value of any JSON type in a text format: structures as compact JSON."""
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, Json) else as_json(value)


def as_json(value: Any) -> str:
    """JSON as Envoy writes it: no white space, keys sorted, whole numbers without a fraction."""
    return json.dumps(_whole(value), separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _whole(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(one) for one in value]
    return value
