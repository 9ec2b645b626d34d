from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.testing import StringTransport

from twistproxy.discovery.registry import BadServiceName
from twistproxy.discovery.registry_server import make_site
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint

from .fakes import Log


class FakeRegistry:
    ready = True

    def hosts(self, service: str) -> tuple[Endpoint, ...]:
        if service == "bad":
            raise BadServiceName("'bad' is bad")
        return (Endpoint(TcpAddress("10.0.0.1", 80)),) if service == "a.b/c" or service == "app" else ()


class World:
    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.log = Log()
        self.site = make_site(self.registry, self.log.logger)

    def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        channel, transport = self.site.buildProtocol(None), StringTransport()
        channel.makeConnection(transport)
        channel.dataReceived(f"{method} {path} HTTP/1.1\r\nHost: sds\r\nConnection: close\r\n\r\n".encode())
        head, _, body = transport.value().partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers: dict[str, Any] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return int(status.split()[1]), headers, body


def test_hosts_of_a_service() -> None:
    status, headers, body = World().get("/v1/registration/app")
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"hosts": [{"ip_address": "10.0.0.1", "port": 80}]}


def test_an_unknown_service_is_empty() -> None:
    status, _, body = World().get("/v1/registration/none")
    assert (status, json.loads(body)) == (200, {"hosts": []})


def test_escaped_names() -> None:
    assert b"10.0.0.1" in World().get("/v1/registration/a.b%2Fc")[2]


def test_head_has_no_body() -> None:
    world = World()
    status, headers, body = world.get("/v1/registration/app", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) == len(world.get("/v1/registration/app")[2])


def test_a_bad_name_is_told_and_logged() -> None:
    world = World()
    status, headers, body = world.get("/v1/registration/bad")
    assert (status, body) == (400, b"'bad' is bad\n")
    assert headers["content-type"].startswith("text/plain")
    assert "/v1/registration/bad" in world.log.lines[-1]


@pytest.mark.parametrize("path", ["/v1/registration/", "/v1/registration", "/v1/registration/a/b"])
def test_no_name_is_a_bad_one(path: str) -> None:
    assert World().get(path)[0] == 400


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/clusters/a/b", "/v2/registration/app"])
def test_there_is_nothing_else(path: str) -> None:
    assert World().get(path)[0] == 404


def test_other_methods_are_not_allowed() -> None:
    assert World().get("/v1/registration/app", "POST")[0] == 405


def test_before_anything_is_known() -> None:
    world = World()
    world.registry.ready = False
    assert world.get("/v1/registration/app")[0] == 503
    assert world.get("/v1/registration/bad")[0] == 400
    assert world.get("/healthz")[0] == 503
    world.registry.ready = True
    assert world.get("/healthz")[::2] == (200, b"ok\n")
