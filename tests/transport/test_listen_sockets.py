from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twistproxy.errors import StartError
from twistproxy.model.address import Address, PipeAddress, TcpAddress
from twistproxy.model.sockets import ListenOptions, SocketOption
from twistproxy.transport.listen_sockets import ListenSockets, ListenSpec

Bind = Callable[..., ListenSockets]


@pytest.fixture
def bind() -> Iterator[Bind]:
    bound: list[ListenSockets] = []

    def bind_one(address: Address, slots: int = 2, **more: object) -> ListenSockets:
        bound.append(ListenSockets.bind(ListenSpec("a", address, **more), slots))  # type: ignore[arg-type]
        return bound[-1]

    yield bind_one
    for sockets in bound:
        sockets.close()


def connect(address: Address) -> socket.socket:
    if isinstance(address, PipeAddress):
        client = socket.socket(socket.AF_UNIX)
        client.connect("\0" + address.path[1:] if address.path.startswith("@") else address.path)
        return client
    return socket.create_connection((address.host, address.port), 5)


def accept(sockets: ListenSockets, slot: int) -> socket.socket | None:
    fd = sockets.descriptor(slot)
    assert fd is not None
    with socket.socket(fileno=os.dup(fd)) as listening:
        try:
            return listening.accept()[0]
        except BlockingIOError:
            return None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_slot_has_a_socket_of_the_same_port(bind: Bind, host: str) -> None:
    sockets = bind(TcpAddress(host, 0), 3)
    assert not sockets.shared
    assert sockets.address.port != 0
    clients = [connect(sockets.address) for _ in range(60)]
    accepted = [0, 0, 0]
    for slot in range(3):
        while connection := accept(sockets, slot):
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            accepted[slot] += 1
            connection.close()
    assert sum(accepted) == 60
    assert min(accepted) > 0
    for client in clients:
        client.close()


@pytest.mark.parametrize("address", [TcpAddress("127.0.0.1", 0), PipeAddress("@twistproxy-test-shared")])
def test_without_reuse_port_the_slots_share_a_queue(bind: Bind, address: Address) -> None:
    sockets = bind(address, reuse_port=False)
    assert sockets.shared
    with connect(sockets.address):
        sockets.close_slot(0)
        connection = accept(sockets, 1)
        assert connection is not None
        connection.close()
    sockets.open_slot(0)
    assert sockets.descriptor(0) is not None


@pytest.mark.parametrize("reuse_port", [False, True])
def test_an_address_of_another_program_is_refused(bind: Bind, reuse_port: bool) -> None:
    with socket.socket() as other:
        if reuse_port:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError) as raised:
            bind(TcpAddress("127.0.0.1", port))
        with pytest.raises(StartError, match="another program"):
            bind(TcpAddress("0.0.0.0", port))
    expected = f"cannot listen on 127.0.0.1:{port} for listener 'a': another program uses this address"
    assert str(raised.value) == expected


def test_an_address_in_time_wait_is_not_in_use(bind: Bind) -> None:
    first = ListenSockets.bind(ListenSpec("a", TcpAddress("127.0.0.1", 0)), 1)
    with connect(first.address):
        connection = accept(first, 0)
        assert connection is not None
        connection.close()  # the side that closes first waits
    first.close()
    bind(first.address)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (TcpAddress("192.0.2.1", 80), "this machine does not have that address"),
        (TcpAddress("example.org", 80), "not an IP address"),
        (PipeAddress("/nonexistent/directory/socket"), "the directory does not exist"),
        (PipeAddress("/etc/passwd"), "there is a file of that name which is no socket"),
    ],
)
def test_what_is_wrong_is_said_in_words(bind: Bind, address: Address, why: str) -> None:
    with pytest.raises(StartError, match=why):
        bind(address)


def test_a_slot_that_is_given_up_gets_no_connections_until_it_is_opened_again(bind: Bind) -> None:
    sockets = bind(TcpAddress("127.0.0.1", 0))
    former = sockets.key(0)
    sockets.close_slot(0)
    assert sockets.descriptor(0) is None
    clients = [connect(sockets.address) for _ in range(20)]
    taken = 0
    while connection := accept(sockets, 1):
        connection.close()
        taken += 1
    assert taken == 20
    sockets.open_slot(0)
    assert sockets.descriptor(0) is not None
    assert sockets.key(0) != former
    for client in clients:
        client.close()


def test_a_slot_whose_address_is_lost_cannot_be_opened(bind: Bind) -> None:
    sockets = bind(TcpAddress("127.0.0.1", 0), 1)
    sockets.close_slot(0)
    with socket.socket() as other:
        other.bind((sockets.address.host, sockets.address.port))
        other.listen()
        with pytest.raises(StartError, match="another program"):
            sockets.open_slot(0)
    assert sockets.descriptor(0) is None


def test_ipv6_takes_ipv4_only_when_told(bind: Bind) -> None:
    both = bind(TcpAddress("::", 0), 1, ipv4_compat=True)
    connect(TcpAddress("127.0.0.1", both.address.port)).close()
    only = bind(TcpAddress("::", 0), 1)
    with pytest.raises(ConnectionRefusedError):
        connect(TcpAddress("127.0.0.1", only.address.port))


class TestPipes:
    def test_mode_and_file(self, bind: Bind, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        sockets = bind(PipeAddress(str(path), 0o600))
        assert path.stat().st_mode & 0o777 == 0o600
        connect(sockets.address).close()
        sockets.close()
        assert not path.exists()

    def test_a_stale_file_is_replaced(self, bind: Bind, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        with socket.socket(socket.AF_UNIX) as crashed:
            crashed.bind(str(path))
        connect(bind(PipeAddress(str(path))).address).close()

    def test_a_file_in_use_is_not(self, bind: Bind, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            with pytest.raises(StartError, match="another program"):
                bind(PipeAddress(str(path)))

    def test_a_file_that_is_no_longer_ours_is_left(self, bind: Bind, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        sockets = bind(PipeAddress(str(path)))
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
            sockets.close()
            assert path.exists()


def test_socket_options_are_set_in_their_state(bind: Bind) -> None:
    before = (
        SocketOption(socket.IPPROTO_IP, 15, 1),
        SocketOption(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000),
    )
    bound = (SocketOption(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),)
    listening = (SocketOption(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 7),)
    sockets = bind(TcpAddress("192.0.2.1", 0), options=ListenOptions(before, bound, listening))
    fd = sockets.descriptor(1)
    assert fd is not None
    with socket.socket(fileno=os.dup(fd)) as found:
        assert found.getsockname()[0] == "192.0.2.1"  # not of this machine: the first option allows it
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) == 1000
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0


def test_an_option_that_the_kernel_refuses(bind: Bind) -> None:
    with pytest.raises(StartError, match=r"^cannot listen on 127.0.0.1:0 .*: socket option 999 of level 6: "):
        bind(TcpAddress("127.0.0.1", 0), options=ListenOptions((SocketOption(6, 999, 1),)))
