from __future__ import annotations

import pytest

from twistproxy.discovery.health.grpc_message import request_frame, serving_status, split_frames


def test_request() -> None:
    assert request_frame("") == b"\0\0\0\0\0"
    assert request_frame("abc") == b"\0\0\0\0\5\x0a\3abc"
    long = "x" * 300
    assert request_frame(long) == b"\0\0\0\x01\x2f\x0a\xac\x02" + long.encode()


def test_frames() -> None:
    assert split_frames(b"\0\0\0\0\2ab\1\0\0\0\0\0\0\0\0") == ([(0, b"ab"), (1, b"")], b"\0\0\0\0")
    assert split_frames(b"\0\0\0\0\2a") == ([], b"\0\0\0\0\2a")


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"", 0),
        (b"\x08\x01", 1),
        (b"\x08\x02\x08\x01", 1),
        (b"\x12\x02ab\x08\x01", 1),
        (b"\x15abcd\x19abcdefgh\x08\x03", 3),
    ],
)
def test_status(message: bytes, status: int) -> None:
    assert serving_status(message) == status


@pytest.mark.parametrize("message", [b"\x08", b"\x08\x80", b"\x12\x09ab", b"\x0b", b"\xff" * 11])
def test_no_message(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"varint|wire type|cut short"):
        serving_status(message)
