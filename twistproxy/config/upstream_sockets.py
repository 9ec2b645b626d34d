"""`upstream_bind_config`, `upstream_connection_options` and `transport_socket` of clusters to `model.sockets` and
`model.cluster`."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.config.fields import Reader
from twistproxy.config.values import socket_address
from twistproxy.model.cluster import ProxyProtocol
from twistproxy.model.sockets import LocalAddress, SocketOption, UpstreamSockets

_RAW_BUFFER = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
_PROXY_PROTOCOL = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
_USUAL_SELECTOR = "envoy.config.upstream.local_address_selector.v3.DefaultLocalAddressSelector"
#: The length of what follows a PROXY header's first 16 bytes has two bytes; IPv6 addresses with ports take 36.
_MOST_TLVS = 0xFFFF - 36

# Linux's numbers: <asm-generic/socket.h>, <netinet/tcp.h>, <netinet/in.h>.
_SOL_SOCKET, _SO_KEEPALIVE = 1, 9
_IPPROTO_TCP, _TCP_KEEPIDLE, _TCP_KEEPINTVL, _TCP_KEEPCNT = 6, 4, 5, 6
_IPPROTO_IP, _IP_FREEBIND = 0, 15


_ANY_SOURCE = LocalAddress()


@dataclass(frozen=True, slots=True)
class BindConfig:
    """A BindConfig.  `name`: whose, for messages; `freebind`: None if it does not say."""

    name: str
    source: LocalAddress = _ANY_SOURCE
    others: tuple[tuple[LocalAddress, bool], ...] = ()  # with whether it has options of its own
    freebind: bool | None = None
    options: tuple[SocketOption, ...] = ()


def build_bind_config(reader: Reader | None, name: str) -> BindConfig | None:
    """`name`: "Bootstrap" or "Cluster x"."""
    if reader is None:
        return None
    source = reader.message("source_address")
    extra = reader.messages("extra_source_addresses")
    additional = reader.messages("additional_source_addresses")
    _check(reader, name, source is not None, len(extra), len(additional))
    others = [_extra(one) for one in extra]
    others += [(LocalAddress(socket_address(one)), False) for one in additional]
    found = BindConfig(
        name,
        LocalAddress() if source is None else LocalAddress(socket_address(source)),
        tuple(others),
        reader.boolean("freebind") if reader.has("freebind") else None,
        _options(reader),
    )
    if source is not None and others:
        first, second = found.source.address, others[0][0].address
        if first is not None and second is not None and (":" in first.host) == (":" in second.host):
            reader.problem(
                f"{name}'s upstream binding config has two same IP version source addresses. Only two different IP "
                "version source addresses can be supported in BindConfig's source_address and "
                "extra_source_addresses/additional_source_addresses fields"
            )
    reader.boolean("freebind")
    selector = reader.message("local_address_selector")
    if selector is not None:
        selector.ignore("name")
        config = selector.unpack("typed_config")
        if config is None or config.type_name != _USUAL_SELECTOR:
            selector.problem("only the default local address selector is implemented")
    return found


def _check(reader: Reader, name: str, has_source: bool, extra: int, additional: int) -> None:
    """In Envoy's words."""
    if extra and additional:
        reader.problem(
            "Can't specify both `extra_source_addresses` and `additional_source_addresses` in the "
            f"{name}'s upstream binding config"
        )
    elif not has_source and (extra or additional):
        reader.problem(
            f"{name}'s upstream binding config has extra/additional source addresses but no source_address. "
            "Extra/additional addresses cannot be specified if source_address is not set."
        )
    elif extra + additional > 1:
        reader.problem(
            f"{name}'s upstream binding config has more than one extra/additional source addresses. Only one "
            "extra/additional source can be supported in BindConfig's "
            "extra_source_addresses/additional_source_addresses field"
        )


def _extra(reader: Reader) -> tuple[LocalAddress, bool]:
    own = reader.message("socket_options")
    address = socket_address(reader.message_or_empty("address"))
    return LocalAddress(address, () if own is None else _options(own)), own is not None


def _options(reader: Reader) -> tuple[SocketOption, ...]:
    return tuple(_option(one) for one in reader.messages("socket_options"))


def _option(reader: Reader) -> SocketOption:
    if reader.enum("state") != "STATE_PREBIND":
        reader.problem("only STATE_PREBIND has an effect on connections to upstreams", "state")
    return socket_option(reader)


