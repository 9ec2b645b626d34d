"""Outlier detection of a cluster (envoy.config.cluster.v3.OutlierDetection), and where its counts lie on the board.

A host that is watched has a row of shared memory.  Each worker counts in a line of its own, and only adds; how many
failures there were in a row is the sum over all workers less a base, which a success moves up to the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.http.response_match import ResponseMatcher

#: Cells of a worker's line: what has happened since it was first written.
FAILURES = 0  # 5xx of the host, or what stands for one
GATEWAY_FAILURES = 1  # of those, 502, 503 and 504
SUCCESSES = 2
LOCAL_FAILURES = 3  # with split_external_local_origin_errors: no connection, resets, timeouts
LOCAL_SUCCESSES = 4

#: Cells of the line that all share; the first is the board's own.
BASES = 1  # three cells: how many of FAILURES, GATEWAY_FAILURES and LOCAL_FAILURES do not count any more
FAILING = 4  # not 0 if there was a failure after the last success
SINCE = 5  # milliseconds of the monotonic clock: ejected then, or if negative, back since then
EJECTIONS = 6  # how often it was ejected, and above 32 bits the multiplier of the ejection time
JITTER = 7  # milliseconds more that this ejection takes

#: The kinds of failures that are counted in a row, by the number of their base.
CONSECUTIVE_5XX = 0
CONSECUTIVE_GATEWAY_FAILURE = 1
CONSECUTIVE_LOCAL_ORIGIN_FAILURE = 2
#: Not a kind of failures: the host has said that it is degraded.
DEGRADED = 3
#: kind: cell of a worker's line
COUNTED = (FAILURES, GATEWAY_FAILURES, LOCAL_FAILURES)


@dataclass(frozen=True, slots=True)
class OutlierSettings:
    """Envoy's fields with Envoy's defaults; times are milliseconds.

    split  whether failures of ours (connections, resets, timeouts) are counted apart from those of the host
    errors  which responses are failures; None: those of 5xx
    detect_degraded_hosts  whether x-envoy-degraded in responses is believed
    """

    consecutive_5xx: int = 5
    consecutive_gateway_failure: int = 5
    consecutive_local_origin_failure: int = 5
    split: bool = False
    interval: int = 10_000
    base_ejection_time: int = 30_000
    max_ejection_time: int = 300_000
    max_ejection_time_jitter: int = 0
    max_ejection_percent: int = 10
    always_eject_one_host: bool = False
    uneject_when_checked: bool = True
    detect_degraded_hosts: bool = False
    errors: ResponseMatcher | None = None
    enforcing_consecutive_5xx: int = 100
    enforcing_consecutive_gateway_failure: int = 0
    enforcing_consecutive_local_origin_failure: int = 100
    enforcing_success_rate: int = 100
    enforcing_local_origin_success_rate: int = 100
    enforcing_failure_percentage: int = 0
    enforcing_failure_percentage_local_origin: int = 0
    success_rate_minimum_hosts: int = 5
    success_rate_request_volume: int = 100
    success_rate_stdev_factor: int = 1900
    failure_percentage_threshold: int = 85
    failure_percentage_minimum_hosts: int = 5
    failure_percentage_request_volume: int = 50
