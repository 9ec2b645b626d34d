"""Statistics as plain integers, and their names put together only when somebody asks.

Hot code adds to attributes (`stats.upstream_rq_total += 1`); `collect` writes Envoy's full names into a snapshot
(docs/root/configuration/upstream/cluster_manager/cluster_stats, http/http_conn_man/stats, listeners/stats).
"""

from __future__ import annotations

from typing import Any, ClassVar

from twistproxy.observe.histogram import Histogram

#: How many further names one cluster's responses are counted under.
_MAX_NAMES = 1000


class Snapshot:
    """Names and values at one moment.  `as_dict` is what a worker sends to the master."""

    __slots__ = ("clusters", "counters", "gauges", "histograms", "hosts")

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}
        self.gauges: dict[str, int] = {}
        self.histograms: dict[str, dict[str, int]] = {}
        self.hosts: dict[str, list[dict[str, Any]]] = {}
        self.clusters: dict[str, dict[str, Any]] = {}

    def as_dict(self) -> dict[str, Any]:
        return {
            "counters": self.counters,
            "gauges": self.gauges,
            "histograms": self.histograms,
            "hosts": self.hosts,
            "clusters": self.clusters,
        }


class Group:
    """Counters and gauges of one object: attributes, whose names `COUNTERS` and `GAUGES` list for `collect`."""

    COUNTERS: ClassVar[tuple[str, ...]] = ()
    GAUGES: ClassVar[tuple[str, ...]] = ()
    ZEROS: ClassVar[tuple[str, ...]] = ()
    ZERO_GAUGES: ClassVar[tuple[str, ...]] = ()

    def collect(self, prefix: str, out: Snapshot) -> None:
        """Add all of them to what there is under `prefix`, which ends in a dot."""
        counters = out.counters
        gauges = out.gauges
        for name in self.COUNTERS:
            counters[prefix + name] = counters.get(prefix + name, 0) + getattr(self, name)
        for name in self.ZEROS:
            counters.setdefault(prefix + name, 0)
        for name in self.GAUGES:
            gauges[prefix + name] = gauges.get(prefix + name, 0) + getattr(self, name)
        for name in self.ZERO_GAUGES:
            gauges.setdefault(prefix + name, 0)


def collect_statuses(prefix: str, name: str, counts: dict[int, int], out: Snapshot, exact: bool) -> None:
    """Responses by class (`…_2xx`), and each by itself if `exact`; `name` is e.g. "upstream_rq"."""
    for status, count in counts.items():
        class_name = f"{prefix}{name}_{status // 100}xx"
        out.counters[class_name] = out.counters.get(class_name, 0) + count
        if exact:
            out.counters[f"{prefix}{name}_{status}"] = out.counters.get(f"{prefix}{name}_{status}", 0) + count


def without(all_values: dict[str, int], some: dict[str, int]) -> dict[str, int]:
    """A histogram's snapshot less what is in `some`, which is part of it."""
    if not some:
        return all_values
    left = {value: count - some.get(value, 0) for value, count in all_values.items()}
    return {value: count for value, count in left.items() if count}


