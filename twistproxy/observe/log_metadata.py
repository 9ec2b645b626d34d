"""Operators that read what configuration and filters have attached to a request: metadata, filter state."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from twistproxy.api.filter_state import FilterState
from twistproxy.observe.log_syntax import Clocks, FormatError, Json, Operator, Spec

#: Namespace → structure, or None.
_Metadata = Callable[[Any], Mapping[str, Any] | None]


def _dynamic(stream: Any) -> dict[str, Any] | None:
    found: dict[str, Any] | None = stream.metadata
    return found


def _lookup(metadata_of: _Metadata, argument: str) -> Operator:
    """`NAMESPACE:KEY:KEY…`: the value at that path, the whole namespace without a key."""
    namespace, *keys = argument.split(":")

    def of(stream: Any) -> Any:
        metadata = metadata_of(stream)
        if not metadata:
            return None
        value: Any = metadata.get(namespace)
        for key in keys:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value

    return of


def _of_route(stream: Any) -> dict[str, Any] | None:
    return None if stream.route is None else stream.route.metadata


def _of_virtual_host(stream: Any) -> dict[str, Any] | None:
    return None if stream.route is None else stream.route.host_metadata


def _of_upstream_host(stream: Any) -> dict[str, Any] | None:
    return None if stream.host is None else _parsed(stream.host.endpoint.metadata)


def _of_cluster(stream: Any) -> Mapping[str, Any] | None:
    reasons = stream.context.reasons
    return None if reasons is None or not stream.cluster else reasons.cluster_metadata(stream.cluster)


def _of_listener(stream: Any) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = stream.context.settings.listener_metadata
    return found


@lru_cache(4096)
def _parsed(text: str) -> dict[str, Any] | None:
    return json.loads(text) if text else None


_KINDS: dict[str, _Metadata] = {
    "DYNAMIC": _dynamic,
    "ROUTE": _of_route,
    "VIRTUAL_HOST": _of_virtual_host,
    "UPSTREAM_HOST": _of_upstream_host,
    "CLUSTER": _of_cluster,
    "LISTENER": _of_listener,
    "LISTENER_FILTER_CHAIN": lambda stream: None,  # a filter chain's metadata is refused
}


def _metadata(argument: str, clocks: Clocks) -> Operator:
    """`%METADATA(TYPE:NAMESPACE:KEY)%`."""
    kind, _, rest = argument.partition(":")
    if kind not in _KINDS:
        raise FormatError(f"{kind} is not supported type of metadata")
    return _lookup(_KINDS[kind], rest)


def _always(metadata_of: _Metadata, length: bool = False) -> Spec:
    return Spec(lambda argument, clocks: _lookup(metadata_of, argument), length=length)


def _of_request(stream: Any) -> FilterState | None:
    found: FilterState | None = stream.filter_state
    return found


def _of_upstream(stream: Any) -> FilterState | None:
    """What the connection knows, from the request that it was made for."""
    connection = stream.upstream_connection
    return None if connection is None else connection.owner.known


def _filter_state(state_of: Callable[[Any], FilterState | None], argument: str, clocks: Clocks) -> Operator:
    """`%FILTER_STATE(KEY:F:FIELD)%`: an object that a filter has left."""
    key, _, rest = argument.partition(":")
    if not key:
        raise FormatError("Invalid filter state configuration, key cannot be empty.")
    kind, _, field = rest.partition(":")
    if kind not in ("", "PLAIN", "TYPED", "FIELD"):
        raise FormatError("Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.")
    if (kind == "FIELD") != bool(field):
        raise FormatError("Invalid filter state serialize type, FIELD should be used with the field name.")

    def of(stream: Any) -> Any:
        state = state_of(stream)
        found = None if state is None else state.get(key)
        if found is None:
            return None
        if field:
            return found.field(field)
        if kind == "PLAIN":
            return found.text
        return None if found.value is None else Json(found.value)

    return of


WITH_ARGUMENT: dict[str, Spec] = {
    "METADATA": Spec(_metadata, required=False),
    "DYNAMIC_METADATA": _always(_dynamic, length=True),
    "UPSTREAM_METADATA": _always(_of_upstream_host),
    "CLUSTER_METADATA": _always(_of_cluster),
    "FILTER_STATE": Spec(partial(_filter_state, _of_request), required=False),
    "UPSTREAM_FILTER_STATE": Spec(partial(_filter_state, _of_upstream), required=False),
}
