"""A bootstrap message to the frozen description that the processes run: `model.bootstrap.Bootstrap`.

One builder a kind of resource, in modules of its own; here is the root.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twistproxy.config.access_logs import build_access_logs
from twistproxy.config.clusters import build_clusters
from twistproxy.config.config_source import read_file_source
from twistproxy.config.dns import build_default_resolver
from twistproxy.config.fields import Reader, Report
from twistproxy.config.http1 import carry_spellings
from twistproxy.config.listener_sockets import listen_options
from twistproxy.config.listeners import build_listeners
from twistproxy.config.matchers import string_matcher
from twistproxy.config.overload import build_overload
from twistproxy.config.runtime import build_runtime
from twistproxy.config.source import collector_paused
from twistproxy.config.statistics import build_statistics
from twistproxy.config.upstream_sockets import build_bind_config
from twistproxy.config.values import address
from twistproxy.errors import ConfigError, ConfigProblem
from twistproxy.model.bootstrap import AdminSettings, Bootstrap, Node, WatchdogSettings
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.server_options import ServerOptions

_RE2 = "envoy.extensions.regex_engines.v3.GoogleRE2"


@collector_paused()
def build_bootstrap(
    source: Any, options: ServerOptions, warn: Callable[[ConfigProblem], None] | None = None
) -> Bootstrap:
    """Build from a `config.load.Document`, or from a message that another process has loaded.

    Raises ConfigError with all problems, placed in the user's text if `source` is a document.  Fields that are set and
    that nothing implements are problems too, or with `--unsupported warn` handed to `warn`.
    """
    message = getattr(source, "message", source)
    place = getattr(source, "place", lambda problem: problem)
    report = Report()
    root = Reader(message, report)
    resources = root.message_or_empty("static_resources")
    manager = root.message_or_empty("cluster_manager")
    bind_config = build_bind_config(manager.message("upstream_bind_config"), "Bootstrap")
    clusters = build_clusters(resources, options, build_default_resolver(root), bind_config)
    _read_dynamic(root)
    _read_inner(root, manager)
    node = _node(root, options)
    bootstrap = carry_spellings(
        Bootstrap(
            node=node,
            admin=_admin(root),
            listeners=build_listeners(resources, {cluster.name for cluster in clusters}, node),
            clusters=clusters,
            stats_flush_interval=root.duration("stats_flush_interval", 5.0),
            runtime=build_runtime(root, node.cluster),
            local_cluster=_local_cluster(root, clusters),
            outlier_log=_outlier_log(root),
            overload=build_overload(root),
            flags_path=root.string("flags_path"),
            watchdog=_watchdog(root),
            stats=build_statistics(root, clusters, node),
        )
    )
    problems = [place(problem) for problem in report.problems]
    unread = [place(problem) for problem in report.unread(root)]
    if options.unsupported == "warn":
        for problem in unread:
            if warn is not None:
                warn(problem)
    else:
        problems += unread
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column)))
    return bootstrap


def _read_inner(root: Reader, manager: Reader) -> None:
    """What is about the insides of a proxy, and has no effect on its traffic here."""
    # Statistics and clusters are made when they are needed first, or at once: nobody can tell but by the memory.
    root.message_or_empty("deferred_stat_options").ignore("enable_deferred_creation_stats")
    manager.ignore("enable_deferred_cluster_creation")
    engine = root.message("default_regex_engine")
    if engine is not None:
        engine.ignore("name")
        config = engine.unpack("typed_config")
        if config is not None and config.type_name != _RE2:
            engine.refuse(
                "typed_config", f"{config.type_name} is not implemented; regular expressions are RE2's"
            )
        elif config is not None:
            config.ignore("max_program_size")


def _read_dynamic(root: Reader) -> None:
    """What comes from files is there already (`config.file_resources`)."""
    dynamic = root.message("dynamic_resources")
    if dynamic is None:
        return
    for field, what in (("cds_config", "clusters"), ("lds_config", "listeners")):
        source = dynamic.message(field)
        if source is not None:
            read_file_source(source, what)


def _outlier_log(root: Reader) -> str:
    manager = root.message("cluster_manager")
    found = None if manager is None else manager.message("outlier_detection")
    return "" if found is None else found.string("event_log_path")


def _watchdog(root: Reader) -> WatchdogSettings:
    """Workers are watched from the master, which nobody watches."""
    watchdog = root.message("watchdog")  # the old field, for all threads
    if watchdog is None:
        watchdog = root.message_or_empty("watchdogs").message_or_empty("worker_watchdog")
    return WatchdogSettings(
        watchdog.duration("miss_timeout", 0.2), watchdog.duration("megamiss_timeout", 1.0)
    )


def _node(root: Reader, options: ServerOptions) -> Node:
    """The command line wins over the file, as in Envoy."""
    node = root.message_or_empty("node")
    locality = node.message_or_empty("locality")
    # What a control plane is told about us; there is none to tell yet.
    node.ignore(
        "metadata", "user_agent_name", "user_agent_version", "user_agent_build_version", "client_features"
    )
    return Node(
        id=_first(options.service_node, node.string("id")),
        cluster=_first(options.service_cluster, node.string("cluster")),
        zone=_first(options.service_zone, locality.string("zone")),
        region=locality.string("region"),
        sub_zone=locality.string("sub_zone"),
    )


def _first(told: str, written: str) -> str:
    """`written` has been read in any case: what the command line replaces is no field that nobody knows."""
    return told or written


def _local_cluster(root: Reader, clusters: tuple[ClusterSettings, ...]) -> str:
    manager = root.message("cluster_manager")
    if manager is None:
        return ""
    name = manager.string("local_cluster_name")
    if name and name not in {cluster.name for cluster in clusters}:
        manager.problem(f"local cluster '{name}' must be defined", "local_cluster_name")
    return name


def _admin(root: Reader) -> AdminSettings:
    admin = root.message("admin")
    if admin is None:
        return AdminSettings()
    # Envoy's CPU profiler writes to profile_path; there is none here to write anything.  The master serves the admin,
    # and no limit of downstream connections holds there.
    admin.ignore("profile_path", "ignore_global_conn_limit")
    paths = [log.path for log in build_access_logs(admin)]
    old_path = admin.string("access_log_path")
    if old_path:
        paths.append(old_path)
    where = admin.message("address")
    return AdminSettings(
        address=None if where is None else address(where),
        access_log_paths=tuple(path for path in paths if path),
        allow_paths=tuple(string_matcher(one) for one in admin.messages("allow_paths")),
        options=listen_options(admin),
    )
