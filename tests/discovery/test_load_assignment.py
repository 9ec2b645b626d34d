from __future__ import annotations

from typing import Any

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from google.protobuf import json_format

from twistproxy.discovery.load_assignment import read_load_assignment
from twistproxy.model.address import PipeAddress, TcpAddress
from twistproxy.model.endpoint import Endpoint, Locality
from twistproxy.model.health_check import CheckTarget


def address(port: int = 80, host: str = "10.0.0.1") -> dict[str, Any]:
    return {"address": {"socket_address": {"address": host, "port_value": port}}}


def read(*groups: dict[str, Any]) -> tuple[tuple[Endpoint, ...], list[str], list[str]]:
    message = json_format.ParseDict(
        {"cluster_name": "app", "endpoints": list(groups)}, endpoint_pb2.ClusterLoadAssignment()
    )
    found = read_load_assignment(message, "app")
    return found.endpoints, list(map(str, found.problems)), list(map(str, found.unread))


def test_everything_that_counts() -> None:
    endpoints, problems, unread = read(
        {
            "locality": {"region": "r", "zone": "z", "sub_zone": "s"},
            "load_balancing_weight": 5,
            "priority": 2,
            "lb_endpoints": [
                {
                    "endpoint": {**address(), "hostname": "one"},
                    "load_balancing_weight": 3,
                    "health_status": "DRAINING",
                    "metadata": {"filter_metadata": {"envoy.lb": {"canary": True}}},
                },
                {"endpoint": {"address": {"pipe": {"path": "/run/app"}}}},
            ],
        },
        {"lb_endpoints": [{"endpoint": address(81, "fd00::1")}]},
    )
    place = Locality("r", "z", "s")
    assert endpoints == (
        Endpoint(
            TcpAddress("10.0.0.1", 80),
            3,
            "one",
            "DRAINING",
            2,
            place,
            5,
            canary=True,
            metadata='{"envoy.lb": {"canary": true}}',
        ),
        Endpoint(PipeAddress("/run/app"), priority=2, locality=place, locality_weight=5),
        Endpoint(TcpAddress("fd00::1", 81)),
    )
    assert (problems, unread) == ([], [])


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ({}, "endpoints[0].lb_endpoints[0].endpoint: an endpoint is required"),
        ({"endpoint": {}}, "an address of kind socket_address or pipe is required"),
        ({"endpoint": {"address": {"pipe": {"path": ""}}}}, "pipe.path: must not be empty"),
        ({"endpoint": address(), "load_balancing_weight": 0}, "load_balancing_weight: must be at least 1"),
        (
            {"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "protocol": "UDP"}}}},
            "protocol: only TCP is supported",
        ),
    ],
)
def test_problems(endpoint: dict[str, Any], problem: str) -> None:
    _, problems, _ = read({"lb_endpoints": [endpoint]})
    assert any(problem in one for one in problems), problems


def test_a_locality_weight_of_zero() -> None:
    assert "must be at least 1" in read({"load_balancing_weight": 0})[1][0]


def test_what_nothing_implements_is_listed() -> None:
    endpoints, problems, unread = read(
        {
            "lb_endpoints": [
                {
                    "endpoint": {**address(), "health_check_config": {"port_value": 9}},
                    "metadata": {"typed_filter_metadata": {"a": {}}},
                }
            ]
        }
    )
    assert len(endpoints) == 1
    assert not problems
    assert [line.split(": ")[0].rpartition(".")[2] for line in unread] == ["typed_filter_metadata"]
    assert endpoints[0].check == CheckTarget(port=9)
