"""Tunnels on memory transports: what the parity tests cannot see."""

from __future__ import annotations

import pytest

from twistproxy.model.upgrade import UpgradeSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager
from twistproxy.testing.transport import MemoryTransport

ASK = b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"


def plane(high_water: int = 65536, **settings: object) -> DataPlane:
    allowed = (UpgradeSettings("websocket"),)
    return DataPlane(manager(upgrades=allowed, **settings), cluster(), high_water=high_water)


def opened(plane: DataPlane) -> tuple[MemoryTransport, MemoryTransport]:
    client = plane.client()
    client.receive(ASK)
    upstream = plane.upstream
    assert b"upgrade: websocket" in upstream.take()
    upstream.receive(SWITCH)
    assert client.take().startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    return client, upstream


def test_bytes_go_both_ways_and_are_counted() -> None:
    data_plane = plane()
    client, upstream = opened(data_plane)
    client.receive(b"GET / HTTP/1.1\r\n\r\n")
    upstream.receive(b"answer")
    assert (upstream.take(), client.take()) == (b"GET / HTTP/1.1\r\n\r\n", b"answer")
    client.lose("")
    data_plane.turn()
    assert upstream.closed and not upstream.aborted
    assert data_plane.log == ["GET /ws 101 DC downstream_remote_disconnect 18 6"]
    assert data_plane.counter("http.ingress.downstream_cx_upgrades_total") == 1
    data_plane.finish()


def test_bytes_before_the_answer_wait_for_it() -> None:
    data_plane = plane()
    client = data_plane.client()
    client.receive(ASK + b"early")
    upstream = data_plane.upstream
    client.receive(b"more")
    assert upstream.take().endswith(b"\r\n\r\n")
    upstream.receive(SWITCH + b"first")
    assert upstream.take() == b"earlymore"
    assert client.take().endswith(b"\r\n\r\nfirst")
    data_plane.finish()


def test_too_much_before_the_answer_stops_reading() -> None:
    allowed = (UpgradeSettings("websocket"),)
    data_plane = DataPlane(manager(upgrades=allowed), cluster(buffer_limit=10))
    client = data_plane.client()
    client.receive(ASK + b"more than ten bytes")
    assert not client.reading
    upstream = data_plane.upstream
    upstream.take()
    upstream.receive(SWITCH)
    assert client.reading
    assert upstream.take() == b"more than ten bytes"
    data_plane.finish()


def test_slow_upstream_pauses_the_client() -> None:
    data_plane = plane(high_water=10)
    client, upstream = opened(data_plane)
    upstream.block()
    client.receive(b"x" * 11)
    assert not client.reading
    upstream.unblock()
    assert client.reading
    data_plane.finish()


def test_slow_client_pauses_the_upstream() -> None:
    data_plane = plane(high_water=10)
    client, upstream = opened(data_plane)
    client.block()
    upstream.receive(b"x" * 11)
    assert not upstream.reading
    client.unblock()
    assert upstream.reading
    data_plane.finish()


def test_what_the_upstream_said_last_arrives() -> None:
    data_plane = plane()
    client, upstream = opened(data_plane)
    client.block()
    upstream.receive(b"last words")
    upstream.end()
    data_plane.turn()
    assert client.write_closed and not client.aborted
    client.unblock()
    assert client.take() == b"last words"
    data_plane.finish()


def test_what_the_client_said_last_arrives() -> None:
    data_plane = plane()
    client, upstream = opened(data_plane)
    upstream.block()
    client.receive(b"last words")
    client.end()
    data_plane.turn()
    data_plane.turn()
    assert upstream.closing and not upstream.aborted
    upstream.unblock()
    assert upstream.take() == b"last words"
    data_plane.finish()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n",
        SWITCH[:-2] + b"transfer-encoding: chunked\r\n\r\n",
        SWITCH[:-2] + b"content-length: 4\r\n\r\n",
    ],
)
def test_malformed_switch(answer: bytes) -> None:
    data_plane = plane()
    client = data_plane.client()
    client.receive(ASK)
    data_plane.upstream.receive(answer)
    assert client.take().startswith(b"HTTP/1.1 502 ")
    data_plane.finish()


def test_head_of_the_answer_in_pieces() -> None:
    data_plane = plane()
    client = data_plane.client()
    client.receive(ASK)
    upstream = data_plane.upstream
    for at in range(len(SWITCH)):
        upstream.receive(SWITCH[at : at + 1])
    assert client.take().startswith(b"HTTP/1.1 101 ")
    upstream.receive(b"x")
    assert client.take() == b"x"
    data_plane.finish()
