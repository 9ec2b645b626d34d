from __future__ import annotations

from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamReset

from twistproxy.model.header_rules import HeaderRules, HeaderToAdd
from twistproxy.model.health_check import GrpcCheck
from twistproxy.testing.transport import MemoryTransport

from .doubles import A, World, settings

SERVING = b"\0\0\0\0\2\x08\1"
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
FAILED = "failed_active_hc"


class Server:
    """The other end of the newest connection."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.stream = 0
        self.resets = 0
        self.headers: dict[str, str] = {}

    def read(self) -> None:
        data = self.transport.take()
        for event in self.h2.receive_data(data) if data else ():
            if isinstance(event, RequestReceived):
                self.stream = event.stream_id
                self.headers = dict(event.headers)  # type: ignore[arg-type]
            elif isinstance(event, StreamReset):
                self.resets += 1

    def flush(self) -> None:
        self.transport.receive(self.h2.data_to_send())

    def answer(
        self,
        head: list[tuple[str, str]] = HEAD,
        data: bytes | None = SERVING,
        trailers: list[tuple[str, str]] | None = None,
    ) -> None:
        self.h2.send_headers(self.stream, head, end_stream=data is None and trailers is None)
        if data is not None:
            self.h2.send_data(self.stream, data, end_stream=trailers is None)
        if trailers is not None:
            self.h2.send_headers(self.stream, trailers, end_stream=True)
        self.flush()


def started(**fields: Any) -> tuple[World, Server]:
    world = World(settings(GrpcCheck("svc", **fields.pop("check", {})), **fields))
    world.publish(A)
    world.clock.advance(0)
    server = Server(world.connector.connections[0])
    server.read()
    return world, server


OK = [("grpc-status", "0")]


def test_serving() -> None:
    world, server = started(check={"metadata": HeaderRules((HeaderToAdd("x-a", "1"),))})
    assert server.headers == {
        ":method": "POST",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": "app",
        ":scheme": "http",
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "Envoy/HC",
        "x-a": "1",
        "grpc-timeout": "1000m",
    }
    server.answer(trailers=OK)
    world.settle()
    assert world.flags == {"1": "healthy"}
    world.clock.advance(10)
    server.read()
    server.answer(trailers=OK)
    assert world.counters()["success"] == 2
    assert len(world.connector.attempts) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"data": b"\0\0\0\0\2\x08\2", "trailers": OK},
        {"data": b"\0\0\0\0\2\x08\3", "trailers": OK},
        {"data": b"\0\0\0\0\0", "trailers": OK},
        {"data": b"\1\0\0\0\2\x08\1", "trailers": OK},
        {"data": SERVING + SERVING, "trailers": OK},
        {"trailers": [("grpc-status", "12")]},
        {"trailers": [("x", "y")]},
        {"head": [*HEAD, ("grpc-status", "12")], "data": None},
        {"head": HEAD, "data": None},
        {"head": [(":status", "503")], "data": None},
        {"head": [(":status", "200"), ("content-type", "text/plain")], "trailers": OK},
        {"data": SERVING},
    ],
)
def test_not_serving(answer: dict[str, Any]) -> None:
    world, server = started()
    server.answer(**answer)
    world.settle()
    assert world.flags == {"1": FAILED}
    assert world.counters()["network_failure"] == 0
    assert len(world.open()) == 1


def test_a_check_that_takes_too_long_is_given_up_and_the_connection_kept() -> None:
    world, server = started()
    world.clock.advance(1.01)
    server.read()
    assert server.resets == 1
    world.clock.advance(10)
    server.read()
    server.answer(trailers=OK)
    assert world.counters()["success"] == 1
    assert len(world.connector.attempts) == 1


def test_connections_that_are_not_kept() -> None:
    world, server = started(reuse_connection=False)
    server.answer(trailers=OK)
    assert world.open() == []


def test_a_reset_is_a_failure_of_the_network() -> None:
    world, server = started()
    server.h2.reset_stream(server.stream, ErrorCodes.REFUSED_STREAM)
    server.flush()
    assert world.counters()["network_failure"] == 1
    assert len(world.open()) == 1


def test_a_server_that_leaves_in_order_finishes_the_check() -> None:
    world, server = started()
    server.flush()
    server.transport.receive(bytes.fromhex("0000080700000000000000000100000000"))
    server.answer(trailers=OK)
    assert world.counters()["success"] == 1
    assert world.open() == []


def test_a_server_that_leaves_in_anger_fails() -> None:
    world, server = started()
    server.flush()
    server.transport.receive(bytes.fromhex("0000080700000000000000000100000002"))
    assert world.counters()["network_failure"] == 1
    assert world.open() == []


def test_a_frame_without_an_end() -> None:
    world, server = started()
    server.flush()
    for _ in range(5):
        server.transport.receive(b"\xff\xff\xff\0\0" + bytes(16000))
        if server.transport.closing:
            break
    assert world.counters()["network_failure"] == 1


@pytest.mark.parametrize("how", ["end", "lose", "nonsense"])
def test_a_lost_connection(how: str) -> None:
    world, server = started()
    if how == "nonsense":
        server.transport.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    else:
        getattr(server.transport, how)()
    assert world.counters()["network_failure"] == 1
    world.clock.advance(10)
    assert len(world.open()) == 1


def test_one_that_is_lost_between_checks_is_made_again() -> None:
    world, server = started()
    server.answer(trailers=OK)
    server.transport.end()
    assert world.counters()["failure"] == 0
    world.clock.advance(10)
    assert len(world.open()) == 1
