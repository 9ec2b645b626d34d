"""Sums over workers, living and dead."""

from twistproxy.admin.merge import Statistics

from .fakes import host


def snapshot(requests: int, active: int = 0) -> dict[str, object]:
    address = "10.0.0.1:80"
    return {
        "counters": {"rq": requests},
        "gauges": {"active": active},
        "histograms": {"time": {"1": requests}},
        "hosts": {"app": [host(address, counters={"rq_total": requests}, gauges={"rq_active": active})]},
        "clusters": {"app": {}},
    }


def test_workers_are_added_up() -> None:
    statistics = Statistics()
    statistics.report("a", snapshot(3, 1))
    statistics.report("b", snapshot(4, 2))
    totals = statistics.totals()
    assert totals.counters == {"rq": 7}
    assert totals.gauges == {"active": 3}
    assert totals.histograms == {"time": {1: 7}}
    (one,) = totals.hosts["app"]
    assert one["counters"] == {"rq_total": 7}
    assert one["gauges"] == {"rq_active": 3}


def test_a_newer_report_replaces_the_older() -> None:
    statistics = Statistics()
    statistics.report("a", snapshot(3))
    statistics.report("a", snapshot(5))
    assert statistics.totals().counters == {"rq": 5}


def test_a_dead_workers_counters_stay_and_its_gauges_go() -> None:
    statistics = Statistics()
    statistics.report("a", snapshot(3, 1))
    statistics.report("b", snapshot(4, 2))
    statistics.worker_gone("a")
    statistics.worker_gone("a")
    totals = statistics.totals()
    assert totals.counters == {"rq": 7}
    assert totals.histograms == {"time": {1: 7}}
    assert totals.gauges == {"active": 2}
    (one,) = totals.hosts["app"]
    assert one["counters"] == {"rq_total": 7}
    assert one["gauges"] == {"rq_active": 2}


def test_reset_starts_counters_at_zero_and_leaves_the_rest() -> None:
    statistics = Statistics()
    statistics.report("a", snapshot(3, 1))
    statistics.reset_counters()
    totals = statistics.totals()
    assert totals.counters == {"rq": 0}
    assert totals.gauges == {"active": 1}
    assert totals.histograms == {"time": {1: 3}}
    assert totals.hosts["app"][0]["counters"] == {"rq_total": 3}
    statistics.report("a", snapshot(5, 1))
    statistics.worker_gone("a")
    assert statistics.totals().counters == {"rq": 2}


def test_a_counter_that_disappears_after_a_reset() -> None:
    statistics = Statistics()
    statistics.report("a", snapshot(3))
    statistics.reset_counters()
    statistics.report("a", {"counters": {}})
    assert statistics.totals().counters == {}


def test_one_workers_flag_marks_the_host() -> None:
    statistics = Statistics()
    statistics.report("a", {"hosts": {"app": [host("h:1")]}})
    statistics.report("b", {"hosts": {"app": [host("h:1", health=["failed_outlier_check"])]}})
    assert statistics.totals().hosts["app"][0]["health"] == ["failed_outlier_check"]


def test_used_is_what_was_ever_written() -> None:
    statistics = Statistics()
    statistics.report(
        "a", {"counters": {"x": 1, "y": 0}, "gauges": {"g": 1, "h": 0}, "histograms": {"t": {}}}
    )
    statistics.report(
        "a", {"counters": {"x": 1, "y": 0}, "gauges": {"g": 0, "h": 0}, "histograms": {"t": {}}}
    )
    statistics.reset_counters()
    assert statistics.totals().used == {"x", "g"}


def test_what_all_workers_have_alike_is_not_added_up() -> None:
    statistics = Statistics()
    for worker in ("a", "b"):
        counters = {"cluster.app.membership_change": 2, "cluster_manager.cluster_added": 1}
        gauges = {"cluster.app.membership_total": 3, "cluster.app.circuit_breakers.default.rq_open": 1}
        statistics.report(worker, {"counters": counters, "gauges": gauges})
    statistics.worker_gone("a")
    statistics.report("c", {"gauges": {"cluster.app.membership_total": 4}})
    totals = statistics.totals()
    assert totals.counters == {"cluster.app.membership_change": 2, "cluster_manager.cluster_added": 1}
    assert totals.gauges == {
        "cluster.app.membership_total": 4,
        "cluster.app.circuit_breakers.default.rq_open": 1,
    }


def test_merging_leaves_the_reports_alone() -> None:
    statistics = Statistics()
    report = snapshot(3, 1)
    statistics.report("a", report)
    statistics.totals()
    statistics.totals()
    assert report == snapshot(3, 1)
