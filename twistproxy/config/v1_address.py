"""v1's address strings: `tcp://1.2.3.4:80`, `tcp://[::1]:80`, `unix:///path`, `1.2.3.4:53`, CIDR ranges."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from .v1_reader import Part, Text, V1Object

_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]+):(?P<port>[0-9]{1,5})\Z")


def address_of(owner: V1Object, key: str, required: bool = True, resolved: bool = True) -> Part | None:
    """The URL under a key as a v3 Address.

    resolved: it must hold an IP address (or be a Unix socket); otherwise it must be `tcp://` and a host name.
    """
    url = owner.string(key, required)
    if url is None:
        return None
    scheme, _, rest = url.partition("://")
    if scheme == "unix" and resolved and rest:
        return _at(url, {"pipe": {"path": Text(rest, url.offset)}})
    if scheme != "tcp" or not rest:
        wanted = (
            'an address such as "tcp://127.0.0.1:80"' if resolved else 'a URL such as "tcp://example.com:80"'
        )
        owner.problem(f'expected {wanted}, found "{url}"', key)
        return None
    return _socket_address(owner, key, rest, url, resolved, None)


def host_port_of(owner: V1Object, key: str, protocol: str | None = None) -> Part | None:
    """The bare `ip:port` under a key as a v3 Address."""
    text = owner.string(key)
    return None if text is None else _socket_address(owner, key, text, text, True, protocol)


def host_port(owner: V1Object, key: str, text: Text) -> Part | None:
    """An `ip:port` of the array under a key as a v3 Address."""
    return _socket_address(owner, key, text, text, True, None)


def _socket_address(
    owner: V1Object, key: str, rest: str, whole: Text, resolved: bool, protocol: str | None
) -> Part | None:
    match = _PORT.match(rest)
    if match is None or int(match["port"]) > 65535:
        owner.problem(f'expected a host and a port such as "127.0.0.1:80", found "{whole}"', key)
        return None
    host = match["host"].removeprefix("[").removesuffix("]")
    if resolved and not _is_ip(host):
        owner.problem(f'expected an IP address, found the host name "{host}"', key)
        return None
    socket_address = {
        "protocol": protocol,
        "address": Text(host, whole.offset),
        "port_value": int(match["port"]),
    }
    return _at(whole, {"socket_address": socket_address})


def cidr_of(owner: V1Object, key: str, text: Text) -> Part | None:
    """A CIDR range (or a single address) as a v3 CidrRange."""
    address, slash, length = text.partition("/")
    try:
        size: int = ipaddress.ip_address(address).max_prefixlen
        prefix = int(length) if slash else size
    except ValueError:
        size, prefix = 0, 1
    if not 0 <= prefix <= size:
        owner.problem(f'expected a range such as "10.0.0.0/8", found "{text}"', key)
        return None
    return _at(text, {"address_prefix": address, "prefix_len": prefix})


def cidrs_of(owner: V1Object, key: str, required: bool = False, least: int = 0) -> list[Part]:
    """The array of CIDR ranges under a key."""
    ranges = (cidr_of(owner, key, text) for text in owner.strings(key, required, least))
    return [found for found in ranges if found is not None]


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _at(text: Text, content: dict[str, Any]) -> Part:
    part = Part(content)
    part.offset = text.offset
    return part
