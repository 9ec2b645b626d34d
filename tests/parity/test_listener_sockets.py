"""What a listener's sockets are like."""

from __future__ import annotations

import socket

import pytest

from .harness import Proxy
from .settings import Config, address, answering, bootstrap, listener

pytestmark = pytest.mark.parity

TCP = socket.IPPROTO_TCP
#: Of no machine (RFC 5737).
ELSEWHERE = "192.0.2.1"


def configure(proxy: Proxy) -> Config:
    def small(name: str, **fields: Config | str) -> Config:
        option = {
            "level": TCP,
            "name": socket.TCP_MAXSEG,
            "int_value": 1000,
            "description": "small",
            **fields,
        }
        return listener(name, proxy.port(name), HOSTS) | {"socket_options": [option]}

    keepalive = {"level": socket.SOL_SOCKET, "name": socket.SO_KEEPALIVE, "buf_value": "AQAAAA=="}
    late = {**keepalive, "state": "STATE_LISTENING"}
    listeners = [
        listener("main", proxy.port(), HOSTS),
        small("before"),
        small("bound", state="STATE_BOUND", type={"stream": {}}),
        listener("more", proxy.port("more"), HOSTS)
        | {"socket_options": [keepalive, late], "tcp_fast_open_queue_length": 5},
        listener("free", 0, HOSTS) | {"address": address(proxy.port("free"), ELSEWHERE), "freebind": True},
        # The next two would be wrong if `false` were not taken for what it is.
        listener("plain", proxy.port("plain"), HOSTS) | {"freebind": False, "transparent": False},
        listener("several", proxy.port("several"), HOSTS)
        | {"additional_addresses": more_addresses(proxy), "socket_options": [SMALL]},
    ]
    return bootstrap(proxy.port("admin"), listeners, [])


SMALL = {"level": TCP, "name": socket.TCP_MAXSEG, "int_value": 1000}


def more_addresses(proxy: Proxy) -> list[Config]:
    return [
        {"address": address(proxy.port("second"), "127.0.0.2")},
        {"address": address(proxy.port("third"), "::1"), "socket_options": {"socket_options": []}},
    ]


HOSTS = [answering("all", "*")]


def segment(proxy: Proxy, name: str) -> int:
    with socket.create_connection(("127.0.0.1", proxy.port(name)), 5) as client:
        return client.getsockopt(TCP, socket.TCP_MAXSEG)


@pytest.mark.parametrize("name", ["before", "bound"])
def test_option(proxy: Proxy, name: str) -> None:
    """What the client may send at once is what our side has told it."""
    assert segment(proxy, name) <= 1000 < segment(proxy, "main")


@pytest.mark.parametrize("name", ["main", "before", "bound", "more", "plain"])
def test_traffic(proxy: Proxy, name: str) -> None:
    assert proxy.ask("/", name).body == b"all"


@pytest.mark.parametrize(
    ("name", "host"), [("several", "127.0.0.1"), ("second", "127.0.0.2"), ("third", "::1")]
)
def test_each_of_several_addresses(proxy: Proxy, name: str, host: str) -> None:
    with socket.create_connection((host, proxy.port(name)), 5) as client:
        assert (client.getsockopt(TCP, socket.TCP_MAXSEG) <= 1000) is (name != "third")
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert b"200 OK" in client.recv(1000)


def test_several_addresses_on_the_pages(proxy: Proxy) -> None:
    first, second, third = (proxy.port(name) for name in ("several", "second", "third"))
    names = proxy.stats("^listener.*downstream_cx_total$")
    assert f"listener.127.0.0.1_{first}.downstream_cx_total" in names
    assert not any(str(port) in name for port in (second, third) for name in names)
    lines = [line for line in proxy.admin("/listeners").text.splitlines() if line.startswith("several")]
    places = (f"127.0.0.1:{first}", f"127.0.0.2:{second}", f"[::1]:{third}")
    assert lines == [f"several::{place}" for place in places]


def test_an_address_that_this_machine_does_not_have(proxy: Proxy) -> None:
    assert f"free::{ELSEWHERE}:{proxy.port('free')}" in proxy.admin("/listeners").text
