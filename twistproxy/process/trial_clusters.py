"""What the discovery process does for clusters while a configuration is tried.

It is the first that takes a new configuration, and a worker may refuse that yet.  Until that is decided it must not
forget what it knows of hosts, that one fails its health checks or is ejected, nor tell workers that this is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from twistproxy.model.cluster import ClusterSettings


def clusters_on_trial(
    new: Iterable[ClusterSettings], former: Iterable[ClusterSettings]
) -> tuple[ClusterSettings, ...]:
    """The new clusters, with the health checks, outlier detection, sources and slow start that only the former ones have,
    and those of the former that are to go.
    """
    before = {cluster.name: cluster for cluster in former}
    found = []
    for cluster in new:
        old = before.pop(cluster.name, cluster)
        found.append(
            replace(
                cluster,
                source=cluster.source or old.source,
                outlier=cluster.outlier or old.outlier,
                health_checks=cluster.health_checks or old.health_checks,
                balancing=replace(
                    cluster.balancing, slow_start=cluster.balancing.slow_start or old.balancing.slow_start
                ),
            )
        )
    return (*found, *before.values())
