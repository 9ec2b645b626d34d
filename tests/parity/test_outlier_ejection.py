"""Ejection: who gets no requests any more, for how long, how many at most; how it is counted, shown and logged."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import pytest

from .harness import Proxy, free_port, wait_for
from .origin import raw, text
from .settings import Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

_LONG = {"interval": "3600s", "base_ejection_time": "3600s", "max_ejection_time": "3600s"}
_THREE = _LONG | {"consecutive_5xx": 3}
_ALL = {"max_ejection_percent": 100}
_RATES = {
    "interval": "0.5s",
    "base_ejection_time": "3600s",
    "max_ejection_time": "3600s",
    "consecutive_5xx": 0,
    "consecutive_gateway_failure": 0,
    "consecutive_local_origin_failure": 0,
    "success_rate_minimum_hosts": 3,
    "success_rate_request_volume": 1,
    "failure_percentage_minimum_hosts": 100,
    "failure_percentage_request_volume": 1,
    "max_ejection_percent": 100,
}
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
    "rate": (5, _RATES | {"success_rate_stdev_factor": 1000, "success_rate_minimum_hosts": 5}),
    "rate-shown": (
        5,
        _RATES
        | {"success_rate_stdev_factor": 1000, "success_rate_minimum_hosts": 5, "enforcing_success_rate": 0},
    ),
    "rate-few": (2, _RATES | {"success_rate_stdev_factor": 0}),
    "share": (
        3,
        _RATES
        | {
            "enforcing_success_rate": 0,
            "enforcing_failure_percentage": 100,
            "failure_percentage_threshold": 60,
            "failure_percentage_minimum_hosts": 3,
        },
    ),
    "both": (
        5,
        _RATES
        | {
            "success_rate_stdev_factor": 1000,
            "success_rate_minimum_hosts": 5,
            "enforcing_failure_percentage": 100,
            "failure_percentage_minimum_hosts": 5,
        },
    ),
    "local-rate": (5, _RATES | _SPLIT | {"success_rate_stdev_factor": 1000, "success_rate_minimum_hosts": 5}),
    "local-share": (
        3,
        _RATES
        | _SPLIT
        | {
            "enforcing_local_origin_success_rate": 0,
            "enforcing_failure_percentage_local_origin": 100,
            "failure_percentage_minimum_hosts": 3,
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
DEAD = ("local", "local-rate", "local-share")  # the first host does not listen
BAD = raw("HTTP/1.1 500 Bad\r\ncontent-length: 0\r\n\r\n")
GATEWAY = raw("HTTP/1.1 503 Bad\r\ncontent-length: 0\r\n\r\n")


def configure(proxy: Proxy) -> Config:
    clusters: list[Config] = []
    routes: list[Config] = []
    for name, (count, settings) in CLUSTERS.items():
        ports = [port(proxy, name, number) for number in range(count)]
        clusters.append(cluster(name, *ports, outlier_detection=settings))
        routes.append({"match": {"prefix": f"/{name}/"}, "route": {"cluster": name}})
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    layers = {"layers": [{"name": "admin", "admin_layer": {}}]}
    log = {"outlier_detection": {"event_log_path": str(proxy.log("events").path)}}
    main = listener("main", proxy.port(), hosts)
    return bootstrap(proxy.port("admin"), [main], clusters, layered_runtime=layers, cluster_manager=log)


def port(proxy: Proxy, name: str, number: int) -> int:
    if name in DEAD and number == 0:
        if f"dead-{name}" not in proxy.ports:
            proxy.ports[f"dead-{name}"] = free_port()
        return proxy.ports[f"dead-{name}"]
    return proxy.origin(f"{name}{number}").port


def answers(proxy: Proxy, name: str, bad: Any = BAD, hosts: tuple[int, ...] = (0,)) -> None:
    """These hosts of a cluster answer so, the others with their number."""
    for number in range(CLUSTERS[name][0]):
        if name not in DEAD or number:
            proxy.origin(f"{name}{number}").default = bad if number in hosts else text(str(number))


def ask(proxy: Proxy, name: str, count: int = 1) -> list[str]:
    """What requests on connections of their own get: the host's number, or the status of an error."""
    found = [proxy.ask(f"/{name}/") for _ in range(count)]
    return [one.text if one.status == 200 else str(one.status) for one in found]


