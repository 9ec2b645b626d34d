"""Connections whose sockets are not as usual."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor

from twistproxy.model.address import PipeAddress, TcpAddress
from twistproxy.model.sockets import LocalAddress, SocketOption, Way
from twistproxy.transport.connector import ReactorConnector
from twistproxy.transport.reactor import TwistproxyReactor


class Caller:
    """`DialCallbacks` and the handler of the connection that comes of it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.transport: Any = None

    def connected(self, transport: Any) -> Caller:
        self.transport = transport
        self.events.append("connected")
        return self

    def connect_failed(self, reason: str, timed_out: bool) -> None:
        self.events.append(("timed out", timed_out))

    def tried_another(self) -> None:
        self.events.append("another")

    def dial_failed(self, reason: str, local: bool, binding: bool) -> None:
        self.events.append((reason, local, binding))

    def data_received(self, data: bytes) -> None:
        self.events.append(data)

    def read_ended(self) -> None: ...

    def connection_lost(self, reason: str) -> None:
        self.events.append(f"lost: {reason}")


@pytest.fixture(params=[EPollReactor, TwistproxyReactor])
def reactor(request: pytest.FixtureRequest) -> Any:
    gc.collect()  # others' sockets shall not go while ours are counted
    made = request.param()
    made.iterate(0)
    return made


def until(reactor: Any, condition: Callable[[], Any]) -> None:
    for _ in range(500):
        if condition():
            return
        reactor.iterate(0.01)
    raise AssertionError("it never came to that")


def listen(host: str = "127.0.0.1") -> tuple[socket.socket, TcpAddress]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, 0), family=family)
    return listening, TcpAddress(host, listening.getsockname()[1])


def dead() -> TcpAddress:
    listening, address = listen()
    listening.close()
    return address


def open_sockets() -> int:
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


def test_bound_with_options(reactor: Any) -> None:
    listening, address = listen()
    caller = Caller()
    source = LocalAddress(
        TcpAddress("127.0.0.2", 0), (SocketOption(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),)
    )
    ReactorConnector(reactor).dial((Way(address, source),), 3.0, caller)
    assert caller.events == []
    until(reactor, lambda: caller.events)
    accepted, peer = listening.accept()
    assert peer[0] == "127.0.0.2"
    assert caller.transport.getHost().host == "127.0.0.2"
    assert caller.transport.getPeer().port == address.port
    assert caller.transport.getTcpKeepAlive()
    caller.transport.write(b"there")
    until(
        reactor,
        lambda: accepted.recv(5, socket.MSG_DONTWAIT | socket.MSG_PEEK) if _readable(accepted) else b"",
    )
    accepted.sendall(b"back")
    until(reactor, lambda: b"back" in caller.events)
    caller.transport.abortConnection()
    until(reactor, lambda: str(caller.events[-1]).startswith("lost"))
    accepted.close()
    listening.close()


def _readable(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
    except BlockingIOError:
        return False


def test_a_unix_socket_has_no_source(reactor: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        caller = Caller()
        way = Way(PipeAddress(path), LocalAddress(TcpAddress("127.0.0.2", 0)))
        ReactorConnector(reactor).dial((way,), 3.0, caller)
        until(reactor, lambda: caller.events)
        assert caller.events == ["connected"]
        caller.transport.abortConnection()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (LocalAddress(TcpAddress("::1", 0)), ("failed to bind to [::1]:0: Invalid argument", True, True)),
        (
            LocalAddress(TcpAddress("203.0.113.7", 0)),
            ("failed to bind to 203.0.113.7:0: Cannot assign requested address", True, True),
        ),
        (LocalAddress(None, (SocketOption(99, 1, 1),)), ("", True, False)),
        (LocalAddress(), ("delayed connect error: Connection refused", False, False)),
    ],
)
def test_failures_are_told_later_and_leave_nothing(reactor: Any, source: LocalAddress, expected: Any) -> None:
    address = dead()
    before = open_sockets()
    caller = Caller()
    ReactorConnector(reactor).dial((Way(address, source),), 3.0, caller)
    assert caller.events == []
    until(reactor, lambda: caller.events)
    assert caller.events == [expected]
    assert open_sockets() == before


