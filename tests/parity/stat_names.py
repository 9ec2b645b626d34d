"""All names of Envoy 1.40's statistics on the configuration of `test_stat_names`, and those that twistproxy has not."""

from __future__ import annotations

#: Patterns of Envoy's names that are not shown, and why.  Names for what is not built belong to refused options, and so
#: are not among these.
LEFT_OUT = {
    r"\.default\.total_match_count$": "transport sockets are not chosen by metadata",
    r"^cluster\.eds\.(update_duration|version_text)$": "of a file nobody asks for more than when it was taken",
    r"^cluster\.checked\.http1\.": "health checks have a client of their own, not the codec that counts these",
    r"\.connections_accepted_per_socket_event$": "libuv hands over one connection at a time",
    r"main_thread\.(watchdog_mega_miss|watchdog_miss)$": "the master watches the others, and nobody watches it",
    r"^thread_local_cluster_manager\.main_thread\.": "the master has no clusters",
    r"^server\.(debug_assertion_failures|envoy_bug_failures|envoy_notifications)$": "Envoy's own checks of its code",
    r"^server\.stats_recent_lookups$": "names are not looked up in a table of symbols",
    r"^server\.wip_protos$": "no message is marked as unfinished",
}

#: What only twistproxy has: its processes.
OWN = {f"server.{name}_restarts" for name in ("worker", "discovery", "template")} | {
    "server.reloads",
    "server.reloads_rejected",
}

EVERY_CLUSTER = """
    assignment_stale assignment_timeout_received assignment_use_cached bind_errors
    circuit_breakers.default.cx_open circuit_breakers.default.cx_pool_open
    circuit_breakers.default.rq_open circuit_breakers.default.rq_pending_open
    circuit_breakers.default.rq_retry_open circuit_breakers.high.cx_open
    circuit_breakers.high.cx_pool_open circuit_breakers.high.rq_open
    circuit_breakers.high.rq_pending_open circuit_breakers.high.rq_retry_open default.total_match_count
    lb_healthy_panic lb_local_cluster_not_ok lb_recalculate_zone_structures lb_subsets_active
    lb_subsets_created lb_subsets_fallback lb_subsets_fallback_panic lb_subsets_removed
    lb_subsets_selected lb_zone_cluster_too_small lb_zone_no_capacity_left lb_zone_routing_all_directly
    lb_zone_routing_cross_zone lb_zone_routing_sampled max_host_weight membership_change
    membership_degraded membership_excluded membership_healthy membership_total
    original_dst_host_invalid retry_or_shadow_abandoned update_attempt update_empty update_failure
    update_no_rebuild update_success upstream_cx_active upstream_cx_close_notify
    upstream_cx_connect_attempts_exceeded upstream_cx_connect_fail upstream_cx_connect_ms
    upstream_cx_connect_timeout upstream_cx_connect_with_0_rtt upstream_cx_destroy
    upstream_cx_destroy_local upstream_cx_destroy_local_with_active_rq upstream_cx_destroy_remote
    upstream_cx_destroy_remote_with_active_rq upstream_cx_destroy_with_active_rq upstream_cx_http1_total
    upstream_cx_http2_total upstream_cx_http3_total upstream_cx_idle_timeout upstream_cx_length_ms
    upstream_cx_max_duration_reached upstream_cx_max_requests upstream_cx_none_healthy
    upstream_cx_overflow upstream_cx_pool_overflow upstream_cx_preconnect_skipped
    upstream_cx_protocol_error upstream_cx_rx_bytes_buffered upstream_cx_rx_bytes_total
    upstream_cx_total upstream_cx_tx_bytes_buffered upstream_cx_tx_bytes_total
    upstream_flow_control_backed_up_total upstream_flow_control_drained_total
    upstream_flow_control_paused_reading_total upstream_flow_control_resumed_reading_total
    upstream_http3_broken upstream_internal_redirect_failed_total
    upstream_internal_redirect_succeeded_total upstream_queue_overloaded upstream_rq_0rtt
    upstream_rq_active upstream_rq_active_overflow upstream_rq_cancelled upstream_rq_completed
    upstream_rq_maintenance_mode upstream_rq_max_duration_reached upstream_rq_pending_active
    upstream_rq_pending_failure_eject upstream_rq_pending_overflow upstream_rq_pending_total
    upstream_rq_per_cx upstream_rq_per_try_idle_timeout upstream_rq_per_try_timeout upstream_rq_retry
    upstream_rq_retry_backoff_exponential upstream_rq_retry_backoff_ratelimited
    upstream_rq_retry_limit_exceeded upstream_rq_retry_overflow upstream_rq_retry_success
    upstream_rq_rx_reset upstream_rq_rx_reset_no_error upstream_rq_timeout upstream_rq_total
    upstream_rq_tx_reset version warming_state
"""

