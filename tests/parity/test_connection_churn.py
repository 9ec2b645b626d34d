"""What is counted of connections to upstreams that come and go, whoever ends them, in all workers together."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .origin import raw, silent, text
from .settings import Config, bootstrap, cluster, listener, protocol_options
from .wire import Client
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

#: How a connection ends, and what is counted of it then, beside that it was there.
ENDS: dict[str, tuple[Config, dict[str, int]]] = {
    "kept": ({}, {"active": 1}),
    "idle": ({"idle_timeout": "0.1s"}, {"idle_timeout": 1, "destroy_local": 1}),
    "worn": ({"max_requests_per_connection": 1}, {"max_requests": 1, "destroy_local": 1}),
    "old": ({"max_connection_duration": "0.1s"}, {"max_duration_reached": 1, "destroy_local": 1}),
    "closing": ({}, {"close_notify": 1, "destroy_local": 1}),
    "closed": ({}, {"destroy_remote": 1}),
    "cut": (
        {},
        {
            "protocol_error": 1,
            "destroy_remote": 1,
            "destroy_remote_with_active_rq": 1,
            "destroy_with_active_rq": 1,
        },
    ),
    "broken": (
        {},
        {
            "protocol_error": 1,
            "destroy_local": 1,
            "destroy_local_with_active_rq": 1,
            "destroy_with_active_rq": 1,
        },
    ),
    "left": (
        {},
        {"destroy_local": 1, "destroy_local_with_active_rq": 1, "destroy_with_active_rq": 1},
    ),
    "refused": ({}, {"connect_fail": 1, "destroy_remote": 1}),
    "mute": ({}, {"connect_fail": 1, "connect_timeout": 1, "destroy_local": 1}),
}


ANSWERS = {
    "closing": text(headers="connection: close\r\n"),
    "cut": raw("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", then="close"),
    "broken": raw("nonsense\r\n\r\n"),
    "left": silent(),
}
LIMITS = {"small": 32768, "large": 32 << 20}


def configure(proxy: Proxy) -> Config:
    clusters = []
    for name, (options, _) in ENDS.items():
        port = proxy.origin(name).port
        if name == "refused":
            port = proxy.port("refused")
        elif name == "mute":
            port = proxy.full_port()
        fields = protocol_options(common_http_protocol_options=options) if options else {}
        clusters.append(cluster(name, port, connect_timeout="0.2s", typed_extension_protocol_options=fields))
    for name, limit in LIMITS.items():
        clusters.append(cluster(name, proxy.origin(name).port, per_connection_buffer_limit_bytes=limit))
    clusters.append(cluster("many", proxy.origin("many").port))
    names = [each["name"] for each in clusters]
    routes = [{"match": {"prefix": f"/{name}"}, "route": {"cluster": name}} for name in names]
    main = listener("main", proxy.port(), [{"name": "all", "domains": ["*"], "routes": routes}])
    return bootstrap(proxy.port("admin"), [main], clusters)


def answered(client: Client, name: str) -> None:
    """A request gets what is expected of this kind of upstream."""
    if name == "left":
        client.reset()
    elif name == "cut":
        assert client.read_head().status == 200
        assert wait_for(lambda: not client.read_some())
    else:
        status = {"refused": 503, "mute": 503, "broken": 502}.get(name, 200)
        assert client.read().status == status


@pytest.mark.parametrize("name", ENDS)
def test_counted(proxy: Proxy, workers: Workers, name: str) -> None:
    origin = proxy.origin(name)
    origin.default = ANSWERS.get(name, text())
    clients = workers.new_clients()
    for client in clients:
        client.send(f"GET /{name} HTTP/1.1\r\nhost: a\r\n\r\n")
    if name == "left":
        for _ in clients:
            origin.take()
    for client in clients:
        answered(client, name)
    if name == "closed":
        origin.hang_up()
    each_counts = {"total": 1, "http1_total": 1, **ENDS[name][1]}
    if "active" not in each_counts:
        each_counts["destroy"] = 1
    expected = {what: count * len(clients) for what, count in each_counts.items()}
    prefix = f"cluster.{name}.upstream_cx_"

    def counted() -> dict[str, int]:
        found = proxy.stats(f"^cluster.{name}.upstream_cx_")
        return {
            each.removeprefix(prefix): value
            for each, value in found.items()
            if value and "bytes" not in each and each.startswith(prefix)
        }

    wait_for(lambda: counted() == expected)
    assert counted() == expected
    for client in clients:
        client.close()


def samples(proxy: Proxy, cluster: str) -> tuple[int, int]:
    """Of how many connections the number of requests was recorded, and the sum of those."""
    page = proxy.admin("/stats/prometheus?filter=upstream_rq_per_cx&text_readouts").text
    label = f'{{envoy_cluster_name="{cluster}"}} '
    found = dict(line.rsplit(" ", 1) for line in page.splitlines() if label in line)
    name = "envoy_cluster_upstream_rq_per_cx_"
    return tuple(int(float(found.get(f"{name}{what}{label[:-1]}", 0))) for what in ("count", "sum"))


def test_requests_of_a_connection(proxy: Proxy) -> None:
    """Are recorded when it ends, in which way ever; of one that never was there is nothing to record."""
    ended = {"idle", "worn", "closed", "cut", "left"}
    names = {*ended, "refused", "mute", "kept"}
    before = {name: samples(proxy, name) for name in names}
    for name in names:
        origin = proxy.origin(name)
        origin.default = ANSWERS.get(name, text())
        origin.forget()
        client = proxy.client().send(f"GET /{name} HTTP/1.1\r\nhost: a\r\n\r\n")
        if name == "left":
            origin.take()
        answered(client, name)
    proxy.origin("closed").hang_up()

    def recorded() -> set[str]:
        return {name for name, (count, _) in before.items() if samples(proxy, name)[0] > count}

    wait_for(lambda: recorded() == ended, 8.0)
    assert recorded() == ended
    assert all(count == total for count, total in (samples(proxy, name) for name in names))
    many = proxy.client()
    for _ in range(3):
        assert many.send("GET /many HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
    (_, requests) = samples(proxy, "many")
    proxy.origin("many").hang_up()
    assert wait_for(lambda: samples(proxy, "many")[1] >= requests + 3, 8.0)


def accepted(proxy: Proxy, client: Client, name: str) -> int:
    """How many bytes of content are taken for an upstream that reads none of them; 90 MB are enough."""
    proxy.origin(name).default = lambda exchange: exchange.wait_closed(5) and None
    client.send(f"POST /{name} HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n")
    sent = 0
    try:
        while sent < 90 << 20:
            # What is held for sure comes in its time; then it is a question of waiting for nothing.
            client.socket.settimeout(5.0 if sent < LIMITS[name] else 0.3)
            sent += client.socket.send(bytes(1 << 16))
    except TimeoutError:
        pass
    client.close()
    return sent


def test_buffer_limit(proxy: Proxy, workers: Workers) -> None:
    """Beside what the kernel takes, as much as the cluster says is held; then the client has to wait."""
    for number in workers.numbers:
        small, large = (accepted(proxy, workers.client(number), name) for name in LIMITS)
        assert small < LIMITS["large"] < large < 90 << 20
    assert proxy.stat("cluster.small.upstream_flow_control_backed_up_total") >= proxy.concurrency
