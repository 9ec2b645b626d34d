"""What sockets are like, of listeners and of connections to upstreams (envoy.config.core.v3.BindConfig, SocketOption,
TcpKeepalive; envoy.config.cluster.v3.UpstreamConnectionOptions)."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.model.address import Address, TcpAddress


@dataclass(frozen=True, slots=True)
class SocketOption:
    """Arguments of setsockopt(2), in the kernel's numbers."""

    level: int
    name: int
    value: int | bytes


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Options of a listening socket: what is set before it is bound, after that, and when it listens."""

    before_bind: tuple[SocketOption, ...] = ()
    bound: tuple[SocketOption, ...] = ()
    listening: tuple[SocketOption, ...] = ()


NO_OPTIONS = ListenOptions()


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """Where connections come from (None: as the kernel likes it), with the options that go with it."""

    address: TcpAddress | None = None
    options: tuple[SocketOption, ...] = ()


@dataclass(frozen=True, slots=True)
class UpstreamSockets:
    """
    sources       of which an address takes the first of its own family, else the first
    first_family  4 or 6: of the addresses of a host, this family is tried first; 0: that of its first address
    first_count   so many of that family, before one of the other has its turn
    """

    sources: tuple[LocalAddress, ...] = (LocalAddress(),)
    first_family: int = 0
    first_count: int = 1


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a host: an address, and the socket to connect to it."""

    address: Address
    source: LocalAddress = LocalAddress()


def ways_to(addresses: tuple[Address, ...], sockets: UpstreamSockets) -> tuple[Way, ...]:
    """The ways to a host with these addresses, in the order in which they are tried (RFC 8305 section 4, as Envoy
    does it: HappyEyeballsConnectionProvider)."""
    first = sockets.first_family or _family(addresses[0])
    preferred = [address for address in addresses if _family(address) == first]
    others = [address for address in addresses if _family(address) != first]
    count = sockets.first_count
    order: list[Address] = []
    while preferred or others:
        order += preferred[:count] + others[:1]
        del preferred[:count], others[:1]
    return tuple(Way(address, _source(address, sockets.sources)) for address in order)


def _family(address: Address) -> int:
    """4, 6, or 0 for a Unix socket."""
    if not isinstance(address, TcpAddress):
        return 0
    return 6 if ":" in address.host else 4


def _source(address: Address, sources: tuple[LocalAddress, ...]) -> LocalAddress:
    family = _family(address)
    for source in sources:
        if source.address is not None and _family(source.address) == family:
            return source
    return sources[0]