#: Of a connection manager that routes nothing, too.
EVERY_MANAGER = """
    downstream_cx_active downstream_cx_delayed_close_timeout downstream_cx_destroy
    downstream_cx_destroy_active_rq downstream_cx_destroy_local
    downstream_cx_destroy_local_active_rq downstream_cx_destroy_remote
    downstream_cx_destroy_remote_active_rq downstream_cx_drain_close downstream_cx_http1_active
    downstream_cx_http1_soft_drain downstream_cx_http1_total downstream_cx_http2_active
    downstream_cx_http2_total downstream_cx_http3_active downstream_cx_http3_total
    downstream_cx_idle_timeout downstream_cx_length_ms downstream_cx_max_duration_reached
    downstream_cx_max_requests_reached downstream_cx_overload_disable_keepalive
    downstream_cx_protocol_error downstream_cx_rx_bytes_buffered downstream_cx_rx_bytes_total
    downstream_cx_ssl_active downstream_cx_ssl_total downstream_cx_total
    downstream_cx_tx_bytes_buffered downstream_cx_tx_bytes_total downstream_cx_upgrades_active
    downstream_cx_upgrades_total downstream_flow_control_paused_reading_total
    downstream_flow_control_resumed_reading_total downstream_rq_1xx downstream_rq_2xx
    downstream_rq_3xx downstream_rq_4xx downstream_rq_5xx downstream_rq_active
    downstream_rq_completed downstream_rq_failed_path_normalization downstream_rq_header_timeout
    downstream_rq_http1_total downstream_rq_http2_total downstream_rq_http3_total
    downstream_rq_idle_timeout downstream_rq_max_duration_reached downstream_rq_non_relative_path
    downstream_rq_overload_close downstream_rq_redirected_with_normalized_path
    downstream_rq_rejected_via_ip_detection downstream_rq_response_before_rq_complete
    downstream_rq_rx_reset downstream_rq_time downstream_rq_timeout downstream_rq_too_large
    downstream_rq_too_many_premature_resets downstream_rq_total downstream_rq_tx_reset
    downstream_rq_ws_on_non_ws_route rs_too_large
"""