class ClusterStats(Group):
    """`cluster.<name>.*`.  upstream_rq_idle_race_retry is ours: requests sent again because the upstream closed a kept
    connection just as it was used again."""

    COUNTERS = (
        "lb_healthy_panic",
        "membership_change",
        "retry_or_shadow_abandoned",
        "upstream_cx_close_notify",
        "upstream_cx_connect_fail",
        "upstream_cx_connect_timeout",
        "upstream_cx_destroy",
        "upstream_cx_destroy_local",
        "upstream_cx_destroy_local_with_active_rq",
        "upstream_cx_destroy_remote",
        "upstream_cx_destroy_remote_with_active_rq",
        "upstream_cx_destroy_with_active_rq",
        "upstream_cx_http1_total",
        "upstream_cx_idle_timeout",
        "upstream_cx_max_duration_reached",
        "upstream_cx_max_requests",
        "upstream_cx_none_healthy",
        "upstream_cx_overflow",
        "upstream_cx_protocol_error",
        "upstream_cx_rx_bytes_total",
        "upstream_cx_total",
        "upstream_cx_tx_bytes_total",
        "upstream_flow_control_backed_up_total",
        "upstream_flow_control_drained_total",
        "upstream_flow_control_paused_reading_total",
        "upstream_flow_control_resumed_reading_total",
        "upstream_internal_redirect_failed_total",
        "upstream_internal_redirect_succeeded_total",
        "upstream_rq_active_overflow",
        "upstream_rq_cancelled",
        "upstream_rq_completed",
        "upstream_rq_max_duration_reached",
        "upstream_rq_maintenance_mode",
        "upstream_rq_pending_failure_eject",
        "upstream_rq_pending_overflow",
        "upstream_rq_pending_total",
        "upstream_rq_per_try_idle_timeout",
        "upstream_rq_per_try_timeout",
        "upstream_rq_retry",
        "upstream_rq_retry_backoff_exponential",
        "upstream_rq_retry_backoff_ratelimited",
        "upstream_rq_retry_limit_exceeded",
        "upstream_rq_retry_overflow",
        "upstream_rq_retry_success",
        "upstream_rq_timeout",
        "upstream_rq_total",
    )
    GAUGES = (
        "upstream_cx_active",
        "upstream_rq_active",
        "upstream_rq_pending_active",
    )
    #: Shown as Envoy shows them, for features that are not there to count.
    ZEROS = (
        "assignment_stale",
        "assignment_timeout_received",
        "assignment_use_cached",
        "bind_errors",
        "original_dst_host_invalid",
        "update_attempt",
        "update_empty",
        "update_failure",
        "update_no_rebuild",
        "update_success",
        "upstream_cx_connect_attempts_exceeded",
        "upstream_cx_http2_total",
        "upstream_cx_http3_total",
        "upstream_cx_pool_overflow",
        # HTTP/1 has no resets: a stream that is given up takes its connection with it.
        "upstream_rq_rx_reset",
        "upstream_rq_tx_reset",
    )
    ZERO_GAUGES = (
        "upstream_cx_rx_bytes_buffered",
        "upstream_cx_tx_bytes_buffered",
    )

    def __init__(self) -> None:
        self.lb_healthy_panic = 0
        self.membership_change = 0
        self.retry_or_shadow_abandoned = 0
        self.upstream_cx_close_notify = 0
        self.upstream_cx_connect_fail = 0
        self.upstream_cx_connect_timeout = 0
        self.upstream_cx_destroy = 0
        self.upstream_cx_destroy_local = 0
        self.upstream_cx_destroy_local_with_active_rq = 0
        self.upstream_cx_destroy_remote = 0
        self.upstream_cx_destroy_remote_with_active_rq = 0
        self.upstream_cx_destroy_with_active_rq = 0
        self.upstream_cx_http1_total = 0
        self.upstream_cx_idle_timeout = 0
        self.upstream_cx_max_duration_reached = 0
        self.upstream_cx_max_requests = 0
        self.upstream_cx_none_healthy = 0
        self.upstream_cx_overflow = 0
        self.upstream_cx_protocol_error = 0
        self.upstream_cx_rx_bytes_total = 0
        self.upstream_cx_total = 0
        self.upstream_cx_tx_bytes_total = 0
        self.upstream_flow_control_backed_up_total = 0
        self.upstream_flow_control_drained_total = 0
        self.upstream_flow_control_paused_reading_total = 0
        self.upstream_flow_control_resumed_reading_total = 0
        self.upstream_internal_redirect_failed_total = 0
        self.upstream_internal_redirect_succeeded_total = 0
        self.upstream_rq_active_overflow = 0
        self.upstream_rq_cancelled = 0
        self.upstream_rq_completed = 0
        self.upstream_rq_maintenance_mode = 0
        self.upstream_rq_pending_failure_eject = 0
        self.upstream_rq_pending_overflow = 0
        self.upstream_rq_pending_total = 0
        self.upstream_rq_timeout = 0
        self.upstream_rq_total = 0
        self.retry_or_shadow_abandoned = 0
        self.upstream_rq_max_duration_reached = 0
        self.upstream_rq_per_try_idle_timeout = 0
        self.upstream_rq_per_try_timeout = 0
        self.upstream_rq_retry = 0
        self.upstream_rq_retry_backoff_exponential = 0
        self.upstream_rq_retry_backoff_ratelimited = 0
        self.upstream_rq_retry_limit_exceeded = 0
        self.upstream_rq_retry_overflow = 0
        self.upstream_rq_retry_success = 0
        self.upstream_rq_idle_race_retry = 0
        self.upstream_cx_active = 0
        self.upstream_rq_active = 0
        self.upstream_rq_pending_active = 0
        self.statuses: dict[int, int] = {}
        #: Responses counted under a further name as well: "retry", and what x-envoy-upstream-alt-stat-name says.
        self.also: dict[str, dict[int, int]] = {}
        #: Of requests that we made ourselves; the others are external.
        self.internal: dict[int, int] = {}
        self.internal_rq_time = Histogram()
        self.rq_time = Histogram()
        self.connect_ms = Histogram()
        self.length_ms = Histogram()

    def count_also(self, name: str, status: int) -> None:
        """Count a response under one more name.  Names may come from requests: there is an end to them."""
        statuses = self.also.get(name)
        if statuses is None:
            if len(self.also) >= _MAX_NAMES:
                return
            statuses = self.also[name] = {}
        statuses[status] = statuses.get(status, 0) + 1

    def count_internal(self, status: int) -> None:
        """A response that is among the others belonged to a request of our own."""
        self.internal[status] = self.internal.get(status, 0) + 1

    def record_internal(self, milliseconds: int) -> None:
        """How long a request of our own took."""
        self.rq_time.record(milliseconds)
        self.internal_rq_time.record(milliseconds)

    def collect(self, prefix: str, out: Snapshot) -> None:
        super().collect(prefix, out)
        if self.statuses:
            collect_statuses(prefix, "upstream_rq", self.statuses, out, True)
        if self.upstream_rq_idle_race_retry:  # Envoy does not have it
            out.counters[prefix + "upstream_rq_idle_race_retry"] = self.upstream_rq_idle_race_retry
        for name, statuses in self.also.items():
            collect_statuses(f"{prefix}{name}.", "upstream_rq", statuses, out, True)
            out.counters[f"{prefix}{name}.upstream_rq_completed"] = sum(statuses.values())
        external = self.statuses
        if self.internal:
            collect_statuses(prefix + "internal.", "upstream_rq", self.internal, out, True)
            out.counters[prefix + "internal.upstream_rq_completed"] = sum(self.internal.values())
            external = {
                status: count - self.internal.get(status, 0)
                for status, count in self.statuses.items()
                if count != self.internal.get(status, 0)
            }
            out.histograms[prefix + "internal.upstream_rq_time"] = self.internal_rq_time.snapshot()
        if external:
            collect_statuses(prefix + "external.", "upstream_rq", external, out, True)
            out.counters[prefix + "external.upstream_rq_completed"] = sum(external.values())
            out.histograms[prefix + "external.upstream_rq_time"] = without(
                self.rq_time.snapshot(), self.internal_rq_time.snapshot()
            )
        for name, histogram in (
            ("upstream_rq_time", self.rq_time),
            ("upstream_cx_connect_ms", self.connect_ms),
            ("upstream_cx_length_ms", self.length_ms),
        ):
            out.histograms[prefix + name] = histogram.snapshot()


