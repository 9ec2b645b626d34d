"""What the storm's watcher makes of answers."""

from __future__ import annotations

import socket
import time

import pytest

from loadtests.scale_watch import Watcher
from loadtests.scale_world import address, marker_address


class World:
    """A watcher of four connections, which this end answers."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.watcher = Watcher(self.listener.getsockname()[1], connections=4)

    def __enter__(self) -> World:
        self.watcher.__enter__()
        self.ends = [self.listener.accept()[0] for _ in range(4)]
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.watcher.__exit__()
        for one in (*self.ends, self.listener):
            one.close()

    def answer(self, number: int, host: str, upstream: int) -> None:
        head = f"HTTP/1.1 200 OK\r\nx-host: {host}\r\nx-connection: {upstream}\r\ncontent-length: 0\r\n\r\n"
        self.ends[number].sendall(head.encode())
        requests = self.watcher.requests
        end = time.monotonic() + 5
        while self.watcher.requests == requests and time.monotonic() < end:
            self.watcher.watch(0.001)


def test_what_one_connection_knows_its_worker_knows() -> None:
    with World() as world:
        watcher = world.watcher
        for number, upstream in enumerate((70, 80, 70, 80)):
            world.answer(number, address(5), upstream)
        watcher.written(1)
        world.answer(0, marker_address(1), 71)
        assert not watcher.reached(1)
        assert watcher.lag_s(1) == float("inf")
        world.answer(3, marker_address(1), 81)
        assert watcher.reached(1)
        first, second = watcher.lags[1][0], watcher.lags[1][3]
        assert 0.0 < first < second
        world.answer(2, marker_address(1), 71)
    assert watcher.lag_s(1) == pytest.approx(second)


def test_connections_of_which_nothing_is_known_count_each() -> None:
    with World() as world:
        world.watcher.written(1)
        for number in range(3):
            world.answer(number, marker_address(1), 70 + number)
        assert not world.watcher.reached(1)
        world.answer(3, marker_address(1), 72)
        assert world.watcher.reached(1)
