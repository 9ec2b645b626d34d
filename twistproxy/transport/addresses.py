"""Twisted's addresses, and the kernel's, as ours."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from typing import Any

from twisted.internet.address import UNIXAddress

from twistproxy.model.address import Address, PipeAddress, TcpAddress


def from_twisted(address: Any) -> Address:
    """IPv4Address, IPv6Address or UNIXAddress.  The client side of a Unix socket has no name: path ""."""
    if isinstance(address, UNIXAddress):
        return PipeAddress((address.name or b"").decode(errors="surrogateescape"))
    return TcpAddress(address.host, address.port)


def is_wildcard(address: Address) -> bool:
    """Whether a socket bound to it takes connections to several addresses."""
    return isinstance(address, TcpAddress) and address.host in ("0.0.0.0", "::")


_SIOCGIFADDR = 0x8915  # linux/sockios.h


def own_address() -> str:
    """The first IPv4 address of this machine that is not loopback's, "127.0.0.1" if there is none.

    It is what Envoy writes to x-forwarded-for in place of a loopback client (Envoy: `LocalInfo`).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue  # an interface without an IPv4 address
            address = socket.inet_ntoa(answer[20:24])
            if not ipaddress.ip_address(address).is_loopback:
                return address
    return "127.0.0.1"