def stats(proxy: Proxy, name: str) -> dict[str, int]:
    """The cluster's statistics of outlier detection that are not 0."""
    prefix = f"cluster.{name}.outlier_detection."
    found = proxy.stats(f"^{prefix}ejections")
    return {key.removeprefix(prefix + "ejections_"): value for key, value in found.items() if value}


#: So many requests on two workers, each of which takes hosts in turn, reach all of five hosts.
ENOUGH_FOR_ALL = 10


def until(
    proxy: Proxy, name: str, statistic: str, value: int = 1, *, at_once: int = 1, timeout: float = 5.0
) -> dict[str, int]:
    """Ask until a statistic has a value; `at_once` requests between two looks at it."""
    limit = time.monotonic() + timeout
    while (found := stats(proxy, name)).get(statistic, 0) != value and time.monotonic() < limit:
        ask(proxy, name, at_once)
    return found


def until_swept(proxy: Proxy, name: str, statistic: str = "active") -> dict[str, int]:
    """Ask until a sweep, which needs answers of all hosts since the last one, has found something."""
    return until(proxy, name, statistic, at_once=ENOUGH_FOR_ALL, timeout=10.0)


def events(proxy: Proxy, name: str, count: int) -> list[Config]:
    """The lines of a cluster in the event log; waits until there are so many."""

    def read() -> list[Config]:
        found = [json.loads(line) for line in proxy.log("events").lines()]
        return [line for line in found if line["cluster_name"] == name]

    wait_for(lambda: len(read()) >= count, 2.0)
    return read()


def ask_until_logged(proxy: Proxy, name: str, count: int) -> list[Config]:
    """Ask without a pause until a cluster has so many lines in the event log."""
    limit = time.monotonic() + 8
    while len(found := events(proxy, name, 0)) < count and time.monotonic() < limit:
        ask(proxy, name)
    return found


def flags(proxy: Proxy, name: str) -> list[str]:
    lines = proxy.admin("/clusters").text.splitlines()
    return [
        line.rpartition("::")[2]
        for line in lines
        if line.startswith(f"{name}::") and "::health_flags::" in line
    ]


def only(proxy: Proxy, name: str, expected: str) -> bool:
    """Whether all requests get these answers, once all workers know."""
    return bool(wait_for(lambda: set(ask(proxy, name, 12)) == set(expected.split())))


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
    assert 0.2 <= first < 0.6
    assert second >= 0.4
    assert 0.4 <= third < 0.95


def test_jitter(proxy: Proxy) -> None:
    answers(proxy, "jitter")
    ask_until_logged(proxy, "jitter", 6)
    assert proxy.stat_becomes("cluster.jitter.outlier_detection.ejections_active", 0)


def test_success_rate(proxy: Proxy) -> None:
    answers(proxy, "rate")
    assert until_swept(proxy, "rate") == {
        "active": 1,
        "detected_success_rate": 1,
        "enforced_success_rate": 1,
        "enforced_total": 1,
        "success_rate": 1,
        "total": 1,
    }
    (event,) = events(proxy, "rate", 1)
    event.pop("timestamp")
    assert event == {
        "type": "SUCCESS_RATE",
        "cluster_name": "rate",
        "upstream_url": f"127.0.0.1:{port(proxy, 'rate', 0)}",
        "action": "EJECT",
        "num_ejections": 1,
        "enforced": True,
        "eject_success_rate_event": {
            "host_success_rate": 0,
            "cluster_average_success_rate": 80,
            "cluster_success_rate_ejection_threshold": 40,
        },
    }


