from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from twistproxy.errors import StartError
from twistproxy.model.address import Address, TcpAddress
from twistproxy.model.listener import ListenAddress
from twistproxy.model.sockets import NO_OPTIONS, ListenOptions
from twistproxy.process.generation import bind_listeners, release
from twistproxy.transport.listen_sockets import ListenSockets


@dataclass(frozen=True)
class Listener:
    """The part of `ListenerSettings` that counts here."""

    name: str
    address: Address
    reuse_port: bool = True
    backlog: int = 0
    ipv4_compat: bool = False
    bind_to_port: bool = True
    options: ListenOptions = NO_OPTIONS
    more_addresses: tuple[ListenAddress, ...] = ()


def bind(listeners: list[Listener], running: tuple[ListenSockets, ...] = ()) -> tuple[ListenSockets, ...]:
    return bind_listeners(listeners, 2, running)  # type: ignore[arg-type]


@pytest.fixture
def one() -> Iterator[tuple[ListenSockets, ...]]:
    bound = bind([Listener("a", TcpAddress("127.0.0.1", 0))])
    yield bound
    release(bound, ())


def test_a_listener_that_stays_keeps_its_sockets(one: tuple[ListenSockets, ...]) -> None:
    again = bind([Listener("a", TcpAddress("127.0.0.1", 0)), Listener("b", TcpAddress("127.0.0.1", 0))], one)
    assert again[0] is one[0]
    assert again[1].address != one[0].address
    release(again, one)
    assert one[0].descriptor(0) is not None
    assert again[1].descriptor(0) is None


def test_one_that_cannot_be_bound_undoes_only_the_new_ones(one: tuple[ListenSockets, ...]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        wanted = [
            Listener("a", TcpAddress("127.0.0.1", 0)),
            Listener("b", TcpAddress("127.0.0.1", other.getsockname()[1])),
        ]
        with pytest.raises(StartError, match="'b': another program uses this address"):
            bind(wanted, one)
    assert one[0].descriptor(1) is not None


def test_a_wildcard_may_take_the_port_of_a_running_listener_of_ours(one: tuple[ListenSockets, ...]) -> None:
    address = one[0].address
    assert isinstance(address, TcpAddress)
    wider = bind([Listener("a", TcpAddress("0.0.0.0", address.port))], one)
    release(wider, one)


def test_one_that_does_not_bind_has_no_socket() -> None:
    assert bind([Listener("a", TcpAddress("127.0.0.1", 0), bind_to_port=False)]) == ()


def test_each_of_several_addresses_has_sockets() -> None:
    more = ListenAddress(TcpAddress("::1", 0), False, NO_OPTIONS)
    bound = bind([Listener("a", TcpAddress("127.0.0.1", 0), more_addresses=(more,))])
    assert [sockets.spec.listener for sockets in bound] == ["a", "a"]
    assert [str(sockets.address).rpartition(":")[0] for sockets in bound] == ["127.0.0.1", "[::1]"]
    release(bound, ())
