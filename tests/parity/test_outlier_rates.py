"""Ejection by success rates and failure percentages, and how these are shown."""

from __future__ import annotations

import time

import pytest

from .ejecting import ENOUGH_FOR_ALL, answers, ask, configuration, events, port, stats, until_swept
from .harness import Proxy, wait_for
from .settings import Config

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

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
}


def configure(proxy: Proxy) -> Config:
    return configuration(proxy, CLUSTERS)


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
