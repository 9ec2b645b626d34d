"""Matchers of plain values, as metadata holds them (None, bool, number, text, list, dict): envoy.type.matcher.v3
ValueMatcher, compiled."""

from __future__ import annotations

from typing import Any

from twistproxy.primitives.described import Described
from twistproxy.primitives.string_match import StringMatcher

#: Stands for a value that is not there at all; None is a value.
MISSING: Any = object()


class ValueMatcher(Described):
    """The base of all.  `describe` is what comes after "the value …"."""

    __slots__ = ()

    def matches(self, value: Any) -> bool:
        """Whether this value, or MISSING, is what is wanted."""
        raise NotImplementedError


class IsNull(ValueMatcher):
    __slots__ = ()

    def matches(self, value: Any) -> bool:
        return value is None

    def describe(self) -> str:
        return "is null"


class IsNumber(ValueMatcher):
    """A number in [start, end); exactly `start` if `end` is None."""

    __slots__ = ("end", "start")

    def __init__(self, start: float, end: float | None = None) -> None:
        self.start = start
        self.end = end

    def matches(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if self.end is None:
            return value == self.start
        return self.start <= value < self.end

    def describe(self) -> str:
        if self.end is None:
            return f"is the number {self.start!r}"
        return f"is a number from {self.start!r} to below {self.end!r}"


class IsText(ValueMatcher):
    __slots__ = ("matcher",)

    def __init__(self, matcher: StringMatcher) -> None:
        self.matcher = matcher

    def matches(self, value: Any) -> bool:
        return isinstance(value, str) and self.matcher.matches(value.encode())

    def describe(self) -> str:
        return self.matcher.describe()


class IsTruth(ValueMatcher):
    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value

    def matches(self, value: Any) -> bool:
        return isinstance(value, bool) and value == self.value

    def describe(self) -> str:
        return "is true" if self.value else "is false"


class IsPresent(ValueMatcher):
    """Any value; nothing at all if `wanted` is false, which is Envoy's way: it never matches."""

    __slots__ = ("wanted",)

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted

    def matches(self, value: Any) -> bool:
        return self.wanted and value is not MISSING

    def describe(self) -> str:
        return "is present" if self.wanted else "is present, which is never so"


class HasOne(ValueMatcher):
    """A list in which one element matches."""

    __slots__ = ("element",)

    def __init__(self, element: ValueMatcher) -> None:
        self.element = element

    def matches(self, value: Any) -> bool:
        return isinstance(value, list) and any(self.element.matches(one) for one in value)

    def describe(self) -> str:
        return f"is a list with an element that {self.element.describe()}"


class AnyOf(ValueMatcher):
    """One of several."""

    __slots__ = ("matchers",)

    def __init__(self, matchers: tuple[ValueMatcher, ...]) -> None:
        self.matchers = matchers

    def matches(self, value: Any) -> bool:
        return any(one.matches(value) for one in self.matchers)

    def describe(self) -> str:
        return "(" + " or ".join(one.describe() for one in self.matchers) + ")"


class MetadataMatcher(Described):
    """A value by its path in the metadata of one namespace: envoy.type.matcher.v3.MetadataMatcher."""

    __slots__ = ("invert", "namespace", "path", "value")

    def __init__(
        self, namespace: str, path: tuple[str, ...], value: ValueMatcher, invert: bool = False
    ) -> None:
        self.namespace = namespace
        self.path = path
        self.value = value
        self.invert = invert

    def matches(self, metadata: dict[str, Any] | None) -> bool:
        """`metadata`: namespace → plain values, or None for none at all."""
        return self.value.matches(self.find(metadata)) != self.invert

    def find(self, metadata: dict[str, Any] | None) -> Any:
        """The value at the path, or MISSING."""
        found: Any = metadata.get(self.namespace, MISSING) if metadata else MISSING
        for key in self.path:
            found = found.get(key, MISSING) if isinstance(found, dict) else MISSING
        return found

    def describe(self) -> str:
        words = f"metadata {self.namespace!r}, {'.'.join(map(repr, self.path))} {self.value.describe()}"
        return f"not: {words}" if self.invert else words
