"""Leaves of a tree to protobuf scalars, by the proto3 JSON mapping and with the leniencies of Envoy's reader.

Each reader takes a Scalar's Python value and gives the field's value, or raises Unfit with what was expected.
Envoy 1.40 (legacy JSON syntax of protobuf) takes booleans as text (`"yes"`, `"1"`), numbers as text
(`"1e3"`), whole numbers with a fraction of zero, and enum values in any case; it takes no number for text and
no 1 for a boolean.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

from .suggest import did_you_mean, listed

Value: TypeAlias = str | bool | int | float
ScalarReader: TypeAlias = Callable[[Value], Any]

_TRUE = {"true", "t", "yes", "y", "1"}  # absl::SimpleAtob
_FALSE = {"false", "f", "no", "n", "0"}
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_HEXADECIMAL = re.compile(r"-?0[xX][0-9a-fA-F]+\Z")
_SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_DURATION = re.compile(r"(-?)([0-9]+)(?:\.([0-9]{1,9}))?s\Z")
_LOOSE_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ns|us|ms|s|sec|m|min|h|d)?\Z")
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
MAX_DURATION = 315_576_000_000  # seconds: google/protobuf/duration.proto


class Unfit(Exception):
    """A value that the field cannot take; the text says what was expected (`a duration such as "0.25s"`)."""


def read_string(value: Value) -> str:
    """Text only."""
    if isinstance(value, str):
        return value
    raise Unfit("text")


def read_boolean(value: Value) -> bool:
    """true, false, or the like as text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise Unfit("true or false")


def read_integer(low: int, high: int, value: Value) -> int:
    """A whole number within [low, high], also as text."""
    expected = f"a whole number from {low} to {high}"
    if isinstance(value, bool):
        raise Unfit(expected)
    if isinstance(value, str):
        number = _number_in(value)
        if number is None:
            raise Unfit(expected)
    else:
        number = value
    if number != number or number in (float("inf"), float("-inf")) or number != int(number):
        raise Unfit(expected)
    if not low <= number <= high:
        raise Unfit(expected)
    return int(number)


def read_float(value: Value) -> float:
    """A number, also as text."""
    if isinstance(value, str):
        number = _SPECIAL.get(value)
        if number is None:
            number = _number_in(value)
        if number is None:
            raise Unfit("a number")
        return float(number)
    if isinstance(value, bool):
        raise Unfit("a number")
    return float(value)


def _number_in(text: str) -> int | float | None:
    if text.isascii() and text.removeprefix("-").isdigit():
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return int(text, 16) if _HEXADECIMAL.match(text) else None


def read_bytes(value: Value) -> bytes:
    """Base64 in the standard or the URL alphabet, padded or not."""
    if isinstance(value, str):
        text = value.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            pass
    raise Unfit("bytes in base64")


def read_enum(enum: Any, value: Value) -> int:
    """A value of the enum (its descriptor) by name, in any case, or by number, also one without a name."""
    if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
        return value
    if isinstance(value, str):
        known = enum.values_by_name.get(value) or enum.values_by_name.get(value.upper())
        if known is not None:
            return int(known.number)
        folded = value.upper()
        for name, candidate in enum.values_by_name.items():
            if name.upper() == folded:
                return int(candidate.number)
        number = int(value) if value.isascii() and value.removeprefix("-").isdigit() else 2**31
        if -(2**31) <= number < 2**31:
            return number
    names = [name for name in enum.values_by_name if not name.startswith("hidden_")]
    hint = did_you_mean(value, names) if isinstance(value, str) else ""
    raise Unfit(f"one of {listed(names)}{hint}")


def read_duration(value: Value) -> tuple[int, int]:
    """Seconds and nanoseconds of a duration such as "0.25s"; Envoy takes no other unit."""
    if isinstance(value, str):
        match = _DURATION.match(value)
        if match and int(match[2]) <= MAX_DURATION:
            sign = -1 if match[1] else 1
            return sign * int(match[2]), sign * int((match[3] or "").ljust(9, "0"))
    raise Unfit(f'a duration in seconds such as "0.25s"{_duration_hint(value)}')


def _duration_hint(value: Value) -> str:
    loose = _LOOSE_DURATION.match(str(value)) if not isinstance(value, bool) else None
    if loose is None:
        return ""
    seconds = float(loose[1]) * _UNITS.get(loose[2] or "s", 1.0)
    meant = f"{seconds:.9f}".rstrip("0").rstrip(".")
    return f'; did you mean "{meant}s"?'


_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def scalar_reader(field: FieldDescriptor) -> ScalarReader:
    """The reader for one value of a field that is not of a message type."""
    kind = field.cpp_type
    if kind in _RANGES:
        return partial(read_integer, *_RANGES[kind])
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return read_boolean
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return partial(read_enum, field.enum_type)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return read_bytes if field.type == FieldDescriptor.TYPE_BYTES else read_string
    return read_float


def expected_by(read: ScalarReader) -> str:
    """What a reader wants, for the message about a node that is no scalar at all."""
    try:
        read(True)  # of all readers, only that of booleans takes it
    except Unfit as expected:
        return str(expected)
    return "true or false"
