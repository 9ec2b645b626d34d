"""What is known of a host's health: Envoy's flags (Upstream::Host::HealthFlag), as the bits of an int.

A host is unhealthy with a flag of `UNHEALTHY`, else degraded with one of `DEGRADED`; one with a flag of `EXCLUDED` does
not count among the hosts of which a share must be healthy (Envoy:
arch_overview/upstream/load_balancing/panic_threshold).
"""

from __future__ import annotations

FAILED_ACTIVE_HC = 0x1
FAILED_OUTLIER_CHECK = 0x2
FAILED_EDS_HEALTH = 0x4
DEGRADED_ACTIVE_HC = 0x8
DEGRADED_EDS_HEALTH = 0x10
#: gone from discovery, but kept as long as its health checks pass
PENDING_DYNAMIC_REMOVAL = 0x20
#: new, and not to count before its first health check
PENDING_ACTIVE_HC = 0x40
EXCLUDED_VIA_IMMEDIATE_HC_FAIL = 0x80
#: beside FAILED_ACTIVE_HC: because of a time limit
ACTIVE_HC_TIMEOUT = 0x100
EDS_STATUS_DRAINING = 0x200
DEGRADED_OUTLIER_DETECTION = 0x400

UNHEALTHY = FAILED_ACTIVE_HC | FAILED_OUTLIER_CHECK | FAILED_EDS_HEALTH | EDS_STATUS_DRAINING
DEGRADED = DEGRADED_ACTIVE_HC | DEGRADED_EDS_HEALTH | DEGRADED_OUTLIER_DETECTION
EXCLUDED = PENDING_ACTIVE_HC | EXCLUDED_VIA_IMMEDIATE_HC_FAIL | EDS_STATUS_DRAINING

#: What active health checks decide on.
ACTIVE_CHECKS = (
    FAILED_ACTIVE_HC
    | DEGRADED_ACTIVE_HC
    | PENDING_DYNAMIC_REMOVAL
    | PENDING_ACTIVE_HC
    | EXCLUDED_VIA_IMMEDIATE_HC_FAIL
    | ACTIVE_HC_TIMEOUT
)

#: The words of `/clusters`, in its order.
_NAMES = (
    (FAILED_ACTIVE_HC, "failed_active_hc"),
    (FAILED_OUTLIER_CHECK, "failed_outlier_check"),
    (FAILED_EDS_HEALTH, "failed_eds_health"),
    (DEGRADED_ACTIVE_HC, "degraded_active_hc"),
    (DEGRADED_EDS_HEALTH, "degraded_eds_health"),
    (PENDING_DYNAMIC_REMOVAL, "pending_dynamic_removal"),
    (PENDING_ACTIVE_HC, "pending_active_hc"),
    (EXCLUDED_VIA_IMMEDIATE_HC_FAIL, "excluded_via_immediate_hc_fail"),
    (ACTIVE_HC_TIMEOUT, "active_hc_timeout"),
    (EDS_STATUS_DRAINING, "eds_status_draining"),
    (DEGRADED_OUTLIER_DETECTION, "degraded_outlier_detection"),
)

#: The flags of EDS health states (envoy.config.core.v3.HealthStatus).
_EDS = {
    "UNHEALTHY": FAILED_EDS_HEALTH,
    "TIMEOUT": FAILED_EDS_HEALTH,
    "DRAINING": EDS_STATUS_DRAINING,
    "DEGRADED": DEGRADED_EDS_HEALTH,
}


def eds_flags(status: str) -> int:
    """The flags of an EDS health state; 0 for a healthy one."""
    return _EDS.get(status, 0)


def is_healthy(status: str, flags: int) -> bool:
    """Whether a host of this EDS health state and these flags gets requests like any other."""
    return not (eds_flags(status) | flags) & (UNHEALTHY | DEGRADED)


def flag_names(flags: int) -> list[str]:
    """The flags in words; `["healthy"]` if there are none."""
    return [name for bit, name in _NAMES if flags & bit] or ["healthy"]


#: What a flag says of a host, for people.
_WORDS = (
    (FAILED_ACTIVE_HC, "it fails its health checks"),
    (ACTIVE_HC_TIMEOUT, "they time out"),
    (PENDING_ACTIVE_HC, "its first health check is still to come"),
    (
        EXCLUDED_VIA_IMMEDIATE_HC_FAIL,
        "it said itself that it is not healthy (x-envoy-immediate-health-check-fail)",
    ),
    (FAILED_OUTLIER_CHECK, "outlier detection has ejected it"),
    (FAILED_EDS_HEALTH, "discovery says that it is unhealthy"),
    (EDS_STATUS_DRAINING, "discovery says that it is draining"),
    (PENDING_DYNAMIC_REMOVAL, "discovery does not name it any more, but it passes its health checks"),
    (DEGRADED_ACTIVE_HC, "its health checks say that it is degraded"),
    (DEGRADED_EDS_HEALTH, "discovery says that it is degraded"),
    (DEGRADED_OUTLIER_DETECTION, "it says itself that it is degraded"),
)


def in_words(flags: int) -> list[str]:
    """What is special about a host's health; nothing about one that is simply healthy."""
    return [words for bit, words in _WORDS if flags & bit]
