"""What the discovery process does for clusters while a configuration is tried."""

from __future__ import annotations

from typing import Any

from twistproxy.model.balancing import Balancing, SlowStartSettings
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.discovery import StaticSource
from twistproxy.model.outlier import OutlierSettings
from twistproxy.process.trial_clusters import clusters_on_trial

CHECKS: Any = "health checks"
SOURCE = StaticSource("a", ())


def test_what_is_to_go_stays() -> None:
    slow = Balancing(slow_start=SlowStartSettings(1.0))
    old = ClusterSettings("a", source=SOURCE, outlier=OutlierSettings(), health_checks=CHECKS, balancing=slow)
    gone = ClusterSettings("b")
    assert clusters_on_trial([ClusterSettings("a"), ClusterSettings("c")], [old, gone]) == (
        old,
        ClusterSettings("c"),
        gone,
    )


def test_what_is_new_counts() -> None:
    old = ClusterSettings("a", source=SOURCE, outlier=OutlierSettings(), connect_timeout=1.0)
    new = ClusterSettings(
        "a", source=StaticSource("a", ()), outlier=OutlierSettings(consecutive_5xx=1), connect_timeout=2.0
    )
    assert clusters_on_trial([new], [old]) == (new,)
    assert clusters_on_trial([new], []) == (new,)
