"""The header of the PROXY protocol (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt)."""

from __future__ import annotations

import ipaddress

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def proxy_header(version: str, source: str, destination: str, tlvs: bytes = b"") -> bytes:
    """`version`: V1 or V2; addresses as `1.2.3.4:80` or `[::1]:80`.  Others, as those of Unix sockets, are unknown.
    `tlvs`: what V2 says beside the addresses."""
    try:
        ends = [_split(one) for one in (source, destination)]
    except ValueError:
        ends = []
    families = {host.version for host, _ in ends}
    if version == "V1":
        if len(families) != 1:
            return b"PROXY UNKNOWN\r\n"
        (host, port), (to_host, to_port) = ends
        return f"PROXY TCP{host.version} {host} {to_host} {port} {to_port}\r\n".encode()
    if len(families) != 1:
        return _SIGNATURE + b"\x20\0\0\0"
    (host, port), (to_host, to_port) = ends
    addresses = host.packed + to_host.packed + port.to_bytes(2, "big") + to_port.to_bytes(2, "big")
    family = b"\x11" if host.version == 4 else b"\x21"
    return _SIGNATURE + b"\x21" + family + (len(addresses) + len(tlvs)).to_bytes(2, "big") + addresses + tlvs


def _split(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    host, _, port = text.rpartition(":")
    return ipaddress.ip_address(host.strip("[]")), int(port)
