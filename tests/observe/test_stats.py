"""Statistics under Envoy's names."""

from __future__ import annotations

from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.observe.manager_stats import HttpManagerStats, ListenerStats
from twistproxy.observe.stats import Snapshot, collect_statuses


def test_every_counter_and_gauge_is_written_once_under_the_prefix() -> None:
    for group in (ClusterStats(), HttpManagerStats(), ListenerStats()):
        out = Snapshot()
        group.collect("x.", out)
        assert {f"x.{name}" for name in group.COUNTERS} <= set(out.counters)
        assert {f"x.{name}" for name in group.GAUGES} <= set(out.gauges)
        assert not set(out.counters) & set(out.gauges)


def test_groups_with_one_prefix_add_up() -> None:
    out = Snapshot()
    for count in (2, 3):
        group = ClusterStats()
        group.upstream_rq_total = count
        group.upstream_rq_active = 1
        group.collect("cluster.a.", out)
    assert out.counters["cluster.a.upstream_rq_total"] == 5
    assert out.gauges["cluster.a.upstream_rq_active"] == 2


def test_statuses_by_class_and_by_number() -> None:
    out = Snapshot()
    collect_statuses("p.", "upstream_rq", {200: 2, 204: 1, 503: 4}, out, True)
    assert out.counters == {
        "p.upstream_rq_2xx": 3,
        "p.upstream_rq_200": 2,
        "p.upstream_rq_204": 1,
        "p.upstream_rq_5xx": 4,
        "p.upstream_rq_503": 4,
    }


def test_snapshot_is_plain_data() -> None:
    out = Snapshot()
    ClusterStats().collect("cluster.a.", out)
    assert set(out.as_dict()) == {"scope", "counters", "gauges", "histograms", "hosts", "clusters"}
    assert all(type(value) is int for value in out.as_dict()["counters"].values())


def test_what_is_not_to_be_lost_is_what_is_not_zero() -> None:
    out = Snapshot("counts")
    stats = ClusterStats()
    stats.upstream_rq_total = 2
    stats.collect("cluster.a.", out)
    assert out.as_dict() == {
        "scope": "counts",
        "counters": {"cluster.a.upstream_rq_total": 2},
        "gauges": {},
        "histograms": {},
        "hosts": {},
    }
