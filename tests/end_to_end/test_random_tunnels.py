"""Whatever clients and upstreams do with tunnels, and with what only looks like one: every request is logged once, and
nothing is left."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from twistproxy.model.http1 import Http1Settings, KeyFormat, UpstreamHttp1Settings
from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.model.upgrade import ConnectSettings, UpgradeSettings
from twistproxy.testing.data_plane import DataPlane, cluster, manager, routes_to
from twistproxy.testing.transport import MemoryTransport

REQUESTS = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: other\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    b"POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHo",
)
PIECES = (
    b"x",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\nX-T: 1\r\n\r\n",
    b"y" * 3000,
    b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n",
)
ANSWERS = (
    b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 403 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"z" * 3000,
    b"HTTP/1.1 103 Hints\r\n\r\n",
    b"HTTP/1.1 20",
)
KEEP = KeyFormat(keep=True)


def plane(random: Random) -> DataPlane:
    allowed = (UpgradeSettings("websocket"), UpgradeSettings("connect"))
    ends_here = ConnectSettings(allow_post=True)
    action = ClusterAction("app", random.choice((0.0, 0.5)), upgrades=allowed)
    ways = [
        RouteSettings(match, replace(action, connect=random.choice((ends_here, None))))
        for match in (RouteMatch(connect=True), RouteMatch(prefix="/"))
    ]
    keep = random.random() < 0.3
    key_format = KEEP if keep else None
    trailers = random.random() < 0.5
    http1 = Http1Settings(enable_trailers=trailers, key_format=key_format, carries_spelling=keep)
    upstream1 = UpstreamHttp1Settings(enable_trailers=trailers, key_format=key_format, carries_spelling=keep)
    return DataPlane(
        manager(
            routes_to(*ways),
            http1=http1,
            upgrades=allowed if random.random() < 0.8 else (),
            stream_idle_timeout=random.choice((0.0, 5.0)),
            max_stream_duration=random.choice((0.0, 3.0)),
            max_connection_duration=random.choice((0.0, 2.0)),
            idle_timeout=random.choice((0.0, 10.0)),
            delayed_close_timeout=random.choice((0.0, 1.0)),
        ),
        cluster(http1=upstream1),
        high_water=1000,
    )


def step(random: Random, data: DataPlane, client: MemoryTransport) -> None:
    connections = [one for one in data.connector.connections if not one.closed and not one.closing]
    kind = random.randrange(14)
    if kind == 0:
        data.clock.advance(random.choice((0.0, 0.0, 0.3, 1.1)))
    elif kind <= 4:
        if not client.closed and client.reading:
            client.receive(random.choice(PIECES))
    elif kind == 5:
        random.choice((client.block, client.unblock))()
    elif kind == 6 and connections:
        one = random.choice(connections)
        random.choice((one.block, one.unblock))()
    elif kind == 7 and connections:
        random.choice(connections).end()
    elif kind == 8 and connections and random.random() < 0.3:
        random.choice(connections).lose("reset")
    elif kind == 9 and random.random() < 0.2 and not client.closed:
        random.choice((client.lose, client.end))()
    elif kind == 10 and random.random() < 0.1:
        data.runtime.drain()
    elif connections:
        one = random.choice(connections)
        if one.reading:
            one.receive(random.choice(ANSWERS))


@pytest.mark.parametrize("seed", range(150))
def test_random_events(seed: int) -> None:
    random = Random(seed)
    data = plane(random)
    clients = []
    for _ in range(random.randrange(1, 4)):
        client = data.client()
        clients.append(client)
        client.receive(random.choice(REQUESTS))
        for _ in range(random.randrange(1, 30)):
            step(random, data, client)
    for one in (*clients, *data.connector.connections):
        if not one.closed:
            one.unblock()
    data.turn()
    data.clock.advance(10.0)
    for client in clients:
        if not client.closed:
            client.lose("gone")
    data.turn()
    assert len(data.log) == data.counter("http.ingress.downstream_rq_total"), data.log
    data.finish()
