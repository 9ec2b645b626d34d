"""Clusters that choose their hosts by themselves: ORIGINAL_DST and aggregate ones (envoy.config.cluster.v3.Cluster,
`lb_policy: CLUSTER_PROVIDED`)."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.model.original_dst import OriginalDstSettings

AGGREGATE = "envoy.extensions.clusters.aggregate.v3.ClusterConfig"
_HEADER = "x-envoy-original-dst-host"


def check_provided(reader: Reader, policy: str) -> None:
    """`reader`: the cluster, `policy`: its load balancing policy.  Whether one goes with the other."""
    name = reader.string("name")
    provided = policy == "CLUSTER_PROVIDED"
    custom = reader.oneof("cluster_discovery_type") == "cluster_type"
    if custom:
        provides = _is_aggregate(reader.message_or_empty("cluster_type"))
    else:
        provides = is_original_dst(reader)
        said = reader.enum("lb_policy")
        if provides and said != "CLUSTER_PROVIDED":
            reader.problem(
                f"cluster: LB policy {said} is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is "
                "allowed with cluster type 'ORIGINAL_DST'",
                "lb_policy",
            )
            return
    if provided and not provides:
        reader.problem(
            f"cluster manager: cluster provided LB specified but cluster '{name}' did not provide one. Check cluster "
            "documentation.",
            "lb_policy",
        )
    elif provides and not provided:
        reader.problem(
            f"cluster manager: cluster provided LB not specified but cluster '{name}' provided one. Check cluster "
            "documentation.",
            "lb_policy",
        )


def _is_aggregate(custom: Reader) -> bool:
    return bool(custom.raw.typed_config.type_url.rpartition("/")[2] == AGGREGATE)


def is_aggregate(reader: Reader) -> bool:
    """`reader`: a cluster."""
    custom = reader.oneof("cluster_discovery_type") == "cluster_type"
    return custom and _is_aggregate(reader.message_or_empty("cluster_type"))


def is_original_dst(reader: Reader) -> bool:
    """`reader`: a cluster."""
    custom = reader.oneof("cluster_discovery_type") == "cluster_type"
    return not custom and reader.enum("type") == "ORIGINAL_DST"


def build_original_dst(reader: Reader) -> OriginalDstSettings:
    """`reader`: the cluster."""
    if reader.has("load_assignment"):
        reader.problem("ORIGINAL_DST clusters must have no load assignment configured", "load_assignment")
        reader.ignore("load_assignment")
    config = reader.message_or_empty("original_dst_lb_config")
    header = config.string("http_header_name")
    if not config.boolean("use_http_header"):
        if header:
            config.problem(
                f"ORIGINAL_DST cluster: invalid config http_header_name={header} and use_http_header is false. Set "
                "use_http_header to true if http_header_name is desired.",
                "http_header_name",
            )
        header = ""
    else:
        header = header.lower() or _HEADER
    key = config.message("metadata_key")
    path: tuple[str, ...] = ()
    if key is not None:
        path = (
            key.string("key"),
            *(one.string("key") for one in key.messages("path") if one.oneof("segment")),
        )
    return OriginalDstSettings(
        header,
        path,
        config.integer("upstream_port_override"),
        reader.duration("cleanup_interval", 5.0),
    )


def build_aggregate(reader: Reader) -> tuple[str, ...] | None:
    """The names of the clusters of an aggregate one; None if it is of another kind.  `reader`: the cluster."""
    if reader.oneof("cluster_discovery_type") != "cluster_type":
        return None
    custom = reader.message_or_empty("cluster_type")
    if not _is_aggregate(custom):
        return None
    # Envoy does not look at any.
    reader.ignore("load_assignment")
    custom.ignore("name")
    config = custom.unpack("typed_config")
    return () if config is None else tuple(config.strings("clusters"))
