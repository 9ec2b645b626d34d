"""What clusters and their hosts count (Envoy: docs/root/configuration/upstream/cluster_manager/cluster_stats)."""

from __future__ import annotations

from twistproxy.observe.histogram import Histogram
from twistproxy.observe.stats import Group, Snapshot, collect_statuses

#: Of an HTTP/1 codec towards upstreams, which refuses no fields for their names.
_CODEC_ZEROS = (
    "dropped_headers_with_underscores",
    "metadata_not_supported_error",
    "requests_rejected_with_underscores_in_headers",
    "response_flood",
)

#: How many further names one cluster's responses are counted under.
_MAX_NAMES = 1000


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
        "bind_errors",
        "lb_healthy_panic",
        "lb_local_cluster_not_ok",
        "lb_recalculate_zone_structures",
        "lb_zone_cluster_too_small",
        "lb_zone_no_capacity_left",
        "lb_zone_routing_all_directly",
        "lb_zone_routing_cross_zone",
        "lb_zone_routing_sampled",
        "lb_subsets_created",
        "lb_subsets_fallback",
        "lb_subsets_fallback_panic",
        "lb_subsets_removed",
        "lb_subsets_selected",
        "membership_change",
        "original_dst_host_invalid",
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
        "upstream_cx_pool_overflow",
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
        "lb_subsets_active",
        "upstream_cx_active",
        "upstream_rq_active",
        "upstream_rq_pending_active",
    )
    #: Shown as Envoy shows them, for features that are not there to count.
    ZEROS = (
        "assignment_stale",
        "assignment_timeout_received",
        "assignment_use_cached",
        "update_attempt",
        "update_empty",
        "update_failure",
        "update_no_rebuild",
        "update_success",
        "upstream_cx_connect_attempts_exceeded",
        "upstream_cx_http2_total",
        "upstream_cx_http3_total",
        "upstream_cx_connect_with_0_rtt",
        # Which hosts connections are made to ahead cannot be restricted.
        "upstream_cx_preconnect_skipped",
        # There is no HTTP/2 and no HTTP/3.
        "upstream_http3_broken",
        "upstream_rq_0rtt",
        "upstream_rq_rx_reset_no_error",
        # HTTP/1 has no resets: a stream that is given up takes its connection with it.
        "upstream_rq_rx_reset",
        "upstream_rq_tx_reset",
    )
    ZERO_GAUGES = (
        "upstream_cx_rx_bytes_buffered",
        "upstream_cx_tx_bytes_buffered",
        "upstream_queue_overloaded",  # no queue says so of itself
    )

    def __init__(self) -> None:
        self.bind_errors = 0
        self.lb_healthy_panic = 0
        self.lb_local_cluster_not_ok = 0
        self.lb_recalculate_zone_structures = 0
        self.lb_zone_cluster_too_small = 0
        self.lb_zone_no_capacity_left = 0
        self.lb_zone_routing_all_directly = 0
        self.lb_zone_routing_cross_zone = 0
        self.lb_zone_routing_sampled = 0
        self.lb_subsets_active = 0
        self.lb_subsets_created = 0
        self.lb_subsets_fallback = 0
        self.lb_subsets_fallback_panic = 0
        self.lb_subsets_removed = 0
        self.lb_subsets_selected = 0
        self.membership_change = 0
        self.original_dst_host_invalid = 0
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
        self.upstream_cx_pool_overflow = 0
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
        #: Requests that were copied to it, with or without success.
        self.copies = 0
        self.statuses: dict[int, int] = {}
        #: Responses counted under a further name as well: "retry", and what x-envoy-upstream-alt-stat-name says.
        self.also: dict[str, dict[int, int]] = {}
        #: Of requests that we made ourselves; the others are external.
        self.internal: dict[int, int] = {}
        self.internal_rq_time = Histogram()
        self.rq_time = Histogram()
        self.connect_ms = Histogram()
        self.length_ms = Histogram()
        self.rq_per_cx = Histogram()

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
        if self.rq_time.counts:
            out.histograms[prefix + "upstream_rq_time"] = self.rq_time.snapshot()
        if self.upstream_cx_http1_total:
            for name in _CODEC_ZEROS:
                out.counters.setdefault(f"{prefix}http1.{name}", 0)
        for name, histogram in (
            ("upstream_cx_connect_ms", self.connect_ms),
            ("upstream_cx_length_ms", self.length_ms),
            ("upstream_rq_per_cx", self.rq_per_cx),
        ):
            out.histograms[prefix + name] = histogram.snapshot()


class HostStats(Group):
    """Per host, as `/clusters` shows them."""

    __slots__ = (
        "cx_active",
        "cx_connect_fail",
        "cx_total",
        "rq_active",
        "rq_error",
        "rq_pending_active",
        "rq_success",
        "rq_timeout",
        "rq_total",
    )
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
