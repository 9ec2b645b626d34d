"""What a listener's sockets are like: `socket_options`, `freebind`, `transparent`, `tcp_fast_open_queue_length`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.upstream_sockets import socket_option
from twistproxy.config.values import address, ipv4_compat
from twistproxy.model.address import Address, TcpAddress
from twistproxy.model.listener import ListenAddress
from twistproxy.model.sockets import ListenOptions, SocketOption

_IPPROTO_IP, _IP_FREEBIND, _IP_TRANSPARENT = 0, 15, 19  # linux/in.h
_IPPROTO_IPV6, _IPV6_TRANSPARENT = 41, 75  # linux/in6.h
_IPPROTO_TCP, _TCP_FASTOPEN = 6, 23  # linux/tcp.h
_STATES = ("STATE_PREBIND", "STATE_BOUND", "STATE_LISTENING")


def build_more_addresses(listener: Reader) -> tuple[ListenAddress, ...]:
    """`additional_addresses`."""
    found = []
    for one in listener.messages("additional_addresses"):
        where = one.message("address")
        if where is None:
            one.problem("an address is expected", "address")
            continue
        place = address(where)
        compat = isinstance(place, TcpAddress) and ipv4_compat(where)
        options = build_listen_options(listener, place, one.message("socket_options"))
        found.append(ListenAddress(place, compat, options))
    return tuple(found)


def build_listen_options(listener: Reader, place: Address, own: Reader | None = None) -> ListenOptions:
    """envoy.config.listener.v3.Listener's fields of sockets; `place` is where it listens.

    own  SocketOptionsOverride of an additional address
    """
    before = []
    if listener.boolean("transparent"):
        six = isinstance(place, TcpAddress) and ":" in place.host
        before.append(
            SocketOption(_IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
            if six
            else SocketOption(_IPPROTO_IP, _IP_TRANSPARENT, 1)
        )
    if listener.boolean("freebind"):
        before.append(SocketOption(_IPPROTO_IP, _IP_FREEBIND, 1))
    queue = listener.integer("tcp_fast_open_queue_length")
    after = () if queue is None else (SocketOption(_IPPROTO_TCP, _TCP_FASTOPEN, queue),)
    told = listen_options(listener if own is None else own)
    return ListenOptions((*before, *told.before_bind), told.bound, (*told.listening, *after))


def listen_options(reader: Reader) -> ListenOptions:
    """`socket_options` alone."""
    found: dict[str, list[SocketOption]] = {state: [] for state in _STATES}
    for one in reader.messages("socket_options"):
        found[one.enum("state")].append(socket_option(one))
    return ListenOptions(*(tuple(found[state]) for state in _STATES))
