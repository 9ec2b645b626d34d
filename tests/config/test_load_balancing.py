"""What clusters say of balancing, and what of it is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf import json_format

from twistproxy.config.fields import Reader, Report
from twistproxy.config.load_balancing import build_balancing
from twistproxy.config.types import message_class
from twistproxy.model.balancing import (
    Balancing,
    LeastRequestSettings,
    OverrideSource,
    SlowStartSettings,
    ZoneAwareSettings,
)


def built(text: str) -> tuple[Balancing, list[str]]:
    """The balancing of a cluster, and the paths of what is wrong or not implemented."""
    report = Report()
    message = json_format.ParseDict(yaml.safe_load(text) or {}, cluster_pb2.Cluster())
    reader = Reader(message, report)
    found = build_balancing(reader)
    return found, [one.path for one in report.problems + report.unread(reader)]


def extension(name: str, message: str, fields: str = "{}") -> str:
    kind = f"envoy.extensions.load_balancing_policies.{name}.v3.{message}"
    assert message_class(kind) is not None  # which makes it known
    typed: dict[str, Any] = {"@type": f"type.googleapis.com/{kind}", **yaml.safe_load(fields)}
    one = {"typed_extension_config": {"name": name, "typed_config": typed}}
    return yaml.safe_dump({"load_balancing_policy": {"policies": [one]}})


def override(source: str) -> str:
    """One source, and RANDOM for the rest."""
    fallback = extension("random", "Random")
    fields = yaml.safe_dump(
        {
            "override_host_sources": [yaml.safe_load(source)],
            "fallback_policy": yaml.safe_load(fallback)["load_balancing_policy"],
        }
    )
    return extension("override_host", "OverrideHost", fields)


OVERRIDE = "load_balancing_policy.policies[0].typed_extension_config.typed_config"
SLOW = "{slow_start_window: 2.5s, aggression: {default_value: 2.0, runtime_key: k}, min_weight_percent: {value: 5}}"
BUILT = SlowStartSettings(2.5, 2.0, "k", 0.05)

TAKEN: dict[str, Balancing] = {
    "{}": Balancing(),
    f"round_robin_lb_config: {{slow_start_config: {SLOW}}}": Balancing(slow_start=BUILT),
    "round_robin_lb_config: {slow_start_config: {}}": Balancing(),
    "{lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 5, active_request_bias: "
    "{default_value: 0.5, runtime_key: b}}}": Balancing(
        "LEAST_REQUEST", LeastRequestSettings(5, False, 0.5, "b")
    ),
    "common_lb_config: {healthy_panic_threshold: {value: 33.5}, update_merge_window: 1s}": Balancing(
        panic_threshold=34
    ),
    "common_lb_config: {healthy_panic_threshold: {value: 0}}": Balancing(panic_threshold=0),
    "common_lb_config: {locality_weighted_lb_config: {}}": Balancing(locality_weighted=True),
    "common_lb_config: {zone_aware_lb_config: {routing_enabled: {value: 0}, min_cluster_size: 0, "
    "fail_traffic_on_panic: true}}": Balancing(zone_aware=ZoneAwareSettings(0, 0), fail_on_panic=True),
    extension(
        "least_request", "LeastRequest", f"{{slow_start_config: {SLOW}, selection_method: FULL_SCAN}}"
    ): (Balancing("LEAST_REQUEST", LeastRequestSettings(full_scan=True), slow_start=BUILT)),
    override("{header: X-Host}"): Balancing("RANDOM", overrides=(OverrideSource("x-host"),)),
    override("{metadata: {key: a, path: [{key: b}, {key: c}]}}"): Balancing(
        "RANDOM", overrides=(OverrideSource(key="a", path=("b", "c")),)
    ),
    extension(
        "random", "Random", "{locality_lb_config: {zone_aware_lb_config: {force_local_zone: {min_size: 3}}}}"
    ): Balancing("RANDOM", zone_aware=ZoneAwareSettings(force_local_size=3)),
    extension(
        "random",
        "Random",
        "{locality_lb_config: {zone_aware_lb_config: {force_locality_direct_routing: true}}}",
    ): Balancing("RANDOM", zone_aware=ZoneAwareSettings(force_local_size=1)),
    extension(
        "round_robin",
        "RoundRobin",
        "{locality_lb_config: {zone_aware_lb_config: {locality_basis: HEALTHY_HOSTS_WEIGHT}}}",
    ): Balancing(zone_aware=ZoneAwareSettings(by_weight=True)),
    extension(
        "round_robin", "RoundRobin", "{locality_lb_config: {locality_weighted_lb_config: {}}}"
    ): Balancing(locality_weighted=True),
}


@pytest.mark.parametrize("text", TAKEN)
def test_taken(text: str) -> None:
    assert built(text) == (TAKEN[text], [])


def test_locality_weights_of_tables() -> None:
    for text in (
        "{lb_policy: RING_HASH, common_lb_config: {locality_weighted_lb_config: {}}}",
        extension("maglev", "Maglev", "{locality_weighted_lb_config: {}}"),
    ):
        found, problems = built(text)
        assert found.locality_weighted
        assert not problems


REFUSED = {
    "common_lb_config: {override_host_status: {statuses: [HEALTHY]}}": "common_lb_config.override_host_status",
    "{lb_policy: RING_HASH, common_lb_config: {zone_aware_lb_config: {}}}": "common_lb_config.zone_aware_lb_config",
    "{lb_policy: RANDOM, round_robin_lb_config: {}}": "round_robin_lb_config",
    extension("least_request", "LeastRequest", "{enable_full_scan: true}"): (
        "load_balancing_policy.policies[0].typed_extension_config.typed_config.enable_full_scan"
    ),
    extension("wrr_locality", "WrrLocality"): "load_balancing_policy",
    override("{}"): f"{OVERRIDE}.override_host_sources[0]",
    override("{header: x, metadata: {key: a, path: [{key: b}]}}"): f"{OVERRIDE}.override_host_sources[0]",
    extension("pick_first", "PickFirst"): "load_balancing_policy",
    extension("client_side_weighted_round_robin", "ClientSideWeightedRoundRobin"): "load_balancing_policy",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    assert built(text)[1] == [REFUSED[text]]
