"""What connection managers and listeners count (Envoy: docs/root/configuration/http/http_conn_man/stats,
listeners/stats)."""

from __future__ import annotations

from twistproxy.observe.histogram import Histogram
from twistproxy.observe.stats import Group, Snapshot, collect_statuses


class HttpManagerStats(Group):
    """`http.<stat_prefix>.*`."""

    COUNTERS = (
        "downstream_cx_delayed_close_timeout",
        "downstream_cx_destroy",
        "downstream_cx_destroy_active_rq",
        "downstream_cx_destroy_local",
        "downstream_cx_destroy_local_active_rq",
        "downstream_cx_destroy_remote",
        "downstream_cx_destroy_remote_active_rq",
        "downstream_cx_drain_close",
        "downstream_cx_http1_total",
        "downstream_cx_idle_timeout",
        "downstream_cx_max_duration_reached",
        "downstream_cx_max_requests_reached",
        "downstream_cx_overload_disable_keepalive",
        "downstream_cx_protocol_error",
        "downstream_cx_rx_bytes_total",
        "downstream_cx_total",
        "downstream_cx_tx_bytes_total",
        "downstream_cx_upgrades_total",
        "downstream_flow_control_paused_reading_total",
        "downstream_flow_control_resumed_reading_total",
        "downstream_rq_completed",
        "downstream_rq_failed_path_normalization",
        "downstream_rq_header_timeout",
        "downstream_rq_http1_total",
        "downstream_rq_idle_timeout",
        "downstream_rq_max_duration_reached",
        "downstream_rq_non_relative_path",
        "downstream_rq_overload_close",
        "downstream_rq_redirected_with_normalized_path",
        "downstream_rq_rejected_via_ip_detection",
        "downstream_rq_response_before_rq_complete",
        "downstream_rq_rx_reset",
        "downstream_rq_timeout",
        "downstream_rq_too_large",
        "downstream_rq_total",
        "downstream_rq_tx_reset",
        "downstream_rq_ws_on_non_ws_route",
        "no_cluster",
        "no_route",
        "passthrough_internal_redirect_bad_location",
        "passthrough_internal_redirect_no_route",
        "passthrough_internal_redirect_predicate",
        "passthrough_internal_redirect_too_many_redirects",
        "passthrough_internal_redirect_unsafe_scheme",
        "rq_direct_response",
        "rq_overload_local_reply",
        "rq_total",
        "rs_too_large",
    )
    GAUGES = ()
    #: Shown as Envoy shows them, for features that are not there to count.
    ZEROS = (
        "downstream_cx_http2_total",
        "downstream_cx_http3_total",
        "downstream_cx_ssl_total",
        "downstream_rq_http2_total",
        "downstream_rq_http3_total",
        "downstream_rq_too_many_premature_resets",
        "rq_redirect",
        "rq_reset_after_downstream_response_started",  # of gRPC requests only
    )
    ZERO_GAUGES = (
        "downstream_cx_active",
        "downstream_cx_http1_active",
        "downstream_cx_http1_soft_drain",
        "downstream_cx_http2_active",
        "downstream_cx_http3_active",
        "downstream_cx_ssl_active",
        "downstream_cx_tx_bytes_buffered",
        "downstream_cx_rx_bytes_buffered",
        "downstream_cx_upgrades_active",
        "downstream_rq_active",
    )

    def __init__(self) -> None:
        self.downstream_cx_delayed_close_timeout = 0
        self.downstream_cx_destroy = 0
        self.downstream_cx_destroy_active_rq = 0
        self.downstream_cx_destroy_local = 0
        self.downstream_cx_destroy_local_active_rq = 0
        self.downstream_cx_destroy_remote = 0
        self.downstream_cx_destroy_remote_active_rq = 0
        self.downstream_cx_drain_close = 0
        self.downstream_cx_http1_total = 0
        self.downstream_cx_idle_timeout = 0
        self.downstream_cx_max_duration_reached = 0
        self.downstream_cx_max_requests_reached = 0
        self.downstream_cx_overload_disable_keepalive = 0
        self.downstream_cx_protocol_error = 0
        self.downstream_cx_rx_bytes_total = 0
        self.downstream_cx_total = 0
        self.downstream_cx_tx_bytes_total = 0
        self.downstream_cx_upgrades_total = 0
        self.downstream_flow_control_paused_reading_total = 0
        self.downstream_flow_control_resumed_reading_total = 0
        self.downstream_rq_completed = 0
        self.downstream_rq_failed_path_normalization = 0
        self.downstream_rq_header_timeout = 0
        self.downstream_rq_http1_total = 0
        self.downstream_rq_idle_timeout = 0
        self.downstream_rq_max_duration_reached = 0
        self.downstream_rq_non_relative_path = 0
        self.downstream_rq_overload_close = 0
        self.downstream_rq_redirected_with_normalized_path = 0
        self.downstream_rq_rejected_via_ip_detection = 0
        self.downstream_rq_response_before_rq_complete = 0
        self.downstream_rq_rx_reset = 0
        self.downstream_rq_timeout = 0
        self.downstream_rq_too_large = 0
        self.downstream_rq_total = 0
        self.downstream_rq_tx_reset = 0
        self.downstream_rq_ws_on_non_ws_route = 0
        self.no_cluster = 0
        self.no_route = 0
        self.passthrough_internal_redirect_bad_location = 0
        self.passthrough_internal_redirect_no_route = 0
        self.passthrough_internal_redirect_predicate = 0
        self.passthrough_internal_redirect_too_many_redirects = 0
        self.passthrough_internal_redirect_unsafe_scheme = 0
        self.rq_direct_response = 0
        self.rq_overload_local_reply = 0
        self.rq_total = 0
        self.rs_too_large = 0
        #: Of filters, under their full names after the prefix: "cors.origin_valid".
        self.filters: dict[str, int] = {}
        self.filter_gauges: dict[str, int] = {}
        #: Why requests are traced, or are not: `tracing.<name>`.
        self.tracing = dict.fromkeys(
            ("client_enabled", "health_check", "not_traceable", "random_sampling", "service_forced"), 0
        )
        #: Of the codec, whose statistics have no prefix of a manager.
        self.fields_with_underscores = 0
        self.requests_with_underscores = 0
        #: By the first of each class: 100, 200 …
        self.statuses: dict[int, int] = dict.fromkeys((100, 200, 300, 400, 500), 0)
        self.rq_time = Histogram()
        self.cx_length_ms = Histogram()

    def collect(self, prefix: str, out: Snapshot) -> None:
        super().collect(prefix, out)
        collect_statuses(prefix, "downstream_rq", self.statuses, out, False)
        for name, count in self.filters.items():
            out.counters[prefix + name] = out.counters.get(prefix + name, 0) + count
        for name, count in self.filter_gauges.items():
            out.gauges[prefix + name] = out.gauges.get(prefix + name, 0) + count
        for name, count in self.tracing.items():
            out.counters[f"{prefix}tracing.{name}"] = out.counters.get(f"{prefix}tracing.{name}", 0) + count
        for name, count in (
            ("http1.dropped_headers_with_underscores", self.fields_with_underscores),
            ("http1.requests_rejected_with_underscores_in_headers", self.requests_with_underscores),
        ):
            out.counters[name] = out.counters.get(name, 0) + count
        out.counters.setdefault("http1.metadata_not_supported_error", 0)  # HTTP/2's metadata
        out.counters.setdefault("http1.response_flood", 0)  # one response at a time is written
        out.histograms[prefix + "downstream_rq_time"] = self.rq_time.snapshot()
        out.histograms[prefix + "downstream_cx_length_ms"] = self.cx_length_ms.snapshot()


