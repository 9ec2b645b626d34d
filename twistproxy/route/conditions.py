"""What a route may ask of a request beside its path and headers (envoy.config.route.v3.RouteMatch)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from twistproxy.api.filter_state import FilterState
from twistproxy.http.condition import Condition, Input
from twistproxy.http.cookies import cookie_value
from twistproxy.http.header_match import is_pseudo, pseudo_header
from twistproxy.http.message import RequestHead
from twistproxy.model.address import Cidr
from twistproxy.primitives.string_match import StringMatcher
from twistproxy.primitives.value_match import MetadataMatcher

_GRPC = b"application/grpc"


class QueryParameter(Condition):
    """The first parameter of that name in the query, compared as it stands: nothing is decoded.

    value    what it must be; None: only whether it is there counts
    present  without `value`: whether it must be there
    """

    __slots__ = ("_name", "name", "present", "value")

    def __init__(self, name: str, value: StringMatcher | None = None, present: bool = True) -> None:
        self.name = name
        self.value = value
        self.present = present
        self._name = name.encode()

    def matches(self, head: RequestHead, stream: Any) -> bool:
        found = query_value(head.path, self._name)
        if self.value is None:
            return (found is not None) == self.present
        return found is not None and self.value.matches(found)

    def describe(self) -> str:
        if self.value is None:
            return f"query parameter {self.name!r} is {'present' if self.present else 'absent'}"
        return f"query parameter {self.name!r} {self.value.describe()}"


def query_value(target: bytes, name: bytes) -> bytes | None:
    """The first value of a parameter in the query of a path, b"" where it has none; None if it is not there."""
    start = target.find(b"?")
    if start < 0:
        return None
    for piece in target[start + 1 :].split(b"&"):
        key, _, value = piece.partition(b"=")
        if key == name:
            return value
    return None


class Cookie(Condition):
    """The first cookie of that name, without quotes around its value.

    inverted  it must not be so; a cookie that is not there is not so
    """

    __slots__ = ("_name", "inverted", "name", "value")

    def __init__(self, name: str, value: StringMatcher, inverted: bool = False) -> None:
        self.name = name
        self.value = value
        self.inverted = inverted
        self._name = name.encode()

    def matches(self, head: RequestHead, stream: Any) -> bool:
        found = cookie_value(head, self._name)
        return (found is not None and self.value.matches(found)) != self.inverted

    def describe(self) -> str:
        return f"{'not: ' if self.inverted else ''}cookie {self.name!r} {self.value.describe()}"


class GrpcRequest(Condition):
    """Content-Type says gRPC."""

    __slots__ = ()

    def matches(self, head: RequestHead, stream: Any) -> bool:
        kind = head.get(b"content-type")
        return (
            kind is not None and kind.startswith(_GRPC) and kind[len(_GRPC) : len(_GRPC) + 1] in (b"", b"+")
        )

    def describe(self) -> str:
        return "the request is gRPC"


class TlsContext(Condition):
    """What the client's certificate is.  Nobody on a connection without TLS has presented one.

    presented, validated  what must be so; None: either
    """

    __slots__ = ("presented", "validated")

    def __init__(self, presented: bool | None, validated: bool | None) -> None:
        self.presented = presented
        self.validated = validated

    def matches(self, head: RequestHead, stream: Any) -> bool:
        return not self.presented and not self.validated

    def describe(self) -> str:
        wanted = []
        for word, value in (("presented", self.presented), ("validated", self.validated)):
            if value is not None:
                wanted.append(f"{'' if value else 'not '}{word}")
        return f"the client's certificate is {' and '.join(wanted) or 'whatever it is'}"


class DynamicMetadata(Condition):
    """What filters have noted about the request."""

    __slots__ = ("matcher",)

    def __init__(self, matcher: MetadataMatcher) -> None:
        self.matcher = matcher

    def matches(self, head: RequestHead, stream: Any) -> bool:
        return self.matcher.matches(None if stream is None else stream.metadata)

    def describe(self) -> str:
        return f"dynamic {self.matcher.describe()}"


class FilterStateText(Condition):
    """What filters have left under a key, as text."""

    __slots__ = ("key", "value")

    def __init__(self, key: str, value: StringMatcher) -> None:
        self.key = key
        self.value = value

    def matches(self, head: RequestHead, stream: Any) -> bool:
        found = _state_text(stream, self.key)
        return found is not None and self.value.matches(found)

    def describe(self) -> str:
        return f"filter state {self.key!r} {self.value.describe()}"


class FilterStateAddress(Condition):
    """The address that filters have left under a key is in one of these ranges, or with `inverted` in none."""

    __slots__ = ("_networks", "inverted", "key")

    def __init__(self, key: str, ranges: Iterable[Cidr], inverted: bool = False) -> None:
        self.key = key
        self.inverted = inverted
        self._networks = tuple(one.network() for one in ranges)

    def matches(self, head: RequestHead, stream: Any) -> bool:
        state: FilterState | None = None if stream is None else stream.filter_state
        found = None if state is None else state.get(self.key)
        ip = None if found is None else found.ip
        if ip is None:
            return False
        address = ipaddress.ip_address(ip.host)
        return any(address in one for one in self._networks) != self.inverted

    def describe(self) -> str:
        ranges = ", ".join(str(one) for one in self._networks) or "nothing"
        return f"filter state {self.key!r} is an address {'not ' if self.inverted else ''}in {ranges}"


def _state_text(stream: Any, key: str, field: str = "") -> bytes | None:
    state: FilterState | None = None if stream is None else stream.filter_state
    found = None if state is None else state.get(key)
    if found is None:
        return None
    text = found.field(field) if field and found.has_fields else found.text
    return None if text is None else text.encode("utf-8", "surrogateescape")


class RuntimeFraction(Condition):
    """A share of requests: `numerator` of `denominator`, or what the runtime says under `key`."""

    __slots__ = ("denominator", "key", "numerator")

    def __init__(self, key: str, numerator: int, denominator: int) -> None:
        self.key = key
        self.numerator = numerator
        self.denominator = denominator

    def matches(self, head: RequestHead, stream: Any) -> bool:
        if stream is None:
            return self.numerator > 0
        enabled: bool = stream.context.runtime.feature_enabled(
            self.key, self.numerator, self.denominator, stream.random_value()
        )
        return enabled

    def describe(self) -> str:
        key = f" (runtime key {self.key!r})" if self.key else ""
        return f"the request is among {self.numerator} of {self.denominator}{key}"


class HeaderInput(Input):
    """A header, or `:path` and the like; several fields are one value, joined with ","."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name.lower().encode()

    def value(self, head: RequestHead, stream: Any) -> bytes | None:
        return pseudo_header(head, self._name) if is_pseudo(self._name) else head.get(self._name)

    def describe(self) -> str:
        return f"header {self._name.decode()!r}"


