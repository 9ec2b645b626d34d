"""The body of `GET /v1/registration/<service_name>` of Envoy's v1 SDS REST API, read and written.

    {"hosts": [{"ip_address": "10.0.0.5", "port": 8080,
                "tags": {"az": "us-east-1a", "canary": false, "load_balancing_weight": 50}}]}

`tags` and all that is in it may be missing.  Keys that are not named here are allowed everywhere and mean
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from twistproxy.discovery.resolv_conf import is_ip
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint, Locality

PATH_PREFIX = "/v1/registration/"


class RegistrationError(Exception):
    """A body that is not one of this API; `str()` says where and why."""


def parse_registration(body: bytes) -> tuple[Endpoint, ...]:
    """The endpoints in an answer.  Raises `RegistrationError`."""
    try:
        root = json.loads(body)
    except ValueError as e:
        raise RegistrationError(f"not JSON: {e}") from None
    if not isinstance(root, dict) or not isinstance(root.get("hosts"), list):
        raise RegistrationError("hosts: a list is required")
    return tuple(parse_host(host, f"hosts[{index}]") for index, host in enumerate(root["hosts"]))


def parse_host(host: object, path: str) -> Endpoint:
    """One element of `hosts`; `path` names it in errors.  Raises `RegistrationError`."""
    if not isinstance(host, dict):
        raise RegistrationError(f"{path}: an object is required")
    address, port = host.get("ip_address"), host.get("port")
    if not isinstance(address, str) or not is_ip(address):
        raise RegistrationError(f"{path}.ip_address: an IP address is required, not {address!r}")
    if type(port) is not int or not 0 <= port <= 65535:
        raise RegistrationError(f"{path}.port: a port is required, not {port!r}")
    tags = host.get("tags", {})
    if not isinstance(tags, dict):
        raise RegistrationError(f"{path}.tags: an object is required")
    zone = tags.get("az", "")
    if not isinstance(zone, str):
        raise RegistrationError(f"{path}.tags.az: a string is required, not {zone!r}")
    canary = tags.get("canary", False)
    if not isinstance(canary, bool):
        raise RegistrationError(f"{path}.tags.canary: true or false is required, not {canary!r}")
    weight = tags.get("load_balancing_weight", 1)
    if type(weight) is not int or not 1 <= weight <= 100:
        raise RegistrationError(f"{path}.tags.load_balancing_weight: 1 to 100 is required, not {weight!r}")
    return Endpoint(TcpAddress(address, port), weight=weight, locality=Locality(zone=zone), canary=canary)


def render_registration(hosts: Iterable[Endpoint]) -> bytes:
    """The answer that lists `hosts`, whose addresses are TCP addresses.

    Tags are left out where they are default.
    """
    return json.dumps({"hosts": [_render_host(host) for host in hosts]}, indent=2).encode()


def _render_host(host: Endpoint) -> dict[str, Any]:
    assert isinstance(host.address, TcpAddress)
    rendered: dict[str, Any] = {"ip_address": host.address.host, "port": host.address.port}
    tags: dict[str, Any] = {}
    if host.locality.zone:
        tags["az"] = host.locality.zone
    if host.canary:
        tags["canary"] = True
    if host.weight != 1:
        tags["load_balancing_weight"] = host.weight
    if tags:
        rendered["tags"] = tags
    return rendered
