"""Filter state: objects that filters leave with a request or its connection, by a key, for routes, balancers, pools and
logs (Envoy: configuration/advanced/well_known_filter_state).

A filter makes an object of a text by a factory, which is known by its name.  Under a well-known key, whose factory has
the same name, it is looked for by whom it concerns.
"""

from __future__ import annotations

from collections.abc import Callable

import xxhash

from twistproxy.model.address import TcpAddress, parse_tcp_address

#: Where a request to a cluster of type ORIGINAL_DST goes.
ORIGINAL_DST = "envoy.network.transport_socket.original_dst_address"
#: Whether a request is to be answered in place of its upstream.
_DEBUG = "envoy.router.debug_config"
_IP = "envoy.network.ip"

#: Their objects are addresses with ports.
_ADDRESSES = frozenset(
    (
        ORIGINAL_DST,
        "envoy.filters.listener.original_dst.local_ip",
        "envoy.filters.listener.original_dst.remote_ip",
    )
)
#: Connections to upstreams are not shared by requests that differ in these, whatever is done with them.
_OF_CONNECTIONS = frozenset(
    (
        "envoy.network.application_protocols",
        "envoy.network.upstream_server_name",
        "envoy.network.upstream_subject_alt_names",
    )
)
_TRUE = frozenset(("true", "t", "yes", "y", "1"))
_FALSE = frozenset(("false", "f", "no", "n", "0"))


class StateObject:
    """
    kind     the name of its factory
    made_of  the text that it was made of
    text     what it is as text, None where it cannot be said
    value    what it is in JSON: text, a number or a boolean; None where it cannot be said
    address  what it is as an address, None if it is none
    shared   whether the connection to the upstream is to know it
    """

    __slots__ = ("address", "kind", "made_of", "shared", "text", "value")

    def __init__(
        self,
        kind: str,
        made_of: str,
        text: str | None = None,
        value: object = None,
        address: TcpAddress | None = None,
    ) -> None:
        self.kind = kind
        self.made_of = made_of
        self.text = text
        self.value = value
        self.address = address
        self.shared = False

    @property
    def can_be_hashed(self) -> bool:
        return self.kind == "envoy.hashable_string" or self.kind in _ADDRESSES

    def hash(self) -> int | None:
        """64 bits, None of what has none."""
        if self.text is None or not self.can_be_hashed:
            return None
        return int(xxhash.xxh64_intdigest(self.text.encode("utf-8", "surrogateescape")))

    @property
    def has_fields(self) -> bool:
        return self.kind in _ADDRESSES

    def field(self, name: str) -> str | None:
        """A part of it."""
        if self.address is None or not self.has_fields:
            return None
        if name == "ip":
            return self.address.host
        return str(self.address.port) if name == "port" else None

    @property
    def ip(self) -> TcpAddress | None:
        """An address without a port (which is 0); None if it is none, or has one."""
        return self.address if self.kind == _IP else None


#: By key.
FilterState = dict[str, StateObject]

#: A text to the object that it means; None for nothing.
Factory = Callable[[str], "StateObject | None"]


def _text(kind: str) -> Factory:
    return lambda given: StateObject(kind, given, given, given)


def _plain(kind: str) -> Factory:
    return lambda given: StateObject(kind, given, given)


def _opaque(kind: str) -> Factory:
    return lambda given: StateObject(kind, given)


def _truth(kind: str, given: str) -> StateObject | None:
    """As absl::SimpleAtob reads it."""
    word = given.lower()
    if word not in _TRUE and word not in _FALSE:
        return None
    return StateObject(kind, given, "true" if word in _TRUE else "false", word in _TRUE)


def _is_true(kind: str, given: str) -> StateObject | None:
    return StateObject(kind, given, "true" if given == "true" else "false", given == "true")


def _number(bits: int) -> Callable[[str, str], StateObject | None]:
    def make(kind: str, given: str) -> StateObject | None:
        digits = given.strip(" \t\n\v\f\r").removeprefix("+")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 40 or int(digits) >> bits:
            return None
        text = str(int(digits))
        # What JSON's numbers cannot hold is text there.
        return StateObject(kind, given, text, int(digits) if bits <= 32 else text)

    return make


def _address(kind: str, given: str) -> StateObject | None:
    found = parse_tcp_address(given.strip(" \t\n\v\f\r"))
    return None if found is None else StateObject(kind, given, str(found), address=found)


def _ip(kind: str, given: str) -> StateObject | None:
    found = parse_tcp_address(f"[{given}]:0" if ":" in given else f"{given}:0")
    return None if found is None else StateObject(kind, given, str(found), address=found)


def _named(kind: str, make: Callable[[str, str], StateObject | None]) -> Factory:
    return lambda given: make(kind, given)


#: By name.  Envoy has more, for what is not here.
FACTORIES: dict[str, Factory] = {
    **{
        name: _text(name) for name in ("envoy.string", "envoy.hashable_string", "envoy.upstream.dynamic_host")
    },
    **{
        name: _plain(name)
        for name in (
            "envoy.network.network_namespace",
            "envoy.network.upstream_server_name",
            "envoy.network.upstream_subject_alt_names",
            "envoy.tcp_proxy.cluster",
        )
    },
    **{name: _opaque(name) for name in ("envoy.network.application_protocols", _DEBUG)},
    **{name: _named(name, _address) for name in _ADDRESSES},
    **{
        name: _named(name, _number(32))
        for name in ("envoy.ratelimit.hits_addend", "envoy.upstream.dynamic_port")
    },
    "envoy.tcp_proxy.per_connection_idle_timeout_ms": _named(
        "envoy.tcp_proxy.per_connection_idle_timeout_ms", _number(64)
    ),
    "envoy.tcp_proxy.disable_tunneling": _named("envoy.tcp_proxy.disable_tunneling", _is_true),
    "envoy.bool": _named("envoy.bool", _truth),
    _IP: _named(_IP, _ip),
}


def destination(state: FilterState) -> TcpAddress | None:
    """Where a request to a cluster of type ORIGINAL_DST goes, None if nothing is said."""
    found = state.get(ORIGINAL_DST)
    return found.address if found is not None and found.kind in _ADDRESSES else None


def is_not_forwarded(state: FilterState) -> bool:
    """Whether the request ends here, when all is known of where it would have gone."""
    found = state.get(_DEBUG)
    return found is not None and found.kind == _DEBUG and found.made_of == "true"


def is_open(state: FilterState, key: str, absent: bool) -> bool:
    """Whether a gate is.  `absent`: the answer where there is none; one that is no truth value is shut."""
    found = state.get(key)
    return absent if found is None else found.value is True


class Shared:
    """What connections to upstreams know of the filter state of requests.

    key      requests with others have other connections; "" for the usual ones
    objects  what is shared
    """

    __slots__ = ("key", "objects")

    def __init__(self, key: str, objects: FilterState) -> None:
        self.key = key
        self.objects = objects


def shared_of(state: FilterState) -> Shared | None:
    """None for nothing (Envoy: TransportSocketOptionsUtility::fromFilterState)."""
    parts: list[str] = []
    objects: FilterState = {}
    for name in sorted(state):
        one = state[name]
        if one.shared:
            objects[name] = one
            if one.can_be_hashed:
                parts.append(one.text or "")
        if name in _OF_CONNECTIONS and one.kind == name:
            parts.append(one.made_of)
    return Shared("\0".join(["", *parts]), objects) if parts or objects else None
