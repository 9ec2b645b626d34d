"""v1 configurations that the tests of several modules read."""

from __future__ import annotations

import json
from typing import Any


def manager(routes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """An `http_connection_manager` filter with one virtual host."""
    config: dict[str, Any] = {
        "codec_type": "auto",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "filters": [{"type": "decoder", "name": "router", "config": {}}],
    }
    return {"type": "read", "name": "http_connection_manager", "config": {**config, **more}}


def cluster(name: str = "app", **more: Any) -> dict[str, Any]:
    """A static cluster of one host."""
    return {
        "name": name,
        "type": "static",
        "lb_type": "round_robin",
        "connect_timeout_ms": 250,
        "hosts": [{"url": "tcp://127.0.0.1:8081"}],
        **more,
    }


def bootstrap(
    filters: list[dict[str, Any]] | None = None,
    clusters: list[dict[str, Any]] | None = None,
    listener: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A whole configuration with one listener."""
    if filters is None:
        filters = [manager([{"prefix": "/", "cluster": "app"}])]
    return {
        "listeners": [{"address": "tcp://127.0.0.1:10000", "filters": filters, **(listener or {})}],
        "admin": {"access_log_path": "/dev/null", "address": "tcp://127.0.0.1:9901"},
        "cluster_manager": {"clusters": clusters if clusters is not None else [cluster()]},
        **more,
    }


def text(config: dict[str, Any]) -> str:
    """Its JSON, indented as people write it."""
    return json.dumps(config, indent=2)


SIDECAR = """\
{
  "listeners": [
    {
      "address": "tcp://0.0.0.0:10000",
      "filters": [
        {
          "type": "read",
          "name": "http_connection_manager",
          "config": {
            "codec_type": "auto",
            "stat_prefix": "ingress_http",
            "route_config": {
              "virtual_hosts": [
                {"name": "foo", "domains": ["foo.com"],
                 "routes": [{"timeout_ms": 0, "prefix": "/", "cluster": "copies"}]}
              ]
            },
            "filters": [{"type": "decoder", "name": "router", "config": {}}]
          }
        }
      ]
    }
  ],
  "admin": {"access_log_path": "/dev/null", "address": "tcp://127.0.0.1:9901"},
  "cluster_manager": {
    "sds": {
      "cluster": {
        "name": "registry",
        "type": "logical_dns",
        "lb_type": "round_robin",
        "connect_timeout_ms": 250,
        "hosts": [{"url": "tcp://registry.local:8080"}]
      },
      "refresh_delay_ms": 1500
    },
    "clusters": [
      {
        "name": "copies",
        "type": "sds",
        "service_name": "foo.default.svc.cluster.local",
        "lb_type": "round_robin",
        "connect_timeout_ms": 250
      }
    ]
  }
}
"""

HEADER = {"name": "x-a", "value": "1"}

# Practically every key that v1 had and v3 still has a form for.
EVERYTHING: dict[str, Any] = bootstrap(
    filters=[
        manager(
            [
                {
                    "prefix": "/a",
                    "weighted_clusters": {
                        "clusters": [{"name": "app", "weight": 60}, {"name": "other", "weight": 40}],
                        "runtime_key_prefix": "split",
                    },
                    "runtime": {"key": "some", "default": 50},
                    "headers": [HEADER, {"name": "x-b", "value": "a.*", "regex": True}, {"name": "x-c"}],
                    "query_parameters": [{"name": "q"}, {"name": "r", "value": "1", "regex": True}],
                    "timeout_ms": 1000,
                    "prefix_rewrite": "/b",
                    "host_rewrite": "example.com",
                    "retry_policy": {"retry_on": "5xx", "num_retries": 2, "per_try_timeout_ms": 100},
                    "shadow": {"cluster": "other", "runtime_key": "shadow"},
                    "priority": "high",
                    "request_headers_to_add": [{"key": "x-ip", "value": "%CLIENT_IP%"}],
                    "hash_policy": {"header_name": "x-hash"},
                    "opaque_config": {"a": "b"},
                    "decorator": {"operation": "op"},
                    "rate_limits": [
                        {
                            "stage": 1,
                            "disable_key": "off",
                            "actions": [
                                {"type": "source_cluster"},
                                {"type": "destination_cluster"},
                                {"type": "remote_address"},
                                {"type": "generic_key", "descriptor_value": "x"},
                                {"type": "request_headers", "header_name": "x-a", "descriptor_key": "a"},
                                {"type": "header_value_match", "descriptor_value": "v", "headers": [HEADER]},
                            ],
                        }
                    ],
                },
                {"path": "/ws", "cluster": "app", "use_websocket": True, "case_sensitive": False},
                {"regex": "/x[0-9]+", "cluster_header": "x-cluster", "prefix_rewrite": "/y", "timeout_ms": 0},
                {"prefix": "/old", "host_redirect": "new.example.com", "path_redirect": "/new"},
                {"prefix": "/cors", "cluster": "app", "cors": {"enabled": False}},
                {"prefix": "/", "cluster": "app", "auto_host_rewrite": False},
            ],
            add_user_agent=True,
            tracing={"operation_name": "ingress", "request_headers_for_tags": ["x-tag"]},
            http1_settings={"allow_absolute_url": True},
            http2_settings={"max_concurrent_streams": 100},
            server_name="front",
            idle_timeout_s=840,
            drain_timeout_ms=100,
            access_log=[
                {
                    "path": "/dev/null",
                    "format": "%DOWNSTREAM_ADDRESS% %RESPONSE_CODE%\n",
                    "filter": {
                        "type": "logical_and",
                        "filters": [
                            {"type": "status_code", "op": ">=", "value": 400},
                            {"type": "duration", "op": "=", "value": 2000, "runtime_key": "slow"},
                            {"type": "not_healthcheck"},
                            {"type": "traceable_request"},
                            {"type": "runtime", "key": "log"},
                        ],
                    },
                }
            ],
            use_remote_address=True,
            forward_client_cert="append_forward",
            set_current_client_cert_details=["Subject", "SAN"],
            generate_request_id=False,
            filters=[
                {
                    "type": "both",
                    "name": "health_check",
                    "config": {"pass_through_mode": True, "endpoint": "/health", "cache_time_ms": 100},
                },
                {"name": "buffer", "config": {"max_request_bytes": 1000, "max_request_time_s": 5}},
                {
                    "name": "fault",
                    "config": {
                        "abort": {"abort_percent": 1, "http_status": 503},
                        "delay": {"type": "fixed", "fixed_delay_percent": 1, "fixed_duration_ms": 10},
                        "headers": [HEADER],
                        "upstream_cluster": "app",
                        "downstream_nodes": ["node"],
                    },
                },
                {"name": "rate_limit", "config": {"domain": "d", "stage": 1, "request_type": "both"}},
                {"name": "cors", "config": {}},
                {"name": "grpc_http1_bridge", "config": {}},
                {"name": "grpc_web", "config": {}},
                {
                    "name": "ip_tagging",
                    "config": {
                        "request_type": "both",
                        "ip_tags": [{"ip_tag_name": "t", "ip_list": ["10.0.0.0/8", "::1"]}],
                    },
                },
                {"name": "lua", "config": {"inline_code": "function envoy_on_request(h) end"}},
                {"type": "decoder", "name": "router", "config": {"dynamic_stats": False}},
            ],
        )
    ],
    clusters=[
        cluster(
            per_connection_buffer_limit_bytes=1000,
            max_requests_per_connection=1,
            circuit_breakers={
                "default": {"max_requests": 5},
                "high": {"max_retries": 1, "max_connections": 2},
            },
            outlier_detection={"consecutive_5xx": 3, "interval_ms": 1000, "max_ejection_percent": 50},
            health_check={
                "type": "http",
                "path": "/health",
                "service_name": "app",
                "timeout_ms": 100,
                "interval_ms": 1000,
                "unhealthy_threshold": 2,
                "healthy_threshold": 2,
                "interval_jitter_ms": 10,
                "reuse_connection": False,
            },
        ),
        cluster(
            "other",
            type="strict_dns",
            lb_type="ring_hash",
            ring_hash_lb_config={"minimum_ring_size": 100, "use_std_hash": True},
            features="http2",
            dns_refresh_rate_ms=5000,
            dns_lookup_family="v6_only",
            dns_resolvers=["127.0.0.1:53", "[::1]:53"],
            hosts=[{"url": "tcp://localhost:1"}, {"url": "tcp://localhost:2"}],
            health_check={
                "type": "tcp",
                "send": [{"binary": "0102"}, {"binary": "03"}],
                "receive": [{"binary": "FF"}],
                "timeout_ms": 100,
                "interval_ms": 1000,
                "unhealthy_threshold": 2,
                "healthy_threshold": 2,
            },
        ),
        cluster("limits", features="http2", ssl_context={"sni": "limits", "alpn_protocols": "h2"}),
        {
            "name": "original",
            "type": "original_dst",
            "lb_type": "original_dst_lb",
            "connect_timeout_ms": 100,
            "cleanup_interval_ms": 100,
        },
    ],
    listener={
        "name": "front",
        "per_connection_buffer_limit_bytes": 65536,
        "drain_type": "modify_only",
        "use_proxy_proto": True,
        "bind_to_port": True,
    },
    flags_path="/nowhere",
    statsd_udp_ip_address="127.0.0.1:8125",
    stats_flush_interval_ms=1000,
    watchdog_miss_timeout_ms=300,
    watchdog_kill_timeout_ms=60000,
    runtime={"symlink_root": "/nowhere", "subdirectory": "a", "override_subdirectory": "b"},
    rate_limit_service={"type": "grpc_service", "config": {"cluster_name": "limits"}},
    tracing={
        "http": {
            "driver": {
                "type": "zipkin",
                "config": {"collector_cluster": "app", "collector_endpoint": "/spans"},
            }
        }
    },
)
EVERYTHING["listeners"].append(
    {
        "address": "tcp://[::1]:10001",
        "filters": [
            {
                "type": "read",
                "name": "ratelimit",
                "config": {
                    "stat_prefix": "l4",
                    "domain": "d",
                    "descriptors": [[{"key": "a", "value": "b"}]],
                    "timeout_ms": 5,
                },
            },
            {
                "type": "both",
                "name": "mongo_proxy",
                "config": {"stat_prefix": "m", "fault": {"fixed_delay": {"percent": 1, "duration_ms": 1}}},
            },
            {
                "name": "tcp_proxy",
                "config": {"stat_prefix": "t", "route_config": {"routes": [{"cluster": "app"}]}},
            },
        ],
    }
)
EVERYTHING["listeners"].append(
    {
        "address": "tcp://127.0.0.1:10002",
        "filters": [
            {
                "name": "redis_proxy",
                "config": {"cluster_name": "other", "stat_prefix": "r", "conn_pool": {"op_timeout_ms": 5}},
            },
        ],
    }
)
EVERYTHING["cluster_manager"]["local_cluster_name"] = "app"
EVERYTHING["cluster_manager"]["outlier_detection"] = {"event_log_path": "/dev/null"}
EVERYTHING["admin"]["profile_path"] = "/dev/null"
