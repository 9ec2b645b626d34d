"""Where a connection was going before the firewall redirected it to us (Envoy: the listener filter `original_dst`)."""

from __future__ import annotations

import socket
import struct
from typing import Any

from twistproxy.model.address import OriginalDestination, TcpAddress
from twistproxy.transport.addresses import from_twisted

#: linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h; they have the same number.
_SO_ORIGINAL_DST = 80
_SOCKADDR_IN = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6 = struct.Struct("!2xH4x16s4x")


def original_destination(transport: Any) -> OriginalDestination | None:
    """Asks the kernel's connection tracking.  None if the connection was not redirected, or nothing is tracked.

    A connection that is tracked, and came to us on purpose, has our own address: to send its requests on to there would
    be a circle.
    """
    local = from_twisted(transport.getHost())
    if not isinstance(local, TcpAddress):
        return None
    found = _asked(transport.socket, ":" in local.host)
    return None if found is None or found == local else found


def _asked(sock: Any, is_ipv6: bool) -> OriginalDestination | None:
    try:
        if is_ipv6:
            data = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, _SOCKADDR_IN6.size)
            port, host = _SOCKADDR_IN6.unpack(data)
            return OriginalDestination(socket.inet_ntop(socket.AF_INET6, host), port)
        data = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, _SOCKADDR_IN.size)
        port, host = _SOCKADDR_IN.unpack(data)
        return OriginalDestination(socket.inet_ntop(socket.AF_INET, host), port)
    except OSError:
        return None
