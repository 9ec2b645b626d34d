"""Which address families this machine's interfaces have, from the text of Linux's /proc files.  Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

_V4_ROUTES, _V6_ADDRESSES = "/proc/net/fib_trie", "/proc/net/if_inet6"
_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


def routable_families(read: Callable[[str], str]) -> tuple[bool, bool]:
    """(whether there is an IPv4 address other than loopback, whether an IPv6 one).

    read  returns the text of a file, OSError if there is none: then both are there, as Envoy takes it.
    """
    try:
        v4 = any(not ip_address(found).is_loopback for found in _LOCAL.findall(read(_V4_ROUTES)))
        v6 = any(
            not ip_address(bytes.fromhex(line.split()[0])).is_loopback
            for line in read(_V6_ADDRESSES).splitlines()
            if line.strip()
        )
    except (OSError, ValueError):
        return True, True
    return v4, v6