def socket_option(reader: Reader) -> SocketOption:
    """A SocketOption, without its `state`."""
    reader.ignore("description")
    kind = reader.message("type")
    if kind is not None:
        kind.message("stream")
        if kind.has("datagram"):
            kind.refuse("datagram", "an option of datagrams has no effect on connections")
    value: int | bytes = reader.octets("buf_value")
    if reader.oneof("value") == "int_value":
        value = reader.integer("int_value", 0)
    return SocketOption(reader.integer("level", 0), reader.integer("name", 0), value)


def build_sockets(
    cluster: Reader, own: BindConfig | None, common: BindConfig | None
) -> UpstreamSockets | None:
    """What a cluster's own bind config and that of all clusters come to (Envoy: UpstreamLocalAddressSelector); None if
    sockets are as usual."""
    options = cluster.message("upstream_connection_options")
    keepalive = _keepalive(options)
    happy = None if options is None else options.message("happy_eyeballs_config")
    if options is not None:
        # What it tells, no operator of an access log shows.
        options.ignore("set_local_interface_name_on_upstream_connections")
    addresses = own or common or BindConfig("")
    base = keepalive
    freebind = common.freebind if common is not None and (own is None or own.freebind is None) else None
    if freebind or (own is not None and own.freebind):
        base = (SocketOption(_IPPROTO_IP, _IP_FREEBIND, 1), *keepalive)
    own_options = own.options if own is not None else ()
    usual = base + (own_options or (common.options if common is not None else ()))
    sources = [LocalAddress(addresses.source.address, usual)]
    for other, has_options in addresses.others:
        sources.append(LocalAddress(other.address, base + other.options if has_options else usual))
    found = UpstreamSockets(
        tuple(sources),
        first_family={"DEFAULT": 0, "V4": 4, "V6": 6}[happy.enum("first_address_family_version")]
        if happy
        else 0,
        first_count=happy.integer("first_address_family_count", 1) if happy else 1,
    )
    return None if found == UpstreamSockets() else found


def _keepalive(options: Reader | None) -> tuple[SocketOption, ...]:
    reader = None if options is None else options.message("tcp_keepalive")
    if reader is None:
        return ()
    found = [SocketOption(_SOL_SOCKET, _SO_KEEPALIVE, 1)]
    for field, name in (
        ("keepalive_probes", _TCP_KEEPCNT),
        ("keepalive_time", _TCP_KEEPIDLE),
        ("keepalive_interval", _TCP_KEEPINTVL),
    ):
        value = reader.integer(field)
        if value is not None:
            found.append(SocketOption(_IPPROTO_TCP, name, value))
    return tuple(found)


def build_transport_socket(cluster: Reader) -> ProxyProtocol | None:
    """Plain text, maybe behind a PROXY header."""
    socket = cluster.message("transport_socket")
    if socket is None:
        return None
    socket.ignore("name")
    config = socket.unpack("typed_config")
    if config is not None and config.type_name == _PROXY_PROTOCOL:
        inner = config.message_or_empty("transport_socket")
        inner.ignore("name")
        _plain(inner, inner.unpack("typed_config"))
        return _proxy_protocol(config.message_or_empty("config"))
    _plain(socket, config)
    return None


def _plain(socket: Reader, config: Reader | None) -> None:
    if config is None or config.type_name != _RAW_BUFFER:
        what = "it" if config is None else config.called
        socket.problem(f"{what} is not implemented; connections to upstreams are plain text (raw_buffer)")
        socket.ignore_all()


def _proxy_protocol(reader: Reader) -> ProxyProtocol:
    tlvs = b""
    for one in reader.messages("added_tlvs"):
        value = one.octets("value")
        formatted = one.message("format_string")
        if formatted is not None:
            one.refuse("format_string")
        if bool(value) == (formatted is not None):
            only = "only " if value else ""
            of = "may" if value else "must"
            one.problem(f"Invalid TLV configuration: {only}one of 'value' or 'format_string' {of} be set.")
        tlvs += bytes((one.integer("type", 0) & 0xFF,)) + (len(value) & 0xFFFF).to_bytes(2, "big") + value
    if len(tlvs) > _MOST_TLVS:
        reader.problem("they do not fit into a header", "added_tlvs")
    return ProxyProtocol(reader.enum("version"), tlvs)
