"""Single values, as the proto3 JSON mapping and Envoy's reader take them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.config.json_scalars import (
    Unfit,
    read_boolean,
    read_bytes,
    read_duration,
    read_float,
    read_integer,
    read_string,
)

uint32: Callable[[Any], int] = partial(read_integer, 0, 2**32 - 1)


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (uint32, 5, 5), (uint32, "5", 5), (uint32, 5.0, 5), (uint32, "5.0", 5), (uint32, "1e3", 1000),
        (uint32, "0x10", 16), (uint32, 2**32 - 1, 2**32 - 1), (uint32, "-0", 0),
        (read_float, 1, 1.0), (read_float, "1.5", 1.5), (read_float, ".5", 0.5), (read_float, "Infinity", float("inf")),
        (read_boolean, True, True), (read_boolean, "yes", True), (read_boolean, "0", False), (read_boolean, "F", False),
        (read_string, "y", "y"),
        (read_bytes, "aGk=", b"hi"), (read_bytes, "aGk", b"hi"), (read_bytes, "-_8=", b"\xfb\xff"), (read_bytes, "", b""),
        (read_duration, "0.25s", (0, 250_000_000)), (read_duration, "-1.5s", (-1, -500_000_000)),
        (read_duration, "0.000000001s", (0, 1)), (read_duration, "90s", (90, 0)),
    ],
)  # fmt: skip
def test_what_fits(read: Callable[[Any], Any], value: Any, expected: Any) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (uint32, -1), (uint32, 2**32), (uint32, 1.5), (uint32, "1.5"), (uint32, True), (uint32, ""), (uint32, " 5"),
        (uint32, "0o7"), (uint32, "Infinity"), (uint32, float("nan")), (uint32, "1e400"), (uint32, "٣"),
        (read_float, ".inf"), (read_float, "nan"), (read_float, False), (read_float, ""),
        (read_boolean, 1), (read_boolean, "on"), (read_boolean, ""), (read_boolean, 0.0),
        (read_string, 5), (read_string, True), (read_string, 1.5),
        (read_bytes, "!"), (read_bytes, 5), (read_bytes, "a"),
        (read_duration, "5"), (read_duration, 5), (read_duration, "5ms"), (read_duration, ".5s"), (read_duration, "+5s"),
        (read_duration, "5.s"), (read_duration, "0.0000000001s"), (read_duration, "315576000001s"), (read_duration, "s"),
    ],
)  # fmt: skip
def test_what_does_not(read: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(Unfit):
        read(value)


@given(st.integers(-(10**10), 10**10), st.integers(0, 999_999_999))
def test_durations_are_as_protobuf_reads_them(seconds: int, nanos: int) -> None:
    text = f"{seconds}.{nanos:09}s"
    expected = Duration()
    expected.FromJsonString(text)
    assert read_duration(text) == (expected.seconds, expected.nanos)


@given(st.binary(max_size=20))
def test_bytes_come_back(data: bytes) -> None:
    import base64

    assert read_bytes(base64.b64encode(data).decode()) == data
    assert read_bytes(base64.urlsafe_b64encode(data).decode().rstrip("=")) == data
