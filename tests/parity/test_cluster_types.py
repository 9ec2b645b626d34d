"""Where endpoints come from: STATIC, STRICT_DNS, LOGICAL_DNS, EDS from a file that changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .harness import Proxy, wait_for
from .origin import raw
from .settings import Config, bootstrap, cluster, endpoint, listener

pytestmark = pytest.mark.parity
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def eds_text(name: str, *ports: int) -> str:
    """An EDS file: one assignment with these loopback ports."""
    lb_endpoints = [endpoint(port) for port in ports]
    assignment = {"@type": ASSIGNMENT, "cluster_name": name, "endpoints": [{"lb_endpoints": lb_endpoints}]}
    return json.dumps({"version_info": "1", "resources": [assignment]})


def eds_path(proxy: Proxy) -> Path:
    return proxy.directory / "eds.json"


def replace(path: Path, content: str) -> None:
    """Put a new content in place with an atomic rename, as Envoy asks for."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(content)
    os.rename(fresh, path)


def eds_cluster(name: str, path: Path, **fields: object) -> Config:
    source = {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}
    return {
        "name": name,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {"eds_config": source, **fields},
    }


def configure(proxy: Proxy) -> Config:
    a, b = proxy.origin("a").port, proxy.origin("b").port
    eds_path(proxy).write_text(eds_text("eds", a))
    (proxy.directory / "named.json").write_text(eds_text("other-name", b))
    (proxy.directory / "none.json").write_text(eds_text("eds-empty"))
    clusters = [
        cluster("static", a, b),
        cluster("strict", endpoint(a, "localhost"), type="STRICT_DNS", dns_lookup_family="V4_ONLY"),
        cluster(
            "strict-two",
            endpoint(a, "localhost"),
            endpoint(b, "localhost"),
            type="STRICT_DNS",
            dns_lookup_family="V4_ONLY",
        ),
        cluster("strict-address", endpoint(a, "127.0.0.1"), type="STRICT_DNS"),
        cluster("logical", endpoint(b, "localhost"), type="LOGICAL_DNS", dns_lookup_family="V4_ONLY"),
        cluster("unresolved", endpoint(a, "does-not-exist.invalid"), type="STRICT_DNS"),
        eds_cluster("eds", eds_path(proxy)),
        eds_cluster("eds-named", proxy.directory / "named.json", service_name="other-name"),
        eds_cluster("eds-empty", proxy.directory / "none.json"),
    ]
    routes = [
        {"match": {"path_separated_prefix": f"/{each['name']}"}, "route": {"cluster": each["name"]}}
        for each in clusters
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), hosts)], clusters)


def reached(proxy: Proxy, name: str) -> str:
    """Which origins two requests to a cluster reach, or the status if they are not served."""
    found = set()
    for _ in range(2):
        response = proxy.ask(f"/{name}")
        if response.status != 200:
            return str(response.status)
        for origin in "ab":
            if not proxy.origin(origin).queue.empty():
                proxy.origin(origin).take()
                found.add(origin)
    return "".join(sorted(found))


@pytest.mark.parametrize(
    ("name", "origins"),
    [
        ("static", "ab"),
        ("strict", "a"),
        ("strict-two", "ab"),
        ("strict-address", "a"),
        ("logical", "b"),
        ("unresolved", "503"),
        ("eds", "a"),
        ("eds-named", "b"),
        ("eds-empty", "503"),
    ],
)
def test_reached(proxy: Proxy, name: str, origins: str) -> None:
    assert reached(proxy, name) == origins


def status_of(proxy: Proxy, name: str) -> list[tuple[str, int, str]]:
    """(address, port, host name) of a cluster's hosts in /clusters."""
    page = proxy.admin_json("/clusters?format=json")
    [found] = [each for each in page["cluster_statuses"] if each["name"] == name]
    hosts = []
    for host in found.get("host_statuses", []):
        place = host["address"]["socket_address"]
        hosts.append((place["address"], place["port_value"], host.get("hostname", "")))
    return hosts


def test_hosts_shown(proxy: Proxy) -> None:
    a, b = proxy.origin("a").port, proxy.origin("b").port
    assert status_of(proxy, "static") == [("127.0.0.1", a, ""), ("127.0.0.1", b, "")]
    assert status_of(proxy, "strict") == [("127.0.0.1", a, "localhost")]
    assert status_of(proxy, "logical") == [("127.0.0.1", b, "localhost")]
    assert status_of(proxy, "eds-named") == [("127.0.0.1", b, "")]
    assert status_of(proxy, "unresolved") == status_of(proxy, "eds-empty") == []


def becomes(proxy: Proxy, origins: str) -> bool:
    """Whether the cluster "eds" comes to reach these origins."""
    return bool(wait_for(lambda: reached(proxy, "eds") == origins))


def test_a_renamed_file_is_followed(proxy: Proxy) -> None:
    a, b = proxy.origin("a").port, proxy.origin("b").port
    for ports, origins in [((b,), "b"), ((a, b), "ab"), ((), "503"), ((a,), "a")]:
        replace(eds_path(proxy), eds_text("eds", *ports))
        assert becomes(proxy, origins)
    assert status_of(proxy, "eds") == [("127.0.0.1", a, "")]


def test_a_bad_file_changes_nothing(proxy: Proxy) -> None:
    before = proxy.stat("cluster.eds.update_failure")
    for number, content in enumerate(('{"resources": [', '{"resources": [{"@type": "nonsense"}]}'), 1):
        replace(eds_path(proxy), content)
        assert proxy.stat_becomes("cluster.eds.update_failure", before + number)
    assert reached(proxy, "eds") == "a"
    replace(eds_path(proxy), eds_text("eds", proxy.origin("b").port))
    assert becomes(proxy, "b")
    replace(eds_path(proxy), eds_text("eds", proxy.origin("a").port))
    assert becomes(proxy, "a")


def test_requests_in_flight_survive_the_removal_of_their_host(proxy: Proxy) -> None:
    a, b = proxy.origin("a").port, proxy.origin("b").port
    proxy.origin("a").on("/eds", raw(0.5, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate"))
    with proxy.client() as client:
        client.send("GET /eds HTTP/1.1\r\nhost: a\r\n\r\n")
        proxy.origin("a").take()
        replace(eds_path(proxy), eds_text("eds", b))
        assert client.read().text == "late"
    assert becomes(proxy, "b")
    replace(eds_path(proxy), eds_text("eds", a))
    proxy.origin("a").answers.clear()
    assert becomes(proxy, "a")


def test_membership_counts(proxy: Proxy) -> None:
    assert proxy.stat("cluster.strict-two.membership_total") == 2
    assert proxy.stat("cluster.strict-two.membership_healthy") == 2
    assert proxy.stat("cluster.unresolved.membership_total") == 0
    assert proxy.stat("cluster.strict.update_success") >= 1
    assert proxy.stat("cluster.unresolved.update_attempt") >= 1
