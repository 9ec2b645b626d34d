"""Envoy's v1 JSON configuration (2016 to 2018) to v3.

    to_v3(tree)         → the v3 tree with places in the v1 text, and warnings
    convert_v1(text)    → v3 YAML, and what changed in meaning

What v1 meant and v3 defaults otherwise is written out: unknown clusters are 404, nothing idle is closed,
private addresses are internal, DNS asks for IPv4 only.  Spellings from before Envoy 1.3 are taken with a
warning.  A cluster of type `sds` becomes one of the type `twistproxy.clusters.v1_sds`; ordered `tcp_proxy`
routes and `client_ssl_auth` become extensions of our own, too.  The REST pollers for clusters, listeners and
routes are refused by name.
"""

from __future__ import annotations

from typing import Any

import yaml

from twistproxy.errors import ConfigError, ConfigProblem

from .places import Mapping, Tree
from .source import parse, reads_as_text
from .v1_access_logs import file_log
from .v1_address import address_of, host_port_of
from .v1_clusters import cluster
from .v1_listeners import listener, old_port
from .v1_reader import Conversion, Part, V1Object, to_node, typed, without_none

# Keys that only a v1 configuration has at the top.
V1_KEYS = {
    "listeners",
    "lds",
    "statsd_udp_ip_address",
    "statsd_local_udp_port",
    "statsd_tcp_cluster_name",
    "stats_flush_interval_ms",
    "watchdog_miss_timeout_ms",
    "watchdog_megamiss_timeout_ms",
    "watchdog_kill_timeout_ms",
    "watchdog_multikill_timeout_ms",
    "rate_limit_service",
}
_STATSD = "envoy.config.metrics.v3.StatsdSink"
_ZIPKIN = "envoy.config.trace.v3.ZipkinConfig"


def to_v3(tree: Tree) -> tuple[Tree, list[ConfigProblem]]:
    """A v1 tree as a v3 tree, and what deserves a warning.  Raises ConfigError with all that v1 forbids."""
    content, conversion = _convert(tree)
    return Tree(tree.source, to_node(content, 0), []), conversion.warnings


def convert_v1(text: str, name: str = "v1.json") -> tuple[str, list[str]]:
    """A v1 text as v3 YAML, and the differences in meaning, each a line.

    Raises ConfigError for a text that is no valid v1 configuration.
    """
    tree = parse(text, name)
    if isinstance(tree.root, Mapping) and "static_resources" in tree.root.entries:
        offset = tree.root.entries["static_resources"].offset
        raise ConfigError(
            [tree.source.problem(offset, "static_resources", "this is a v3 configuration already")]
        )
    content, conversion = _convert(tree)
    differences = [str(warning) for warning in (*tree.warnings, *conversion.warnings)]
    return _as_yaml(without_none(content)), differences + list(conversion.notes)


