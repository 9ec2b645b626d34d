"""How a cluster spreads its requests: the balancing fields of envoy.config.cluster.v3, and the extensions
envoy.extensions.load_balancing_policies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from twistproxy.config.fields import Reader
from twistproxy.config.hash_policies import build_hash_policies
from twistproxy.config.subsets import build_subsets
from twistproxy.model.cluster import MaglevSettings, RingHashSettings
from twistproxy.model.subsets import SubsetSettings

_POLICIES = ("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV")
_EXTENSIONS = {
    "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin": "ROUND_ROBIN",
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest": "LEAST_REQUEST",
    "envoy.extensions.load_balancing_policies.random.v3.Random": "RANDOM",
    "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash": "RING_HASH",
    "envoy.extensions.load_balancing_policies.maglev.v3.Maglev": "MAGLEV",
    "envoy.extensions.load_balancing_policies.subset.v3.Subset": "SUBSET",
}
#: The lb_config that goes with a policy; Envoy takes any other and does not look at it.
_CONFIGS = {
    "LEAST_REQUEST": "least_request_lb_config",
    "RING_HASH": "ring_hash_lb_config",
    "MAGLEV": "maglev_lb_config",
    "ROUND_ROBIN": "round_robin_lb_config",
}


@dataclass(frozen=True, slots=True)
class Balancing:
    """`choices` of LEAST_REQUEST; `hashing` of RING_HASH and MAGLEV; `subsets` of any."""

    policy: str
    choices: int = 2
    hashing: RingHashSettings | MaglevSettings | None = None
    subsets: SubsetSettings | None = None


def build_balancing(reader: Reader) -> Balancing:
    """`reader`: the cluster."""
    extensions = reader.message("load_balancing_policy")
    if extensions is not None:
        return _from_extensions(reader, extensions)
    policy = reader.enum("lb_policy")
    if policy == "LOAD_BALANCING_POLICY_CONFIG":
        reader.problem("cluster: field load_balancing_policy need to be set", "load_balancing_policy")
    elif policy not in _POLICIES:
        reader.problem(f"{policy} is not implemented; {', '.join(_POLICIES)} are", "lb_policy")
    kind = reader.oneof("lb_config")
    empty = type(reader.raw)()
    place = reader if kind is not None and _CONFIGS.get(policy) == kind else Reader(empty, reader.report)
    name = _CONFIGS.get(policy, "round_robin_lb_config")
    common = reader.message("common_lb_config")
    consistent = None if common is None else common.message("consistent_hashing_lb_config")
    named = consistent is not None and consistent.boolean("use_hostname_for_hashing")
    if named and (
        reader.oneof("cluster_discovery_type") == "cluster_type" or reader.enum("type") != "STRICT_DNS"
    ):
        reader.problem(
            "Cannot use hostname for consistent hashing loadbalancing for a cluster of any type but STRICT_DNS",
            "common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing",
        )
    balancing = _balancing(policy, place.message_or_empty(name), consistent)
    subsets = reader.message("lb_subset_config")
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
    if cluster.has("common_lb_config"):
        common = cluster.message_or_empty("common_lb_config")
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
        return Balancing("ROUND_ROBIN")
    kind, config = found
    if kind == "SUBSET":
        inner = build_policies(config.message_or_empty("subset_lb_policy"))
        return replace(inner, subsets=build_subsets(config))
    hashing = kind in ("RING_HASH", "MAGLEV")
    return _balancing(kind, config, config.message("consistent_hashing_lb_config") if hashing else None)


def _balancing(policy: str, config: Reader, consistent: Reader | None) -> Balancing:
    """`config`: the fields of this policy; `consistent`: what all hashing policies have."""
    if policy == "LEAST_REQUEST":
        return Balancing(policy, choices=config.integer("choice_count", 2))
    if policy == "RING_HASH":
        return Balancing(policy, hashing=_ring(config, consistent))
    if policy == "MAGLEV":
        size = config.integer("table_size", 65537)
        if not _is_prime(size):
            config.problem("The table size of maglev must be prime number", "table_size")
        return Balancing(policy, hashing=MaglevSettings(size, **_consistent(consistent)))
    return Balancing(policy)


def _ring(config: Reader, consistent: Reader | None) -> RingHashSettings:
    lowest = config.integer("minimum_ring_size", 1024)
    highest = config.integer("maximum_ring_size", 8 * 1024 * 1024)
    if lowest > highest:
        config.problem(
            f"ring hash: minimum_ring_size ({lowest}) > maximum_ring_size ({highest})", "minimum_ring_size"
        )
    murmur = config.enum("hash_function") == "MURMUR_HASH_2"
    fields = {field.name for field in config.raw.DESCRIPTOR.fields}
    if consistent is None and "hash_balance_factor" in fields:  # the extension's own, deprecated
        consistent = config
    return RingHashSettings(lowest, highest, murmur, **_consistent(consistent))


def _consistent(reader: Reader | None) -> dict[str, Any]:
    if reader is None:
        return {}
    has_policies = "hash_policy" in {field.name for field in reader.raw.DESCRIPTOR.fields}
    return {
        "policies": build_hash_policies(reader.messages("hash_policy")) if has_policies else (),
        "use_hostname": reader.boolean("use_hostname_for_hashing"),
        "balance_factor": reader.integer("hash_balance_factor", 0),
    }


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % other for other in range(2, int(number**0.5) + 1))
