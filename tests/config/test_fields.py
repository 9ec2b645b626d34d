"""Reading a message and noting what was read."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.config.fields import NOT_IMPLEMENTED, Reader, Report
from twistproxy.config.load import load_text

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TEXT = f"""\
static_resources:
  clusters:
  - name: a
    type: STRICT_DNS
    connect_timeout: 0.25s
    per_connection_buffer_limit_bytes: 0
    common_lb_config: {{healthy_panic_threshold: {{value: 12.5}}}}
    metadata: {{filter_metadata: {{x: {{k: [1, two]}}}}}}
  listeners:
  - name: l
    filter_chains:
    - filters:
      - name: h
        typed_config:
          "@type": type.googleapis.com/{MANAGER}
          stat_prefix: x
          server_name: s
          route_config:
            virtual_hosts:
            - name: v
              domains: [a, b]
              routes:
              - match:
                  prefix: /
                  runtime_fraction: {{default_value: {{numerator: 5, denominator: TEN_THOUSAND}}}}
                direct_response: {{status: 200, body: {{inline_bytes: aGk=}}}}
                typed_per_filter_config:
                  envoy.filters.http.cors:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy
                    max_age: "5"
                request_headers_to_remove: [h]
admin:
  address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}
"""


@pytest.fixture
def root() -> Reader:
    return Reader(load_text(TEXT, "c.yaml").message, Report())


def _in(reader: Reader, *names: str) -> Reader:
    for name in names:
        inner = reader.message(name)
        assert inner is not None
        reader = inner
    return reader


def _cluster(root: Reader) -> Reader:
    return _in(root, "static_resources").messages("clusters")[0]


def _manager(root: Reader) -> Reader:
    listener = _in(root, "static_resources").messages("listeners")[0]
    found = listener.messages("filter_chains")[0].messages("filters")[0].unpack("typed_config")
    assert found is not None
    return found


def _route(root: Reader) -> Reader:
    table = _in(_manager(root), "route_config")
    return table.messages("virtual_hosts")[0].messages("routes")[0]


def test_scalars(root: Reader) -> None:
    cluster = _cluster(root)
    assert cluster.string("name") == "a"
    assert cluster.string("alt_stat_name") == ""
    assert cluster.enum("type") == "STRICT_DNS"
    assert cluster.oneof("cluster_discovery_type") == "type"
    assert cluster.duration("connect_timeout", 5.0) == 0.25
    assert cluster.duration("dns_refresh_rate", 5.0) == 5.0
    assert cluster.duration("dns_refresh_rate") is None
    assert _in(cluster, "common_lb_config").number("healthy_panic_threshold", 50.0) == 12.5
    assert cluster.boolean("respect_dns_ttl", True) is False
    assert cluster.boolean("ignore_health_on_host_removal") is False


def test_a_wrapper_that_holds_zero_is_set(root: Reader) -> None:
    cluster = _cluster(root)
    assert cluster.integer("per_connection_buffer_limit_bytes", 7) == 0
    assert cluster.integer("max_requests_per_connection", 7) == 7
    assert cluster.integer("max_requests_per_connection") is None


def test_a_oneof_member_that_is_zero_is_set() -> None:
    text = TEXT.replace("port_value: 1", "port_value: 0")
    root = Reader(load_text(text).message, Report())
    assert _in(root, "admin", "address", "socket_address").integer("port_value", 9) == 0


def test_lists_maps_fractions_and_structs(root: Reader) -> None:
    route = _route(root)
    host = _in(_manager(root), "route_config").messages("virtual_hosts")[0]
    assert host.strings("domains") == ["a", "b"]
    assert _in(route, "match", "runtime_fraction").fraction("default_value") == 0.0005
    assert _in(route, "direct_response", "body").octets("inline_bytes") == b"hi"
    metadata = _in(_cluster(root), "metadata").map_messages("filter_metadata")
    assert set(metadata) == {"x"}
    assert metadata["x"].type_name == "google.protobuf.Struct"


def test_has_and_absence(root: Reader) -> None:
    cluster = _cluster(root)
    assert cluster.has("connect_timeout")
    assert not cluster.has("dns_refresh_rate")
    assert not cluster.has("health_checks")
    assert cluster.message("outlier_detection") is None
    assert cluster.message_or_empty("outlier_detection").integer("consecutive_5xx", 5) == 5


def test_paths(root: Reader) -> None:
    route = _route(root)
    typed_config = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
    assert _manager(root).path == typed_config
    assert route.path == f"{typed_config}.route_config.virtual_hosts[0].routes[0]"
    cors = route.map_messages("typed_per_filter_config")["envoy.filters.http.cors"]
    assert cors.path == f'{route.path}.typed_per_filter_config["envoy.filters.http.cors"]'
    assert root.path == ""
    assert root.path_of("admin") == "admin"


def test_an_any_knows_its_type_and_the_same_message_is_the_same_reader(root: Reader) -> None:
    assert _manager(root).type_name == MANAGER
    assert _manager(root) is _manager(root)
    assert _cluster(root) is _cluster(root)


def test_problems_have_paths(root: Reader) -> None:
    cluster = _cluster(root)
    cluster.problem("is wrong")
    cluster.problem("is too short", "connect_timeout")
    assert [(p.path, p.message) for p in root.report.problems] == [
        ("static_resources.clusters[0]", "is wrong"),
        ("static_resources.clusters[0].connect_timeout", "is too short"),
    ]


def _unread(root: Reader) -> list[str]:
    problems = root.report.unread(root)
    assert all(problem.message == NOT_IMPLEMENTED for problem in problems)
    return sorted(problem.path for problem in problems)


def test_everything_is_unread_at_first(root: Reader) -> None:
    assert _unread(root) == ["admin", "static_resources"]


def test_a_subtree_that_nobody_read_is_one_problem(root: Reader) -> None:
    root.ignore("admin")
    resources = _in(root, "static_resources")
    resources.messages("clusters")
    assert _unread(root) == ["static_resources.clusters[0]", "static_resources.listeners"]


def test_unread_fields_are_found_within_lists_anys_and_maps(root: Reader) -> None:
    root.ignore("admin")
    _in(root, "static_resources").ignore("clusters")
    listener = _in(root, "static_resources").messages("listeners")[0]
    listener.string("name")
    listener.messages("filter_chains")[0].messages("filters")[0].string("name")
    manager = _manager(root)
    manager.string("stat_prefix")
    host = _in(manager, "route_config").messages("virtual_hosts")[0]
    host.string("name")
    host.strings("domains")
    route = _route(root)
    _in(route, "match").string("prefix")
    _in(route, "direct_response").integer("status")
    cors = route.map_messages("typed_per_filter_config")["envoy.filters.http.cors"]
    assert cors.string("max_age") == "5"
    assert _unread(root) == [
        f"{route.path}.direct_response.body",
        f"{route.path}.match.runtime_fraction",
        f"{route.path}.request_headers_to_remove",
        f"{manager.path}.server_name",
    ]


def test_asking_whether_a_field_is_there_does_not_read_it(root: Reader) -> None:
    cluster = _cluster(root)
    cluster.has("connect_timeout")
    cluster.oneof("cluster_discovery_type")
    cluster.string("name")
    unread = _unread(root)
    assert f"{cluster.path}.connect_timeout" in unread
    assert f"{cluster.path}.type" in unread


def test_an_any_of_unknown_type_is_a_problem(root: Reader) -> None:
    listener = _in(root, "static_resources").messages("listeners")[0]
    chosen = listener.messages("filter_chains")[0].messages("filters")[0]
    chosen.raw.typed_config.type_url = "type.googleapis.com/envoy.extensions.nope.v3.Nope"
    assert chosen.unpack("typed_config") is None
    assert [p.path for p in root.report.problems] == [f"{chosen.path}.typed_config"]
    assert "envoy.extensions.nope.v3.Nope" in root.report.problems[0].message


def _typed_struct(root: Reader, type_name: str, value: dict[str, Any]) -> Reader:
    from xds.type.v3.typed_struct_pb2 import TypedStruct

    chosen = (
        _in(root, "static_resources")
        .messages("listeners")[0]
        .messages("filter_chains")[0]
        .messages("filters")[0]
    )
    struct = TypedStruct(type_url=f"type.googleapis.com/{type_name}")
    struct.value.update(value)
    chosen.raw.typed_config.Pack(struct)
    return chosen


def test_a_typed_struct_of_a_known_type_is_read_as_that_type(root: Reader) -> None:
    found = _typed_struct(root, MANAGER, {"stat_prefix": "p"}).unpack("typed_config")
    assert found is not None
    assert found.type_name == MANAGER
    assert found.string("stat_prefix") == "p"


def test_a_mistake_in_a_typed_struct_is_a_problem(root: Reader) -> None:
    chosen = _typed_struct(root, MANAGER, {"stat_prefx": "p"})
    chosen.unpack("typed_config")
    assert [p.path for p in root.report.problems] == [f"{chosen.path}.typed_config.stat_prefx"]


def test_a_typed_struct_of_our_own_stays_one(root: Reader) -> None:
    found = _typed_struct(root, "twistproxy.clusters.v1_sds", {"cluster": "c"}).unpack("typed_config")
    assert found is not None
    assert found.type_name == "xds.type.v3.TypedStruct"
    assert found.string("type_url").endswith("/twistproxy.clusters.v1_sds")
    assert found.struct("value") == {"cluster": "c"}


def test_a_field_that_the_message_does_not_have_is_a_bug(root: Reader) -> None:
    with pytest.raises(AttributeError):
        root.string("nonsense")


def test_an_enum_with_a_number_that_is_no_value() -> None:
    report = Report()
    root = Reader(load_text(TEXT).message, report)
    cluster = root.message_or_empty("static_resources").messages("clusters")[0]
    cluster.raw.lb_policy = 77
    assert cluster.enum("lb_policy") == "ROUND_ROBIN"
    assert [(one.path, one.message) for one in report.problems] == [
        (
            "static_resources.clusters[0].lb_policy",
            "77 is no value of envoy.config.cluster.v3.Cluster.LbPolicy",
        )
    ]
