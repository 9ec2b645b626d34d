"""What the kernel says of connections; redirected ones are in tests/parity/test_redirected.py."""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from twistproxy.model.address import TcpAddress
from twistproxy.transport.original_dst import original_destination


class Redirected:
    """A transport, and its socket with one option."""

    def __init__(self, local: Any, answer: bytes | None) -> None:
        self._local = local
        self._answer = answer
        self.asked: list[tuple[int, int, int]] = []
        self.socket = self

    def getHost(self) -> Any:
        return self._local

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        self.asked.append((level, option, size))
        if self._answer is None:
            raise OSError(2, "nothing is tracked")
        return self._answer


def ipv4(host: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)


def ipv6(host: str, port: int) -> bytes:
    address = socket.inet_pton(socket.AF_INET6, host)
    return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0) + address + bytes(4)


LOCAL = IPv4Address("TCP", "127.0.0.1", 15001)


def test_a_redirected_connection() -> None:
    transport = Redirected(LOCAL, ipv4("1.2.3.4", 80))
    assert original_destination(transport) == TcpAddress("1.2.3.4", 80)
    assert transport.asked == [(socket.IPPROTO_IP, 80, 16)]


def test_a_redirected_ipv6_connection() -> None:
    transport = Redirected(IPv6Address("TCP", "::1", 15001), ipv6("2001:db8::1", 80))
    assert original_destination(transport) == TcpAddress("2001:db8::1", 80)
    assert transport.asked == [(socket.IPPROTO_IPV6, 80, 28)]


def test_one_that_came_to_us_on_purpose() -> None:
    assert original_destination(Redirected(LOCAL, ipv4("127.0.0.1", 15001))) is None


def test_nothing_is_tracked() -> None:
    assert original_destination(Redirected(LOCAL, None)) is None


def test_a_unix_socket() -> None:
    transport = Redirected(UNIXAddress(b"/run/x"), None)
    assert original_destination(transport) is None
    assert transport.asked == []
