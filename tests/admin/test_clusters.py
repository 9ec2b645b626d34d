"""/clusters in both forms, line for line as Envoy prints it."""

from twistproxy.admin.clusters import address_json, cluster_names, clusters_json, clusters_text, health_name
from twistproxy.admin.merge import Statistics, Totals

from .fakes import SNAPSHOT, host


def totals() -> Totals:
    statistics = Statistics()
    statistics.report("w0", SNAPSHOT)
    return statistics.totals()


def test_text() -> None:
    sums = totals()
    assert clusters_text(sums, cluster_names(sums)).splitlines() == [
        "app::observability_name::app",
        "app::default_priority::max_connections::7",
        "app::default_priority::max_pending_requests::1024",
        "app::default_priority::max_requests::1024",
        "app::default_priority::max_retries::3",
        "app::high_priority::max_connections::1024",
        "app::high_priority::max_pending_requests::1024",
        "app::high_priority::max_requests::1024",
        "app::high_priority::max_retries::3",
        "app::added_via_api::false",
        "app::127.0.0.1:29970::cx_active::2",
        "app::127.0.0.1:29970::cx_connect_fail::0",
        "app::127.0.0.1:29970::cx_total::2",
        "app::127.0.0.1:29970::rq_active::0",
        "app::127.0.0.1:29970::rq_error::0",
        "app::127.0.0.1:29970::rq_pending_active::0",
        "app::127.0.0.1:29970::rq_success::6",
        "app::127.0.0.1:29970::rq_timeout::0",
        "app::127.0.0.1:29970::rq_total::6",
        "app::127.0.0.1:29970::hostname::",
        "app::127.0.0.1:29970::health_flags::healthy",
        "app::127.0.0.1:29970::weight::1",
        "app::127.0.0.1:29970::region::r1",
        "app::127.0.0.1:29970::zone::z1",
        "app::127.0.0.1:29970::sub_zone::",
        "app::127.0.0.1:29970::canary::false",
        "app::127.0.0.1:29970::priority::0",
        "app::127.0.0.1:29970::success_rate::-1",
        "app::127.0.0.1:29970::local_origin_success_rate::-1",
    ]


def test_json() -> None:
    (status,) = clusters_json(totals(), ["app"])["cluster_statuses"]
    assert status["host_statuses"] == [
        {
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 29970}},
            "stats": [
                {"name": "cx_connect_fail"},
                {"value": "2", "name": "cx_total"},
                {"name": "rq_error"},
                {"value": "6", "name": "rq_success"},
                {"name": "rq_timeout"},
                {"value": "6", "name": "rq_total"},
                {"type": "GAUGE", "value": "2", "name": "cx_active"},
                {"type": "GAUGE", "name": "rq_active"},
                {"type": "GAUGE", "name": "rq_pending_active"},
            ],
            "health_status": {"eds_health_status": "HEALTHY"},
            "weight": 1,
            "locality": {"region": "r1", "zone": "z1"},
        }
    ]
    default, high = status["circuit_breakers"]["thresholds"]
    assert default["max_connections"] == 7
    assert high == {
        "priority": "HIGH",
        "max_connections": 1024,
        "max_pending_requests": 1024,
        "max_requests": 1024,
        "max_retries": 3,
    }
    assert status["observability_name"] == "app"


def test_unhealthy_hosts() -> None:
    flags = ["failed_active_hc", "eds_status_draining"]
    sums = Totals(hosts={"app": [host("/run/a.sock", health=flags)]})
    assert "app::/run/a.sock::health_flags::/failed_active_hc/eds_status_draining\n" in clusters_text(
        sums, ["app"]
    )
    (status,) = clusters_json(sums, ["app"])["cluster_statuses"]
    (one,) = status["host_statuses"]
    assert one["health_status"] == {"failed_active_health_check": True, "eds_health_status": "DRAINING"}
    assert health_name(flags) == "UNHEALTHY"


def test_no_clusters() -> None:
    assert clusters_text(Totals(), []) == ""
    assert clusters_json(Totals(), []) == {}


def test_addresses() -> None:
    assert address_json("[::1]:80") == {"socket_address": {"address": "::1", "port_value": 80}}
    assert address_json("@abstract:1") == {"pipe": {"path": "@abstract:1"}}
