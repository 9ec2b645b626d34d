"""Listeners as configured (envoy.config.listener.v3)."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.model.address import Address
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.model.sockets import NO_OPTIONS, ListenOptions


@dataclass(frozen=True, slots=True)
class FilterChain:
    """The network filters of a connection; so far the one terminal filter there is."""

    name: str
    http_manager: HttpManagerSettings


@dataclass(frozen=True, slots=True)
class ProxyHeaderSettings:
    """envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, and the listener's fields for its filters.

    optional      connections without a header are taken, too
    refused       versions that are none
    stat_prefix   with a dot at its end, unless it is empty
    timeout       seconds, 0 for as long as it takes
    goes_on       after that time the connection is taken as one without a header
    """

    optional: bool = False
    refused: frozenset[int] = frozenset()
    stat_prefix: str = ""
    timeout: float = 15.0
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One more address of a listener.  `ipv4_compat`: on IPv6, takes IPv4 too."""

    address: Address
    ipv4_compat: bool
    options: ListenOptions


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One listener.

    stat_name     as in `listener.<stat_name>.downstream_cx_total`
    buffer_limit  bytes in a connection's write buffer above which its source is paused; None: what the
                  transport thinks best
    ignores_global_limit  the limit of all downstream connections together does not hold here
    bypasses_overload  what the overload manager says does not concern it
    original_dst  the firewall may have redirected connections: the local address is where they were going
    proxy_header  connections begin with a header of the PROXY protocol
    use_original_dst  … and the listener of that address takes them, if there is one
    """

    name: str
    address: Address
    filter_chain: FilterChain
    stat_name: str
    reuse_port: bool = True
    ipv4_compat: bool = False
    backlog: int = 0
    buffer_limit: int | None = None
    bind_to_port: bool = True
    ignores_global_limit: bool = False
    bypasses_overload: bool = False
    original_dst: bool = False
    use_original_dst: bool = False
    proxy_header: ProxyHeaderSettings | None = None
    options: ListenOptions = NO_OPTIONS
    more_addresses: tuple[ListenAddress, ...] = ()

    def addresses(self) -> list[Address]:
        return [self.address, *(one.address for one in self.more_addresses)]
