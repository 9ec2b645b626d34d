"""The ways in which a host can be an outlier, and what is counted of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of outlier: its name in the event log, in statistics, and the field that says whether it is enforced."""

    name: str
    stat: str
    enforcing: str


#: What is counted in a row, by the numbers of `model.outlier`: (kind, field with the threshold).
CONSECUTIVE = (
    (Kind("CONSECUTIVE_5XX", "consecutive_5xx", "enforcing_consecutive_5xx"), "consecutive_5xx"),
    (
        Kind(
            "CONSECUTIVE_GATEWAY_FAILURE",
            "consecutive_gateway_failure",
            "enforcing_consecutive_gateway_failure",
        ),
        "consecutive_gateway_failure",
    ),
    (
        Kind(
            "CONSECUTIVE_LOCAL_ORIGIN_FAILURE",
            "consecutive_local_origin_failure",
            "enforcing_consecutive_local_origin_failure",
        ),
        "consecutive_local_origin_failure",
    ),
)
RATE = Kind("SUCCESS_RATE", "success_rate", "enforcing_success_rate")
LOCAL_RATE = Kind(
    "SUCCESS_RATE_LOCAL_ORIGIN", "local_origin_success_rate", "enforcing_local_origin_success_rate"
)
SHARE = Kind("FAILURE_PERCENTAGE", "failure_percentage", "enforcing_failure_percentage")
LOCAL_SHARE = Kind(
    "FAILURE_PERCENTAGE_LOCAL_ORIGIN",
    "local_origin_failure_percentage",
    "enforcing_failure_percentage_local_origin",
)
_KINDS = (*(kind for kind, _ in CONSECUTIVE), RATE, LOCAL_RATE, SHARE, LOCAL_SHARE)
#: Of each cluster's outlier_detection statistics.
COUNTERS = (
    *(f"ejections_detected_{kind.stat}" for kind in _KINDS),
    *(f"ejections_enforced_{kind.stat}" for kind in _KINDS),
    "ejections_detected_degradation",
    "ejections_enforced_total",
    "ejections_overflow",
    # Deprecated by Envoy.
    "ejections_consecutive_5xx",
    "ejections_success_rate",
    "ejections_total",
)