class _Dumper(yaml.SafeDumper):
    """Writes text so that `source.parse`, and Envoy, read text again; and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Repeat what occurs twice, instead of naming it."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None if reads_as_text(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _as_yaml(content: Any) -> str:
    return yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=110
    )


def _convert(tree: Tree) -> tuple[Part, Conversion]:
    conversion = Conversion(tree.source)
    if not isinstance(tree.root, Mapping):
        raise ConfigError([tree.source.problem(tree.root.offset, "", "a v1 configuration is an object")])
    content = _bootstrap(V1Object(tree.root, "", conversion))
    if conversion.problems:
        raise ConfigError(sorted(conversion.problems, key=lambda problem: (problem.line, problem.column)))
    return content, conversion


def _bootstrap(root: V1Object) -> Part:
    conversion = root.conversion
    # These come first: listeners and clusters need them.
    conversion.rate_limit_service = _rate_limit_service(root)
    conversion.tracing_provider = _tracing(root)
    if root.raw("lds") is not None:
        root.problem(
            "listeners polled with the v1 REST API are not implemented: list them in listeners", "lds"
        )
    manager = root.object("cluster_manager", required=True)
    clusters, settings = _cluster_manager(manager) if manager is not None else ([], None)
    listeners = [listener(item) for item in root.objects("listeners", required=True)]
    watchdog = _watchdog(root)
    content = {
        "admin": _admin(root),
        "static_resources": {"listeners": listeners, "clusters": clusters},
        "cluster_manager": settings,
        "flags_path": root.string("flags_path"),
        "stats_sinks": _stats_sinks(root),
        "stats_flush_interval": root.milliseconds("stats_flush_interval_ms"),
        "watchdogs": {"main_thread_watchdog": watchdog, "worker_watchdog": watchdog} if watchdog else None,
        "layered_runtime": _runtime(root),
    }
    return root.v3(content)


def _admin(root: V1Object) -> Part | None:
    admin = root.object("admin", required=True)
    if admin is None:
        return None
    path = admin.string("access_log_path", required=True)
    old = admin.has("port") and not admin.has("address")
    content = {
        "access_log": [file_log(path)] if path is not None else None,
        "profile_path": admin.string("profile_path"),
        "address": old_port(admin) if old else address_of(admin, "address"),
    }
    return admin.v3(content)


def _cluster_manager(manager: V1Object) -> tuple[list[Part], Part | None]:
    """The clusters, that of the SDS first, and the other settings."""
    conversion = manager.conversion
    clusters = []
    sds = manager.object("sds")
    if sds is not None:
        delay = sds.milliseconds("refresh_delay_ms", required=True)
        source = sds.object("cluster", required=True)
        conversion.sds_refresh_delay = delay or ""
        conversion.sds_cluster = ""
        if source is not None:
            clusters.append(cluster(source))
            conversion.sds_cluster = clusters[0]["name"]
            if "cluster_type" in clusters[0]:
                source.problem("the cluster of the SDS cannot be of type sds itself", "type")
        sds.close()
    if manager.raw("cds") is not None:
        manager.problem(
            "clusters polled with the v1 REST API are not implemented: list them in clusters", "cds"
        )
    clusters += [cluster(item) for item in manager.objects("clusters", required=True)]
    names: set[str] = set()
    for made in clusters:
        if made["name"] is not None and made["name"] in names:
            manager.problem(f'there are two clusters of the name "{made["name"]}"', "clusters")
        names.add(made["name"])
    local, outliers = manager.string("local_cluster_name"), manager.object("outlier_detection")
    if local is not None and local not in names:
        manager.problem(f'there is no cluster "{local}"', "local_cluster_name")
    events = (
        outliers.v3({"event_log_path": outliers.string("event_log_path")}) if outliers is not None else None
    )
    settings = manager.v3({"local_cluster_name": local, "outlier_detection": events})
    return clusters, settings if local is not None or events is not None else None


def _stats_sinks(root: V1Object) -> list[dict[str, Any]] | None:
    sinks = []
    address = None
    if root.has("statsd_local_udp_port"):
        port = root.integer("statsd_local_udp_port", True, 1, 65535)
        root.warning(
            f'an old spelling of "statsd_udp_ip_address": "127.0.0.1:{port}"', "statsd_local_udp_port"
        )
        if root.has("statsd_udp_ip_address"):
            root.problem("excludes statsd_udp_ip_address", "statsd_local_udp_port")
        socket = {"protocol": "UDP", "address": "127.0.0.1", "port_value": port}
        address = {"socket_address": socket}
    address = host_port_of(root, "statsd_udp_ip_address", "UDP") or address
    if address is not None:
        sinks.append(typed("envoy.stat_sinks.statsd", _STATSD, {"address": address}))
    cluster_name = root.string("statsd_tcp_cluster_name")
    if cluster_name is not None:
        sinks.append(typed("envoy.stat_sinks.statsd", _STATSD, {"tcp_cluster_name": cluster_name}))
    return sinks or None


def _watchdog(root: V1Object) -> dict[str, Any] | None:
    names = ("miss_timeout", "megamiss_timeout", "kill_timeout", "multikill_timeout")
    found = {name: root.milliseconds(f"watchdog_{name}_ms", low=0) for name in names}
    return found if any(value is not None for value in found.values()) else None


def _runtime(root: V1Object) -> dict[str, Any] | None:
    runtime = root.object("runtime")
    if runtime is None:
        return None
    link = runtime.string("symlink_root", required=True)
    subdirectory = runtime.string("subdirectory", required=True)
    layers = [{"name": "root", "disk_layer": {"symlink_root": link, "subdirectory": subdirectory}}]
    override = runtime.string("override_subdirectory")
    if override is not None:
        disk = {"symlink_root": link, "subdirectory": override, "append_service_cluster": True}
        layers.append({"name": "override", "disk_layer": disk})
    layers.append({"name": "admin", "admin_layer": {}})
    return runtime.v3({"layers": layers})


def _rate_limit_service(root: V1Object) -> dict[str, Any] | None:
    service = root.object("rate_limit_service")
    if service is None:
        return None
    service.choice("type", ("grpc_service",), required=True)
    config = service.object("config", required=True)
    service.close()
    if config is None:
        return None
    name = config.string("cluster_name", required=True)
    root.conversion.note("Rate limits: v1 called pb.lyft.ratelimit, v3 calls envoy.service.ratelimit.v3.")
    return config.v3({"grpc_service": {"envoy_grpc": {"cluster_name": name}}, "transport_api_version": "V3"})


def _tracing(root: V1Object) -> dict[str, Any] | None:
    tracing = root.object("tracing")
    http = tracing.object("http", required=True) if tracing is not None else None
    if http is None:
        return None
    if http.raw("sinks") is not None:
        http.problem('is a spelling from before Envoy 1.3: write "driver"', "sinks")
        return None
    driver = http.object("driver", required=True)
    for outer in (tracing, http):
        if outer is not None:
            outer.close()
    if driver is None:
        return None
    kind = driver.choice("type", ("zipkin", "lightstep"), required=True)
    config = driver.object("config", required=True)
    driver.close()
    if kind == "lightstep":
        text = "LightStep's tracer is no longer in Envoy: use OpenTelemetry, or leave tracing out"
        driver.problem(text, "type")
    if kind != "zipkin" or config is None:
        return None
    content = {
        "collector_cluster": config.string("collector_cluster", required=True),
        "collector_endpoint": config.string("collector_endpoint") or "/api/v2/spans",
        "trace_id_128bit": config.boolean("trace_id_128bit"),
        "collector_endpoint_version": "HTTP_JSON",
    }
    root.conversion.note("Zipkin: v1 sent spans as JSON of Zipkin's API v1; the result sends that of v2.")
    return config.v3(typed("envoy.tracers.zipkin", _ZIPKIN, content))
