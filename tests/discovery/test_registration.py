from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.discovery.registration import RegistrationError, parse_registration, render_registration
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint, Locality


def parse(*hosts: Any, **more: Any) -> tuple[Endpoint, ...]:
    return parse_registration(json.dumps({"hosts": hosts, **more}).encode())


def test_parses_what_the_reference_server_answers() -> None:
    host = {
        "ip_address": "10.0.0.5",
        "port": 8080,
        "tags": {"az": "us-east-1a", "canary": True, "load_balancing_weight": 50, "region": "us"},
        "last_check_in": "now",
    }
    assert parse(host, {"ip_address": "::1", "port": 1}, env="x") == (
        Endpoint(TcpAddress("10.0.0.5", 8080), weight=50, locality=Locality(zone="us-east-1a"), canary=True),
        Endpoint(TcpAddress("::1", 1)),
    )
    assert parse() == ()


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"hosts": {}}', b'{"hosts": null}', b"\xff", b'{"hosts": [3]}']
)
def test_refuses_other_shapes(body: bytes) -> None:
    with pytest.raises(RegistrationError):
        parse_registration(body)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"ip_address": "app.test"}, "hosts[0].ip_address"),
        ({"ip_address": None}, "hosts[0].ip_address"),
        ({"port": "80"}, "hosts[0].port"),
        ({"port": True}, "hosts[0].port"),
        ({"port": 65536}, "hosts[0].port"),
        ({"tags": []}, "hosts[0].tags"),
        ({"tags": {"az": 1}}, "hosts[0].tags.az"),
        ({"tags": {"canary": "true"}}, "hosts[0].tags.canary"),
        ({"tags": {"load_balancing_weight": 0}}, "hosts[0].tags.load_balancing_weight"),
        ({"tags": {"load_balancing_weight": 101}}, "hosts[0].tags.load_balancing_weight"),
        ({"tags": {"load_balancing_weight": 1.0}}, "hosts[0].tags.load_balancing_weight"),
    ],
)
def test_says_where_a_host_is_wrong(change: dict[str, Any], path: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        parse({"ip_address": "10.0.0.1", "port": 80, **change})
    assert str(caught.value).startswith(path + ":")


def test_renders_as_the_plugin_of_2017_did() -> None:
    body = render_registration([Endpoint(TcpAddress("10.0.0.1", 80))])
    assert body == b'{\n  "hosts": [\n    {\n      "ip_address": "10.0.0.1",\n      "port": 80\n    }\n  ]\n}'
    assert json.loads(render_registration([])) == {"hosts": []}


hosts = st.builds(
    Endpoint,
    st.builds(TcpAddress, st.ip_addresses().map(str), st.integers(0, 65535)),
    weight=st.integers(1, 100),
    locality=st.text().map(lambda zone: Locality(zone=zone)),
    canary=st.booleans(),
)


@given(st.lists(hosts))
def test_what_is_rendered_is_parsed(endpoints: list[Endpoint]) -> None:
    assert parse_registration(render_registration(endpoints)) == tuple(endpoints)