class FilterStateInput(Input):
    """What filters have left under a key, as text, or a field of that if it has any."""

    __slots__ = ("field", "key")

    def __init__(self, key: str, field: str = "") -> None:
        self.key = key
        self.field = field

    def value(self, head: RequestHead, stream: Any) -> bytes | None:
        return _state_text(stream, self.key, self.field)

    def describe(self) -> str:
        return f"{self.field + ' of ' if self.field else ''}filter state {self.key!r}"


class InputMatches(Condition):
    """A predicate of the generic matching API."""

    __slots__ = ("input", "value")

    def __init__(self, what: Input, value: StringMatcher) -> None:
        self.input = what
        self.value = value

    def matches(self, head: RequestHead, stream: Any) -> bool:
        found = self.input.value(head, stream)
        return found is not None and self.value.matches(found)

    def describe(self) -> str:
        return f"{self.input.describe()} {self.value.describe()}"


class AllOf(Condition):
    __slots__ = ("conditions",)

    def __init__(self, conditions: tuple[Condition, ...]) -> None:
        self.conditions = conditions

    def matches(self, head: RequestHead, stream: Any) -> bool:
        return all(one.matches(head, stream) for one in self.conditions)

    def describe(self) -> str:
        return "(" + " and ".join(one.describe() for one in self.conditions) + ")"


class AnyOf(Condition):
    __slots__ = ("conditions",)

    def __init__(self, conditions: tuple[Condition, ...]) -> None:
        self.conditions = conditions

    def matches(self, head: RequestHead, stream: Any) -> bool:
        return any(one.matches(head, stream) for one in self.conditions)

    def describe(self) -> str:
        return "(" + " or ".join(one.describe() for one in self.conditions) + ")"


class Not(Condition):
    __slots__ = ("condition",)

    def __init__(self, condition: Condition) -> None:
        self.condition = condition

    def matches(self, head: RequestHead, stream: Any) -> bool:
        return not self.condition.matches(head, stream)

    def describe(self) -> str:
        return f"not {self.condition.describe()}"
