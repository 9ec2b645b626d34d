"""Tunnels on memory transports: what the parity tests cannot see."""

from __future__ import annotations

import pytest

from twistproxy.api.http_filter import FilterChain, FilterStatus
from twistproxy.model.cluster import ClusterSettings, Thresholds
from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.model.upgrade import ConnectSettings, UpgradeSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to
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


def connects(*clusters: ClusterSettings, **connect: bool) -> DataPlane:
    action = ClusterAction("app", upgrades=(UpgradeSettings("connect"),), connect=ConnectSettings(**connect))
    ways = (RouteSettings(RouteMatch(connect=True), action), RouteSettings(RouteMatch(prefix="/"), action))
    return DataPlane(manager(routes_to(*ways)), *(clusters or (cluster(),)))


def test_connect_that_ends_here_has_a_pool_of_its_kind_only() -> None:
    """Of those that are there for one client; with its connection it goes."""
    data_plane = connects(cluster(pool_per_downstream_connection=True))
    client = data_plane.client()
    client.receive(b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n")
    data_plane.turn()
    assert client.take().startswith(b"HTTP/1.1 200 OK")
    gauges = data_plane.runtime.snapshot()["gauges"]
    assert gauges["cluster.app.upstream_cx_active"] == 1
    found = data_plane.runtime._clusters.get("app")
    assert found is not None
    (host,) = found.hosts.values()
    assert [place for place, _ in host.keyed_pools] == [2]
    client.end()
    data_plane.turn()
    assert not host.keyed_pools
    data_plane.finish()


def test_connect_that_ends_here() -> None:
    data_plane = connects()
    client = data_plane.client()
    client.receive(b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\nearly")
    upstream = data_plane.upstream
    assert upstream.take() == b"early"
    assert client.take().startswith(b"HTTP/1.1 200 OK\r\n")
    upstream.receive(b"answer")
    client.receive(b"question")
    assert (upstream.take(), client.take()) == (b"question", b"answer")
    upstream.end()
    data_plane.turn()
    assert client.write_closed and upstream.closed
    data_plane.finish()
    assert data_plane.log == ["CONNECT - 200 - via_upstream 13 6"]


def test_post_that_ends_here_is_chunked_no_more() -> None:
    data_plane = connects(allow_post=True)
    client = data_plane.client()
    head = b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    client.receive(head + b"3\r\nabc\r\n")
    upstream = data_plane.upstream
    assert upstream.take() == b"abc"
    client.receive(b"1\r\nd\r\n0\r\n\r\n")
    assert upstream.take() == b"d"
    assert upstream.write_closed
    upstream.receive(b"xyz")
    upstream.end()
    assert client.take().endswith(b"3\r\nxyz\r\n0\r\n\r\n")
    data_plane.finish()


def test_tunnels_count_against_the_limits() -> None:
    action = ClusterAction("app", upgrades=(UpgradeSettings("connect"),), connect=ConnectSettings())
    ways = routes_to(RouteSettings(RouteMatch(connect=True), action))
    data_plane = DataPlane(manager(ways), cluster(default_thresholds=Thresholds(max_connections=1)))
    first, second = data_plane.client(), data_plane.client()
    for client in (first, second):
        client.receive(b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n")
        data_plane.turn()
    assert first.take() and not second.take()
    data_plane.upstream.end()
    data_plane.turn()
    data_plane.turn()
    assert second.take().startswith(b"HTTP/1.1 200 ")
    data_plane.finish()


class Listening:
    """A filter that hears what passes through a tunnel."""

    def decode_data(self, _stream: object, data: bytes, _end_stream: bool) -> FilterStatus:
        self.seen = data
        return FilterStatus.CONTINUE

    def encode_data(self, _stream: object, data: bytes, _end_stream: bool) -> FilterStatus:
        self.said = data
        return FilterStatus.CONTINUE


def test_filters_see_what_passes() -> None:
    data_plane = plane()
    running = data_plane.runtime._listeners["main"].manager
    listening = Listening()
    running.chain = FilterChain((listening,), running.chain.router)
    client, upstream = opened(data_plane)
    client.receive(b"question")
    upstream.receive(b"answer")
    assert (upstream.take(), client.take()) == (b"question", b"answer")
    assert (listening.seen, listening.said) == (b"question", b"answer")
    upstream.end()
    data_plane.turn()
    assert client.write_closed
    data_plane.finish()
