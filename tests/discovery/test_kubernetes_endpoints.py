from __future__ import annotations

from typing import Any

import pytest

from twistproxy.discovery.kubernetes_endpoints import (
    Port,
    ServiceName,
    Subset,
    hosts_of,
    parse_service_name,
    parse_subsets,
)
from twistproxy.discovery.registry import BadServiceName

from .fakes import addresses

DOMAIN = "svc.cluster.local"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nginx.default", ServiceName("nginx", "default")),
        ("http.nginx.default", ServiceName("nginx", "default", "http")),
        ("8080.nginx.default", ServiceName("nginx", "default", "8080")),
        ("_http._tcp.nginx.default", ServiceName("nginx", "default", "http")),
        ("_dns._UDP.kube-dns.kube-system", ServiceName("kube-dns", "kube-system", "dns", "UDP")),
    ],
)
def test_names(name: str, expected: ServiceName) -> None:
    assert parse_service_name(f"{name}.{DOMAIN}", DOMAIN) == expected
    assert parse_service_name(f"{name}.{DOMAIN}.", DOMAIN) == expected


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nginx",
        "nginx.default",
        f"nginx.{DOMAIN}",
        f"nginx.defaultsvc.cluster.local.{DOMAIN}x",
        DOMAIN,
        f".{DOMAIN}",
        f"..{DOMAIN}",
        f".default.{DOMAIN}",
        f"nginx..{DOMAIN}",
        f"a.b.c.d.e.{DOMAIN}",
        f"http.tcp.nginx.default.{DOMAIN}",
        f"_http._sctp.nginx.default.{DOMAIN}",
        f"_._tcp.nginx.default.{DOMAIN}",
        "nginx.default.svc.example.org",
        f"nginx.default.{DOMAIN}.org",
    ],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(BadServiceName) as caught:
        parse_service_name(name, DOMAIN)
    assert f"is not service.namespace.{DOMAIN}" in str(caught.value)


OBJECT: dict[str, Any] = {
    "metadata": {"name": "app", "namespace": "default"},
    "subsets": [
        {
            "addresses": [{"ip": "10.0.0.1", "nodeName": "n1"}, {"ip": "10.0.0.2"}],
            "notReadyAddresses": [{"ip": "10.0.0.3"}],
            "ports": [
                {"name": "metrics", "port": 9090, "protocol": "TCP"},
                {"name": "http", "port": 8080, "protocol": "TCP"},
                {"name": "dns", "port": 53, "protocol": "UDP"},
            ],
        },
        {
            "addresses": [{"ip": "fd00::4"}],
            "ports": [{"name": "http", "port": 8081}],
        },
        {"notReadyAddresses": [{"ip": "10.0.0.5"}], "ports": [{"name": "http", "port": 8081}]},
    ],
}


def hosts(port: str = "", protocol: str = "TCP", item: dict[str, Any] = OBJECT) -> list[str]:
    return addresses(hosts_of(parse_subsets(item), ServiceName("app", "default", port, protocol)))


def test_subsets() -> None:
    assert parse_subsets(OBJECT)[1] == Subset(("fd00::4",), (Port("http", 8081, "TCP"),))


@pytest.mark.parametrize("item", [{}, {"subsets": None}, {"subsets": []}, {"subsets": [{}]}])
def test_no_hosts(item: dict[str, Any]) -> None:
    assert hosts(item=item) == []


def test_http_is_preferred_in_every_subset() -> None:
    assert hosts() == ["10.0.0.1:8080", "10.0.0.2:8080", "[fd00::4]:8081"]


def test_named_and_numbered_ports() -> None:
    assert hosts("metrics") == ["10.0.0.1:9090", "10.0.0.2:9090"]
    assert hosts("8081") == ["[fd00::4]:8081"]
    assert hosts("dns", "UDP") == ["10.0.0.1:53", "10.0.0.2:53"]
    assert hosts("dns") == []
    assert hosts("none") == []


def test_the_only_port_has_no_name() -> None:
    item = {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}
    assert hosts(item=item) == ["10.0.0.1:80"]
    assert hosts("80", item=item) == ["10.0.0.1:80"]


def test_of_several_ports_the_first_by_name_whatever_the_order() -> None:
    for order in (1, -1):
        ports = [{"name": "b", "port": 2}, {"name": "a", "port": 1}][::order]
        item = {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": ports}]}
        assert hosts(item=item) == ["10.0.0.1:1"]


@pytest.mark.parametrize(
    "item",
    [{"subsets": 3}, {"subsets": [3]}, {"subsets": [{"addresses": [{}]}]}, {"subsets": [{"ports": [{}]}]}],
)
def test_malformed_objects(item: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not an Endpoints object"):
        parse_subsets(item)
