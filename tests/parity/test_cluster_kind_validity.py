"""Which settings of subsets, ORIGINAL_DST and aggregate clusters are taken: the verdict of both engines on one cluster
or route at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_forwarding_validity import _EXTENSION, POLICY, check, with_route
from .test_forwarding_validity import bootstrap as with_cluster

pytestmark = pytest.mark.parity
SUBSETS = "lb_subset_config: {subset_selectors: [%s]}"
KEYS = "{keys: [a, b], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [%s]}"
ROUND_ROBIN = POLICY % (_EXTENSION, "round_robin.v3.RoundRobin")
EXTENSION = POLICY % (_EXTENSION, "subset.v3.Subset, subset_selectors: [{keys: [a]}]%s")

#: What is said of the cluster beyond a name and one host → whether it is taken.
CASES = {
    "lb_subset_config: {}": True,
    "lb_subset_config: {fallback_policy: DEFAULT_SUBSET}": True,
    SUBSETS % "": True,
    SUBSETS % "{}": True,
    SUBSETS % "{keys: []}": True,
    SUBSETS % "{keys: [a, a]}": True,
    SUBSETS % "{keys: ['']}": True,
    SUBSETS % "{keys: [a]}, {keys: [a]}": True,
    SUBSETS % "{keys: [a, b], single_host_per_subset: true}": True,
    SUBSETS % "{keys: [a], fallback_policy: KEYS_SUBSET}": False,
    SUBSETS % (KEYS % "a"): True,
    SUBSETS % (KEYS % "a, b"): False,
    SUBSETS % (KEYS % "c"): False,
    SUBSETS % (KEYS % "a, a"): True,
    SUBSETS % "{keys: [a, b], fallback_policy: ANY_ENDPOINT, fallback_keys_subset: [a]}": False,
    "lb_subset_config: {locality_weight_aware: true}": False,
    "lb_subset_config: {locality_weight_aware: true, subset_selectors: [{keys: [a]}]}": False,
    "lb_subset_config: {scale_locality_weight: true, subset_selectors: [{keys: [a]}]}": True,
    "{lb_policy: RING_HASH, lb_subset_config: {subset_selectors: [{keys: [a]}]}}": True,
    "{lb_policy: MAGLEV, lb_subset_config: {subset_selectors: [{keys: [a]}]}}": True,
    "{lb_policy: CLUSTER_PROVIDED, lb_subset_config: {subset_selectors: [{keys: [a]}]}}": False,
    "lb_policy: CLUSTER_PROVIDED": False,
    SUBSETS % "{keys: [a]}" + "\n" + ROUND_ROBIN: False,
    "lb_subset_config: {}\n" + ROUND_ROBIN: False,
    EXTENSION % "": False,
    EXTENSION % ", subset_lb_policy: {}": False,
    EXTENSION
    % (
        ", subset_lb_policy: {policies: [{typed_extension_config: {name: p, typed_config: "
        "{'@type': type.googleapis.com/envoy.extensions.load_balancing_policies.random.v3.Random}}}]}"
    ): True,
    POLICY % (_EXTENSION, "cluster_provided.v3.ClusterProvided"): False,
}
PROVIDED = POLICY % (_EXTENSION, "cluster_provided.v3.ClusterProvided")
ORIGINAL = "{type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, %s}"
AGGREGATE = "lb_policy: %s\ncluster_type: {name: any, typed_config: {'@type': %s, clusters: %s}}"
_AGGREGATE = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"
#: What is said of a cluster without hosts → whether it is taken.
PROVIDING = {
    "type: ORIGINAL_DST": False,
    ORIGINAL % "": True,
    "type: ORIGINAL_DST\n" + PROVIDED: False,
    "type: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\n" + PROVIDED: True,
    "type: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\n" + ROUND_ROBIN: False,
    ORIGINAL % "load_assignment: {cluster_name: a}": False,
    ORIGINAL % "original_dst_lb_config: {http_header_name: a}": False,
    ORIGINAL % "original_dst_lb_config: {use_http_header: true, http_header_name: 'A b'}": True,
    ORIGINAL % "original_dst_lb_config: {upstream_port_override: 65536}": False,
    ORIGINAL % "original_dst_lb_config: {upstream_port_override: 0}": True,
    ORIGINAL % "original_dst_lb_config: {metadata_key: {key: a}}": False,
    ORIGINAL % "original_dst_lb_config: {metadata_key: {key: a, path: [{}]}}": False,
    ORIGINAL % "original_dst_lb_config: {metadata_key: {key: a, path: [{key: b}]}}": True,
    ORIGINAL % "cleanup_interval: 0s": False,
    ORIGINAL % "lb_subset_config: {}": True,
    AGGREGATE % ("CLUSTER_PROVIDED", _AGGREGATE, "[b, c]"): True,
    AGGREGATE % ("CLUSTER_PROVIDED", _AGGREGATE, "[a]"): True,
    AGGREGATE % ("CLUSTER_PROVIDED", _AGGREGATE, "[]"): False,
    AGGREGATE % ("ROUND_ROBIN", _AGGREGATE, "[b]"): False,
    AGGREGATE % ("ROUND_ROBIN", _AGGREGATE, "[b]") + "\n" + PROVIDED: True,
    AGGREGATE % ("CLUSTER_PROVIDED", _AGGREGATE, "[b]") + "\n" + ROUND_ROBIN: False,
    ORIGINAL % "lb_subset_config: {subset_selectors: [{keys: [a]}]}": False,
}
#: What is said of a route to the cluster "a" → whether it is taken.
ROUTES = {
    "metadata_match: {filter_metadata: {envoy.lb: {a: b}}}": True,
    "metadata_match: {filter_metadata: {other: {a: b}}}": True,
    "metadata_match: {}": True,
}


@pytest.mark.parametrize("fields", CASES, ids=lambda text: text[:100])
def test_clusters(fields: str, tmp_path: Path) -> None:
    check(with_cluster(fields), CASES[fields], False, tmp_path / "c.json")


@pytest.mark.parametrize("fields", PROVIDING, ids=lambda text: text[:120])
def test_clusters_with_a_choice_of_their_own(fields: str, tmp_path: Path) -> None:
    config = with_cluster(fields)
    if "cluster_type" in fields:
        del config["static_resources"]["clusters"][0]["type"]
    if "load_assignment" not in fields:
        del config["static_resources"]["clusters"][0]["load_assignment"]
    check(config, PROVIDING[fields], False, tmp_path / "c.json")


@pytest.mark.parametrize("fields", ROUTES, ids=lambda text: text[:70])
def test_routes(fields: str, tmp_path: Path) -> None:
    check(with_route(fields), ROUTES[fields], False, tmp_path / "c.json")
