"""`stats_config`, `stats_sinks` and `stats_flush_on_admin` of a bootstrap to `model.statistics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from twistproxy.config.fields import Reader
from twistproxy.config.matchers import string_matcher
from twistproxy.config.values import socket_address
from twistproxy.model.address import TcpAddress
from twistproxy.model.bootstrap import Node
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.statistics import BucketRule, StatMatch, StatsdSettings, StatsSettings, TagRule
from twistproxy.observe.stat_names import DEFAULT_TAGS
from twistproxy.primitives.expression import BadExpression, ecmascript

_PREFIX = "envoy"
_STATSD = "envoy.config.metrics.v3.StatsdSink"
_DOG = "envoy.config.metrics.v3.DogStatsdSink"
_GRAPHITE = "envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink"


def build_statistics(root: Reader, clusters: Iterable[ClusterSettings], node: Node) -> StatsSettings:
    """`clusters` and `node`: what a statsd server that is reached by TCP is one of, and who we are to it."""
    config = root.message_or_empty("stats_config")
    every_tag = config.choice("use_all_default_tags")
    known = {cluster.name: cluster for cluster in clusters}
    sinks = [_sink(one, known, node) for one in root.messages("stats_sinks")]
    return StatsSettings(
        default_tags=every_tag is not False,
        tags=tuple(rule for one in config.messages("stats_tags") for rule in _tag(one)),
        shown=_matcher(config.message("stats_matcher")),
        buckets=tuple(_buckets(one) for one in config.messages("histogram_bucket_settings")),
        sinks=tuple(sink for sink in sinks if sink is not None),
        flush_on_admin=root.boolean("stats_flush_on_admin"),
    )


def _tag(reader: Reader) -> Iterator[TagRule]:
    """A rule without pattern is Envoy's own of that name."""
    name = reader.string("tag_name")
    kind = reader.oneof("tag_value")
    pattern = reader.string("regex") if kind == "regex" else ""
    if pattern and not name:
        reader.problem("tag_name cannot be empty", "tag_name")
    if kind == "fixed_value":
        yield TagRule(name, reader.string("fixed_value"))
    elif pattern:
        try:
            groups = ecmascript(pattern).groups
        except BadExpression as error:
            reader.problem(f"Invalid regex '{pattern}': {error}", "regex")
        else:
            if not groups:
                reader.problem(f"'{pattern}' has no group that says what the tag is", "regex")
            yield TagRule(name, pattern=pattern)
    elif name in DEFAULT_TAGS:
        yield TagRule(name)
    else:
        reader.problem(
            f"No regex specified for tag specifier and no default regex for name: '{name}'", "tag_name"
        )


def _matcher(reader: Reader | None) -> StatMatch | None:
    kind = None if reader is None else reader.oneof("stats_matcher")
    if reader is None or kind is None:
        return None
    if kind == "reject_all":
        return StatMatch((), not reader.boolean("reject_all"))
    patterns = reader.message_or_empty(kind).messages("patterns")
    return StatMatch(tuple(string_matcher(one) for one in patterns), kind == "exclusion_list")


def _buckets(reader: Reader) -> BucketRule:
    bounds = sorted(reader.numbers("buckets"))
    return BucketRule(string_matcher(reader.message_or_empty("match")), tuple(bounds))


def _sink(reader: Reader, clusters: dict[str, ClusterSettings], node: Node) -> StatsdSettings | None:
    name = reader.string("name")
    settings = reader.unpack("typed_config")
    if settings is None:
        reader.problem(f"Didn't find a registered implementation for '{name}'", "name")
        return None
    kind = settings.raw.DESCRIPTOR.full_name
    if kind not in (_STATSD, _DOG, _GRAPHITE):
        settings.refuse(None)
        settings.ignore_all()
        return None
    prefix = settings.string("prefix") or _PREFIX
    if kind == _STATSD and settings.oneof("statsd_specifier") == "tcp_cluster_name":
        return StatsdSettings(prefix, tcp=_hosts(settings, clusters, node))
    where = settings.message_or_empty("address").message("socket_address")
    if where is None:
        settings.problem("the socket_address of a statsd server is needed", "address")
        return None
    udp = socket_address(where, protocol="UDP")
    if kind == _STATSD:
        return StatsdSettings(prefix, udp=udp)
    return StatsdSettings(
        prefix, "dog" if kind == _DOG else "graphite", udp, (), settings.integer("max_bytes_per_datagram", 0)
    )


def _hosts(settings: Reader, clusters: dict[str, ClusterSettings], node: Node) -> tuple[TcpAddress, ...]:
    """The master, which sends the statistics, has no clusters that others discover for it."""
    field = "tcp_cluster_name"
    name = settings.string(field)
    if not node.id or not node.cluster:
        settings.problem(
            "tcp statsd: node 'id' and 'cluster' are required. Set it either in 'node' config or via --service-node "
            "and --service-cluster options.",
            field,
        )
    cluster = clusters.get(name)
    if cluster is None:
        settings.problem(f"tcp statsd: unknown cluster '{name}'", field)
        return ()
    found = tuple(one.address for one in cluster.endpoints if isinstance(one.address, TcpAddress))
    if not found:
        settings.refuse(field, f"is not implemented for '{name}': the hosts of a STATIC cluster are needed")
    return found
