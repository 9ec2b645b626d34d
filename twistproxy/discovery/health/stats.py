"""What health checks count (Envoy: configuration/upstream/cluster_manager/cluster_stats, "Health check statistics")."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class HealthStats:
    """`cluster.<name>.health_check.*` that only grow."""

    attempt: int = 0
    success: int = 0
    failure: int = 0
    passive_failure: int = 0
    network_failure: int = 0
    verify_cluster: int = 0

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return asdict(self)
