from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from twistproxy.ipc.frame import Message
from twistproxy.transport.control_link import BlockingLink, ControlLink, socket_pair


class Reactor:
    """Notes who wants to read and write; the test calls them."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader = self.readers.add
        self.addWriter = self.writers.add
        self.removeReader = self.readers.discard
        self.removeWriter = self.writers.discard

    def turn(self) -> None:
        for reader in tuple(self.readers):
            reader.doRead()
        for writer in tuple(self.writers):
            writer.doWrite()


class Ends:
    """Two links on one reactor."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.got: list[tuple[Message, list[int]]] = []
        self.closed: list[str] = []
        one, other = socket_pair()
        self.one = ControlLink(self.reactor, one, lambda m, f: None, lambda: self.closed.append("one"))
        self.other = ControlLink(
            self.reactor, other, lambda m, f: self.got.append((m, f)), lambda: self.closed.append("other")
        )


@pytest.fixture
def ends() -> Iterator[Ends]:
    gc.collect()  # what earlier tests have left behind shall not be closed while we count
    before = len(os.listdir("/proc/self/fd"))
    both = Ends()
    yield both
    both.one.close()
    both.other.close()
    for _, fds in both.got:
        for fd in fds:
            os.close(fd)
    assert both.reactor.readers == both.reactor.writers == set()
    assert len(os.listdir("/proc/self/fd")) == before


def test_messages_arrive_in_order(ends: Ends) -> None:
    for number in range(100):
        ends.one.send({"t": "x", "n": number})
    ends.reactor.turn()
    assert [message["n"] for message, _ in ends.got] == list(range(100))


def test_descriptors_arrive_with_their_message(ends: Ends) -> None:
    read, write = os.pipe()
    ends.one.send({"t": "a"})
    ends.one.send({"t": "b"}, [write])
    ends.one.send({"t": "c"})
    os.close(write)
    for _ in range(4):
        ends.reactor.turn()
    assert [(message["t"], len(fds)) for message, fds in ends.got] == [("a", 0), ("b", 1), ("c", 0)]
    os.write(ends.got[1][1][0], b"hello")
    assert os.read(read, 10) == b"hello"
    os.close(read)


@pytest.mark.parametrize("count", [250, 251, 600])
def test_more_descriptors_than_one_call_can_carry(ends: Ends, count: int) -> None:
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
    marked = os.memfd_create("marked")
    ends.one.send({"t": "many"}, [*files, marked])
    for fd in files:
        os.close(fd)
    for _ in range(8):
        ends.reactor.turn()
    [(message, fds)] = ends.got
    assert message["fds"] == len(fds) == count + 1
    assert os.fstat(fds[-1]).st_ino == os.fstat(marked).st_ino
    os.close(marked)


def test_what_does_not_fit_is_sent_when_the_other_side_reads(ends: Ends) -> None:
    text = "x" * 100_000
    for number in range(50):
        ends.one.send({"t": "big", "n": number, "text": text}, [0] if number == 40 else [])
    assert ends.one.queued > 1_000_000
    assert ends.one in ends.reactor.writers
    for _ in range(200):
        ends.reactor.turn()
    assert [message["n"] for message, _ in ends.got] == list(range(50))
    assert len(ends.got[40][1]) == 1
    assert ends.one.queued == 0
    assert ends.one not in ends.reactor.writers


def test_the_end_is_told_once_after_the_last_message(ends: Ends) -> None:
    ends.one.send({"t": "last"})
    ends.one.close()
    ends.other.read_rest()
    ends.reactor.turn()
    assert [message["t"] for message, _ in ends.got] == ["last"]
    assert ends.closed == ["other"]
    ends.other.send({"t": "ignored"})


def test_what_the_other_side_said_before_it_died_is_read_though_writing_fails(ends: Ends) -> None:
    ends.one.send({"t": "last words"})
    ends.one.close()
    ends.other.send({"t": "are you there"})
    ends.other.read_rest()
    assert [message["t"] for message, _ in ends.got] == ["last words"]
    assert ends.closed == ["other"]


def test_nonsense_ends_the_link(ends: Ends) -> None:
    ours, theirs = socket_pair()
    closed: list[bool] = []
    ControlLink(ends.reactor, theirs, lambda m, f: None, lambda: closed.append(True))
    ours.send(b"\xff\xff\xff\xff nonsense")
    ends.reactor.turn()
    assert closed == [True]
    ours.close()


def test_the_blocking_end_speaks_the_same() -> None:
    reactor = Reactor()
    got: list[tuple[Message, list[int]]] = []
    ours, theirs = socket_pair()
    link = ControlLink(reactor, ours, lambda m, f: got.append((m, f)), lambda: None)
    blocking = BlockingLink(theirs)
    link.send({"t": "fork"}, [0])
    received = blocking.receive()
    assert received is not None
    [(message, fds)] = received
    assert (message["t"], len(fds)) == ("fork", 1)
    blocking.send({"t": "forked"}, fds)
    os.close(fds[0])
    reactor.turn()
    assert got[0][0]["t"] == "forked"
    os.close(got[0][1][0])
    link.close()
    assert blocking.receive() is None
    blocking.close()


def test_a_descriptor_number_will_do() -> None:
    ours, theirs = socket.socketpair()
    link = ControlLink(Reactor(), theirs.detach(), lambda m, f: None, lambda: None)
    link.send({"t": "x"})
    assert ours.recv(100).endswith(b'{"t":"x"}')
    link.close()
    ours.close()
