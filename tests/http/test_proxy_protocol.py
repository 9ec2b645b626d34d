"""Headers of the PROXY protocol."""

from __future__ import annotations

import pytest

from twistproxy.http.proxy_protocol import BadProxyHeader, proxy_header, read_proxy_header

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


FOUR = bytes([1, 2, 3, 4, 5, 6, 7, 8]) + (1000).to_bytes(2, "big") + (2000).to_bytes(2, "big")
FIRST = b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n"
SECOND = START + b"\x21\x11\0\x0c" + FOUR


@pytest.mark.parametrize(
    ("data", "version", "source"),
    [
        (FIRST, 1, ("1.2.3.4", 1000)),
        (SECOND, 2, ("1.2.3.4", 1000)),
        (START + b"\x20\0\0\0", 2, None),
        (b"PROXY UNKNOWN\r\n", 1, None),
    ],
)
def test_read_in_any_pieces(data: bytes, version: int, source: tuple[str, int] | None) -> None:
    for cut in range(len(data)):
        assert read_proxy_header(data[:cut]) is None
    header = read_proxy_header(data + b"GET")
    assert header is not None
    assert (header.version, header.length, header.source) == (version, len(data), source)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_what_is_written_can_be_read(version: str) -> None:
    header = read_proxy_header(proxy_header(version, "[::1]:5", "[::2]:80", b"\x20\0\1a" * (version == "V2")))
    assert header is not None
    assert (header.source, header.destination) == (("::1", 5), ("::2", 80))


@pytest.mark.parametrize("data", [b"GET", b"PROXx", START[:-1] + b"x", b"\r\n\r\nGET"])
def test_no_header(data: bytes) -> None:
    header = read_proxy_header(data)
    assert header is not None
    assert (header.version, header.length) == (0, 0)


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b"PROXY \r\n", 1),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 -1\r\n", 1),
        (b"PROXY TCP4 " + b"1" * 100, 1),
        (START + b"\x11\x11\0\x0c", 2),
        (START + b"\x21\x11\0\x0b", 2),
    ],
)
def test_bad_header(data: bytes, version: int) -> None:
    with pytest.raises(BadProxyHeader) as raised:
        read_proxy_header(data)
    assert raised.value.version == version