NAMES: dict[str, str] = {
    "cluster.app.": EVERY_CLUSTER
    + """
    external.upstream_rq_200 external.upstream_rq_2xx external.upstream_rq_completed
    external.upstream_rq_time http1.dropped_headers_with_underscores http1.metadata_not_supported_error
    http1.requests_rejected_with_underscores_in_headers http1.response_flood upstream_rq_200
    upstream_rq_2xx upstream_rq_time
""",
    "cluster.checked.": EVERY_CLUSTER
    + """
    health_check.attempt health_check.degraded health_check.failure health_check.healthy
    health_check.network_failure health_check.passive_failure health_check.success
    health_check.verify_cluster http1.dropped_headers_with_underscores
    http1.metadata_not_supported_error http1.requests_rejected_with_underscores_in_headers
    http1.response_flood outlier_detection.ejections_active outlier_detection.ejections_consecutive_5xx
    outlier_detection.ejections_detected_consecutive_5xx
    outlier_detection.ejections_detected_consecutive_gateway_failure
    outlier_detection.ejections_detected_consecutive_local_origin_failure
    outlier_detection.ejections_detected_degradation
    outlier_detection.ejections_detected_failure_percentage
    outlier_detection.ejections_detected_local_origin_failure_percentage
    outlier_detection.ejections_detected_local_origin_success_rate
    outlier_detection.ejections_detected_success_rate
    outlier_detection.ejections_enforced_consecutive_5xx
    outlier_detection.ejections_enforced_consecutive_gateway_failure
    outlier_detection.ejections_enforced_consecutive_local_origin_failure
    outlier_detection.ejections_enforced_failure_percentage
    outlier_detection.ejections_enforced_local_origin_failure_percentage
    outlier_detection.ejections_enforced_local_origin_success_rate
    outlier_detection.ejections_enforced_success_rate outlier_detection.ejections_enforced_total
    outlier_detection.ejections_overflow outlier_detection.ejections_success_rate
    outlier_detection.ejections_total
""",
    "cluster.breakers.": EVERY_CLUSTER
    + """
    circuit_breakers.default.remaining_cx circuit_breakers.default.remaining_cx_pools
    circuit_breakers.default.remaining_pending circuit_breakers.default.remaining_retries
    circuit_breakers.default.remaining_rq
""",
    "cluster.dns.": EVERY_CLUSTER,
    "cluster.eds.": EVERY_CLUSTER
    + """
    init_fetch_timeout update_duration update_rejected update_time version_text
""",
    "cluster_manager.": """
    active_clusters cluster_added cluster_modified cluster_removed cluster_updated
    cluster_updated_via_merge update_merge_cancelled update_out_of_merge_window warming_clusters
""",
    "dns.": """
    cares.get_addr_failure cares.not_found cares.pending_resolutions cares.reinits cares.resolve_total
    cares.timeouts
""",
    "filesystem.": """
    flushed_by_timer reopen_failed write_buffered write_completed write_failed write_total_buffered
""",
    "http.admin.": EVERY_MANAGER,
    "http.async-client.": """
    no_cluster no_route passthrough_internal_redirect_bad_location
    passthrough_internal_redirect_no_route passthrough_internal_redirect_predicate
    passthrough_internal_redirect_too_many_redirects passthrough_internal_redirect_unsafe_scheme
    rq_direct_response rq_overload_local_reply rq_redirect rq_reset_after_downstream_response_started
    rq_total
""",
    "http.main.": EVERY_MANAGER
    + """
    no_cluster no_route passthrough_internal_redirect_bad_location
    passthrough_internal_redirect_no_route passthrough_internal_redirect_predicate
    passthrough_internal_redirect_too_many_redirects passthrough_internal_redirect_unsafe_scheme
    rq_direct_response rq_overload_local_reply rq_redirect
    rq_reset_after_downstream_response_started rq_total tracing.client_enabled tracing.health_check
    tracing.not_traceable tracing.random_sampling tracing.service_forced
""",
    "http1.": """
    dropped_headers_with_underscores metadata_not_supported_error
    requests_rejected_with_underscores_in_headers response_flood
""",
    "listener.127.0.0.1_PORT.": """
    connections_accepted_per_socket_event downstream_cx_active downstream_cx_destroy
    downstream_cx_length_ms downstream_cx_overflow downstream_cx_overload_reject downstream_cx_total
    downstream_cx_transport_socket_connect_timeout downstream_global_cx_overflow
    downstream_listener_filter_error downstream_listener_filter_remote_close downstream_pre_cx_active
    downstream_pre_cx_timeout extension_config_missing http.main.downstream_rq_1xx
    http.main.downstream_rq_2xx http.main.downstream_rq_3xx http.main.downstream_rq_4xx
    http.main.downstream_rq_5xx http.main.downstream_rq_completed network_extension_config_missing
    no_filter_chain_match worker_0.downstream_cx_active worker_0.downstream_cx_total
""",
    "listener.admin.": """
    connections_accepted_per_socket_event downstream_cx_active downstream_cx_destroy
    downstream_cx_length_ms downstream_cx_overflow downstream_cx_overload_reject downstream_cx_total
    downstream_cx_transport_socket_connect_timeout downstream_global_cx_overflow
    downstream_listener_filter_error downstream_listener_filter_remote_close downstream_pre_cx_active
    downstream_pre_cx_timeout http.admin.downstream_rq_1xx http.admin.downstream_rq_2xx
    http.admin.downstream_rq_3xx http.admin.downstream_rq_4xx http.admin.downstream_rq_5xx
    http.admin.downstream_rq_completed main_thread.downstream_cx_active main_thread.downstream_cx_total
    no_filter_chain_match
""",
    "listener_manager.": """
    listener_added listener_create_failure listener_create_success listener_in_place_updated
    listener_modified listener_removed listener_stopped total_filter_chains_draining
    total_listeners_active total_listeners_draining total_listeners_warming workers_pinned
    workers_started
""",
    "runtime.": """
    admin_overrides_active deprecated_feature_seen_since_process_start deprecated_feature_use load_error
    load_success num_keys num_layers override_dir_exists override_dir_not_exists
""",
    "server.": """
    compilation_settings.fips_mode concurrency days_until_first_cert_expiring debug_assertion_failures
    dropped_stat_flushes dynamic_unknown_fields envoy_bug_failures envoy_notifications hot_restart_epoch
    initialization_time_ms live main_thread.watchdog_mega_miss main_thread.watchdog_miss
    memory_allocated memory_heap_size memory_physical_size parent_connections
    seconds_until_first_ocsp_response_expiring state static_unknown_fields stats_recent_lookups
    total_connections uptime version wip_protos worker_0.watchdog_mega_miss worker_0.watchdog_miss
""",
    "thread_local_cluster_manager.": """
    main_thread.clusters_inflated worker_0.clusters_inflated
""",
    "workers.": """
    watchdog_mega_miss watchdog_miss
""",
    "main_thread.": """
    watchdog_mega_miss watchdog_miss
""",
    "overload.": """
    refresh_interval_delay
""",
    "envoy.": """
    overload_actions.reset_high_memory_stream.count
""",
}
