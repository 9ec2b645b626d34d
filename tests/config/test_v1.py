"""v1 JSON to v3: the shape, the meanings written out, and the mistakes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from twistproxy.config.load import load_text
from twistproxy.config.v1 import convert_v1
from twistproxy.errors import ConfigError

from .v1_samples import EVERYTHING, SIDECAR, bootstrap, cluster, manager, text

ROUTE = {"prefix": "/", "cluster": "app"}


def v3(config: dict[str, Any]) -> Any:
    """The v3 form as plain data."""
    return yaml.safe_load(convert_v1(text(config))[0])


def warnings(config: dict[str, Any]) -> list[str]:
    return [f"{w.path}: {w.message}" for w in load_text(text(config), "v1.json").warnings]


def problems(config: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text(config), "v1.json")
    assert all(problem.line > 0 for problem in caught.value.problems)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def hcm(config: dict[str, Any]) -> Any:
    return v3(config)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]


def route(**keys: Any) -> Any:
    """The v3 form of one route."""
    content = {**ROUTE, **keys}
    content = {key: value for key, value in content.items() if value is not None}
    config = bootstrap([manager([content])], [cluster(), cluster("b")])
    return hcm(config)["route_config"]["virtual_hosts"][0]["routes"][0]


def made_cluster(**keys: Any) -> Any:
    content = {key: value for key, value in cluster(**keys).items() if value is not None}
    return v3(bootstrap(clusters=[content]))["static_resources"]["clusters"][0]


def test_an_sds_cluster() -> None:
    made = yaml.safe_load(convert_v1(SIDECAR)[0])["static_resources"]["clusters"]
    assert [item["name"] for item in made] == ["registry", "copies"]
    assert made[1]["cluster_type"] == {
        "name": "twistproxy.clusters.v1_sds",
        "typed_config": {
            "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "type_url": "type.googleapis.com/twistproxy.clusters.v1_sds",
            "value": {
                "cluster": "registry",
                "service_name": "foo.default.svc.cluster.local",
                "refresh_delay": "1.5s",
            },
        },
    }
    assert "type" not in made[1]
    assert "load_assignment" not in made[1]


def test_what_v1_meant_and_v3_defaults_otherwise_is_written_out() -> None:
    made = hcm(bootstrap())
    assert made["common_http_protocol_options"] == {"idle_timeout": "0s"}
    assert made["stream_idle_timeout"] == made["delayed_close_timeout"] == "0s"
    assert made["http_protocol_options"] == {"allow_absolute_url": False}
    ranges = {
        f"{r['address_prefix']}/{r['prefix_len']}" for r in made["internal_address_config"]["cidr_ranges"]
    }
    assert ranges == {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fd00::/8", "::1/128"}
    assert route()["route"]["cluster_not_found_response_code"] == "NOT_FOUND"
    options = made_cluster()["typed_extension_protocol_options"]
    (http,) = options.values()
    assert http["common_http_protocol_options"] == {"idle_timeout": "0s"}
    assert made_cluster(type="strict_dns")["dns_lookup_family"] == "V4_ONLY"
    assert made_cluster(outlier_detection={})["outlier_detection"] == {"max_ejection_time": "315360000s"}


def test_routes() -> None:
    assert route(timeout_ms=0)["route"]["timeout"] == "0s"
    assert route(timeout_ms=1500)["route"]["timeout"] == "1.5s"
    assert "timeout" not in route()["route"]
    assert route(prefix=None, path="/a", case_sensitive=False)["match"] == {
        "path": "/a",
        "case_sensitive": False,
    }
    assert route(prefix=None, regex="/a.*")["match"] == {"safe_regex": {"regex": "/a.*"}}
    assert route(prefix_rewrite="/b")["route"]["prefix_rewrite"] == "/b"
    rewrite = route(prefix=None, regex="/a", prefix_rewrite="/b")["route"]["regex_rewrite"]
    assert rewrite == {"pattern": {"regex": "^.*$"}, "substitution": "/b"}
    assert route(shadow={"cluster": "b"})["route"]["request_mirror_policies"] == [{"cluster": "b"}]
    assert route(host_redirect="x", cluster=None)["redirect"] == {"host_redirect": "x"}
    assert route(headers=[{"name": "a"}])["match"]["headers"] == [{"name": "a", "present_match": True}]
    added = route(request_headers_to_add=[{"key": "a", "value": "%CLIENT_IP%"}])["request_headers_to_add"]
    assert added == [
        {
            "header": {"key": "a", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"},
            "append_action": "APPEND_IF_EXISTS_OR_ADD",
        }
    ]


def test_a_websocket_route() -> None:
    assert route(use_websocket=True)["route"]["upgrade_configs"] == [
        {"upgrade_type": "websocket", "enabled": True}
    ]
    config = bootstrap([manager([{**ROUTE, "use_websocket": True}])])
    assert hcm(config)["upgrade_configs"] == [{"upgrade_type": "websocket", "enabled": False}]
    assert "upgrade_configs" not in hcm(bootstrap())


def test_the_rate_limit_service_goes_into_the_filters() -> None:
    service = {"type": "grpc_service", "config": {"cluster_name": "app"}}
    filters = [{"name": "rate_limit", "config": {"domain": "d"}}, {"name": "router", "config": {}}]
    with_service = bootstrap([manager([ROUTE], filters=filters)], rate_limit_service=service)
    made = hcm(with_service)["http_filters"][0]["typed_config"]["rate_limit_service"]
    assert made["grpc_service"] == {"envoy_grpc": {"cluster_name": "app"}}
    without = bootstrap([manager([ROUTE], filters=filters)])
    assert [item["name"] for item in hcm(without)["http_filters"]] == ["envoy.filters.http.router"]
    assert any("lets everything pass" in warning for warning in warnings(without))


def test_a_tcp_proxy_with_one_route_and_with_ordered_ones() -> None:
    def proxy(**keys: Any) -> Any:
        config = bootstrap([{"name": "tcp_proxy", "config": {"stat_prefix": "t", **keys}}])
        return hcm(config)

    assert proxy(route_config={"routes": [{"cluster": "app"}]})["cluster"] == "app"
    assert proxy(cluster="app")["cluster"] == "app"
    routes = [{"cluster": "app", "destination_ip_list": ["10.0.0.0/8"], "source_ports": "1-10,20"}]
    made = proxy(route_config={"routes": routes})
    assert made["type_url"] == "type.googleapis.com/twistproxy.filters.network.v1_tcp_proxy"
    assert made["value"]["routes"] == [
        {
            "cluster": "app",
            "destination_ip_list": [{"address_prefix": "10.0.0.0", "prefix_len": 8}],
            "source_ports": "1-10,20",
        }
    ]


def test_http2_towards_a_cluster() -> None:
    def protocol(**keys: Any) -> Any:
        (http,) = made_cluster(**keys)["typed_extension_protocol_options"].values()
        return http["explicit_http_config"]

    assert protocol() == {"http_protocol_options": {}}
    expected = {
        "max_concurrent_streams": 2**31 - 1,
        "initial_stream_window_size": 2**28,
        "initial_connection_window_size": 2**28,
    }
    assert protocol(features="http2") == {"http2_protocol_options": expected}
    assert protocol(http2_settings={"hpack_table_size": 0}) == {
        "http2_protocol_options": {"hpack_table_size": 0, **expected}
    }


def test_tls() -> None:
    listener = {"ssl_context": {"cert_chain_file": "c", "private_key_file": "k", "alpn_protocols": "h2, http/1.1",
                                "verify_subject_alt_name": ["x"], "cipher_suites": "A:B"}}  # fmt: skip
    chain = v3(bootstrap(listener=listener))["static_resources"]["listeners"][0]["filter_chains"][0]
    made = chain["transport_socket"]["typed_config"]
    assert made["require_client_certificate"] is True
    common = made["common_tls_context"]
    assert common["alpn_protocols"] == ["h2", "http/1.1"]
    assert common["tls_params"] == {"cipher_suites": ["A", "B"]}
    kinds = [m["san_type"] for m in common["validation_context"]["match_typed_subject_alt_names"]]
    assert kinds == ["DNS", "URI"]
    assert (
        "validation_context"
        not in made_cluster(ssl_context={})["transport_socket"]["typed_config"]["common_tls_context"]
    )


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"listener": {"address": None, "port": 80}}, 'listeners[0].port: an old spelling of "address": "tcp://0.0.0.0:80"'),
        ({"statsd_local_udp_port": 8125}, 'statsd_local_udp_port: an old spelling of "statsd_udp_ip_address": "127.0.0.1:8125"'),  # noqa: E501
    ],
)  # fmt: skip
def test_old_spellings_are_taken_with_a_warning(change: dict[str, Any], warning: str) -> None:
    config = bootstrap(**change)
    config["listeners"][0] = {
        key: value for key, value in config["listeners"][0].items() if value is not None
    }
    assert warnings(config) == [warning]


def test_old_admin_port() -> None:
    config = bootstrap()
    config["admin"] = {"access_log_path": "/dev/null", "port": 9901}
    assert v3(config)["admin"]["address"] == {"socket_address": {"address": "0.0.0.0", "port_value": 9901}}


def _changed(path: str, value: Any) -> dict[str, Any]:
    """EVERYTHING with one thing changed (a value of None removes it)."""
    config: Any = copy.deepcopy(EVERYTHING)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    inner = config
    for step in steps:
        inner = inner[step]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return config  # type: ignore[no-any-return]


_HCM = "listeners.0.filters.0.config"
_ROUTES = f"{_HCM}.route_config.virtual_hosts.0.routes"
_IN_ROUTES = "listeners[0].filters[0].config.route_config.virtual_hosts[0].routes"
_CLUSTERS = "cluster_manager.clusters"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("admin", None, ': the key "admin" is required'),
        ("listenrs", [], 'listenrs: unknown key "listenrs"; did you mean "listeners"?'),
        ("stats_flush_interval_ms", "5", "stats_flush_interval_ms: expected a whole number, found the text '5'"),
        ("stats_flush_interval_ms", 0, "stats_flush_interval_ms: must be at least 1, is 0"),
        ("admin.address", "localhost:1", 'admin.address: expected an address such as "tcp://127.0.0.1:80", '
         'found "localhost:1"'),
        ("admin.address", "tcp://localhost:1", 'admin.address: expected an IP address, found the host name '
         '"localhost"'),
        ("listeners.0.name", "x" * 61, "listeners[0].name: must have at most 60 characters, has 61"),
        ("listeners.0.bind_to_port", "true", "listeners[0].bind_to_port: expected true or false, "
         "found the text 'true'"),
        ("listeners.0.filters.0.name", "tcp_prox", 'listeners[0].filters[0].name: unknown network filter '
         '"tcp_prox"; did you mean "tcp_proxy"?'),
        (f"{_HCM}.codec_type", "autos", 'listeners[0].filters[0].config.codec_type: must be one of http1, http2, '
         'auto, is "autos"; did you mean "auto"?'),
        (f"{_HCM}.rds", {}, "listeners[0].filters[0].config.rds: needs exactly one of route_config and rds"),
        (f"{_HCM}.filters.0.name", "healthcheck",
         'listeners[0].filters[0].config.filters[0].name: unknown HTTP filter "healthcheck"; '
         'did you mean "health_check"?'),
        (f"{_ROUTES}.0.path", "/a", f"{_IN_ROUTES}[0].path: needs exactly one of prefix, path, regex"),
        (f"{_ROUTES}.3.cluster", "app", f"{_IN_ROUTES}[3].cluster: a redirect cannot have cluster as well"),
        (f"{_ROUTES}.3.use_websocket", True, f"{_IN_ROUTES}[3].use_websocket: a redirect cannot use WebSockets"),
        (f"{_ROUTES}.1.cluster", None, f"{_IN_ROUTES}[1]: needs exactly one of cluster, cluster_header, "
         "weighted_clusters, or a redirect"),
        (f"{_ROUTES}.0.auto_host_rewrite", False, f"{_IN_ROUTES}[0].auto_host_rewrite: host_rewrite and "
         "auto_host_rewrite exclude each other"),
        (f"{_ROUTES}.0.weighted_clusters.clusters.0.weight", 50,
         f"{_IN_ROUTES}[0].weighted_clusters.clusters: the weights must add up to 100, and are 90"),
        (f"{_ROUTES}.0.timeout", 5, f'{_IN_ROUTES}[0].timeout: unknown key "timeout"; did you mean "timeout_ms"?'),
        (f"{_CLUSTERS}.0.type", "sds", "cluster_manager.clusters[0].type: a cluster of type sds needs "
         "cluster_manager.sds"),
        (f"{_CLUSTERS}.3.hosts", [{"url": "tcp://1.2.3.4:5"}], "cluster_manager.clusters[3].hosts: a cluster of "
         "type original_dst has no hosts of its own"),
        (f"{_CLUSTERS}.1.hosts.0.url", "unix:///a", "cluster_manager.clusters[1].hosts[0].url: expected a URL "
         'such as "tcp://example.com:80", found "unix:///a"'),
        (f"{_CLUSTERS}.0.hosts.0.url", "tcp://a:5", "cluster_manager.clusters[0].hosts[0].url: expected an IP "
         'address, found the host name "a"'),
        ("cluster_manager.local_cluster_name", "x", 'cluster_manager.local_cluster_name: there is no cluster "x"'),
        ("cluster_manager.cds", {}, "cluster_manager.cds: clusters polled with the v1 REST API are not implemented: "
         "list them in clusters"),
        ("lds", {}, "lds: listeners polled with the v1 REST API are not implemented: list them in listeners"),
    ],
)  # fmt: skip
def test_a_mistake(path: str, value: Any, expected: str) -> None:
    assert expected in problems(_changed(path, value))


def test_two_domains_of_one_name_in_a_table() -> None:
    one = {"name": "v", "domains": ["A.com"], "routes": []}
    filters = manager([])
    filters["config"]["route_config"]["virtual_hosts"] = [one, {**one, "domains": ["a.com"]}]
    (found,) = problems(bootstrap([filters]))
    assert found.endswith('virtual_hosts[1].domains: the domain "a.com" is already taken in this table')


def test_all_mistakes_come_at_once() -> None:
    config = _changed("admin.address", "x")
    config["cluster_manager"]["clusters"][0]["lb_type"] = "x"
    config["listeners"][0]["nam"] = "x"
    assert len(problems(config)) == 3


def test_a_mistake_is_where_the_user_wrote_it() -> None:
    broken = SIDECAR.replace('"connect_timeout_ms": 250\n', '"connect_timeout_ms": "250"\n')
    with pytest.raises(ConfigError) as caught:
        load_text(broken, "envoy.json")
    line = next(number for number, content in enumerate(broken.splitlines(), 1) if '"250"' in content)
    assert str(caught.value) == (
        f"envoy.json:{line}:31: cluster_manager.clusters[0].connect_timeout_ms: "
        "expected a whole number, found the text '250'"
    )


def test_a_place_found_later_is_in_the_v1_text() -> None:
    document = load_text(SIDECAR, "envoy.json")
    path = (
        "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0]"
    )
    found = document.locate(f"{path}.routes[0].route.cluster")
    lines = SIDECAR.splitlines()
    line = next(number for number, content in enumerate(lines, 1) if '"cluster": "copies"' in content)
    assert found == ("envoy.json", line, lines[line - 1].index('"copies"') + 1)


def test_open_objects_may_have_further_keys() -> None:
    config = copy.deepcopy(EVERYTHING)
    config["listeners"][0]["filters"][0]["config"]["filters"][0]["more"] = 1
    config["listeners"][0]["filters"][0]["config"]["http2_settings"]["more"] = 1
    assert load_text(text(config), "v1.json").format == "v1"


def test_the_yaml_says_the_same_as_the_json() -> None:
    """What `convert` prints loads to the same message as the v1 file itself."""
    for config in (json.loads(SIDECAR), EVERYTHING):
        converted, _ = convert_v1(text(config))
        assert load_text(converted, "c.yaml").message == load_text(text(config), "v1.json").message


def test_names_that_yaml_would_misread_are_quoted() -> None:
    config = bootstrap([manager([{"prefix": "/", "cluster": "y"}])], [cluster("y"), cluster("010")])
    converted, _ = convert_v1(text(config))
    assert 'name: "y"' in converted
    names = [item.name for item in load_text(converted, "c.yaml").message.static_resources.clusters]
    assert names == ["y", "010"]


def test_differences_in_meaning_are_listed_once() -> None:
    _, differences = convert_v1(text(EVERYTHING))
    assert len(differences) == len(set(differences))
    assert any("unknown cluster" in difference for difference in differences)
    assert any("WebSockets" in difference for difference in differences)


def test_v1_may_be_yaml() -> None:
    assert convert_v1(yaml.safe_dump(EVERYTHING), "v1.yaml")[0] == convert_v1(text(EVERYTHING))[0]
