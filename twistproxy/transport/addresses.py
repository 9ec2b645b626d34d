"""Twisted's addresses, and the kernel's, as ours."""

from __future__ import annotations

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
