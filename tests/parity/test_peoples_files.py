"""One file with what people have in theirs: old fields, fields that say nothing where they stand, JSON's names, settings
about a proxy's insides.  Both engines take it without a word against any of it, and do the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .harness import START_LIMIT, Proxy, command, wait_for
from .origin import raw
from .settings import Config, read
from .test_cors_filter import cors_headers
from .wire import Ended

pytestmark = pytest.mark.parity

TEXT = """
node: {id: sidecar~10.0.0.1~app~local, cluster: app, locality: {region: r, zone: z}, metadata: {LABEL: x}}
flags_path: /nonexistent/flags
watchdog: {miss_timeout: 0.5s}
deferred_stat_options: {enable_deferred_creation_stats: true}
cluster_manager: {enable_deferred_cluster_creation: true, outlier_detection: {}}
default_regex_engine:
  name: envoy.regex_engines.google_re2
  typed_config: {"@type": type.googleapis.com/envoy.extensions.regex_engines.v3.GoogleRE2}
stats_config:
  use_all_default_tags: false
  stats_tags:
  - {tag_name: conn_manager, regex: '^http(?=\\.)\\.(((?:[_.[:digit:]]*|[a-z_]*))\\.)'}
layered_runtime:
  layers:
  - {name: admin, admin_layer: {}}
  - {name: base, static_layer: {overload: {global_downstream_max_connections: 50000}}}
admin:
  access_log_path: /dev/null
  profile_path: /tmp/none.prof
  address: {socket_address: {protocol: TCP, address: 127.0.0.1, port_value: ADMIN}}
staticResources:
  listeners:
  - name: main
    trafficDirection: INBOUND
    bypass_overload_manager: true
    perConnectionBufferLimitBytes: 32768
    enable_reuse_port: true
    address: {socketAddress: {address: 127.0.0.1, portValue: MAIN}}
    socket_options: [{level: 1, name: 9, int_value: 1, description: keep-alive}]
    filterChains:
      filters:
      - name: envoy.filters.network.http_connection_manager
        typedConfig:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          statPrefix: ingress_http
          codec_type: AUTO
          delayed_close_timeout: 0.1s
          http2ProtocolOptions: {maxConcurrentStreams: 100}
          access_log:
            name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: LOGFILE
              format: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %GRPC_STATUS%\\n"
          upgrade_configs: [{upgrade_type: websocket}]
          route_config:
            name: local_route
            virtualHosts:
            - name: local_service
              domains: "*"
              cors:
                allow_origin_string_match: [{prefix: "*"}]
                allow_methods: GET, PUT, DELETE, POST, OPTIONS
                max_age: "1728000"
              routes:
              - match: {prefix: /one}
                route: {cluster: one, prefix_rewrite: /, timeout: 0s, maxStreamDuration: {grpcTimeoutHeaderMax: 0s}}
              - match: {safe_regex: {google_re2: {}, regex: '/two/\\d+'}}
                route: {cluster: two, cors: {expose_headers: x-two}}
              - {match: {path: /gone}, direct_response: {status: 410, body: {inline_string: "gone\\n"}}}
          http_filters:
          - name: envoy.filters.http.cors
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: one
    type: STATIC
    connect_timeout: 0.25s
    dns_lookup_family: V4_ONLY
    upstreamConnectionOptions: {tcpKeepalive: {keepaliveTime: 300}}
    load_assignment:
      cluster_name: other_name
      endpoints:
      - load_balancing_weight: 1
        lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ORIGIN}}}}]
  - name: two
    type: LOGICAL_DNS
    dns_lookup_family: V4_ONLY
    lb_policy: ROUND_ROBIN
    circuit_breakers: {thresholds: [{max_retries: 7, retry_budget: {min_retry_concurrency: 4}}]}
    load_assignment:
      cluster_name: two
      endpoints: {lb_endpoints: {endpoint: {address: {socket_address: {address: localhost, port_value: ORIGIN}}}}}
"""


def configure(proxy: Proxy) -> Config:
    ports = {"ADMIN": proxy.port("admin"), "MAIN": proxy.port(), "ORIGIN": proxy.origin().port}
    text = TEXT.replace("LOGFILE", str(proxy.log().path))
    for name, port in ports.items():
        text = text.replace(name, str(port))
    found: Config = read(text)
    return found


def test_nothing_is_said_against_it(proxy: Proxy, tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_text(json.dumps(configure(proxy)))
    words = [word for word in command(proxy.engine, file) if word not in ("--unsupported", "warn")]
    words += ["--mode", "validate", "--service-node", "n", "--service-cluster", "c"]
    found = subprocess.run(words, capture_output=True, text=True, timeout=START_LIMIT)
    assert found.returncode == 0, found.stderr[-1000:]


def test_what_it_does(proxy: Proxy) -> None:
    response = proxy.ask("/one/x?y=z", headers="origin: http://anybody\r\n")
    assert response.status == 200
    assert cors_headers(response.headers) == {"allow-origin": "http://anybody"}
    seen = proxy.origin().take()
    assert (seen.target, seen["x-envoy-original-path"]) == ("//x?y=z", "/one/x?y=z")
    assert seen["x-envoy-expected-rq-timeout-ms"] is None
    response = proxy.ask("/two/12", headers="origin: http://anybody\r\n")
    assert cors_headers(response.headers) == {"allow-origin": "http://anybody", "expose-headers": "x-two"}
    assert proxy.ask("/two/none").status == 404
    response = proxy.ask("/gone", method="POST", headers="content-type: application/grpc\r\n")
    assert (response["grpc-status"], response["grpc-message"]) == ("2", "gone%0A")


@pytest.mark.parametrize(("status", "name"), [("200 OK", "Unknown"), ("503 None", "Unavailable")])
def test_grpc_without_a_status(proxy: Proxy, status: str, name: str) -> None:
    """The log has what the HTTP status stands for."""
    proxy.origin().on("/two/1", raw(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"))
    proxy.ask(f"/two/1?{name}", headers="content-type: application/grpc\r\n")
    assert proxy.log().line(f"/two/1?{name}").endswith(f" {name}")


def test_what_it_shows(proxy: Proxy) -> None:
    proxy.ask("/one")
    clusters = proxy.admin("/clusters").text
    assert "two::default_priority::max_retries::4\n" in clusters
    assert f"main::127.0.0.1:{proxy.port()}" in proxy.admin("/listeners").text
    assert (
        'envoy_http_downstream_rq_total{conn_manager="ingress_http"}' in proxy.admin("/stats/prometheus").text
    )


def test_a_flag_file_makes_it_start_as_unhealthy(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "drain").touch()
    other = Proxy(proxy.engine, tmp_path)
    place = {"socket_address": {"address": "127.0.0.1", "port_value": other.port("admin")}}
    file = tmp_path / "file.json"
    file.write_text(json.dumps({"flags_path": str(tmp_path), "admin": {"address": place}}))
    running = subprocess.Popen(
        command(proxy.engine, file), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert wait_for(lambda: ready(other) == "DRAINING\n", START_LIMIT)
        other.admin("/healthcheck/ok", "POST")
        assert ready(other) == "LIVE\n"
    finally:
        running.kill() if proxy.engine == "envoy" else running.terminate()
        running.wait(10)


def ready(proxy: Proxy) -> str:
    try:
        return proxy.admin("/ready").text
    except (OSError, Ended):
        return ""
