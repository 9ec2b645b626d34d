"""/config_dump: the running configuration in the sections of envoy.admin.v3.ConfigDump.

See https://www.envoyproxy.io/docs/envoy/latest/operations/admin (GET /config_dump).  Private keys and the
like are shown as "[redacted]".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import re2

from twistproxy.admin.answer import PLAIN, Answer, PageError, Query, compile_regex, json_page, regex_error
from twistproxy.admin.clusters import address_json, health_name, locality_json
from twistproxy.admin.merge import Totals
from twistproxy.admin.view import Json

_ADMIN = "type.googleapis.com/envoy.admin.v3."
_CONFIG = "type.googleapis.com/envoy.config."
_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)

#: Fields whose whole content is secret (those that Envoy's protos mark as sensitive).
_SECRET_FIELDS = frozenset(
    {"private_key", "pkcs12", "password", "session_ticket_keys", "generic_secret", "users", "hmac_secret"}
)


@dataclass(frozen=True, slots=True)
class _Resource:
    """A repeated field of a section: its items' type, their fields, and where an item's name is."""

    section: str
    item: str
    fields: frozenset[str]
    name: tuple[str, ...]


def _resource(section: str, item: str, holder: str, name: str = "name") -> _Resource:
    fields = {holder, "last_updated"}
    if not item.startswith(("Static", "Inline")):
        fields |= {"version_info", "error_state", "client_status"}
    return _Resource(section, item, frozenset(fields), (holder, name))


_RESOURCES = {
    "static_clusters": _resource("ClustersConfigDump", "StaticCluster", "cluster"),
    "dynamic_active_clusters": _resource("ClustersConfigDump", "DynamicCluster", "cluster"),
    "dynamic_warming_clusters": _resource("ClustersConfigDump", "DynamicCluster", "cluster"),
    "static_endpoint_configs": _resource(
        "EndpointsConfigDump", "StaticEndpointConfig", "endpoint_config", "cluster_name"
    ),
    "dynamic_endpoint_configs": _resource(
        "EndpointsConfigDump", "DynamicEndpointConfig", "endpoint_config", "cluster_name"
    ),
    "static_listeners": _resource("ListenersConfigDump", "StaticListener", "listener"),
    "dynamic_listeners": _resource("ListenersConfigDump", "DynamicListener", "name"),
    "inline_scoped_route_configs": _resource(
        "ScopedRoutesConfigDump", "InlineScopedRouteConfigs", "scoped_route_configs"
    ),
    "dynamic_scoped_route_configs": _resource(
        "ScopedRoutesConfigDump", "DynamicScopedRouteConfigs", "scoped_route_configs"
    ),
    "static_route_configs": _resource("RoutesConfigDump", "StaticRouteConfig", "route_config"),
    "dynamic_route_configs": _resource("RoutesConfigDump", "DynamicRouteConfig", "route_config"),
    "static_secrets": _resource("SecretsConfigDump", "StaticSecret", "secret"),
    "dynamic_active_secrets": _resource("SecretsConfigDump", "DynamicSecret", "secret"),
    "dynamic_warming_secrets": _resource("SecretsConfigDump", "DynamicSecret", "secret"),
}


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as protobuf prints a Timestamp, in milliseconds: "2026-11-23T01:26:27.447Z"."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def redacted(value: Any, secret: bool = False) -> Any:
    """A copy without the secrets."""
    if isinstance(value, Mapping):
        return {
            key: redacted(item, secret or key in _SECRET_FIELDS) if key != "@type" else item
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [redacted(item, secret) for item in value]
    return "[redacted]" if secret else value


def sections(bootstrap: Json, node: Json, updated: float, totals: Totals | None) -> list[Json]:
    """All sections; that of the endpoints only with `totals` (?include_eds)."""
    when = timestamp(updated)
    bootstrap = redacted({**bootstrap, "node": node})
    static = bootstrap.get("static_resources", {})
    listeners = static.get("listeners", [])
    clusters = sorted(static.get("clusters", []), key=lambda cluster: str(cluster.get("name", "")))
    result: list[Json] = [
        {"@type": f"{_ADMIN}BootstrapConfigDump", "bootstrap": bootstrap, "last_updated": when},
        _section("static_clusters", _typed("cluster", "cluster.v3.Cluster", clusters, when)),
    ]
    if totals is not None:
        result.append(_section("static_endpoint_configs", _endpoint_configs(totals)))
    result += [
        _section("static_listeners", _typed("listener", "listener.v3.Listener", listeners, when)),
        {"@type": f"{_ADMIN}ScopedRoutesConfigDump"},
        _section(
            "static_route_configs",
            _typed("route_config", "route.v3.RouteConfiguration", _route_configs(listeners), when),
        ),
        _section("static_secrets", _secrets(static.get("secrets", []), when)),
    ]
    return result


def _section(field: str, items: list[Json]) -> Json:
    section: Json = {"@type": _ADMIN + _RESOURCES[field].section}
    if items:
        section[field] = items
    return section


def _typed(holder: str, message: str, items: Iterable[Json], when: str) -> list[Json]:
    return [{holder: {"@type": _CONFIG + message, **item}, "last_updated": when} for item in items]


def _secrets(secrets: Iterable[Json], when: str) -> list[Json]:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    return [
        {"name": secret.get("name", ""), "last_updated": when, "secret": {"@type": kind, **secret}}
        for secret in secrets
    ]


def _route_configs(listeners: Iterable[Json]) -> list[Json]:
    """The inline route configurations of all HTTP connection managers."""
    found = []
    for listener in listeners:
        chains = [*listener.get("filter_chains", []), listener.get("default_filter_chain", {})]
        for chain in chains:
            for network_filter in chain.get("filters", []):
                config = network_filter.get("typed_config", {})
                if config.get("@type") == _MANAGER and "route_config" in config:
                    found.append(config["route_config"])
    return found


def _endpoint_configs(totals: Totals) -> list[Json]:
    """The hosts as they are now, as envoy.config.endpoint.v3.ClusterLoadAssignment."""
    result = []
    for cluster in sorted(totals.clusters.keys() | totals.hosts.keys()):
        assignment: Json = {
            "@type": f"{_CONFIG}endpoint.v3.ClusterLoadAssignment",
            "cluster_name": cluster,
        }
        if hosts := totals.hosts.get(cluster):
            assignment["endpoints"] = _by_locality(hosts)
        assignment["policy"] = {"overprovisioning_factor": 140}
        result.append({"endpoint_config": assignment})
    return result


def _by_locality(hosts: Iterable[Json]) -> list[Json]:
    """Hosts as envoy.config.endpoint.v3.LocalityLbEndpoints, by priority, then by locality."""
    groups: dict[tuple[Any, ...], list[Json]] = {}
    for host in hosts:
        key = (host.get("priority", 0), *(host.get(k, "") for k in ("region", "zone", "sub_zone")))
        groups.setdefault(key, []).append(host)
    result = []
    for key, members in sorted(groups.items()):
        group: Json = {
            "locality": locality_json(members[0]),
            "lb_endpoints": [_lb_endpoint(host) for host in members],
            "load_balancing_weight": members[0].get("locality_weight", 0),
        }
        if key[0]:
            group["priority"] = key[0]
        result.append(group)
    return result


def _lb_endpoint(host: Mapping[str, Any]) -> Json:
    endpoint: Json = {"address": address_json(host["address"]), "health_check_config": {}}
    if host.get("hostname"):
        endpoint["hostname"] = host["hostname"]
    return {
        "endpoint": endpoint,
        "health_status": health_name(host["health"]),
        "load_balancing_weight": host.get("weight", 1),
    }


def config_dump(dump: list[Json], query: Query) -> Answer:
    """Apply ?resource=, ?mask= and ?name_regex= to the sections; PageError with Envoy's text where it
    refuses."""
    pattern = None
    if query.get("name_regex"):
        text = query["name_regex"]
        try:
            pattern = compile_regex(text)
        except re2.error as error:
            reason = f"Error while parsing name_regex from {text}: {regex_error(error)}"
            raise _refusal(400, f"INVALID_ARGUMENT: {reason}") from error
    mask = [path for path in query.get("mask", "").split(",") if path]
    if query.get("resource"):
        configs = _one_resource(dump, query["resource"], mask, pattern)
    else:
        configs = [_named(section, pattern) for section in dump]
        if mask:
            configs = [cut for section in configs if (cut := _masked_section(section, mask)) is not None]
            if not configs:
                text = f"FieldMask {query['mask']} could not be successfully applied to any configs."
                raise _refusal(400, text)
    return json_page({"configs": configs} if configs else {})


def _refusal(status: int, text: str) -> PageError:
    return PageError(Answer(text, status, PLAIN))


def _one_resource(dump: list[Json], field: str, mask: list[str], pattern: Any) -> list[Json]:
    if field == "bootstrap":
        raise _refusal(400, f"{field} is not a repeated field. Use ?mask={field} to get only this field")
    resource = _RESOURCES.get(field)
    if resource is None:
        raise _refusal(404, f"{field} not found in config dump")
    if any(path.partition(".")[0] not in resource.fields for path in mask):
        paths = "".join(f'paths: "{path}"\n' for path in mask)
        raise _refusal(400, f"FieldMask {paths} could not be successfully used.")
    kind = f"{_ADMIN}{resource.section}.{resource.item}"
    items: list[Json] = []
    for section in dump:
        if section["@type"] == _ADMIN + resource.section:
            items += _named(section, pattern).get(field, [])
    return [{"@type": kind, **(_masked(item, mask) if mask else item)} for item in items]


def _named(section: Json, pattern: Any) -> Json:
    """The section with only those resources whose whole name matches."""
    if pattern is None:
        return section
    result: Json = {}
    for field, value in section.items():
        if field in _RESOURCES:
            value = [item for item in value if pattern.fullmatch(_at(item, _RESOURCES[field].name) or "")]
            if not value:
                continue
        result[field] = value
    return result


def _at(value: Any, path: Iterable[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _masked_section(section: Json, mask: list[str]) -> Json | None:
    """The section cut to the mask, None if the mask names a field that it cannot have, or looks into a
    list."""
    kind = section["@type"].removeprefix(_ADMIN)
    repeated = {field for field, resource in _RESOURCES.items() if resource.section == kind}
    single = {"bootstrap", "last_updated"} if kind == "BootstrapConfigDump" else {"version_info"}
    for path in mask:
        first, _, rest = path.partition(".")
        if first not in repeated | single or (first in repeated and rest):
            return None
    return {"@type": section["@type"], **_masked(section, mask)}


def _masked(value: Json, mask: Iterable[str]) -> Json:
    """Only the named paths of a message."""
    below: dict[str, list[str]] = {}
    for path in mask:
        first, _, rest = path.partition(".")
        below.setdefault(first, []).append(rest)
    result: Json = {}
    for key, item in value.items():
        if key not in below:
            continue
        if "" in below[key]:
            result[key] = item
        elif isinstance(item, Mapping):
            kept = _masked(dict(item), below[key])
            result[key] = {"@type": item["@type"], **kept} if "@type" in item else kept
    return result
