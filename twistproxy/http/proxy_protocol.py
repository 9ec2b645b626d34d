"""The header of the PROXY protocol (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt)."""

from __future__ import annotations

import ipaddress

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIRST = b"PROXY "
_LONGEST_FIRST = 108  # as Envoy's MAX_PROXY_PROTO_LEN_V1
_HEAD = 16  # of the second version, before the addresses


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


class BadProxyHeader(Exception):
    """It begins like a header and is none.  `version`: 1 or 2."""

    def __init__(self, version: int) -> None:
        self.version = version


#: Host and port.
End = tuple[str, int]


class ProxyHeader:
    """What a connection begins with.

    version              1 or 2; 0: no header
    length               octets that it takes
    source, destination  None where it does not tell: the connection's own ends count
    """

    __slots__ = ("destination", "length", "source", "version")

    def __init__(
        self, version: int, length: int, source: End | None = None, destination: End | None = None
    ) -> None:
        self.version = version
        self.length = length
        self.source = source
        self.destination = destination


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of what a client has said so far; None if more is needed to tell.  BadProxyHeader."""
    if data.startswith(_SIGNATURE):
        return _read_second(data)
    if data.startswith(_FIRST):
        return _read_first(data)
    if _SIGNATURE.startswith(data) or _FIRST.startswith(data):
        return None
    return ProxyHeader(0, 0)


def _read_first(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _LONGEST_FIRST)
    if end < 0:
        if len(data) >= _LONGEST_FIRST:
            raise BadProxyHeader(1)
        return None
    words = data[:end].decode("latin-1").split()
    if len(words) > 1 and words[1] == "UNKNOWN":
        return ProxyHeader(1, end + 2)
    family = {"TCP4": 4, "TCP6": 6}.get(words[1]) if len(words) == 6 else None
    try:
        hosts = [ipaddress.ip_address(word) for word in words[2:4]]
        ports = [int(word) for word in words[4:6] if word.isascii() and word.isdigit()]
    except ValueError:
        raise BadProxyHeader(1) from None
    if (
        family is None
        or len(ports) != 2
        or max(ports) > 65535
        or any(host.version != family for host in hosts)
    ):
        raise BadProxyHeader(1)
    return ProxyHeader(1, end + 2, (str(hosts[0]), ports[0]), (str(hosts[1]), ports[1]))


def _read_second(data: bytes) -> ProxyHeader | None:
    if len(data) < _HEAD:
        return None
    version, command = data[12] >> 4, data[12] & 15
    if version != 2 or command > 1:
        raise BadProxyHeader(2)
    length = _HEAD + int.from_bytes(data[14:_HEAD], "big")
    size = 0
    if command == 1:
        # Streams and datagrams are the same to Envoy.
        size = {0x11: 4, 0x12: 4, 0x21: 16, 0x22: 16}.get(data[13], 0)
        if not size or length < _HEAD + 2 * size + 4:
            raise BadProxyHeader(2)
    if len(data) < length:
        return None
    if not size:
        return ProxyHeader(2, length)
    at = _HEAD + 2 * size
    hosts = [str(ipaddress.ip_address(data[begin : begin + size])) for begin in (_HEAD, _HEAD + size)]
    ports = [int.from_bytes(data[begin : begin + 2], "big") for begin in (at, at + 2)]
    return ProxyHeader(2, length, (hosts[0], ports[0]), (hosts[1], ports[1]))