def outlier_lines(proxy: Proxy, name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in proxy.admin("/clusters").text.splitlines():
        words = line.split("::")
        if words[0] == name and "success_rate" in line:
            found.setdefault(words[-2], []).append(words[-1])
    return found


def test_rates_are_shown(proxy: Proxy) -> None:
    answers(proxy, "rate-shown")

    def shown() -> bool:
        ask(proxy, "rate-shown", ENOUGH_FOR_ALL)
        return outlier_lines(proxy, "rate-shown").get("success_rate_average") == ["80"]

    assert wait_for(shown, 10.0)
    assert outlier_lines(proxy, "rate-shown") == {
        "success_rate_average": ["80"],
        "success_rate_ejection_threshold": ["40"],
        "local_origin_success_rate_average": ["-1"],
        "local_origin_success_rate_ejection_threshold": ["-1"],
        "success_rate": ["0", "100", "100", "100", "100"],
        "local_origin_success_rate": ["-1"] * 5,
    }
    (found,) = [
        one
        for one in proxy.admin_json("/clusters?format=json")["cluster_statuses"]
        if one["name"] == "rate-shown"
    ]
    assert found["success_rate_ejection_threshold"] == {"value": 40}
    assert "local_origin_success_rate_ejection_threshold" not in found
    assert [host.get("success_rate") for host in found["host_statuses"]] == [{}, *[{"value": 100}] * 4]
    assert not any("local_origin_success_rate" in host for host in found["host_statuses"])
    assert "active" not in stats(proxy, "rate-shown")


def test_too_few_hosts_for_a_rate(proxy: Proxy) -> None:
    answers(proxy, "rate-few")
    limit = time.monotonic() + 1.2
    while time.monotonic() < limit:
        ask(proxy, "rate-few", 2)
    assert stats(proxy, "rate-few") == {}
    assert set(map(tuple, outlier_lines(proxy, "rate-few").values())) == {("-1",), ("-1", "-1")}


def test_failure_percentage(proxy: Proxy) -> None:
    answers(proxy, "share")
    found = until_swept(proxy, "share")
    assert {key: value for key, value in found.items() if "percentage" in key or "active" in key} == {
        "active": 1,
        "detected_failure_percentage": 1,
        "enforced_failure_percentage": 1,
    }
    (event,) = [one for one in events(proxy, "share", 1) if one["enforced"]]
    assert event["type"] == "FAILURE_PERCENTAGE"
    assert event["eject_failure_percentage_event"] == {"host_success_rate": 0}


def test_both_at_once(proxy: Proxy) -> None:
    """A host that one sweep finds twice: Envoy counts it twice as ejected, and never again as none."""
    answers(proxy, "both")
    found = until_swept(proxy, "both", "enforced_success_rate")
    proxy.may_be_stricter(found.pop("active"), at_envoy=2, stricter=1)
    proxy.may_be_stricter(found.pop("enforced_total"), at_envoy=2, stricter=1)
    proxy.may_be_stricter(found.pop("enforced_failure_percentage", 0), at_envoy=1, stricter=0)
    assert found == {
        "detected_failure_percentage": 1,
        "detected_success_rate": 1,
        "enforced_success_rate": 1,
        "success_rate": 1,
        "total": 1,
    }


def test_local_origin_success_rate(proxy: Proxy) -> None:
    answers(proxy, "local-rate", hosts=())
    found = until_swept(proxy, "local-rate")
    assert found == {
        "active": 1,
        "detected_local_origin_success_rate": 1,
        "enforced_local_origin_success_rate": 1,
        "enforced_total": 1,
        "success_rate": 1,
    }
    (event,) = events(proxy, "local-rate", 1)
    assert event["type"] == "SUCCESS_RATE_LOCAL_ORIGIN"
    assert event["eject_success_rate_event"]["cluster_average_success_rate"] == 80


def test_local_origin_failure_percentage(proxy: Proxy) -> None:
    answers(proxy, "local-share", hosts=())
    found = until_swept(proxy, "local-share")
    assert found == {
        "active": 1,
        "detected_local_origin_failure_percentage": 1,
        "enforced_local_origin_failure_percentage": 1,
        "enforced_total": 1,
    }
    (event,) = events(proxy, "local-share", 1)
    assert event["type"] == "FAILURE_PERCENTAGE_LOCAL_ORIGIN"


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
