from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import TimeoutError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from twistproxy.model.address import Address, PipeAddress, TcpAddress
from twistproxy.transport.connector import ReactorConnector
from twistproxy.transport.reactor import TwistproxyReactor


class Caller:
    """`ConnectCallbacks` and the handler of the connection that comes of it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.transport: Any = None

    def connected(self, transport: Any) -> Caller:
        self.transport = transport
        self.events.append("connected")
        return self

    def connect_failed(self, reason: str, timed_out: bool) -> None:
        self.events.append((reason, timed_out))

    def data_received(self, data: bytes) -> None:
        self.events.append(data)

    def read_ended(self) -> None:
        self.events.append("read ended")
        self.transport.loseConnection()

    def connection_lost(self, reason: str) -> None:
        self.events.append(f"lost: {reason}")


@pytest.fixture(params=[EPollReactor, TwistproxyReactor])
def reactor(request: pytest.FixtureRequest) -> Any:
    return request.param()


def until(reactor: Any, condition: Callable[[], Any]) -> None:
    for _ in range(500):
        if condition():
            return
        reactor.iterate(0.01)
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("kind", ["127.0.0.1", "::1", "unix", "abstract"])
def test_a_connection_is_made_and_its_events_are_told(reactor: Any, kind: str, tmp_path: Path) -> None:
    family = (
        socket.AF_UNIX if kind in ("unix", "abstract") else socket.AF_INET6 if ":" in kind else socket.AF_INET
    )
    with socket.socket(family) as listening:
        address: Address
        if kind == "unix":
            listening.bind(str(tmp_path / "socket"))
            address = PipeAddress(str(tmp_path / "socket"))
        elif kind == "abstract":
            listening.bind("\0twistproxy-test-connector")
            address = PipeAddress("@twistproxy-test-connector")
        else:
            listening.bind((kind, 0))
            address = TcpAddress(kind, listening.getsockname()[1])
        listening.listen()
        caller = Caller()
        attempt = ReactorConnector(reactor).connect(address, 5.0, caller)
        assert caller.events == []
        until(reactor, lambda: caller.events)
        server, _ = listening.accept()
    attempt.cancel()  # too late to mean anything
    server.sendall(b"hello")
    until(reactor, lambda: b"hello" in caller.events)
    server.close()
    until(reactor, lambda: str(caller.events[-1]).startswith("lost"))
    assert caller.events[:-1] == ["connected", b"hello", "read ended"]
    # Twisted's epoll reactor does not tell the other side's close on a Unix socket from a break.
    unclean = isinstance(address, PipeAddress) and type(reactor) is EPollReactor
    assert caller.events[-1] == ("lost: connection lost" if unclean else "lost: ")


def test_what_fails_is_told_in_words(reactor: Any, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused, missing = Caller(), Caller()
        connector = ReactorConnector(reactor)
        connector.connect(TcpAddress(*closed.getsockname()), 5.0, refused)
        connector.connect(PipeAddress(str(tmp_path / "none")), 5.0, missing)
        until(reactor, lambda: refused.events and missing.events)
    assert refused.events == [("Connection refused", False)]
    assert missing.events == [("No such file or directory", False)]


def test_after_cancel_nothing_is_called(reactor: Any) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        caller = Caller()
        attempt = ReactorConnector(reactor).connect(TcpAddress(*listening.getsockname()), 5.0, caller)
        attempt.cancel()
        attempt.cancel()
        for _ in range(10):
            reactor.iterate(0.01)
    assert caller.events == []


def test_nodelay_is_set(reactor: Any) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        caller = Caller()
        ReactorConnector(reactor).connect(TcpAddress(*listening.getsockname()), 5.0, caller)
        until(reactor, lambda: caller.events)
    assert caller.transport.getTcpNoDelay()
    caller.transport.abortConnection()
    reactor.iterate(0.01)


def test_the_time_limit_is_passed_on_and_told() -> None:
    reactor = MemoryReactorClock()
    caller = Caller()
    ReactorConnector(reactor).connect(TcpAddress("192.0.2.1", 80), 0.25, caller)
    [(host, port, factory, timeout, _)] = reactor.tcpClients
    assert (host, port, timeout) == ("192.0.2.1", 80, 0.25)
    factory.clientConnectionFailed(None, Failure(TimeoutError()))
    assert caller.events == [("connection timeout", True)]
