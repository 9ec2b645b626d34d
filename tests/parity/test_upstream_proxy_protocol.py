"""Connections to upstreams that begin with a header of the PROXY protocol."""

from __future__ import annotations

import ipaddress
import socket
from queue import Queue

import pytest

from .harness import Proxy
from .origin import Origin
from .settings import Config, address, bootstrap, cluster, listener
from .wire import Client

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

_SOCKETS = "type.googleapis.com/envoy.extensions.transport_sockets."
RAW = {"name": "raw_buffer", "typed_config": {"@type": _SOCKETS + "raw_buffer.v3.RawBuffer"}}
#: So many connections come to both of two workers, but for once in 500 times, and then nothing is tested in vain.
MANY = 10
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def proxied(**config: object) -> Config:
    typed: Config = {
        "@type": _SOCKETS + "proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "transport_socket": RAW,
    }
    if config:
        typed["config"] = config
    return {
        "transport_socket": {"name": "envoy.transport_sockets.upstream_proxy_protocol", "typed_config": typed}
    }


class Upstream(Origin):
    """Takes the header off each connection and answers what comes after it.

    headers  of each connection; b"" if it had none
    """

    def __init__(self) -> None:
        self.headers: dict[int, bytes] = {}
        self.arrived: Queue[int] = Queue()
        super().__init__()

    def _serve(self, sock: socket.socket, number: int) -> None:
        stream = sock.makefile("rb")
        line = stream.readline()
        if line == b"\r\n":
            line += stream.read(14)
            line += stream.read(int.from_bytes(line[14:], "big"))
        if not line.startswith(b"GET "):
            self.headers[number] = line
            line = stream.readline()
        while line:
            while line not in (b"\r\n", b""):
                line = stream.readline()
            self.arrived.put(number)
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            line = stream.readline()
        sock.close()

    def next(self) -> tuple[int, bytes]:
        """The connection of the request that came next, and what it began with."""
        number = self.arrived.get(timeout=10)
        return number, self.headers.get(number, b"")


def upstream(proxy: Proxy, name: str) -> Upstream:
    if name not in proxy.origins:
        proxy.origins[name] = Upstream()
    found = proxy.origins[name]
    assert isinstance(found, Upstream)
    return found


def configure(proxy: Proxy) -> Config:
    added = [
        {"type": 0xE1, "value": "Zm9v"},
        {"type": 0xE2, "value": "YmFy"},
        {"type": 0xE1, "value": "YmFy"},
    ]
    kinds = {
        "usual": proxied(),
        "one": proxied(version="V1"),
        "two": proxied(version="V2"),
        "tlvs": proxied(version="V2", added_tlvs=added),
        "tlvs-one": proxied(version="V1", added_tlvs=added),
        "mirror-one": proxied(version="V1"),
        "mirror-two": proxied(version="V2"),
        "counted": proxied(version="V1"),
        "many": proxied(version="V1"),
        "plain": {"transport_socket": RAW},
    }
    clusters = []
    for name, fields in kinds.items():
        clusters.append(cluster(name, upstream(proxy, name).port, **fields))
    routes: list[Config] = [
        {"match": {"path": f"/{name}"}, "route": {"cluster": name, "timeout": "3s"}} for name in kinds
    ]
    mirrors = [{"cluster": "mirror-one"}, {"cluster": "mirror-two"}]
    copied = {"cluster": "plain", "request_mirror_policies": mirrors}
    routes.append({"match": {"path": "/copied"}, "route": copied})
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    main = listener("main", proxy.port(), hosts)
    six = listener("six", proxy.port("six"), hosts) | {"address": address(proxy.port("six"), "::1")}
    behind = listener("behind", proxy.port("behind"), hosts, use_remote_address=True, xff_num_trusted_hops=1)
    return bootstrap(proxy.port("admin"), [main, six, behind], clusters)


def ask(client: Client, name: str) -> None:
    client.send(f"GET /{name} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 9.8.7.6, 1.2.3.4\r\n\r\n")
    assert client.read().text == "ok"


