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
    ]
    return bootstrap(proxy.port("admin"), listeners, [])


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


def test_an_address_that_this_machine_does_not_have(proxy: Proxy) -> None:
    assert f"free::{ELSEWHERE}:{proxy.port('free')}" in proxy.admin("/listeners").text
