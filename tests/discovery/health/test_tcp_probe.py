from __future__ import annotations

from twistproxy.model.health_check import TcpCheck

from .doubles import A, World, settings


def started(check: TcpCheck, **fields: object) -> World:
    world = World(settings(check, **fields))
    world.publish(A)
    world.clock.advance(0)
    world.settle()
    return world


def test_a_connection_is_enough() -> None:
    world = started(TcpCheck(send=b"x"))
    assert world.flags == {"1": "healthy"}
    assert world.open() == []
    assert world.connector.connections[0].take() == b""
    world.clock.advance(10)
    assert world.counters()["success"] == 2


def test_something_must_come() -> None:
    world = started(TcpCheck(b"ping", (b"po", b"g")))
    (connection,) = world.open()
    assert connection.take() == b"ping"
    connection.receive(b"p")
    connection.receive(b"ong")
    world.settle()
    assert world.flags == {"1": "healthy"}
    world.clock.advance(10)
    assert connection.take() == b"ping"
    # What came for the last check does not count for this one.
    world.clock.advance(1.1)
    assert world.counters()["network_failure"] == 1
    assert world.open() == []


def test_connections_that_are_not_kept() -> None:
    world = started(TcpCheck(receive=(b"x",)), reuse_connection=False)
    world.open()[0].receive(b"x")
    world.settle()
    assert world.flags == {"1": "healthy"}
    assert world.open() == []


def test_a_host_that_closes_between_checks_fails() -> None:
    world = started(TcpCheck(receive=(b"x",)))
    (connection,) = world.open()
    connection.receive(b"x")
    connection.end()
    world.settle()
    assert world.counters()["network_failure"] == 1
    world.clock.advance(10)
    assert len(world.open()) == 1


def test_an_endless_answer_is_not_held() -> None:
    world = started(TcpCheck(receive=(b"x",)))
    (connection,) = world.open()
    for _ in range(40):
        connection.receive(b"y" * 65536)
    connection.receive(b"x")
    world.settle()
    assert world.flags == {"1": "healthy"}


def test_a_connection_that_takes_too_long() -> None:
    world = World(settings(TcpCheck()))
    world.connector.hold = True
    world.publish(A)
    world.clock.advance(1.06)
    assert world.flags == {"1": "failed_active_hc/active_hc_timeout"}
    assert world.connector.attempts[0].over
    assert world.connector.attempts[0].timeout > 1


def test_proxy_protocol() -> None:
    world = started(TcpCheck(b"x", (b"y",), "V1"))
    assert world.open()[0].take() == b"PROXY TCP4 127.0.0.1 10.0.0.1 1 80\r\nx"
    world = started(TcpCheck(b"x", (b"y",), "V2"))
    assert world.open()[0].take() == b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0x"
