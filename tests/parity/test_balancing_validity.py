"""Which load balancing settings are taken: the verdict of both engines on one cluster at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.server_options import ServerOptions

from .settings import Config, address, cluster, endpoint, read
from .test_config_validity import envoy_takes

pytestmark = pytest.mark.parity
_EXTENSION = "type.googleapis.com/envoy.extensions.load_balancing_policies"
POLICY = (
    "load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {'@type': %s.%s}}}]}"
)

#: What is said of the cluster beyond a name and one host → whether it is taken.
CASES = {
    "lb_policy: RING_HASH": True,
    "lb_policy: MAGLEV": True,
    "{lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 9, maximum_ring_size: 8}}": False,
    "{lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 8, maximum_ring_size: 8}}": True,
    "{lb_policy: RING_HASH, ring_hash_lb_config: {maximum_ring_size: 8388609}}": False,
    "{lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 0}}": True,
    "{lb_policy: MAGLEV, maglev_lb_config: {table_size: 10}}": False,
    "{lb_policy: MAGLEV, maglev_lb_config: {table_size: 1}}": False,
    "{lb_policy: MAGLEV, maglev_lb_config: {table_size: 2}}": True,
    "{lb_policy: MAGLEV, maglev_lb_config: {table_size: 5000011}}": True,
    "{lb_policy: MAGLEV, maglev_lb_config: {table_size: 5000012}}": False,
    "common_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}": False,
    "common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 99}}": False,
    "lb_policy: LOAD_BALANCING_POLICY_CONFIG": False,
    "load_balancing_policy: {}": False,
    POLICY % (_EXTENSION, "round_robin.v3.RoundRobin"): True,
    POLICY % (_EXTENSION, "least_request.v3.LeastRequest, choice_count: 3"): True,
    POLICY % (_EXTENSION, "random.v3.Random"): True,
    POLICY % (_EXTENSION, "ring_hash.v3.RingHash, use_hostname_for_hashing: true"): True,
    POLICY % (_EXTENSION, "maglev.v3.Maglev, table_size: 10"): False,
    "lb_policy: MAGLEV\n" + POLICY % (_EXTENSION, "random.v3.Random"): True,
    "common_lb_config: {consistent_hashing_lb_config: {}}\n"
    + POLICY % (_EXTENSION, "random.v3.Random"): False,
}
#: Envoy takes these, in which something is said that does nothing.
STRICTER = (
    "ring_hash_lb_config: {}\n" + POLICY % (_EXTENSION, "random.v3.Random"),
    "common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 100}}",
)


def bootstrap(fields: str) -> Config:
    named = cluster("a", endpoint(80), **read(fields))
    return {"admin": {"address": address(0)}, "static_resources": {"clusters": [named]}}


@pytest.mark.parametrize("fields", [*CASES, *STRICTER], ids=lambda text: text[:60])
def test_balancing(fields: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(bootstrap(fields)))
    taken, words = envoy_takes(path)
    assert taken == CASES.get(fields, True), words
    ours = True
    try:
        build_bootstrap(load_text(path.read_text(), path.name), ServerOptions())
    except ConfigError as error:
        ours, words = False, str(error)
    assert ours == (taken and fields not in STRICTER), words
