"""The files that the demo's programs run on, as texts."""

from __future__ import annotations

import json
from collections.abc import Iterable

#: The domain that is served, and the name that the registry knows the service by.
DOMAIN = "foo.com"
SERVICE = "foo.default.svc.cluster.local"


def sidecar_v1(port: int, admin_port: int, app_port: int) -> str:
    """A sidecar in Envoy's v1 JSON, as people wrote it in 2017: foo.com on `port` goes to the application."""
    routes = [{"timeout_ms": 15000, "prefix": "/", "cluster": "local_app"}]
    manager = {
        "codec_type": "auto",
        "stat_prefix": "ingress_http",
        "route_config": {
            "virtual_hosts": [{"name": "foo", "domains": [DOMAIN, f"{DOMAIN}:*"], "routes": routes}]
        },
        "access_log": [{"path": "/dev/stdout"}],
        "filters": [{"type": "decoder", "name": "router", "config": {}}],
    }
    listener = {
        "address": f"tcp://127.0.0.1:{port}",
        "filters": [{"type": "read", "name": "http_connection_manager", "config": manager}],
    }
    cluster = {
        "name": "local_app",
        "connect_timeout_ms": 250,
        "type": "static",
        "lb_type": "round_robin",
        "hosts": [{"url": f"tcp://127.0.0.1:{app_port}"}],
    }
    admin = {"access_log_path": "/dev/null", "address": f"tcp://127.0.0.1:{admin_port}"}
    document = {"listeners": [listener], "admin": admin, "cluster_manager": {"clusters": [cluster]}}
    return json.dumps(document, indent=2) + "\n"


def edge_v3(port: int, admin_port: int, registry_port: int) -> str:
    """The edge in v3 YAML: foo.com is spread over what the registry says, asked about once a second."""
    return _EDGE.format(
        port=port, admin_port=admin_port, registry_port=registry_port, domain=DOMAIN, service=SERVICE
    )


def registry(ports: Iterable[int]) -> str:
    """The registry's file: the service has a copy behind each of these ports."""
    hosts = [f"  - 127.0.0.1:{port}" for port in ports]
    return "\n".join(["services:", f"  {SERVICE}:" if hosts else f"  {SERVICE}: []", *hosts]) + "\n"


_EDGE = """\
admin:
  address: {{socket_address: {{address: 127.0.0.1, port_value: {admin_port}}}}}
static_resources:
  listeners:
  - name: edge
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge_http
          use_remote_address: true
          preserve_external_request_id: true
          route_config:
            virtual_hosts:
            - name: foo
              domains: ["{domain}", "{domain}:*"]
              routes:
              - match: {{prefix: /}}
                route: {{cluster: {domain}, timeout: 15s}}
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: edge-access.log
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: {domain}
    connect_timeout: 0.25s
    lb_policy: ROUND_ROBIN
    cluster_type:
      name: twistproxy.clusters.v1_sds
      typed_config:
        "@type": type.googleapis.com/xds.type.v3.TypedStruct
        type_url: type.googleapis.com/twistproxy.clusters.v1_sds
        value: {{cluster: registry, service_name: {service}, refresh_delay: 1s}}
  - name: registry
    type: STATIC
    connect_timeout: 0.25s
    load_assignment:
      cluster_name: registry
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {registry_port}}}}}}}
"""
