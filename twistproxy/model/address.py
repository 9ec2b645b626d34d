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


class OriginalDestination(TcpAddress):
    """Where a connection was going before it was redirected to us, which the kernel remembers."""

    __slots__ = ()


class ProxiedAddress(TcpAddress):
    """A client of which a PROXY header has told.  `direct`: who told it, at the other end of the connection."""

    direct: TcpAddress | PipeAddress


def parse_tcp_address(text: str) -> TcpAddress | None:
    """`1.2.3.4:80` or `[::1]:80`, as Envoy reads them; None for anything else.  The address is in its usual form."""
    host, colon, port = text.rpartition(":")
    digits = port.strip(" \t\n\v\f\r").removeprefix("+")
    if not colon or "%" in host or not (digits.isascii() and digits.isdigit()) or int(digits) > 65535:
        return None
    try:
        if not (host.startswith("[") and host.endswith("]")):
            return TcpAddress(str(ipaddress.IPv4Address(host)), int(digits))
        found = ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return None
    mapped = found.ipv4_mapped
    return TcpAddress(str(found) if mapped is None else f"::ffff:{mapped}", int(digits))


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
