"""What is said of a configuration as a whole: one problem for one mistake, and the node."""

from __future__ import annotations

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.bootstrap import Node
from twistproxy.model.server_options import ServerOptions

TLS = """
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{0}TlsContext
          common_tls_context: {{alpn_protocols: [h2]}}
"""
SOCKET = "address: {socket_address: {address: 127.0.0.1, port_value: 80}}"
LISTENER = f"""
static_resources:
  listeners:
  - name: one
    {SOCKET}
    listener_filters:
    - name: original
      typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}
    tcp_backlog_size: 5
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: app
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        build_bootstrap(load_text(text, "test.yaml"), ServerOptions())
    return [f"{problem.path}: {problem.message}" for problem in raised.value.problems]


def test_only_the_filter_that_is_not_there() -> None:
    chain = "static_resources.listeners[0].filter_chains[0]"
    name = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    assert problems(LISTENER) == [
        f"{chain}.filters[0].typed_config: the network filter {name} is not implemented"
    ]


def test_tls_once_for_each_socket() -> None:
    cluster = "  clusters:\n    - name: app\n" + TLS.format("Upstream").lstrip("\n")
    kind = "envoy.extensions.transport_sockets.tls.v3"
    found = problems(LISTENER + TLS.format("Downstream") + cluster)
    assert found[1:] == [
        f"static_resources.listeners[0].filter_chains[0].transport_socket: {kind}.DownstreamTlsContext is not "
        "implemented; connections from downstreams are plain text (raw_buffer)",
        f"static_resources.clusters[0].transport_socket: {kind}.UpstreamTlsContext is not implemented; connections "
        "to upstreams are plain text (raw_buffer)",
    ]


@pytest.mark.parametrize(
    ("listener", "expected"),
    [
        (
            "{name: udp, udp_listener_config: {}, address: {socket_address: {address: 127.0.0.1, port_value: 80}}}",
            ": listeners for UDP (HTTP/3 and others) are not implemented",
        ),
        (
            "{name: inner, internal_listener: {}}",
            ".internal_listener: internal listeners are not implemented",
        ),
        ("{name: none}", ".address: an address is expected"),
    ],
)
def test_listeners_of_other_kinds(listener: str, expected: str) -> None:
    text = f"static_resources: {{listeners: [{listener}]}}"
    assert problems(text) == ["static_resources.listeners[0]" + expected]


def test_extensions_of_clusters_by_their_type() -> None:
    kind = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
    custom = f"{{name: any, typed_config: {{'@type': type.googleapis.com/{kind}}}}}"
    text = f"static_resources: {{clusters: [{{name: app, cluster_type: {custom}}}]}}"
    assert problems(text) == [
        f"static_resources.clusters[0].cluster_type: the cluster extension {kind} is not implemented"
    ]


def test_node_of_file_and_command_line() -> None:
    text = "node: {id: file, cluster: file, locality: {zone: file, region: r}}"
    document = load_text(text)
    assert build_bootstrap(document, ServerOptions()).node == Node("file", "file", "file", "r")
    told = ServerOptions(service_node="n", service_cluster="c", service_zone="z")
    assert build_bootstrap(document, told).node == Node("n", "c", "z", "r")


def test_a_dns_family_says_nothing_where_there_are_no_names() -> None:
    clusters = ", ".join(
        f"{{name: {name}, dns_lookup_family: V4_ONLY, {rest}}}"
        for name, rest in [("a", "type: STATIC"), ("b", "type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED")]
    )
    built = build_bootstrap(load_text(f"static_resources: {{clusters: [{clusters}]}}"), ServerOptions())
    assert [cluster.name for cluster in built.clusters] == ["a", "b"]


def test_what_is_about_the_insides_of_envoy() -> None:
    text = """
deferred_stat_options: {enable_deferred_creation_stats: true}
cluster_manager: {enable_deferred_cluster_creation: true}
default_regex_engine:
  name: envoy.regex_engines.google_re2
  typed_config: {"@type": type.googleapis.com/envoy.extensions.regex_engines.v3.GoogleRE2}
"""
    assert build_bootstrap(load_text(text), ServerOptions()).clusters == ()
    other = "typed_config: {'@type': type.googleapis.com/envoy.config.core.v3.Node, id: x}"
    assert problems(f"default_regex_engine: {{name: other, {other}}}") == [
        "default_regex_engine.typed_config: envoy.config.core.v3.Node is not implemented; regular expressions are RE2's"
    ]


def test_a_weight_of_endpoints_without_a_locality_says_nothing() -> None:
    endpoints = "{load_balancing_weight: 5, lb_endpoints: [{endpoint: {" + SOCKET + "}}]}"
    assignment = f"load_assignment: {{cluster_name: app, endpoints: [{endpoints}]}}"
    built = build_bootstrap(
        load_text(f"static_resources: {{clusters: [{{name: app, {assignment}}}]}}"), ServerOptions()
    )
    assert len(built.clusters) == 1


def test_a_typed_struct_is_called_by_what_it_stands_for() -> None:
    struct = """
          "@type": type.googleapis.com/xds.type.v3.TypedStruct
          type_url: type.googleapis.com/some.other.Filter"""
    name = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    text = LISTENER.partition('"@type": ' + name)[0].rstrip() + struct
    assert problems(text) == [
        "static_resources.listeners[0].filter_chains[0].filters[0].typed_config: the network filter some.other.Filter "
        "is not implemented"
    ]
