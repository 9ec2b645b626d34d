"""Ejection after failures in a row: who gets no requests any more, for how long, how many at most; how it is counted and
logged.  Also hosts that say that they are degraded."""

from __future__ import annotations

from datetime import datetime

import pytest

from .ejecting import answers, ask, ask_until_logged, configuration, events, flags, only, port, stats, until
from .harness import Proxy, wait_for
from .origin import raw
from .settings import Config

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

_LONG = {"interval": "3600s", "base_ejection_time": "3600s", "max_ejection_time": "3600s"}
_THREE = _LONG | {"consecutive_5xx": 3}
_ALL = {"max_ejection_percent": 100}
_SPLIT = {"split_external_local_origin_errors": True}

# name: (number of hosts, settings)
CLUSTERS: dict[str, tuple[int, Config]] = {
    "two": (2, _THREE | _ALL),
    "gateway": (
        2,
        _THREE | _ALL | {"consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100},
    ),
    "local": (2, _THREE | _ALL | _SPLIT | {"consecutive_local_origin_failure": 2}),
    "unenforced": (2, _THREE | _ALL | {"enforcing_consecutive_5xx": 0}),
    "ten": (2, _THREE),
    "one": (2, _THREE | {"always_eject_one_host": True}),
    "half": (2, _THREE | {"max_ejection_percent": 50}),
    "all": (2, _THREE | _ALL),
    "short": (2, _ALL | {"consecutive_5xx": 2, "interval": "0.1s", "base_ejection_time": "0.05s"}),
    "backoff": (  # one host: in its panic the cluster goes on asking it
        1,
        _ALL
        | {
            "consecutive_5xx": 2,
            "interval": "0.3s",
            "base_ejection_time": "0.2s",
            "max_ejection_time": "0.4s",
        },
    ),
    "jitter": (
        1,
        _ALL
        | {
            "consecutive_5xx": 1,
            "interval": "0.01s",
            "base_ejection_time": "0.01s",
            "max_ejection_time_jitter": "0.2s",
        },
    ),
    "runtime": (2, _LONG),
    "degraded": (2, _LONG | {"detect_degraded_hosts": True}),
    "degraded-short": (
        1,
        _ALL
        | {
            "detect_degraded_hosts": True,
            "consecutive_5xx": 2,
            "interval": "0.1s",
            "base_ejection_time": "0.2s",
        },
    ),
}
GATEWAY = raw("HTTP/1.1 503 Bad\r\ncontent-length: 0\r\n\r\n")


def configure(proxy: Proxy) -> Config:
    return configuration(proxy, CLUSTERS)


def test_all_statistics_are_there(proxy: Proxy) -> None:
    prefix = "cluster.all.outlier_detection.ejections_"
    found = proxy.stats("^cluster.all.outlier_detection")
    kinds = (
        "consecutive_5xx",
        "consecutive_gateway_failure",
        "consecutive_local_origin_failure",
        "failure_percentage",
        "local_origin_failure_percentage",
        "local_origin_success_rate",
        "success_rate",
    )
    names = {
        "active",
        "consecutive_5xx",
        "detected_degradation",
        "enforced_total",
        "overflow",
        "success_rate",
        "total",
    }
    names |= {f"{what}_{kind}" for what in ("detected", "enforced") for kind in kinds}
    assert found == dict.fromkeys((prefix + name for name in names), 0)


def test_ejected_after_three(proxy: Proxy) -> None:
    answers(proxy, "two")
    found = until(proxy, "two", "active")
    assert found == {
        "active": 1,
        "consecutive_5xx": 1,
        "detected_consecutive_5xx": 1,
        "enforced_consecutive_5xx": 1,
        "enforced_total": 1,
        "total": 1,
    }
    assert only(proxy, "two", "1")
    assert flags(proxy, "two") == ["/failed_outlier_check", "healthy"]
    assert proxy.stat("cluster.two.membership_healthy") == 1
    statuses = proxy.admin_json("/clusters?format=json")["cluster_statuses"]
    hosts = next(one["host_statuses"] for one in statuses if one["name"] == "two")
    assert [host["health_status"] for host in hosts] == [
        {"failed_outlier_check": True, "eds_health_status": "HEALTHY"},
        {"eds_health_status": "HEALTHY"},
    ]
    (event,) = events(proxy, "two", 1)
    datetime.fromisoformat(event.pop("timestamp"))
    assert event == {
        "type": "CONSECUTIVE_5XX",
        "cluster_name": "two",
        "upstream_url": f"127.0.0.1:{port(proxy, 'two', 0)}",
        "action": "EJECT",
        "num_ejections": 1,
        "enforced": True,
        "eject_consecutive_event": {},
    }


def test_gateway_failures(proxy: Proxy) -> None:
    answers(proxy, "gateway", GATEWAY)
    assert until(proxy, "gateway", "active") == {
        "active": 1,
        "detected_consecutive_gateway_failure": 1,
        "enforced_consecutive_gateway_failure": 1,
        "enforced_total": 1,
    }
    (event,) = events(proxy, "gateway", 1)
    assert event["type"] == "CONSECUTIVE_GATEWAY_FAILURE"


def test_local_origin_failures(proxy: Proxy) -> None:
    answers(proxy, "local", hosts=())
    assert until(proxy, "local", "active") == {
        "active": 1,
        "detected_consecutive_local_origin_failure": 1,
        "enforced_consecutive_local_origin_failure": 1,
        "enforced_total": 1,
    }
    assert only(proxy, "local", "1")
    (event,) = events(proxy, "local", 1)
    assert event["type"] == "CONSECUTIVE_LOCAL_ORIGIN_FAILURE"


def test_not_enforced(proxy: Proxy) -> None:
    answers(proxy, "unenforced")
    assert until(proxy, "unenforced", "total") == {
        "consecutive_5xx": 1,
        "detected_consecutive_5xx": 1,
        "total": 1,
    }
    assert only(proxy, "unenforced", "500 1")
    event = events(proxy, "unenforced", 1)[0]
    event.pop("timestamp")
    assert event == {
        "type": "CONSECUTIVE_5XX",
        "cluster_name": "unenforced",
        "upstream_url": f"127.0.0.1:{port(proxy, 'unenforced', 0)}",
        "action": "EJECT",
        "num_ejections": 0,
        "enforced": False,
        "eject_consecutive_event": {},
    }


def test_not_more_than_ten_per_cent(proxy: Proxy) -> None:
    answers(proxy, "ten")
    assert until(proxy, "ten", "overflow") == {
        "consecutive_5xx": 1,
        "detected_consecutive_5xx": 1,
        "overflow": 1,
    }
    assert until(proxy, "ten", "overflow", 2)["detected_consecutive_5xx"] == 2
    assert only(proxy, "ten", "500 1")
    assert not events(proxy, "ten", 0)


@pytest.mark.parametrize("name", ["one", "half"])
def test_one_and_no_more(proxy: Proxy, name: str) -> None:
    answers(proxy, name)
    until(proxy, name, "active")
    assert only(proxy, name, "1")
    answers(proxy, name, hosts=(1,))
    found = until(proxy, name, "overflow")
    assert (found["active"], found["enforced_total"], found["detected_consecutive_5xx"]) == (1, 1, 2)
    assert flags(proxy, name) == ["/failed_outlier_check", "healthy"]


def test_all_are_ejected_and_there_is_a_panic(proxy: Proxy) -> None:
    answers(proxy, "all", hosts=(0, 1))
    found = until(proxy, "all", "active", 2)
    assert (found["active"], found["enforced_total"]) == (2, 2)
    answers(proxy, "all", hosts=())
    assert only(proxy, "all", "0 1")
    assert proxy.stat("cluster.all.lb_healthy_panic") > 0
    assert stats(proxy, "all")["active"] == 2


def test_back_after_the_ejection_time(proxy: Proxy) -> None:
    answers(proxy, "short")
    found = until(proxy, "short", "enforced_total")
    assert proxy.stat_becomes("cluster.short.outlier_detection.ejections_active", 0)
    answers(proxy, "short", hosts=())
    assert only(proxy, "short", "0 1")
    found = stats(proxy, "short")
    assert found["enforced_total"] == found["detected_consecutive_5xx"]
    ejected, back = events(proxy, "short", 2)[:2]
    assert (ejected["action"], back["action"]) == ("EJECT", "UNEJECT")
    back.pop("timestamp")
    assert back == {
        "type": "CONSECUTIVE_5XX",
        "cluster_name": "short",
        "upstream_url": f"127.0.0.1:{port(proxy, 'short', 0)}",
        "action": "UNEJECT",
        "num_ejections": 1,
        "enforced": False,
        "secs_since_last_action": "0",
    }


def seconds(first: Config, second: Config) -> float:
    start, end = (datetime.fromisoformat(one["timestamp"]) for one in (first, second))
    return (end - start).total_seconds()


def test_each_time_longer(proxy: Proxy) -> None:
    answers(proxy, "backoff")
    found = ask_until_logged(proxy, "backoff", 6)
    assert [event["action"] for event in found[:6]] == ["EJECT", "UNEJECT"] * 3
    assert [event["num_ejections"] for event in found[:6]] == [1, 1, 2, 2, 3, 3]
    assert "secs_since_last_action" in found[2]
    first, second, third = (seconds(found[at], found[at + 1]) for at in (0, 2, 4))
    assert first >= 0.2
    assert second >= 0.4
    assert third >= 0.4


def test_jitter(proxy: Proxy) -> None:
    answers(proxy, "jitter")
    ask_until_logged(proxy, "jitter", 6)
    assert proxy.stat_becomes("cluster.jitter.outlier_detection.ejections_active", 0)


DEGRADED = raw("HTTP/1.1 404 No\r\nx-envoy-degraded: true\r\ncontent-length: 0\r\n\r\n")


def test_degraded(proxy: Proxy) -> None:
    """Hosts that say so get requests only where the others do not suffice."""
    answers(proxy, "degraded", DEGRADED)
    assert until(proxy, "degraded", "detected_degradation") == {"detected_degradation": 1}
    answers(proxy, "degraded", hosts=())
    assert flags(proxy, "degraded") == ["/degraded_outlier_detection", "healthy"]
    assert proxy.stat("cluster.degraded.membership_degraded") == 1
    statuses = proxy.admin_json("/clusters?format=json")["cluster_statuses"]
    hosts = next(one["host_statuses"] for one in statuses if one["name"] == "degraded")
    assert hosts[0]["health_status"] == {
        "failed_degraded_outlier_detection": True,
        "eds_health_status": "HEALTHY",
    }
    (event,) = events(proxy, "degraded", 1)
    event.pop("timestamp")
    assert event == {
        "type": "DEGRADED",
        "cluster_name": "degraded",
        "upstream_url": f"127.0.0.1:{port(proxy, 'degraded', 0)}",
        "action": "EJECT",
        "num_ejections": 0,
        "enforced": True,
        "eject_consecutive_event": {},
    }


def test_degraded_and_ejected(proxy: Proxy) -> None:
    """Neither ends the other."""
    answers(proxy, "degraded-short", DEGRADED)
    ask(proxy, "degraded-short")
    answers(proxy, "degraded-short")
    ask(proxy, "degraded-short", 2)
    assert wait_for(
        lambda: flags(proxy, "degraded-short") == ["/failed_outlier_check/degraded_outlier_detection"]
    )
    answers(proxy, "degraded-short", hosts=())
    found = events(proxy, "degraded-short", 4)
    assert [(one["type"], one["action"]) for one in found] == [
        ("DEGRADED", "EJECT"),
        ("CONSECUTIVE_5XX", "EJECT"),
        ("CONSECUTIVE_5XX", "UNEJECT"),
        ("CONSECUTIVE_5XX", "UNEJECT"),
    ]
    assert wait_for(lambda: flags(proxy, "degraded-short") == ["healthy"])


def test_runtime(proxy: Proxy) -> None:
    def modify(**values: int) -> None:
        query = "&".join(f"outlier_detection.{key}={value}" for key, value in values.items())
        proxy.admin(f"/runtime_modify?{query}", "POST")

    answers(proxy, "runtime")
    try:
        modify(consecutive_5xx=1, max_ejection_percent=100, enforcing_consecutive_5xx=0)
        found = until(proxy, "runtime", "detected_consecutive_5xx")
        assert "active" not in found
        modify(enforcing_consecutive_5xx=100)
        found = until(proxy, "runtime", "active")
        assert found["enforced_total"] == 1
        assert flags(proxy, "runtime") == ["/failed_outlier_check", "healthy"]
    finally:
        proxy.admin(
            "/runtime_modify?outlier_detection.consecutive_5xx=&outlier_detection.max_ejection_percent=",
            "POST",
        )
        proxy.admin("/runtime_modify?outlier_detection.enforcing_consecutive_5xx=", "POST")
