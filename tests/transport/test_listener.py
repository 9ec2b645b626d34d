from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor

from twistproxy.model.address import Address, PipeAddress, TcpAddress
from twistproxy.transport.listen_sockets import ListenSockets, ListenSpec
from twistproxy.transport.listener import Listener
from twistproxy.transport.reactor import TwistproxyReactor


class Handler:
    """Answers everything with itself in capitals, and notes what happens."""

    def __init__(self, transport: Any, remote: Address, local: Address) -> None:
        self.transport = transport
        self.addresses = (remote, local)
        self.events: list[str] = []

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())

    def read_ended(self) -> None:
        self.events.append("read ended")
        self.transport.write(b"bye")
        self.transport.loseConnection()

    def connection_lost(self, reason: str) -> None:
        self.events.append(f"lost: {reason}")


class World:
    """A reactor, and a listener on it."""

    def __init__(self, reactor: Any, address: Address) -> None:
        self.reactor = reactor
        self.handlers: list[Handler] = []
        self.sockets = ListenSockets.bind(ListenSpec("a", address), 1)
        fd = self.sockets.descriptor(0)
        assert fd is not None
        self.listener = Listener(reactor, os.dup(fd), self.accepted)

    def accepted(self, transport: Any, remote: Address, local: Address) -> Handler:
        self.handlers.append(Handler(transport, remote, local))
        return self.handlers[-1]

    def connect(self) -> socket.socket:
        address = self.sockets.address
        if isinstance(address, PipeAddress):
            client = socket.socket(socket.AF_UNIX)
            client.connect(address.path)
        else:
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
            client = socket.create_connection((host, address.port))
        client.settimeout(5)
        return client

    def until(self, condition: Callable[[], Any]) -> None:
        for _ in range(500):
            if condition():
                return
            self.reactor.iterate(0.01)
        raise AssertionError("it never came to that")

    def receive(self, client: socket.socket, size: int) -> bytes:
        client.setblocking(False)
        got = b""

        def more() -> bool:
            nonlocal got
            try:
                got += client.recv(size - len(got))
            except BlockingIOError:
                pass
            return len(got) == size

        self.until(more)
        return got


@pytest.fixture(params=[EPollReactor, TwistproxyReactor])
def reactor(request: pytest.FixtureRequest) -> Any:
    return request.param()


Make = Callable[..., World]


@pytest.fixture
def make(reactor: Any) -> Iterator[Make]:
    worlds: list[World] = []

    def make_one(address: Address) -> World:
        worlds.append(World(reactor, address))
        return worlds[-1]

    yield make_one
    for world in worlds:
        world.sockets.close()
        for handler in world.handlers:
            handler.transport.abortConnection()
        reactor.iterate(0)


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::1", "unix"])
def world(request: pytest.FixtureRequest, make: Make, tmp_path: Path) -> World:
    if request.param == "unix":
        return make(PipeAddress(str(tmp_path / "socket"), 0o600))
    return make(TcpAddress(request.param, 0))


def test_a_connection_is_served_to_its_end(world: World) -> None:
    client = world.connect()
    client.sendall(b"hello")
    assert world.receive(client, 5) == b"HELLO"
    client.shutdown(socket.SHUT_WR)
    assert world.receive(client, 3) == b"bye"
    [handler] = world.handlers
    world.until(lambda: handler.events[-1:] == ["lost: "])
    assert handler.events == ["read ended", "lost: "]
    client.close()
    world.listener.stop()


def test_addresses_are_the_connections_own(make: Make) -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        world = make(TcpAddress(host, 0))
        client = world.connect()
        world.until(lambda world=world: world.handlers)
        remote, local = world.handlers[0].addresses
        assert remote == TcpAddress(*client.getsockname())
        assert local == TcpAddress(*client.getpeername())
        client.close()
        world.listener.stop()


def test_stopping_takes_the_connections_that_wait_and_refuses_later_ones(world: World) -> None:
    clients = [world.connect() for _ in range(10)]
    assert world.handlers == []
    world.listener.stop()
    world.until(lambda: len(world.handlers) == 10)
    world.reactor.iterate(0)  # Twisted's port closes in the reactor's next turn
    world.sockets.close()
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        world.connect()
    for client in clients:
        client.sendall(b"still here")
        assert world.receive(client, 10) == b"STILL HERE"
        client.close()


def test_the_masters_socket_survives_the_workers(world: World) -> None:
    world.listener.stop()
    world.reactor.iterate(0.01)
    address = world.sockets.address
    if isinstance(address, PipeAddress):
        assert os.stat(address.path).st_mode & 0o777 == 0o600
    client = world.connect()
    fd = world.sockets.descriptor(0)
    assert fd is not None
    second = Listener(world.reactor, os.dup(fd), world.accepted)
    client.sendall(b"x")
    assert world.receive(client, 1) == b"X"
    client.close()
    second.stop()


def test_a_reset_is_told_in_words(make: Make) -> None:
    world = make(TcpAddress("127.0.0.1", 0))
    client = world.connect()
    world.until(lambda: world.handlers)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    world.until(lambda: world.handlers[0].events)
    assert world.handlers[0].events == ["lost: connection lost"]
    world.listener.stop()
