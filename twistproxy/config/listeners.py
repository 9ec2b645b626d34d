"""envoy.config.listener.v3 to `model.listener`."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from functools import partial

from twistproxy.config.access_logs import build_access_logs
from twistproxy.config.fields import Reader
from twistproxy.config.filter_state import build_state_rules
from twistproxy.config.http_manager import build_http_manager
from twistproxy.config.listener_filters import build_listener_filters
from twistproxy.config.listener_sockets import build_listen_options, build_more_addresses
from twistproxy.config.values import address, filter_metadata, ipv4_compat
from twistproxy.model.address import TcpAddress
from twistproxy.model.bootstrap import Node
from twistproxy.model.http_filters import StateRule
from twistproxy.model.listener import FilterChain, ListenerSettings

_HTTP_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_SET_FILTER_STATE = "envoy.extensions.filters.network.set_filter_state.v3.Config"
_RAW_BUFFER = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"


def build_listeners(resources: Reader, clusters: Set[str], node: Node) -> tuple[ListenerSettings, ...]:
    """All static listeners, in order.  `clusters`: the names that routes may use; `node`: who we are."""
    built: dict[str, ListenerSettings] = {}
    for reader in resources.messages("listeners"):
        settings = _listener(reader, clusters, node)
        if settings is not None:
            if settings.name in built:
                reader.problem(f"a listener of the name {settings.name!r} is there already", "name")
            built[settings.name] = settings
    return tuple(built.values())


def _listener(reader: Reader, clusters: Set[str], node: Node) -> ListenerSettings | None:
    where = reader.message("address")
    if where is None:
        internal = reader.has("internal_listener")
        reader.problem(
            "internal listeners are not implemented" if internal else "an address is expected",
            "internal_listener" if internal else "address",
        )
        reader.ignore_all()
        return None
    if reader.has("udp_listener_config") or where.raw.socket_address.protocol:
        reader.problem("listeners for UDP (HTTP/3 and others) are not implemented")
        reader.ignore_all()
        return None
    found = address(where)
    reader.ignore("traffic_direction")  # it only labels
    chain = _chain(reader, clusters, node)
    metadata, logs = filter_metadata(reader), build_access_logs(reader)
    if chain is not None:
        manager = replace(chain.http_manager, listener_metadata=metadata, connection_logs=logs)
        chain = replace(chain, http_manager=manager)
    original_dst, proxy_header = build_listener_filters(reader)
    bypasses = reader.boolean("bypass_overload_manager")
    hands_off = reader.boolean("use_original_dst")
    backlog = reader.integer("tcp_backlog_size", 0)
    # All is read, that nothing be said of fields whose only fault is a chain that cannot be built.
    settings = partial(
        ListenerSettings,
        name=reader.string("name") or str(found),
        address=found,
        stat_name=reader.string("stat_prefix") or str(found).replace(":", "_"),
        reuse_port=reader.boolean("enable_reuse_port", True),
        ipv4_compat=isinstance(found, TcpAddress) and ipv4_compat(where),
        backlog=backlog,
        buffer_limit=reader.integer("per_connection_buffer_limit_bytes"),
        bind_to_port=reader.boolean("bind_to_port", True),
        ignores_global_limit=reader.boolean("ignore_global_conn_limit") or bypasses,
        bypasses_overload=bypasses,
        original_dst=original_dst or hands_off,
        proxy_header=proxy_header,
        use_original_dst=hands_off,
        options=build_listen_options(reader, found),
        more_addresses=build_more_addresses(reader),
    )
    return None if chain is None else settings(filter_chain=chain)


def _chain(reader: Reader, clusters: Set[str], node: Node) -> FilterChain | None:
    chains = [_filter_chain(one, clusters, node) for one in reader.messages("filter_chains")]
    default = reader.message("default_filter_chain")
    if default is not None:
        chains.append(_filter_chain(default, clusters, node))
    if len(reader.raw.filter_chains) > 1:
        reader.problem(
            "multiple filter chains with the same matching rules are defined (matching rules are not implemented)",
            "filter_chains",
        )
    if not chains:
        reader.problem("no filter chains specified", "filter_chains")
        return None
    return chains[0]


def _filter_chain(reader: Reader, clusters: Set[str], node: Node) -> FilterChain | None:
    reader.message("filter_chain_match")  # an empty one takes everything; of any other the fields are unread
    socket = reader.message("transport_socket")
    if socket is not None:
        socket.ignore("name")
        config = socket.unpack("typed_config")
        if config is None or config.type_name != _RAW_BUFFER:
            what = "it" if config is None else config.called
            socket.problem(
                f"{what} is not implemented; connections from downstreams are plain text (raw_buffer)"
            )
            socket.ignore_all()
    filters = reader.messages("filters")
    state: tuple[StateRule, ...] = ()
    later: tuple[StateRule, ...] = ()  # with the first data, which changes nothing about what they can say
    built = None
    for at, one in enumerate(filters):
        one.ignore("name")
        config = one.unpack("typed_config")
        if config is None:
            continue
        if config.type_name == _SET_FILTER_STATE:
            state += build_state_rules(config, "on_new_connection")
            later += build_state_rules(config, "on_downstream_data")
            if at == len(filters) - 1:
                one.problem("is no terminal filter, and cannot be the last of the chain")
        elif config.type_name != _HTTP_MANAGER:
            one.problem(f"the network filter {config.called} is not implemented", "typed_config")
            config.ignore_all()
        elif at != len(filters) - 1:
            one.problem("is a terminal filter and must be the last of the chain")
        else:
            name = reader.string("name")
            manager = build_http_manager(config, clusters, node)
            built = FilterChain(
                name, replace(manager, filter_chain_name=name, connection_state=state + later)
            )
    if not filters:
        reader.problem("a filter chain without filters is not implemented", "filters")
    return built
