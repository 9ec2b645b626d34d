"""What is counted of a cluster as a whole."""

from __future__ import annotations

from twistproxy.model.cluster import ClusterSettings
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.upstream.resource_limits import ResourceLimits


class ClusterCounts:
    """What is counted of a cluster, beside its hosts.  It goes on with the cluster that takes the place of one: what that
    one still has in use counts.

    stats   its statistics
    limits  its circuit breakers, by priority
    """

    __slots__ = ("limits", "stats")

    def __init__(self, settings: ClusterSettings) -> None:
        self.stats = ClusterStats()
        self.limits = (ResourceLimits(settings.default_thresholds), ResourceLimits(settings.high_thresholds))

    def use(self, settings: ClusterSettings) -> None:
        """These are the settings now."""
        default, high = self.limits
        default.set_limits(settings.default_thresholds)
        high.set_limits(settings.high_thresholds)

    def in_use(self) -> bool:
        """Whether there is a connection or a request, or a retry to come."""
        return any(one.own_use() for one in self.limits)
