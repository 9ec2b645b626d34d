from __future__ import annotations

import pytest

from twistproxy.model.header_rules import HeaderRules, HeaderToAdd
from twistproxy.model.health_check import HttpCheck
from twistproxy.primitives.string_match import Prefix

from .doubles import OK, A, World, settings


def judged(check: HttpCheck, *pieces: bytes, world: World | None = None) -> str:
    """The flags of a host that answers so."""
    world = world or World(settings(check))
    world.publish(A)
    world.clock.advance(0)
    (connection,) = world.asked()
    for piece in pieces:
        connection.receive(piece)
    world.settle()
    return world.flags["1"]


def test_request() -> None:
    rules = HeaderRules((HeaderToAdd("x-a", "%UPSTREAM_HOST% %START_TIME(%s)%"),), ("user-agent",))
    check = HttpCheck("/a?b", host="me", method="POST", send=b"abc", headers=rules)
    world = World(settings(check))
    world.publish(A)
    world.clock.advance(0)
    assert world.connector.connections[0].take() == (
        b"POST /a?b HTTP/1.1\r\nhost: me\r\nx-a: 10.0.0.1:80 1700000000\r\ncontent-length: 3\r\n\r\nabc"
    )


def test_the_connection_is_kept() -> None:
    world = World()
    judged(HttpCheck("/"), OK, world=world)
    world.clock.advance(10)
    assert world.answer() == 1
    assert len(world.connector.attempts) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        OK + b"more",
    ],
)
def test_the_connection_is_not_kept(answer: bytes) -> None:
    world = World()
    assert judged(HttpCheck("/"), answer, world=world) == "healthy"
    assert world.open() == []
    world.clock.advance(10)
    assert world.answer() == 1


def test_it_is_not_kept_where_it_must_not_be() -> None:
    world = World(settings(reuse_connection=False))
    judged(HttpCheck("/"), OK, world=world)
    assert world.open() == []


def test_a_host_that_closes_between_checks_does_not_fail() -> None:
    world = World()
    judged(HttpCheck("/"), OK, world=world)
    world.open()[0].end()
    world.settle()
    world.clock.advance(10)
    assert world.answer() == 1
    assert world.counters()["failure"] == 0


def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    world = World()
    judged(HttpCheck("/"), OK, world=world)
    world.open()[0].receive(b"x")
    world.clock.advance(10)
    assert world.answer() == 1
    assert world.counters()["failure"] == 0


def test_content_in_pieces() -> None:
    check = HttpCheck("/", receive=(b"bc", b"d"))
    assert judged(check, b"HTTP/1.1 200 OK\r\nconten", b"t-length: 4\r\n\r\nab", b"c", b"d") == "healthy"


def test_content_beyond_the_buffer_is_not_looked_at() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
    assert judged(HttpCheck("/", receive=(b"d",), buffer_size=3), head + b"abcd") != "healthy"
    assert judged(HttpCheck("/", receive=(b"d",), buffer_size=4), head + b"abcd") == "healthy"


def test_the_name_of_the_cluster_may_be_left_unlooked_at() -> None:
    check = HttpCheck("/", service_name=Prefix("x"))
    assert judged(check, OK) == "failed_active_hc"
    world = World(settings(check))
    world.runtime.replace({"health_check.verify_cluster": 0})
    assert judged(check, OK, world=world) == "healthy"
    assert world.counters()["verify_cluster"] == 0
