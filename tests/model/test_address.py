"""Addresses as text."""

from __future__ import annotations

import pytest

from twistproxy.model.address import OriginalDestination, TcpAddress, parse_tcp_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3.4:80", "1.2.3.4:80"),
        ("1.2.3.4:+080", "1.2.3.4:80"),
        ("1.2.3.4: 80 ", "1.2.3.4:80"),
        ("1.2.3.4:0", "1.2.3.4:0"),
        ("[::0:1]:80", "[::1]:80"),
        ("[::FFFF:1.2.3.4]:80", "[::ffff:1.2.3.4]:80"),
        ("1.2.3.4", None),
        ("1.2.3.4:", None),
        ("1.2.3.4:65536", None),
        ("1.2.3.4:-1", None),
        ("1.2.3.4:٣", None),
        ("1.2.3:80", None),
        ("01.2.3.4:80", None),
        ("::1:80", None),
        ("[::1%lo]:80", None),
        ("[1.2.3.4]:80", None),
        ("name:80", None),
        ("", None),
    ],
)
def test_parse(text: str, expected: str | None) -> None:
    found = parse_tcp_address(text)
    assert (None if found is None else str(found)) == expected


def test_an_original_destination_is_an_address_like_any() -> None:
    found = OriginalDestination("1.2.3.4", 80)
    assert found == TcpAddress("1.2.3.4", 80)
    assert hash(found) == hash(TcpAddress("1.2.3.4", 80))
    assert str(found) == "1.2.3.4:80"
