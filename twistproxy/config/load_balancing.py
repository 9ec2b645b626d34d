"""How a cluster spreads its requests: the balancing fields of envoy.config.cluster.v3, and the extensions
envoy.extensions.load_balancing_policies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twistproxy.config.fields import Reader
from twistproxy.config.hash_policies import build_hash_policies
from twistproxy.config.subsets import build_subsets
from twistproxy.model.balancing import (
    Balancing,
    LeastRequestSettings,
    MaglevSettings,
    OverrideSource,
    RingHashSettings,
    SlowStartSettings,
    ZoneAwareSettings,
)

_POLICIES = ("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV", "CLUSTER_PROVIDED")
_EXTENSIONS = {
    "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin": "ROUND_ROBIN",
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest": "LEAST_REQUEST",
    "envoy.extensions.load_balancing_policies.random.v3.Random": "RANDOM",
    "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash": "RING_HASH",
    "envoy.extensions.load_balancing_policies.maglev.v3.Maglev": "MAGLEV",
    "envoy.extensions.load_balancing_policies.subset.v3.Subset": "SUBSET",
    "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost": "OVERRIDE_HOST",
    "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided": "CLUSTER_PROVIDED",
}
#: The lb_config that goes with a policy; Envoy takes any other and does not look at it.
_CONFIGS = {
    "LEAST_REQUEST": "least_request_lb_config",
    "RING_HASH": "ring_hash_lb_config",
    "MAGLEV": "maglev_lb_config",
    "ROUND_ROBIN": "round_robin_lb_config",
}


def build_balancing(reader: Reader) -> Balancing:
    """`reader`: the cluster."""
    extensions = reader.message("load_balancing_policy")
    common = reader.message("common_lb_config")
    threshold = 50
    if common is not None:
        threshold = _rounded(common.number("healthy_panic_threshold", 50.0))
        # Hosts and their health are always taken as soon as they are known: nothing waits to be merged.
        common.ignore("update_merge_window")
    if extensions is not None:
        found = _from_extensions(reader, extensions)
    else:
        found = _from_cluster(reader, common)
    return replace(found, panic_threshold=threshold)


def _from_cluster(reader: Reader, common: Reader | None) -> Balancing:
    """By the fields of the cluster itself."""
    policy = reader.enum("lb_policy")
    if policy == "LOAD_BALANCING_POLICY_CONFIG":
        reader.problem("cluster: field load_balancing_policy need to be set", "load_balancing_policy")
    elif policy not in _POLICIES:
        reader.problem(f"{policy} is not implemented; {', '.join(_POLICIES)} are", "lb_policy")
    kind = reader.oneof("lb_config")
    empty = type(reader.raw)()
    place = reader if kind is not None and _CONFIGS.get(policy) == kind else Reader(empty, reader.report)
    name = _CONFIGS.get(policy, "round_robin_lb_config")
    consistent = None if common is None else common.message("consistent_hashing_lb_config")
    named = consistent is not None and consistent.boolean("use_hostname_for_hashing")
    if named and (
        reader.oneof("cluster_discovery_type") == "cluster_type" or reader.enum("type") != "STRICT_DNS"
    ):
        reader.problem(
            "Cannot use hostname for consistent hashing loadbalancing for a cluster of any type but STRICT_DNS",
            "common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing",
        )
    if policy == "CLUSTER_PROVIDED":
        balancing = Balancing(policy)
    else:
        balancing = _balancing(policy, place.message_or_empty(name), consistent, common)
    subsets = reader.message("lb_subset_config")
    if policy == "CLUSTER_PROVIDED" and build_subsets(subsets) is not None:
        reader.problem(
            "cluster: LB policy CLUSTER_PROVIDED cannot be combined with lb_subset_config", "lb_subset_config"
        )
    if (
        subsets is not None
        and subsets.boolean("locality_weight_aware")
        and not (common is not None and common.has("locality_weighted_lb_config"))
    ):
        reader.problem(
            "Locality weight aware subset LB requires that a locality_weighted_lb_config be set in "
            f"{reader.string('name')}",
            "lb_subset_config.locality_weight_aware",
        )
    return replace(balancing, subsets=build_subsets(subsets))


def _from_extensions(cluster: Reader, policy: Reader) -> Balancing:
    """By `load_balancing_policy`."""
    cluster.ignore("lb_policy")
    common = cluster.message("common_lb_config")
    if common is not None:
        partial = ("zone_aware_lb_config", "locality_weighted_lb_config", "consistent_hashing_lb_config")
        if any(common.has(field) for field in partial):
            cluster.problem(
                f"cluster: load_balancing_policy cannot be combined with partial fields({', '.join(partial)}) "
                "of common_lb_config",
                "load_balancing_policy",
            )
            common.ignore(*partial)
    return build_policies(policy)


def build_policies(policy: Reader) -> Balancing:
    """The first of an envoy.config.cluster.v3.LoadBalancingPolicy that is known, as Envoy; a known one after it is not
    looked at."""
    found: tuple[str, Reader] | None = None
    for one in policy.messages("policies"):
        extension = one.message_or_empty("typed_extension_config")
        extension.ignore("name")
        if found is not None:
            one.ignore("typed_extension_config")
            continue
        type_name = extension.raw.typed_config.type_url.rpartition("/")[2]
        config = extension.unpack("typed_config") if type_name in _EXTENSIONS else None
        if config is not None:
            found = _EXTENSIONS[type_name], config
        else:
            extension.ignore("typed_config")
    if found is None:
        policy.problem(
            "cluster: didn't find a registered load balancer factory among the policies; "
            f"{', '.join(_EXTENSIONS)} are implemented"
        )
        return Balancing()
    kind, config = found
    if kind == "CLUSTER_PROVIDED":
        return Balancing(kind)
    if kind == "SUBSET":
        inner = build_policies(config.message_or_empty("subset_lb_policy"))
        if inner.overrides:
            config.problem("override_host is implemented for whole clusters only", "subset_lb_policy")
        return replace(inner, subsets=build_subsets(config))
    if kind == "OVERRIDE_HOST":
        inner = build_policies(config.message_or_empty("fallback_policy"))
        if inner.overrides:
            config.problem("override_host cannot be its own fallback", "fallback_policy")
        return replace(inner, overrides=_overrides(config))
    hashing = kind in ("RING_HASH", "MAGLEV")
    if hashing:  # a field of its own, as localities are never near or far to a hash
        return _balancing(kind, config, config.message("consistent_hashing_lb_config"), config)
    return _balancing(kind, config, None, config.message("locality_lb_config"))


def _balancing(policy: str, config: Reader, consistent: Reader | None, locality: Reader | None) -> Balancing:
    """config      the fields of this policy
    consistent  what all hashing policies have
    locality    where `locality_weighted_lb_config` and `zone_aware_lb_config` are
    """
    found = Balancing(policy, locality_weighted=locality is not None and _is_set(locality))
    if policy == "RING_HASH":
        return replace(found, hashing=_ring(config, consistent))
    if policy == "MAGLEV":
        size = config.integer("table_size", 65537)
        if not _is_prime(size):
            config.problem("The table size of maglev must be prime number", "table_size")
        return replace(found, hashing=MaglevSettings(size, **_consistent(consistent)))
    zones = None if locality is None else locality.message("zone_aware_lb_config")
    if zones is not None:
        fails = zones.boolean("fail_traffic_on_panic")
        found = replace(found, zone_aware=_zone_aware(zones), fail_on_panic=fails)
    if policy == "RANDOM":
        return found
    found = replace(found, slow_start=_slow_start(config.message("slow_start_config")))
    return replace(found, least_request=_least_request(config)) if policy == "LEAST_REQUEST" else found


def _overrides(config: Reader) -> tuple[OverrideSource, ...]:
    found = []
    for one in config.messages("override_host_sources"):
        header = one.string("header").lower()
        metadata = one.message("metadata")
        if header and metadata is not None:
            one.problem("Only one override source must be set")
            one.ignore_all()
        elif metadata is not None:
            path = tuple([segment.string("key") for segment in metadata.messages("path")])
            found.append(OverrideSource(key=metadata.string("key"), path=path))
        elif header:
            found.append(OverrideSource(header))
        else:
            one.problem("Empty override source")
    return tuple(found)


def _is_set(locality: Reader) -> bool:
    return locality.message("locality_weighted_lb_config") is not None


def _least_request(config: Reader) -> LeastRequestSettings:
    bias, key = _runtime_double(config.message("active_request_bias"), 1.0)
    full = False
    if _knows(config, "selection_method"):
        full = config.enum("selection_method") == "FULL_SCAN"
        if config.boolean("enable_full_scan"):
            config.problem("Envoy does nothing with it; use selection_method: FULL_SCAN", "enable_full_scan")
    return LeastRequestSettings(config.integer("choice_count", 2), full, bias, key)


def _slow_start(reader: Reader | None) -> SlowStartSettings | None:
    """None without a window."""
    if reader is None:
        return None
    aggression, key = _runtime_double(reader.message("aggression"), 1.0)
    least = reader.number("min_weight_percent", 10.0) / 100
    window = int(reader.duration("slow_start_window", 0.0) * 1000) / 1000
    return SlowStartSettings(window, aggression, key, least) if window else None


def _zone_aware(reader: Reader) -> ZoneAwareSettings:
    forced = 0
    by_weight = False
    if _knows(reader, "force_local_zone"):
        by_weight = reader.enum("locality_basis") == "HEALTHY_HOSTS_WEIGHT"
        forced = int(reader.boolean("force_locality_direct_routing"))
        local = reader.message("force_local_zone")
        if local is not None:
            forced = local.integer("min_size", 1)
    return ZoneAwareSettings(
        routing_enabled=_rounded(reader.number("routing_enabled", 100.0)),
        min_cluster_size=reader.integer("min_cluster_size", 6),
        force_local_size=forced,
        by_weight=by_weight,
    )


def _runtime_double(reader: Reader | None, default: float) -> tuple[float, str]:
    """envoy.config.core.v3.RuntimeDouble: the value, and the key of the runtime value that goes before it."""
    if reader is None:
        return default, ""
    return reader.number("default_value", 0.0), reader.string("runtime_key")


def _knows(reader: Reader, name: str) -> bool:
    """Whether the message has such a field: the extensions have some that the cluster's own messages have not."""
    return name in reader.raw.DESCRIPTOR.fields_by_name


def _rounded(per_cent: float) -> int:
    return int(per_cent + 0.5)


def _ring(config: Reader, consistent: Reader | None) -> RingHashSettings:
    lowest = config.integer("minimum_ring_size", 1024)
    highest = config.integer("maximum_ring_size", 8 * 1024 * 1024)
    if lowest > highest:
        config.problem(
            f"ring hash: minimum_ring_size ({lowest}) > maximum_ring_size ({highest})", "minimum_ring_size"
        )
    murmur = config.enum("hash_function") == "MURMUR_HASH_2"
    if consistent is None and _knows(config, "hash_balance_factor"):  # the extension's own, deprecated
        consistent = config
    return RingHashSettings(lowest, highest, murmur, **_consistent(consistent))


def _consistent(reader: Reader | None) -> dict[str, Any]:
    if reader is None:
        return {}
    policies = reader.messages("hash_policy") if _knows(reader, "hash_policy") else []
    return {
        "policies": build_hash_policies(policies),
        "use_hostname": reader.boolean("use_hostname_for_hashing"),
        "balance_factor": reader.integer("hash_balance_factor", 0),
    }


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % other for other in range(2, int(number**0.5) + 1))
