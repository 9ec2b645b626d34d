"""What a chooser needs besides hosts."""

from __future__ import annotations

from random import Random

from twistproxy.model.cluster import ClusterSettings
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.upstream.lb.shares import PANIC


class LoadBalancerParams:
    """settings, stats  of the cluster
    panic_threshold  per cent of usable hosts below which a priority is in a panic; after a change of it whoever
                     changed it has the chooser `rebuild`
    """

    __slots__ = ("panic_threshold", "random", "settings", "stats")

    def __init__(self, settings: ClusterSettings, stats: ClusterStats, random: Random) -> None:
        self.settings = settings
        self.stats = stats
        self.random = random
        self.panic_threshold = PANIC
