"""Which settings of load balancing, hashing, mirroring and internal redirects are taken: the verdict of both engines
on one cluster or route at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.server_options import ServerOptions

from .settings import Config, address, cluster, endpoint, listener, read
from .test_config_validity import envoy_takes

pytestmark = pytest.mark.parity
_EXTENSION = "type.googleapis.com/envoy.extensions.load_balancing_policies"
POLICY = (
    "load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {'@type': %s.%s}}}]}"
)
MUTATION = "request_mirror_policies: [{cluster: a, request_headers_mutations: [{%s}]}]"

#: What is said of the cluster beyond a name and one host → whether it is taken.
CASES = {
    "outlier_detection: {base_ejection_time: 10s, max_ejection_time: 5s}": False,
    "outlier_detection: {base_ejection_time: 400s, max_ejection_time: 399s}": False,
    "outlier_detection: {base_ejection_time: 400s}": True,
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
#: What is said of a route to the cluster "a" → whether it is taken.
ROUTES = {
    "hash_policy: [{}]": False,
    "hash_policy: [{cookie: {name: a, ttl: 1.5s}}]": True,
    "hash_policy: [{cookie: {name: a, ttl: -1s}}]": False,
    "hash_policy: [{cookie: {name: ''}}]": False,
    "hash_policy: [{header: {header_name: ''}}]": False,
    "hash_policy: [{header: {header_name: a, regex_rewrite: {pattern: {regex: '('}}}}]": False,
    "hash_policy: [{query_parameter: {name: ''}}]": False,
    "hash_policy: [{connection_properties: {}}]": True,
    "hash_policy: [{filter_state: {key: a}}]": True,
    "hash_policy: [{filter_state: {key: ''}}]": False,
    "request_mirror_policies: [{}]": False,
    "request_mirror_policies: [{cluster: nope}]": False,
    "request_mirror_policies: [{cluster: a, cluster_header: b}]": False,
    "request_mirror_policies: [{cluster_header: b}]": True,
    "request_mirror_policies: [{cluster: a, host_rewrite_literal: b, trace_sampled: true}]": True,
    MUTATION % "append: {header: {key: host, value: b}}": False,
    MUTATION % "append: {header: {key: a, value: '%REQ(b'}}": False,
    MUTATION % "append: {header: {key: a, value: '%REQ(b)%'}}": True,
    MUTATION % "remove: a": True,
    MUTATION % "remove_on_match: {key_matcher: {prefix: x}}": True,
    "internal_redirect_policy: {}": True,
    "internal_redirect_policy: {redirect_response_codes: [200]}": True,
    "internal_redirect_policy: {redirect_response_codes: [301, 302, 303, 307, 308, 300]}": False,
    "internal_redirect_policy: {response_headers_to_copy: [host]}": False,
    "internal_redirect_policy: {response_headers_to_copy: [':path']}": False,
    "internal_redirect_policy: {predicates: [{name: x}]}": False,
    "internal_redirect_action: HANDLE_INTERNAL_REDIRECT": True,
    "{internal_redirect_action: HANDLE_INTERNAL_REDIRECT, max_internal_redirects: 3}": True,
}
#: Envoy takes these as well: mutations that we do not have.
STRICTER_ROUTES = (MUTATION % "remove: ':path'",)


def bootstrap(fields: str) -> Config:
    named = cluster("a", endpoint(80), **read(fields))
    return {"admin": {"address": address(0)}, "static_resources": {"clusters": [named]}}


def with_route(fields: str) -> Config:
    action = {"cluster": "a", **read(fields)}
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": action}]}]
    found = bootstrap("{}")
    found["static_resources"]["listeners"] = [listener("main", 0, hosts)]
    return found


def check(config: Config, taken: bool, stricter: bool, path: Path) -> None:
    path.write_text(json.dumps(config))
    theirs, words = envoy_takes(path)
    assert theirs == taken, words
    ours = True
    try:
        build_bootstrap(load_text(path.read_text(), path.name), ServerOptions())
    except ConfigError as error:
        ours, words = False, str(error)
    assert ours == (taken and not stricter), words


@pytest.mark.parametrize("fields", [*CASES, *STRICTER], ids=lambda text: text[:60])
def test_balancing(fields: str, tmp_path: Path) -> None:
    check(bootstrap(fields), CASES.get(fields, True), fields in STRICTER, tmp_path / "c.json")


@pytest.mark.parametrize("fields", [*ROUTES, *STRICTER_ROUTES], ids=lambda text: text[:70])
def test_routes(fields: str, tmp_path: Path) -> None:
    check(with_route(fields), ROUTES.get(fields, True), fields in STRICTER_ROUTES, tmp_path / "c.json")