#: What a router counts that has no connection manager, and nothing to count: its requests go to clusters that exist.
_OWN_REQUESTS_ZEROS = (
    "no_cluster",
    "no_route",
    "passthrough_internal_redirect_bad_location",
    "passthrough_internal_redirect_no_route",
    "passthrough_internal_redirect_predicate",
    "passthrough_internal_redirect_too_many_redirects",
    "passthrough_internal_redirect_unsafe_scheme",
    "rq_direct_response",
    "rq_overload_local_reply",
    "rq_redirect",
    "rq_reset_after_downstream_response_started",
)


def collect_own_requests(count: int, out: Snapshot) -> None:
    """`http.async-client.*`: so many requests were the proxy's own, which are copies of others."""
    prefix = "http.async-client."
    out.counters[prefix + "rq_total"] = count
    if not out.sparse:
        out.counters.update({prefix + name: 0 for name in _OWN_REQUESTS_ZEROS})


class ListenerStats(Group):
    """`listener.<address>.*`."""

    COUNTERS = (
        "downstream_cx_destroy",
        "downstream_cx_overflow",
        "downstream_cx_overload_reject",
        "downstream_cx_total",
        "downstream_global_cx_overflow",
        "downstream_listener_filter_remote_close",
        "downstream_pre_cx_timeout",
    )
    GAUGES = ("downstream_pre_cx_active",)
    #: Shown as Envoy shows them, for features that are not there to count.
    ZEROS = (
        "downstream_cx_transport_socket_connect_timeout",
        "downstream_listener_filter_error",
        "extension_config_missing",
        "network_extension_config_missing",
        "no_filter_chain_match",
    )
    ZERO_GAUGES = ("downstream_cx_active",)

    def __init__(self) -> None:
        self.downstream_cx_destroy = 0
        self.downstream_cx_overflow = 0
        self.downstream_cx_overload_reject = 0
        self.downstream_cx_total = 0
        self.downstream_global_cx_overflow = 0
        self.downstream_listener_filter_remote_close = 0
        self.downstream_pre_cx_active = 0
        self.downstream_pre_cx_timeout = 0
        self.length_ms = Histogram()

    def collect(self, prefix: str, out: Snapshot) -> None:
        super().collect(prefix, out)
        out.histograms[prefix + "downstream_cx_length_ms"] = self.length_ms.snapshot()