def ends(client: Client) -> tuple[str, int, str, int]:
    """Address and port of both ends of a client's connection."""
    local, peer = client.socket.getsockname(), client.socket.getpeername()
    return local[0], local[1], peer[0], peer[1]


def version_1(source: str, source_port: int, to: str, to_port: int) -> bytes:
    return f"PROXY TCP{6 if ':' in source else 4} {source} {to} {source_port} {to_port}\r\n".encode()


def version_2(source: str, source_port: int, to: str, to_port: int, tlvs: bytes = b"") -> bytes:
    packed = b"".join(ipaddress.ip_address(each).packed for each in (source, to))
    packed += source_port.to_bytes(2, "big") + to_port.to_bytes(2, "big") + tlvs
    family = b"\x21" if ":" in source else b"\x11"
    return SIGNATURE + b"\x21" + family + len(packed).to_bytes(2, "big") + packed


@pytest.mark.parametrize("name", ["usual", "one", "tlvs-one", "two", "tlvs"])
@pytest.mark.parametrize("where", ["main", "six", "behind"])
def test_addresses_of_the_client(proxy: Proxy, name: str, where: str) -> None:
    """Of its connection, whatever is said in x-forwarded-for."""
    with Client(proxy.port(where), address="::1" if where == "six" else "127.0.0.1") as client:
        ask(client, name)
        expected = version_1(*ends(client))
        if name == "two":
            expected = version_2(*ends(client))
        elif name == "tlvs":
            expected = version_2(*ends(client), b"\xe1\0\3foo\xe2\0\3bar\xe1\0\3bar")
        assert upstream(proxy, name).next()[1] == expected


def test_each_client_in_whichever_worker_has_its_own(proxy: Proxy) -> None:
    clients = [proxy.client() for _ in range(MANY)]
    connections = []
    for client in clients:
        ask(client, "many")
        connection, header = upstream(proxy, "many").next()
        assert header == version_1(*ends(client))
        connections.append(connection)
    for client, connection in zip(clients, connections, strict=True):
        ask(client, "many")
        assert upstream(proxy, "many").next()[0] == connection
        client.close()
    assert len(set(connections)) == MANY
    assert proxy.stat("cluster.many.upstream_cx_total") == MANY


def test_connections_belong_to_clients(proxy: Proxy) -> None:
    with proxy.client() as one, proxy.client() as other:
        seen = []
        for client in (one, one, other, one, other):
            ask(client, "counted")
            seen.append(upstream(proxy, "counted").next())
        assert [number for number, _ in seen] == [1, 1, 2, 1, 2]
        assert seen[2][1] == version_1(*ends(other))
    prefix = "cluster.counted."
    assert proxy.stat(prefix + "upstream_cx_total") == 2
    names = set(proxy.stats("^cluster.counted.upstream.proxyprotocol"))
    assert names == {prefix + "upstream.proxyprotocol.v2_tlvs_exceed_max_length"}
    assert not proxy.stats("^cluster.plain.upstream.proxyprotocol")


def test_the_header_is_among_the_bytes_sent(proxy: Proxy) -> None:
    with proxy.client() as client:
        ask(client, "usual")
        before = proxy.stat("cluster.usual.upstream_cx_tx_bytes_total")
        ask(client, "usual")
        again = proxy.stat("cluster.usual.upstream_cx_tx_bytes_total") - before
    with proxy.client() as client:
        before = proxy.stat("cluster.usual.upstream_cx_tx_bytes_total")
        ask(client, "usual")
        assert proxy.stat("cluster.usual.upstream_cx_tx_bytes_total") - before == again + len(
            version_1(*ends(client))
        )


def test_no_header(proxy: Proxy) -> None:
    with proxy.client() as client:
        ask(client, "plain")
    assert upstream(proxy, "plain").next()[1] == b""


def test_mirrors_have_no_client(proxy: Proxy) -> None:
    with proxy.client() as client:
        ask(client, "copied")
    _, header = upstream(proxy, "mirror-one").next()
    assert header.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
    assert header.endswith(f" {upstream(proxy, 'mirror-one').port}\r\n".encode())
    assert upstream(proxy, "mirror-two").next()[1] == SIGNATURE + b"\x20\0\0\0"
