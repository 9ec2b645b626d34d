"""Matchers that several builders read: strings, headers, and the values of metadata."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.values import regex
from twistproxy.http.header_match import HeaderMatcher
from twistproxy.primitives.string_match import (
    Contains,
    Exact,
    IntegerRange,
    Prefix,
    Regex,
    StringMatcher,
    Suffix,
    TextMatcher,
)
from twistproxy.primitives.value_match import (
    AnyOf,
    HasOne,
    IsNull,
    IsNumber,
    IsPresent,
    IsText,
    IsTruth,
    MetadataMatcher,
    ValueMatcher,
)

_KINDS: dict[str, type[StringMatcher]] = {
    "exact": Exact,
    "prefix": Prefix,
    "suffix": Suffix,
    "contains": Contains,
}
#: The forms from before `string_match`.
_OLD = {
    "exact_match": Exact,
    "prefix_match": Prefix,
    "suffix_match": Suffix,
    "contains_match": Contains,
}


def string_matcher(reader: Reader) -> StringMatcher:
    """envoy.type.matcher.v3.StringMatcher, or xds.type.matcher.v3.StringMatcher, which is the same."""
    kind = reader.oneof("match_pattern")
    ignore_case = reader.boolean("ignore_case")
    if kind in _KINDS:
        return _KINDS[kind](reader.string(kind), ignore_case)
    if kind == "safe_regex":
        if ignore_case:
            reader.problem("ignore_case has no effect for safe_regex", "ignore_case")
        return Regex(regex(reader.message_or_empty("safe_regex")))
    reader.refuse(kind, "is not implemented" if kind else "a pattern is expected")
    return Exact("")


def header_matcher(reader: Reader) -> HeaderMatcher:
    """envoy.config.route.v3.HeaderMatcher, the deprecated forms too."""
    kind = reader.oneof("header_match_specifier")
    value: TextMatcher | None = None
    present = True
    if kind in _OLD:
        text = reader.string(kind)
        value = _OLD[kind](text) if text else Prefix("")  # Envoy: an empty exact_match takes any value
    elif kind == "safe_regex_match":
        value = Regex(regex(reader.message_or_empty("safe_regex_match")))
    elif kind == "range_match":
        span = reader.message_or_empty("range_match")
        value = IntegerRange(span.integer("start", 0), span.integer("end", 0))
    elif kind == "string_match":
        value = string_matcher(reader.message_or_empty("string_match"))
    elif kind == "present_match":
        present = reader.boolean("present_match")
    return HeaderMatcher(
        reader.string("name"),
        value,
        present,
        reader.boolean("invert_match"),
        reader.boolean("treat_missing_header_as_empty"),
    )


def header_matchers(reader: Reader, name: str = "headers") -> tuple[HeaderMatcher, ...]:
    """A repeated field of them."""
    return tuple(header_matcher(one) for one in reader.messages(name))


def metadata_matcher(reader: Reader) -> MetadataMatcher:
    """envoy.type.matcher.v3.MetadataMatcher."""
    path = tuple(segment.string("key") for segment in reader.messages("path"))
    value = value_matcher(reader.message_or_empty("value"))
    return MetadataMatcher(reader.string("filter"), path, value, reader.boolean("invert"))


def value_matcher(reader: Reader) -> ValueMatcher:
    """envoy.type.matcher.v3.ValueMatcher."""
    kind = reader.oneof("match_pattern")
    if kind == "null_match":
        reader.message("null_match")
        return IsNull()
    if kind == "double_match":
        number = reader.message_or_empty("double_match")
        if number.oneof("match_pattern") == "exact":
            return IsNumber(number.number("exact", 0.0))
        span = number.message_or_empty("range")
        return IsNumber(span.number("start", 0.0), span.number("end", 0.0))
    if kind == "string_match":
        return IsText(string_matcher(reader.message_or_empty("string_match")))
    if kind == "bool_match":
        return IsTruth(reader.boolean("bool_match"))
    if kind == "present_match":
        return IsPresent(reader.boolean("present_match"))
    if kind == "list_match":
        return HasOne(value_matcher(reader.message_or_empty("list_match").message_or_empty("one_of")))
    if kind == "or_match":
        several = reader.message_or_empty("or_match").messages("value_matchers")
        return AnyOf(tuple(value_matcher(one) for one in several))
    reader.problem("a pattern is expected")
    return IsNull()
