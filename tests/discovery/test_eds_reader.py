"""The quick way of reading and the thorough one say the same."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from twistproxy.discovery.eds_reader import EdsReader, parse_discovery_response
from twistproxy.errors import ConfigError
from twistproxy.model.discovery import EdsFileSource
from twistproxy.model.endpoint import Endpoint

TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def host(port: int, **more: Any) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": port}}}, **more}


def response(*localities: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resources": [{"@type": TYPE, "cluster_name": "app", "endpoints": list(localities)}], **more}


CONTENT = response(
    {
        "locality": {"zone": "a"},
        "load_balancing_weight": 3,
        "lb_endpoints": [host(1), host(2, load_balancing_weight=5), host(3, health_status="DRAINING")],
    },
    {"priority": 1, "lb_endpoints": [host(4, metadata={"filter_metadata": {"envoy.lb": {"canary": True}}})]},
    {"priority": 2},
    version_info="7",
)


class World:
    def __init__(self, tmp_path: Path, suffix: str, **options: Any) -> None:
        self.path = tmp_path / f"eds{suffix}"
        self.reader = EdsReader(EdsFileSource("app", "", str(self.path), **options))

    def read(self, content: dict[str, Any]) -> tuple[Endpoint, ...] | None:
        text = json.dumps(content)
        if self.path.suffix in (".yaml", ".yml"):
            text = yaml.dump(content)
        if self.path.suffix in (".pb", ".pb_text"):
            message = parse_discovery_response(text.encode(), ".json")
            if self.path.suffix == ".pb":
                self.path.write_bytes(message.SerializeToString())
                return self.reader.read().endpoints
            text = text_format.MessageToString(message)
        self.path.write_text(text)
        return self.reader.read().endpoints


def thorough(content: dict[str, Any]) -> tuple[Endpoint, ...] | None:
    reader = EdsReader(EdsFileSource("app", "", ""))
    return reader._whole(parse_discovery_response(json.dumps(content).encode(), ".json")).endpoints


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml", ".pb", ".pb_text", ".other"])
def test_all_ways_say_the_same(tmp_path: Path, suffix: str) -> None:
    assert World(tmp_path, suffix).read(CONTENT) == thorough(CONTENT)


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".pb"])
def test_endpoints_that_stay_are_the_same_objects(tmp_path: Path, suffix: str) -> None:
    world = World(tmp_path, suffix)
    before = world.read(CONTENT)
    changed = copy.deepcopy(CONTENT)
    hosts = changed["resources"][0]["endpoints"][0]["lb_endpoints"]
    hosts[1]["load_balancing_weight"] = 6
    hosts.insert(0, host(9))
    after = world.read(changed)
    assert before is not None
    assert after is not None
    assert after == thorough(changed)
    assert [any(one is old for old in before) for one in after] == [False, True, False, True, True]


def test_what_a_locality_says_is_said_of_its_endpoints_anew(tmp_path: Path) -> None:
    world = World(tmp_path, ".json")
    world.read(CONTENT)
    changed = copy.deepcopy(CONTENT)
    changed["resources"][0]["endpoints"][0]["priority"] = 3
    assert world.read(changed) == thorough(changed)


@pytest.mark.parametrize(
    "locality",
    [
        {"lbEndpoints": [host(1)]},
        {"lb_endpoints": [host(1, loadBalancingWeight=4)]},
        {"lb_endpoints": [{"endpoint": host(1)["endpoint"], "healthStatus": "UNHEALTHY"}]},
        {"lb_endpoints": None},
    ],
)
def test_other_spellings(tmp_path: Path, locality: dict[str, Any]) -> None:
    assert World(tmp_path, ".json").read(response(locality)) == thorough(response(locality))


def test_a_locality_that_yaml_repeats(tmp_path: Path) -> None:
    world = World(tmp_path, ".yaml")
    first = {"lb_endpoints": [host(1)]}
    content = response(first, {**first, "priority": 1})
    again = response(first, first)
    world.read(content)
    found = world.read(again)  # an alias, as PyYAML writes it
    assert "*id" in world.path.read_text()
    assert found == thorough(again)


@pytest.mark.parametrize(
    "bad",
    [
        response({"lb_endpoints": [host(1), host(2, load_balancing_weight=0)]}),
        response({"lb_endpoints": [host(1), {"endpoint_name": "x"}]}),
        response({"lb_endpoints": [host(1), {}]}),
        response({"priority": 999, "lb_endpoints": [host(1)]}),
        response({"lb_endpoints": [host(1)], "leds_cluster_locality_config": {"leds_config": {}}}),
        {"resources": [CONTENT["resources"][0]] * 2},
        {"resources": [{"@type": TYPE, "cluster_name": "other"}]},
    ],
)
def test_what_is_wrong_is_said_as_ever_and_forgotten(tmp_path: Path, bad: dict[str, Any]) -> None:
    world = World(tmp_path, ".json")
    world.read(CONTENT)
    with pytest.raises((ConfigError, ValueError)) as quick:
        world.read(bad)
    with pytest.raises((ConfigError, ValueError)) as slow:
        thorough(bad)
    assert str(quick.value) == str(slow.value)
    assert world.read(CONTENT) == thorough(CONTENT)


def test_a_key_that_is_there_twice(tmp_path: Path) -> None:
    world = World(tmp_path, ".json")
    world.path.write_text('{"version_info": "1", "version_info": "2"}')
    with pytest.raises(ValueError, match="duplicate"):
        world.reader.read()


@pytest.mark.parametrize("space", ["", " "])
def test_an_endpoint_that_has_a_key_twice(tmp_path: Path, space: str) -> None:
    world = World(tmp_path, ".json")
    text = json.dumps(CONTENT, separators=(",", space + ":"))
    world.path.write_text(text)
    assert world.reader.read().endpoints == thorough(CONTENT)
    world.path.write_text(
        text.replace(f'"port_value"{space}:1', f'"port_value"{space}:1,"port_value"{space}:1', 1)
    )
    with pytest.raises(ValueError, match="duplicate"):
        world.reader.read()
    escaped = text.replace(f'"version_info"{space}:"7"', f'"version_info"{space}:"\\":"')
    world.path.write_text(escaped)
    assert world.reader.read().endpoints == thorough(CONTENT)


def test_what_nobody_implements_may_be_only_told(tmp_path: Path) -> None:
    content = response({"lb_endpoints": [host(1)], "leds_cluster_locality_config": {"leds_config": {}}})
    world = World(tmp_path, ".json", unsupported="warn")
    assert world.read(content) == thorough(response({"lb_endpoints": [host(1)]}))
    assert [problem.path for problem in world.reader.read().unread] == [
        "endpoints[0].leds_cluster_locality_config"
    ]


#: Weights of the endpoints of each locality, what its locality says, and how the text is laid out.
_VERSIONS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(1, 9), max_size=6)), max_size=3),
        st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}]),
    ),
    min_size=2,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(versions=_VERSIONS)
def test_any_version_after_any_other(tmp_path_factory: pytest.TempPathFactory, versions: Any) -> None:
    world = World(tmp_path_factory.mktemp("eds"), ".json")
    for localities, layout in versions:
        content = response(
            *(
                {
                    "priority": 0 if priority == 2 else priority,
                    "lb_endpoints": [host(port, load_balancing_weight=port) for port in ports],
                }
                for priority, ports in localities
            )
        )
        world.path.write_text(json.dumps(content, **layout))
        assert world.reader.read().endpoints == thorough(content)


@pytest.mark.parametrize(
    "bad",
    [
        '[{"lb_endpoints":[0]}]',
        '[{"lb_endpoints":[{},]}]',
        '[{"lb_endpoints":[{} {}]}]',
        '[{"lb_endpoints":[{}}]',
        '[{"lb_endpoints":[{"endpoint":{}}]',
        '[{"lb_endpoints":[',
        '[{"lb_endpoint\\u0073":[false]}],"x":{"lb_endpoints":[]}',
        '[{"lb_endpoints":[]}],"x":{"lb_endpoints":[]}',
        '[{"lb_endpoints":[],"lb_endpoints":[]}]',
        '"say \\"lb_endpoints\\":[{}]"',
    ],
)
def test_text_that_is_no_assignment(tmp_path: Path, bad: str) -> None:
    world = World(tmp_path, ".json")
    before = world.read(CONTENT)
    text = f'{{"resources":[{{"@type":"{TYPE}","cluster_name":"app","endpoints":{bad}}}]}}'
    world.path.write_text(text)
    with pytest.raises((ConfigError, ValueError)) as quick:
        world.reader.read()
    with pytest.raises((ConfigError, ValueError)) as slow:
        world.reader._whole(parse_discovery_response(text.encode(), ".json"))
    assert str(quick.value) == str(slow.value)
    after = world.read(CONTENT)
    assert before is not None
    assert after is not None
    assert all(one is other for one, other in zip(before, after, strict=True))


def test_no_resources(tmp_path: Path) -> None:
    assert World(tmp_path, ".json").read({"version_info": "1"}) is None
