"""Slow responses of the filter fault through the whole data plane, in memory."""

from __future__ import annotations

from typing import Any

from twistproxy.model.http_filters import FaultSettings, HttpFilterSettings, RuntimeFraction
from twistproxy.testing.data_plane import DataPlane, manager
from twistproxy.testing.transport import MemoryTransport

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
ALL = RuntimeFraction(100)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n"


def plane(rate: int = 20, **more: Any) -> DataPlane:
    """20 KiB a second are 1024 bytes every 50 ms."""
    settings = FaultSettings(None, None, "", RuntimeFraction(0), 0, "", rate_share=ALL, rate=rate)
    return DataPlane(manager(filters=(HttpFilterSettings("f", settings),), **more))


def begun(made: DataPlane, client: MemoryTransport, head: bytes = HEAD) -> int:
    """Ask, and have an answer.  Returns how much of its content came at once."""
    client.receive(GET)
    made.upstream.receive(head + b"x" * 4096)
    made.clock.advance(0.001)
    return len(client.take().partition(b"\r\n\r\n")[2])


def sizes(made: DataPlane, client: MemoryTransport, seconds: float) -> list[int]:
    """How much comes in each 50 ms."""
    found = []
    for _ in range(round(seconds / 0.05)):
        made.clock.advance(0.05)
        found.append(len(client.take()))
    return found


def test_content_comes_in_even_pieces() -> None:
    made = plane()
    client = made.client()
    first = begun(made, client)
    assert 1024 <= first < 1060
    rest = sizes(made, client, 0.25)
    assert {*rest[:2]} <= {1023, 1024} and sum(rest) == 4096 - first and rest[-1] == 0
    assert made.log == ["GET /x 200 - via_upstream 0 4096"]
    made.finish()


def test_the_next_response_begins_anew() -> None:
    made = plane()
    client = made.client()
    for _ in range(2):
        assert 1024 <= begun(made, client) < 1060
        sizes(made, client, 0.3)
    made.finish()


def test_content_that_comes_late_may_use_what_was_saved_up() -> None:
    made = plane()
    client = made.client()
    client.receive(GET)
    made.upstream.receive(HEAD)
    made.clock.advance(0.11)
    made.upstream.receive(b"x" * 4096)
    made.clock.advance(0.001)
    assert 3200 < len(client.take().partition(b"\r\n\r\n")[2]) < 3400
    sizes(made, client, 0.3)
    made.finish()


def test_the_upstream_is_paused_while_too_much_waits() -> None:
    made = plane(1)
    client = made.client()
    client.receive(GET)
    size = 3 * 1024 * 1024
    upstream = made.upstream
    upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    sent = 0
    while upstream.reading and sent < size:
        upstream.receive(b"x" * 65536)
        sent += 65536
    assert 1024 * 1024 <= sent < 1200 * 1024
    client.lose("")
    made.finish()


def test_the_end_of_chunks_comes_with_the_last_piece() -> None:
    made = plane()
    client = made.client()
    begun(made, client, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n")
    made.upstream.receive(b"\r\n0\r\n\r\n")
    found = b""
    for _ in range(8):
        made.clock.advance(0.05)
        assert not found.endswith(b"0\r\n\r\n") or len(found) > 2048
        found += client.take()
    assert found.endswith(b"0\r\n\r\n")
    made.finish()
