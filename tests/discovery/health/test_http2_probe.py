"""HTTP checks over HTTP/2, in memory."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.health_check import Check, GrpcCheck, HttpCheck, TcpCheck
from twistproxy.model.sockets import LocalAddress, UpstreamSockets

from .doubles import A, World, settings
from .test_grpc_probe import FAILED, Server


def started(**fields: Any) -> tuple[World, Server]:
    check = HttpCheck("/health", http2=True, **fields.pop("check", {}))
    world = World(settings(check, **fields))
    world.publish(A)
    world.clock.advance(0)
    server = Server(world.connector.connections[0])
    server.read()
    return world, server


def head(status: int, *fields: tuple[str, str]) -> list[tuple[str, str]]:
    return [(":status", str(status)), *fields]


def test_one_connection_for_all_checks() -> None:
    world, server = started()
    for count in (1, 2, 3):
        assert server.headers == {
            ":method": "GET",
            ":path": "/health",
            ":authority": "app",
            ":scheme": "http",
            "user-agent": "Envoy/HC",
        }
        server.answer(head(200), None)
        world.settle()
        assert world.flags == {"1": "healthy"}
        assert world.counters()["success"] == count
        world.clock.advance(10)
        server.read()
    assert len(world.connector.attempts) == 1


@pytest.mark.parametrize(
    ("check", "answer", "flags"),
    [
        ({}, {"head": head(200), "data": b"hi"}, "healthy"),
        ({}, {"head": head(200), "data": None, "trailers": [("x", "y")]}, "healthy"),
        ({}, {"head": head(503), "data": None}, FAILED),
        ({"expected": ((503, 504),)}, {"head": head(503), "data": b"no"}, "healthy"),
        ({"receive": (b"lo", b"wo")}, {"head": head(200), "data": b"hello world"}, "healthy"),
        ({"receive": (b"wo", b"lo")}, {"head": head(200), "data": b"hello world"}, FAILED),
        ({}, {"head": head(200, ("x-envoy-degraded", "")), "data": None}, "degraded_active_hc"),
    ],
)
def test_verdict(check: dict[str, Any], answer: dict[str, Any], flags: str) -> None:
    world, server = started(check=check)
    server.answer(**answer)
    world.settle()
    assert world.flags == {"1": flags}


def test_content_is_sent() -> None:
    world, server = started(check={"method": "POST", "send": b"abc"})
    assert server.headers[":method"] == "POST"
    server.answer(head(200), None)
    world.settle()
    assert world.flags == {"1": "healthy"}


def test_no_answer_is_the_end_of_the_connection() -> None:
    world, server = started()
    world.clock.advance(1.1)
    assert server.transport.closed
    world.clock.advance(10)
    assert len(world.connector.attempts) == 2


def test_a_connection_for_each_check() -> None:
    world, server = started(reuse_connection=False)
    server.answer(head(200), None)
    world.settle()
    world.clock.advance(10)
    assert len(world.connector.attempts) == 2


@pytest.mark.parametrize(
    "check", [HttpCheck("/health"), HttpCheck("/health", http2=True), GrpcCheck(), TcpCheck()]
)
def test_connections_come_from_where_those_of_the_cluster_do(check: Check) -> None:
    source = LocalAddress(TcpAddress("10.9.9.9", 0))
    world = World(settings(check), sockets=UpstreamSockets((source,)))
    world.publish(A)
    world.clock.advance(0)
    (attempt,) = world.connector.attempts
    assert [(way.address, way.source) for way in attempt.ways] == [(A, source)]
