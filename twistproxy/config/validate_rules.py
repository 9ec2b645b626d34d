"""The `validate.rules` of one field (protoc-gen-validate) as a function from its value to what is wrong with
it.

Rules: https://github.com/bufbuild/protoc-gen-validate, the kinds that occur in Envoy's protos.  A check gives
None for a value that passes, else the rest of a sentence that begins with the field (`must be at least 1`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from validate import validate_pb2

Check: TypeAlias = Callable[[Any], "str | None"]
Predicate: TypeAlias = Callable[[Any], bool]

_BOUNDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "gt": (lambda value, bound: value > bound, "more than"),
    "gte": (lambda value, bound: value >= bound, "at least"),
    "lt": (lambda value, bound: value < bound, "less than"),
    "lte": (lambda value, bound: value <= bound, "at most"),
}
# protoc-gen-validate's README, "well known regex".
# In its class of a header name `+-.` is a range, and so a comma passes.
_HEADER_NAME = re.compile(r":?[0-9a-zA-Z!#$%&'*+,\-.^_|~`]+\Z")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
_LOOSE_HEADER = re.compile(r"[^\x00\n\r]*\Z")


def value_check(field: FieldDescriptor, kind: str, rules: Any) -> Check | None:
    """The check of one value, by rules of the kind `string`, `uint32`, `enum` …; None if there is nothing to
    check.

    For wrappers the value is what is wrapped; for durations the message; for bytes and strings the Python
    value.
    """
    checks: list[Check] = []
    if kind == "string":
        checks = _string_checks(rules)
    elif kind == "bytes":
        checks = _length_checks(rules, (("min_len", "max_len", "len", "bytes", len),))
    elif kind == "enum":
        checks = _enum_checks(field.enum_type, rules)
    elif kind == "duration":
        checks = [_on_seconds(check) for check in _bound_checks(rules, _seconds)]
    elif kind == "any":
        checks = _membership_checks(rules, lambda value: value.type_url)
    elif kind == "bool":
        if rules.HasField("const"):
            wanted = rules.const
            checks = [_unless(lambda value: value == wanted, f"must be {str(wanted).lower()}")]
    else:
        checks = _bound_checks(rules, _same) + _membership_checks(rules, _same)
    if not checks:
        return None
    ignore_empty = getattr(rules, "ignore_empty", False)

    def check(value: Any) -> str | None:
        if ignore_empty and not value:
            return None
        for one in checks:
            problem = one(value)
            if problem is not None:
                return problem
        return None

    return check


def size_check(rules: Any, low: str, high: str, what: str) -> Check | None:
    """The check of how many items or pairs there are, by `min_items` and `max_items` or their likes."""
    least = getattr(rules, low) if rules.HasField(low) else None
    most = getattr(rules, high) if rules.HasField(high) else None
    if least is None and most is None:
        return None
    ignore_empty = rules.ignore_empty

    def check(value: Any) -> str | None:
        size = len(value)
        if ignore_empty and not size:
            return None
        if least is not None and size < least:
            return f"must have at least {_counted(least, what)}, has {size}"
        if most is not None and size > most:
            return f"must have at most {_counted(most, what)}, has {size}"
        return None

    return check


def unique_check(value: Any) -> str | None:
    """The check of `repeated.unique`."""
    seen = set()
    for item in value:
        key = (
            item if isinstance(item, (str, bytes, int, float)) else item.SerializeToString(deterministic=True)
        )
        if key in seen:
            return f"must not have an item twice, has {item!r}"
        seen.add(key)
    return None


def _same(value: Any) -> Any:
    return value


def _seconds(duration: Any) -> float:
    return float(duration.seconds + duration.nanos / 1e9)


def _on_seconds(check: Check) -> Check:
    return lambda value: check(_seconds(value))


def _unless(passes: Predicate, text: str) -> Check:
    return lambda value: None if passes(value) else text


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _bound_checks(rules: Any, plain: Callable[[Any], Any]) -> list[Check]:
    """gt, gte, lt, lte and const; `plain` turns a bound of the rules into a number."""
    checks: list[Check] = []
    unit = "s" if plain is _seconds else ""
    texts = []
    tests: list[Predicate] = []
    for name, (compare, word) in _BOUNDS.items():
        if rules.HasField(name):
            bound = plain(getattr(rules, name))
            tests.append(lambda value, compare=compare, bound=bound: compare(value, bound))  # type: ignore[misc]
            texts.append(f"{word} {bound:g}{unit}")
    if tests:
        text = "must be " + " and ".join(texts)
        if rules.HasField("gte") and rules.HasField("lte"):
            text = f"must be from {plain(rules.gte):g}{unit} to {plain(rules.lte):g}{unit}"

        def bounded(value: Any) -> str | None:
            if all(test(value) for test in tests):
                return None
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            return f"{text}, is {shown}{unit}"

        checks.append(bounded)
    return checks


def _membership_checks(rules: Any, key: Callable[[Any], Any]) -> list[Check]:
    """in and not_in."""
    checks: list[Check] = []
    allowed, forbidden = list(getattr(rules, "in")), list(rules.not_in)
    if allowed:
        text = "must be one of " + ", ".join(map(str, allowed))
        checks.append(_unless(lambda value: key(value) in allowed, text))
    if forbidden:
        text = "must not be one of " + ", ".join(map(str, forbidden))
        checks.append(_unless(lambda value: key(value) not in forbidden, text))
    return checks


def _enum_checks(enum: Any, rules: Any) -> list[Check]:
    checks: list[Check] = []
    names = {number: value.name for number, value in enum.values_by_number.items()}
    if rules.defined_only:
        text = "must be one of the values that " + enum.name + " has: " + ", ".join(names.values())
        checks.append(_unless(lambda value: value in names, text))
    allowed, forbidden = list(getattr(rules, "in")), list(rules.not_in)
    if allowed:
        text = "must be one of " + ", ".join(names.get(number, str(number)) for number in allowed)
        checks.append(_unless(lambda value: value in allowed, text))
    if forbidden:
        text = "must not be " + " or ".join(names.get(number, str(number)) for number in forbidden)
        checks.append(_unless(lambda value: value not in forbidden, text))
    return checks


def _length_checks(rules: Any, kinds: Any) -> list[Check]:
    checks: list[Check] = []
    for low, high, exact, unit, measure in kinds:
        singular = unit.removesuffix("s")
        if rules.HasField(low) and getattr(rules, low) > 0:
            least = getattr(rules, low)
            text = "must not be empty" if least == 1 else f"must have at least {least} {unit}"
            checks.append(_unless(lambda v, least=least, m=measure: m(v) >= least, text))  # type: ignore[misc]
        if rules.HasField(high):
            most = getattr(rules, high)
            text = f"must have at most {_counted(most, singular)}"
            checks.append(_unless(lambda v, most=most, m=measure: m(v) <= most, text))  # type: ignore[misc]
        if rules.HasField(exact):
            size = getattr(rules, exact)
            text = f"must have {_counted(size, singular)}"
            checks.append(_unless(lambda v, size=size, m=measure: m(v) == size, text))  # type: ignore[misc]
    return checks


def _utf8_length(value: str) -> int:
    return len(value.encode())


def _string_checks(rules: Any) -> list[Check]:
    checks = _length_checks(
        rules,
        (
            ("min_len", "max_len", "len", "characters", len),
            ("min_bytes", "max_bytes", "len_bytes", "bytes", _utf8_length),
        ),
    )
    if rules.HasField("const"):
        wanted = rules.const
        checks.append(_unless(lambda value: value == wanted, f"must be {wanted!r}"))
    for name, text in (
        ("prefix", "must begin with"),
        ("suffix", "must end with"),
        ("contains", "must contain"),
    ):
        if rules.HasField(name):
            part = getattr(rules, name)
            checks.append(_unless(_part_test(name, part), f"{text} {part!r}"))
    if rules.pattern:
        pattern = re.compile(rules.pattern)
        checks.append(_unless(lambda value: pattern.search(value) is not None, f"must match {rules.pattern}"))
    checks += _membership_checks(rules, _same)
    if rules.WhichOneof("well_known") == "well_known_regex" and rules.well_known_regex:
        strict = rules.strict if rules.HasField("strict") else True
        if not strict:
            known, text = _LOOSE_HEADER, "must not have line breaks"
        elif rules.well_known_regex == validate_pb2.HTTP_HEADER_NAME:
            known, text = _HEADER_NAME, "must be a header name"
        else:
            known, text = _HEADER_VALUE, "must be a header value: no control characters"
        checks.append(_unless(lambda value: known.match(value) is not None, text))
    return checks


def _part_test(name: str, part: str) -> Predicate:
    if name == "prefix":
        return lambda value: bool(value.startswith(part))
    if name == "suffix":
        return lambda value: bool(value.endswith(part))
    return lambda value: part in value
