"""The chaos test's client tells a request that was dropped from one that was never read.

Servers here misbehave on purpose, on loopback sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

import pytest

from loadtests import chaos
from loadtests.chaos_client import Account, ConstantLoad
from loadtests.chaos_tree import client_ports

pytestmark = pytest.mark.integration

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], object]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
    body = b"1 " + path
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def _account(
    misbehave: Act, requests: int = 12, setup: Callable[[ConstantLoad], None] | None = None
) -> Account:
    """One client against a server that calls `misbehave` instead of answering a third request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for number in range(3):
                if number == 2:
                    result = misbehave(reader, writer, number)
                    if asyncio.iscoroutine(result):
                        await result
                    return
                await _answer(reader, writer)

    async def play() -> Account:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        load = ConstantLoad(server.sockets[0].getsockname()[1], connections=1, rate=100)
        load.enter_phase("only")
        if setup is not None:
            setup(load)
        load.start()
        account = load.accounts["only"]
        while account.ok + account.failed + account.lost_with_worker < requests:
            await asyncio.sleep(0.01)
        await load.stop()
        server.close()
        return account

    return asyncio.run(play())


async def _read_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _number: int) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


def test_a_request_that_was_read_and_dropped_is_a_failure() -> None:
    account = _account(_read_and_close)
    assert account.failed >= 3
    assert account.idle_races == 0
    assert "closed without an answer" in account.examples[0]


def test_a_connection_closed_while_idle_loses_nothing() -> None:
    account = _account(lambda _reader, writer, _number: writer.close())
    assert account.failed == 0
    assert account.idle_closes >= 3


async def _close_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _number: int) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(0.1)
    writer.transport.abort()


def test_a_request_that_nobody_read_is_sent_again() -> None:
    account = _account(_close_unread)
    assert account.failed == 0
    assert account.idle_races >= 3


async def _cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _number: int) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    await writer.drain()
    writer.close()


def test_an_answer_cut_off_is_a_failure() -> None:
    account = _account(_cut)
    assert account.failed >= 3
    assert "cut off" in account.examples[0]


async def _unavailable(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _number: int) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


def test_any_other_status_is_a_failure() -> None:
    account = _account(_unavailable)
    assert account.failed >= 3
    assert "status 503" in account.examples[0]


def test_what_a_killed_worker_had_in_flight_is_counted_apart() -> None:
    def excuse_everything(load: ConstantLoad) -> None:
        asyncio.get_running_loop().call_later(0.05, again, load)

    def again(load: ConstantLoad) -> None:
        load.excuse(range(1, 65536))
        asyncio.get_running_loop().call_later(0.002, again, load)

    account = _account(_read_and_close, setup=excuse_everything)
    assert account.lost_with_worker >= 2


def test_the_connections_of_a_process_are_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert client_ports(os.getpid(), port) == set()  # not accepted yet: nobody's
            accepted, _ = listener.accept()
            with accepted:
                assert client_ports(os.getpid(), port) == {client.getsockname()[1]}


def test_the_verdict() -> None:
    fine = {
        "reload": Account(ok=9, idle_closes=4, idle_races=1),
        "workers": Account(ok=9, lost_with_worker=2),
    }
    assert chaos.passed(fine, [])
    assert not chaos.passed(fine, ["no worker found"])
    assert not chaos.passed({"reload": Account(ok=9, failed=1)}, [])
    assert not chaos.passed({"reload": Account(ok=9, lost_with_worker=1)}, [])
    assert not chaos.passed({"quiet": Account()}, [])
    assert chaos.as_text(fine, [], ["a note"]).endswith("note: a note\npassed")
