"""Headers of the PROXY protocol."""

from __future__ import annotations

import pytest

from twistproxy.http.proxy_protocol import proxy_header

START = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.mark.parametrize(
    ("version", "source", "destination", "expected"),
    [
        ("V1", "1.2.3.4:5", "6.7.8.9:80", b"PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n"),
        ("V1", "[::1]:5", "[::2]:80", b"PROXY TCP6 ::1 ::2 5 80\r\n"),
        ("V1", "/run/socket", "6.7.8.9:80", b"PROXY UNKNOWN\r\n"),
        ("V1", "[::1]:5", "6.7.8.9:80", b"PROXY UNKNOWN\r\n"),
        (
            "V2",
            "1.2.3.4:5",
            "6.7.8.9:80",
            START + b"\x21\x11\0\x0c\1\2\3\4\6\7\x08\x09\0\5\0\x50",
        ),
        (
            "V2",
            "[::1]:5",
            "[::2]:80",
            START + b"\x21\x21\0\x24" + b"\0" * 15 + b"\1" + b"\0" * 15 + b"\2\0\5\0\x50",
        ),
        ("V2", "/run/socket", "/run/other", START + b"\x20\0\0\0"),
    ],
)
def test_header(version: str, source: str, destination: str, expected: bytes) -> None:
    assert proxy_header(version, source, destination) == expected