class HostStats(Group):
    """Per host, as `/clusters` shows them."""

    COUNTERS = (
        "cx_connect_fail",
        "cx_total",
        "rq_error",
        "rq_success",
        "rq_timeout",
        "rq_total",
    )
    GAUGES = (
        "cx_active",
        "rq_active",
        "rq_pending_active",
    )

    def __init__(self) -> None:
        self.cx_connect_fail = 0
        self.cx_total = 0
        self.rq_error = 0
        self.rq_success = 0
        self.rq_timeout = 0
        self.rq_total = 0
        self.cx_active = 0
        self.rq_active = 0
        self.rq_pending_active = 0


class HttpManagerStats(Group):
    """`http.<stat_prefix>.*`."""

    COUNTERS = (
        "downstream_cx_delayed_close_timeout",
        "downstream_cx_destroy",
        "downstream_cx_destroy_active_rq",
        "downstream_cx_destroy_local",
        "downstream_cx_destroy_remote",
        "downstream_cx_destroy_remote_active_rq",
        "downstream_cx_http1_total",
        "downstream_cx_idle_timeout",
        "downstream_cx_max_duration_reached",
        "downstream_cx_max_requests_reached",
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
        "rq_total",
        "rs_too_large",
    )
    GAUGES = ()
    #: Shown as Envoy shows them, for features that are not there to count.
    ZEROS = (
        "downstream_cx_destroy_local_active_rq",
        "downstream_cx_drain_close",
        "downstream_cx_http2_total",
        "downstream_cx_http3_total",
        "downstream_cx_overload_disable_keepalive",
        "downstream_cx_ssl_total",
        "downstream_rq_http2_total",
        "downstream_rq_http3_total",
        "downstream_rq_overload_close",
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
        self.downstream_cx_destroy_remote = 0
        self.downstream_cx_destroy_remote_active_rq = 0
        self.downstream_cx_http1_total = 0
        self.downstream_cx_idle_timeout = 0
        self.downstream_cx_max_duration_reached = 0
        self.downstream_cx_max_requests_reached = 0
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
        out.histograms[prefix + "downstream_rq_time"] = self.rq_time.snapshot()
        out.histograms[prefix + "downstream_cx_length_ms"] = self.cx_length_ms.snapshot()


class ListenerStats(Group):
    """`listener.<address>.*`."""

    COUNTERS = (
        "downstream_cx_destroy",
        "downstream_cx_total",
    )
    GAUGES = ()
    #: Shown as Envoy shows them, for features that are not there to count.
    ZEROS = (
        "downstream_cx_overflow",
        "downstream_cx_overload_reject",
        "downstream_cx_transport_socket_connect_timeout",
        "downstream_global_cx_overflow",
        "downstream_listener_filter_error",
        "downstream_listener_filter_remote_close",
        "downstream_pre_cx_timeout",
        "no_filter_chain_match",
    )
    ZERO_GAUGES = (
        "downstream_cx_active",
        "downstream_pre_cx_active",
    )

    def __init__(self) -> None:
        self.downstream_cx_destroy = 0
        self.downstream_cx_total = 0
        self.length_ms = Histogram()

    def collect(self, prefix: str, out: Snapshot) -> None:
        super().collect(prefix, out)
        out.histograms[prefix + "downstream_cx_length_ms"] = self.length_ms.snapshot()
