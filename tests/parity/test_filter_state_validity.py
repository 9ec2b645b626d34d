"""Which settings of filter state are taken: the verdict of both engines on one configuration at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.server_options import ServerOptions

from .settings import ROUTER, Config, address, answering, listener, read
from .test_config_validity import envoy_takes
from .test_filter_state import INPUT, ON_CONNECTION, ROUTE, SET

pytestmark = pytest.mark.parity
NO_FACTORY = "'a' does not have an object factory"
FORMAT = "format_string: {text_format_source: {inline_string: x}}"
OBJECT = "object_key: a, factory_key: envoy.string"

#: A FilterStateValue → None if it is taken, or words with which both refuse it.
VALUES: dict[str, str | None] = {
    f"{OBJECT}, {FORMAT}": None,
    f"object_key: envoy.string, {FORMAT}": None,
    f"object_key: envoy.tcp_proxy.cluster, factory_key: '', {FORMAT}": None,
    f"{OBJECT}, {FORMAT}, read_only: true, shared_with_upstream: TRANSITIVE, skip_if_empty: true": None,
    f"object_key: a, {FORMAT}": NO_FACTORY,
    f"object_key: a, factory_key: b, {FORMAT}": NO_FACTORY,
    f"object_key: '', factory_key: envoy.string, {FORMAT}": "",
    f"factory_key: envoy.string, {FORMAT}": "",
    OBJECT: "",
    f"{OBJECT}, {FORMAT}, shared_with_upstream: TWICE": "TWICE",
    f"{OBJECT}, format_string: {{text_format_source: {{inline_string: '%NOPE%'}}}}": (
        "Not supported field in StreamInfo: NOPE"
    ),
}
#: A FilterStateMatcher → whether it is taken.
MATCHERS = {
    "key: a": False,
    "key: '', string_match: {exact: a}": False,
    "key: a, string_match: {exact: a}": True,
    "key: a, string_match: {}": False,
    "key: a, address_match: {}": True,
    "key: a, address_match: {invert_match: true, ranges: [{address_prefix: 1.2.3.4, prefix_len: 8}]}": True,
    "key: a, address_match: {ranges: [{address_prefix: a, prefix_len: 8}]}": False,
}
#: An input of a match tree → whether it is taken.
INPUTS = {
    f"'@type': {INPUT}, key: a": True,
    f"'@type': {INPUT}, key: a, field: ip": True,
    f"'@type': {INPUT}": False,
    f"'@type': {INPUT.replace('FilterState', 'SourceIP')}": False,
}


def bootstrap(hosts: list[Config], own: Config, route: Config, connection: Config) -> Config:
    filters = [
        {"name": "state", "typed_config": {"@type": SET, **own}},
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    hosts[0]["typed_per_filter_config"] = {"state": {"@type": SET, **route}}
    main = listener("main", 0, hosts, http_filters=filters)
    network = {"name": "state", "typed_config": {"@type": ON_CONNECTION, **connection}}
    main["filter_chains"][0]["filters"].insert(0, network)
    return {"admin": {"address": address(0)}, "static_resources": {"listeners": [main]}}


def check(config: Config, taken: bool, path: Path, expected: str = "") -> None:
    path.write_text(json.dumps(config))
    theirs, words = envoy_takes(path)
    assert theirs == taken, words
    assert expected in words
    ours, words = True, ""
    try:
        build_bootstrap(load_text(path.read_text(), path.name), ServerOptions())
    except ConfigError as error:
        ours, words = False, str(error)
    assert ours == taken, words
    assert expected in words


@pytest.mark.parametrize("given", VALUES, ids=range(len(VALUES)))
def test_values(given: str, tmp_path: Path) -> None:
    expected = VALUES[given]
    values = [read(f"{{{given}}}")]
    config = bootstrap([answering("all", "*")], {"on_request_headers": values}, {}, {})
    check(config, expected is None, tmp_path / "c.json", expected or "")


@pytest.mark.parametrize("place", ["route", "connection"])
def test_in_other_places(place: str, tmp_path: Path) -> None:
    values = [read(f"{{object_key: a, {FORMAT}}}")]
    route, connection = {"on_request_headers": values}, {"on_new_connection": values}
    both: tuple[Config, Config] = (route, {}) if place == "route" else ({}, connection)
    check(bootstrap([answering("all", "*")], {}, *both), False, tmp_path / "c.json", NO_FACTORY)


@pytest.mark.parametrize("given", MATCHERS, ids=range(len(MATCHERS)))
def test_matchers(given: str, tmp_path: Path) -> None:
    host = answering("all", "*")
    host["routes"][0]["match"]["filter_state"] = [read(f"{{{given}}}")]
    check(bootstrap([host], {}, {}, {}), MATCHERS[given], tmp_path / "c.json")


@pytest.mark.parametrize("given", INPUTS, ids=range(len(INPUTS)))
def test_inputs(given: str, tmp_path: Path) -> None:
    route = {"@type": ROUTE, "match": {"prefix": "/"}, "direct_response": {"status": 200}}
    action = {"action": {"name": "route", "typed_config": route}}
    tree = {
        "input": {"name": "input", "typed_config": read(f"{{{given}}}")},
        "exact_match_map": {"map": {"a": action}},
    }
    host = {"name": "all", "domains": ["*"], "matcher": {"matcher_tree": tree}}
    check(bootstrap([host], {}, {}, {}), INPUTS[given], tmp_path / "c.json")
