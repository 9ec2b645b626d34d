"""Addresses of listeners and hosts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, NamedTuple


class TcpAddress(NamedTuple):
    """An IPv4 or IPv6 address, or before resolution a host name, with a port.

    A tuple, as addresses are the keys of everything about endpoints: C compares and hashes it.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class PipeAddress(NamedTuple):
    """A Unix stream socket.  `path` starts with "@" or NUL for Linux's abstract names; `mode` 0 leaves the umask's."""

    path: str
    mode: int = 0

    def __str__(self) -> str:
        return self.path


Address = TcpAddress | PipeAddress


def address_value(address: Address) -> Any:
    """An address as a JSON value; `address_of` is the inverse."""
    return address.path if isinstance(address, PipeAddress) else [address.host, address.port]


def address_of(value: Any) -> Address:
    """See `address_value`."""
    return PipeAddress(value) if isinstance(value, str) else TcpAddress(*value)


@dataclass(frozen=True, slots=True)
class Cidr:
    """A range of addresses."""

    prefix: str
    length: int

    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        return ipaddress.ip_network((self.prefix, self.length), strict=False)
