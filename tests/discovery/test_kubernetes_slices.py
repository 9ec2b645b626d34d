from __future__ import annotations

from typing import Any

import pytest

from twistproxy.discovery.kubernetes_endpoints import Port, ServiceName, Subset, hosts_of
from twistproxy.discovery.kubernetes_slices import of_one_family, parse_slice
from twistproxy.model.endpoint import Locality

from .fakes import addresses


def endpoint(*ips: str, zone: str = "", **conditions: bool | None) -> dict[str, Any]:
    return {"addresses": list(ips), "conditions": conditions, **({"zone": zone} if zone else {})}


def slice_of(*endpoints: dict[str, Any], ports: Any = ({"port": 80},), **labels: str) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": "app", **labels}
    metadata = {"name": "app-x1", "namespace": "default", "labels": labels}
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": list(endpoints), "ports": list(ports)}


def hosts(*slices: dict[str, Any], port: str = "", protocol: str = "TCP") -> list[str]:
    subsets = of_one_family(parse_slice(each)[1] for each in slices)
    return addresses(hosts_of(subsets, ServiceName("app", "default", port, protocol)))


def test_a_slice() -> None:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": None, "port": 81, "protocol": None}]
    found = parse_slice(
        slice_of(endpoint("10.0.0.1", "10.0.0.2", zone="a"), endpoint("10.0.0.3"), ports=ports)
    )
    expected = Subset(
        ("10.0.0.1", "10.0.0.3"), (Port("http", 80, "TCP"), Port("", 81, "TCP")), (), {"10.0.0.1": "a"}
    )
    assert found == ("app", expected)


@pytest.mark.parametrize(
    ("conditions", "ready", "leaving"),
    [
        ({}, True, False),
        ({"ready": None, "serving": None, "terminating": None}, True, False),
        ({"ready": True, "serving": True, "terminating": False}, True, False),
        ({"ready": False}, False, False),
        ({"ready": False, "serving": False, "terminating": True}, False, False),
        ({"ready": False, "serving": True, "terminating": True}, False, True),
        ({"ready": False, "serving": True}, False, False),
        ({"ready": True, "serving": True, "terminating": True}, True, False),
    ],
)
def test_conditions(conditions: dict[str, bool | None], ready: bool, leaving: bool) -> None:
    _, subset = parse_slice(slice_of(endpoint("10.0.0.1", **conditions)))
    assert (subset.addresses == ("10.0.0.1",), subset.leaving == ("10.0.0.1",)) == (ready, leaving)


GOING = {"ready": False, "serving": True, "terminating": True}


def test_those_that_leave_serve_only_if_there_are_no_others_in_any_slice() -> None:
    leaving, staying = endpoint("10.0.0.1", **GOING), endpoint("10.0.0.2")
    assert hosts(slice_of(leaving), slice_of(staying)) == ["10.0.0.2:80"]
    assert hosts(slice_of(leaving), slice_of()) == ["10.0.0.1:80"]
    # A port that only the others have is no reason.
    assert hosts(slice_of(leaving), slice_of(staying, ports=[{"name": "b", "port": 9}]), port="80") == [
        "10.0.0.1:80"
    ]


def test_ports() -> None:
    ports = [{"name": "metrics", "port": 90}, {"name": "http", "port": 80}, {"name": "all"}]
    one = slice_of(endpoint("10.0.0.1"), ports=ports)
    assert hosts(one) == ["10.0.0.1:80"]
    assert hosts(one, port="metrics") == ["10.0.0.1:90"]
    assert hosts(one, port="all") == []
    assert hosts(one, protocol="UDP") == []


def test_an_endpoint_in_two_slices_is_one_host() -> None:
    one, other = endpoint("10.0.0.1", zone="a"), endpoint("10.0.0.1", zone="b")
    subsets = [parse_slice(slice_of(each))[1] for each in (one, other)]
    [host] = hosts_of(subsets, ServiceName("app", "default"))
    assert host.locality == Locality(zone="a")


def test_one_family() -> None:
    four, six = slice_of(endpoint("10.0.0.1")), slice_of(endpoint("fd00::1"))
    assert hosts(six, four) == ["10.0.0.1:80"]
    assert hosts(six, slice_of()) == ["[fd00::1]:80"]
    assert hosts(six, slice_of(endpoint("10.0.0.1", ready=False))) == ["[fd00::1]:80"]


def test_names_and_nobody() -> None:
    named = slice_of(endpoint("app.example"), endpoint())
    assert hosts(named) == []
    del named["metadata"]["labels"]
    assert parse_slice(named)[0] == ""


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"metadata": {}, "endpoints": 3},
        {"metadata": {}, "endpoints": [{}]},
        {"metadata": {}, "endpoints": [{"addresses": 3}]},
        {"metadata": {}, "ports": [3]},
        {"metadata": {}, "ports": [{"port": "x"}]},
        {"metadata": {"labels": 3}},
    ],
)
def test_malformed_objects(item: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not an EndpointSlice object"):
        parse_slice(item)
