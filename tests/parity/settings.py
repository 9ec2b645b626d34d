"""Short spellings of the v3 configuration that the parity tests use, as plain dicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Config = dict[str, Any]
_FILTERS = "type.googleapis.com/envoy.extensions.filters."
HCM = _FILTERS + "network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = _FILTERS + "http.router.v3.Router"
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
CARES = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def read(text: str) -> Any:
    """YAML text to plain data."""
    return yaml.safe_load(text)


def address(port: int, host: str = "127.0.0.1") -> Config:
    return {"socket_address": {"address": host, "port_value": port}}


def access_log(path: Path, text_format: str | None = None) -> Config:
    """A file access log, in the default format unless one is given."""
    settings: Config = {"@type": FILE_LOG, "path": str(path)}
    if text_format is not None:
        settings["log_format"] = {"text_format_source": {"inline_string": text_format}}
    return {"name": "envoy.access_loggers.file", "typed_config": settings}


def json_log(path: Path, fields: Config, **more: Any) -> Config:
    """A file access log with a line of JSON; `more`: beside its settings."""
    settings = {"@type": FILE_LOG, "path": str(path), "log_format": {"json_format": fields}}
    return {"name": "envoy.access_loggers.file", "typed_config": settings, **more}


def routes_to(cluster: str) -> list[Config]:
    """One virtual host that sends everything to a cluster."""
    return [
        {
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}],
        }
    ]


def answering(name: str, *domains: str) -> Config:
    """A virtual host that answers everything with its own name."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": name}}}
    return {"name": name, "domains": list(domains), "routes": [route]}


def listener(name: str, port: int, virtual_hosts: list[Config] | str, **manager: Any) -> Config:
    """A listener with one HTTP connection manager; `manager` are its further fields.

    A refused client's connection is closed after 0.1 s instead of 1 s, which saves the suite minutes.
    """
    if isinstance(virtual_hosts, str):
        virtual_hosts = read(virtual_hosts)
    routing = {"name": f"{name}_routes", "virtual_hosts": virtual_hosts} | manager.pop("route_config", {})
    manager = {
        "@type": HCM,
        "stat_prefix": name,
        "codec_type": "HTTP1",
        "delayed_close_timeout": "0.1s",
        "route_config": routing,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        **manager,
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "address": address(port), "filter_chains": [chain]}


def endpoint(port: int, host: str = "127.0.0.1", weight: int | None = None) -> Config:
    found: Config = {"endpoint": {"address": address(port, host)}}
    if weight is not None:
        found["load_balancing_weight"] = weight
    return found


def cluster(name: str, *endpoints: int | Config, **fields: Any) -> Config:
    """A STATIC cluster of loopback ports (or endpoint dicts), unless `fields` say otherwise."""
    found = [endpoint(each) if isinstance(each, int) else each for each in endpoints]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": found}]},
        **fields,
    }


def dns_resolver(port: int, **options: Any) -> Config:
    """`typed_dns_resolver_config`: c-ares with a DNS server on this loopback port."""
    settings = {"@type": CARES, "resolvers": [address(port)], **options}
    return {"name": "envoy.network.dns_resolver.cares", "typed_config": settings}


def protocol_options(**options: Any) -> Config:
    """`typed_extension_protocol_options` of an HTTP/1 cluster."""
    explicit = options.pop("http1", {})
    settings = {"@type": HTTP_OPTIONS, "explicit_http_config": {"http_protocol_options": explicit}, **options}
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": settings}


def bootstrap(admin_port: int, listeners: list[Config], clusters: list[Config], **fields: Any) -> Config:
    return {
        "node": {"id": "parity-node", "cluster": "parity-cluster"},
        "admin": {"address": address(admin_port)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
        **fields,
    }