def test_what_fails_at_once(reactor: Any) -> None:
    """The address is tried and has no route from there."""
    caller = Caller()
    source = LocalAddress(TcpAddress("203.0.113.7", 0), (SocketOption(0, 15, 1),))
    ReactorConnector(reactor).dial((Way(TcpAddress("127.0.0.1", 80), source),), 3.0, caller)
    until(reactor, lambda: caller.events)
    ((reason, local, _),) = caller.events
    assert reason.startswith("immediate connect error: ") and reason.endswith("|remote address:127.0.0.1:80")
    assert not local


def test_the_next_address_after_a_failure(reactor: Any) -> None:
    listening, address = listen()
    caller = Caller()
    before = open_sockets()
    ReactorConnector(reactor).dial((Way(dead()), Way(dead()), Way(address), Way(dead())), 3.0, caller)
    until(reactor, lambda: "connected" in caller.events)
    assert caller.events == ["another", "another", "connected"]
    assert open_sockets() == before + 1
    caller.transport.abortConnection()
    until(reactor, lambda: caller.events[-1] != "connected")
    listening.close()


class Silent:
    """An address that takes connections nobody accepts until the queue is full."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.address = TcpAddress("127.0.0.1", self.listening.getsockname()[1])
        self.waiting = []
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            assert one.connect_ex(self.listening.getsockname()) in (0, errno.EINPROGRESS)
            self.waiting.append(one)

    def close(self) -> None:
        for one in [self.listening, *self.waiting]:
            one.close()


def test_the_next_address_after_some_time(reactor: Any) -> None:
    silent = Silent()
    listening, address = listen()
    caller = Caller()
    before = open_sockets()
    ReactorConnector(reactor).dial((Way(silent.address), Way(address)), 3.0, caller)
    until(reactor, lambda: "connected" in caller.events)
    assert caller.events == ["another", "connected"]
    assert open_sockets() == before + 1, "the one that was slower is closed"
    caller.transport.abortConnection()
    until(reactor, lambda: len(caller.events) > 2)
    silent.close()
    listening.close()


def test_the_time_is_that_of_all_of_them(reactor: Any) -> None:
    silent = Silent()
    caller = Caller()
    before = open_sockets()
    ReactorConnector(reactor).dial((Way(silent.address), Way(silent.address)), 0.4, caller)
    until(reactor, lambda: ("timed out", True) in caller.events)
    assert caller.events == ["another", ("timed out", True)]
    assert open_sockets() == before
    silent.close()


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_cancelled(reactor: Any, turns: int) -> None:
    """Also when it is connected already, and only nobody was told."""
    listening, address = listen()
    before = open_sockets()
    caller = Caller()
    attempt = ReactorConnector(reactor).dial((Way(address), Way(dead())), 3.0, caller)
    for _ in range(turns):
        if not caller.events:
            reactor.iterate(0.01)
    if caller.events:
        caller.transport.abortConnection()
    attempt.cancel()
    events = list(caller.events)
    for _ in range(5):
        reactor.iterate(0.01)
    assert caller.events == events or caller.events[-1].startswith("lost")
    assert open_sockets() == before
    listening.close()


def test_a_connection_that_nobody_gets_is_a_time_out(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    listening, address = listen()
    before = open_sockets()
    monkeypatch.setattr(reactor, "adoptStreamConnection", lambda *args: None)
    caller = Caller()
    ReactorConnector(reactor).dial((Way(address),), 0.1, caller)
    until(reactor, lambda: caller.events)
    assert caller.events == [("timed out", True)]
    assert open_sockets() == before
    listening.close()
