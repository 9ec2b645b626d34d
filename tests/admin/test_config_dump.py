"""/config_dump.  Statuses and texts are Envoy 1.40's."""

import json
from typing import Any

import pytest

from twistproxy.admin.answer import PageError
from twistproxy.admin.config_dump import config_dump, redacted, sections
from twistproxy.admin.merge import Statistics

from .fakes import BOOTSTRAP, NOW, SNAPSHOT, host

ADMIN = "type.googleapis.com/envoy.admin.v3."
WHEN = "2026-11-23T01:26:27.447Z"


def dump(endpoints: bool = False, **query: str) -> list[dict[str, Any]]:
    statistics = Statistics()
    statistics.report("w0", SNAPSHOT)
    parts = sections(BOOTSTRAP, {"id": "n1"}, NOW, statistics.totals() if endpoints else None)
    answer = config_dump(parts, query)
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.body.endswith("}\n")
    found: list[dict[str, Any]] = json.loads(answer.body).get("configs", [])
    return found


def refusal(**query: str) -> tuple[int, str, str]:
    with pytest.raises(PageError) as caught:
        dump(**query)
    answer = caught.value.answer
    return answer.status, answer.body, answer.content_type


def test_sections_in_envoys_order() -> None:
    kinds = [section["@type"].removeprefix(ADMIN) for section in dump(endpoints=True)]
    assert kinds == [
        "BootstrapConfigDump",
        "ClustersConfigDump",
        "EndpointsConfigDump",
        "ListenersConfigDump",
        "ScopedRoutesConfigDump",
        "RoutesConfigDump",
        "SecretsConfigDump",
    ]
    assert len(dump()) == 6


def test_bootstrap_section() -> None:
    section = dump()[0]
    assert section["bootstrap"]["node"] == {"id": "n1"}
    assert section["last_updated"] == WHEN


def test_resource() -> None:
    assert dump(resource="static_clusters") == [
        {
            "@type": f"{ADMIN}ClustersConfigDump.StaticCluster",
            "cluster": {
                "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
                "name": name,
                "type": "STATIC",
            },
            "last_updated": WHEN,
        }
        for name in ("app", "apple")
    ]
    assert dump(resource="dynamic_listeners") == []


def test_inline_routes_are_listed() -> None:
    (item,) = dump(resource="static_route_configs")
    assert item["@type"] == f"{ADMIN}RoutesConfigDump.StaticRouteConfig"
    assert item["route_config"]["@type"] == "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    assert item["route_config"]["name"] == "local"


def test_name_regex_matches_the_whole_name() -> None:
    assert [item["cluster"]["name"] for item in dump(resource="static_clusters", name_regex="app")] == ["app"]
    assert [item["cluster"]["name"] for item in dump(resource="static_clusters", name_regex="app.*")] == [
        "app",
        "apple",
    ]
    assert dump(name_regex="ap", mask="static_clusters") == [{"@type": f"{ADMIN}ClustersConfigDump"}]
    assert dump(name_regex="none")[0]["@type"] == f"{ADMIN}BootstrapConfigDump"


def test_mask() -> None:
    assert dump(mask="bootstrap.node.id") == [
        {"@type": f"{ADMIN}BootstrapConfigDump", "bootstrap": {"node": {"id": "n1"}}}
    ]
    assert dump(resource="static_clusters", mask="last_updated,cluster.name", name_regex="app") == [
        {
            "@type": f"{ADMIN}ClustersConfigDump.StaticCluster",
            "cluster": {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "app"},
            "last_updated": WHEN,
        }
    ]


def test_refusals() -> None:
    plain = "text/plain"
    assert refusal(resource="bogus") == (404, "bogus not found in config dump", plain)
    assert refusal(resource="bootstrap") == (
        400,
        "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field",
        plain,
    )
    for mask in ("nope", "static_clusters.cluster.name", "bootstrap.node,static_listeners"):
        expected = f"FieldMask {mask} could not be successfully applied to any configs."
        assert refusal(mask=mask) == (400, expected, plain)
    assert refusal(resource="static_listeners", mask="name")[0] == 400
    assert refusal(name_regex="(") == (
        400,
        "INVALID_ARGUMENT: Error while parsing name_regex from (: missing ): (",
        plain,
    )


def test_endpoints() -> None:
    (item,) = dump(endpoints=True, resource="static_endpoint_configs")
    assert item["@type"] == f"{ADMIN}EndpointsConfigDump.StaticEndpointConfig"
    assert item["endpoint_config"] == {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "app",
        "endpoints": [
            {
                "locality": {"region": "r1", "zone": "z1"},
                "lb_endpoints": [
                    {
                        "endpoint": {
                            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 29970}},
                            "health_check_config": {},
                        },
                        "health_status": "HEALTHY",
                        "load_balancing_weight": 1,
                    }
                ],
                "load_balancing_weight": 0,
            }
        ],
        "policy": {"overprovisioning_factor": 140},
    }


def test_endpoints_are_grouped_by_priority_and_locality() -> None:
    statistics = Statistics()
    hosts = [host("h:1", zone="b", priority=1), host("h:2", zone="a"), host("h:3", zone="a")]
    statistics.report("w0", {"hosts": {"app": hosts}})
    (section,) = (
        part for part in sections({}, {}, NOW, statistics.totals()) if "static_endpoint_configs" in part
    )
    first, second = section["static_endpoint_configs"][0]["endpoint_config"]["endpoints"]
    assert (first["locality"], len(first["lb_endpoints"])) == ({"zone": "a"}, 2)
    assert (second["locality"], second["priority"]) == ({"zone": "b"}, 1)


def test_a_cluster_without_hosts_is_listed_too() -> None:
    statistics = Statistics()
    statistics.report("w0", {"clusters": {"empty": {}}})
    (section,) = (
        part for part in sections({}, {}, NOW, statistics.totals()) if "static_endpoint_configs" in part
    )
    assert section["static_endpoint_configs"][0]["endpoint_config"] == {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "empty",
        "policy": {"overprovisioning_factor": 140},
    }


def test_secrets_are_hidden_wherever_they_are() -> None:
    assert "-----BEGIN" not in json.dumps(dump())
    secret = {"private_key": {"filename": "a", "@type": "t"}, "certificate_chain": {"filename": "b"}}
    assert redacted({"list": [secret]}) == {
        "list": [
            {"private_key": {"filename": "[redacted]", "@type": "t"}, "certificate_chain": {"filename": "b"}}
        ]
    }
