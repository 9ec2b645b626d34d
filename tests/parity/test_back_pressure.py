"""Slow readers: a sender is stopped long before everything is taken, and every byte arrives in the end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from .harness import Proxy, wait_for
from .origin import Exchange
from .settings import Config, access_log, bootstrap, cluster, listener, routes_to
from .wire import Client, request_bytes
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
FORMAT = "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"
SIZE = 48 * 1024 * 1024
PIECE = bytes(range(256)) * 256
#: Linux may let a receive buffer grow to 32 MiB by itself.
SMALL_BUFFER = {"level": socket.SOL_SOCKET, "name": socket.SO_RCVBUF, "int_value": 1 << 18}


def receives_little(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)


def configure(proxy: Proxy) -> Config:
    log = access_log(proxy.log().path, FORMAT)
    main = listener("main", proxy.port(), routes_to("app"), access_log=[log])
    limited = main | {"per_connection_buffer_limit_bytes": 32768, "socket_options": [SMALL_BUFFER]}
    binding = {"socket_options": [SMALL_BUFFER]}
    app = cluster(
        "app", proxy.origin().port, per_connection_buffer_limit_bytes=32768, upstream_bind_config=binding
    )
    return bootstrap(proxy.port("admin"), [limited], [app])


class Sender:
    """Sends SIZE bytes on a thread and says how many were taken so far."""

    def __init__(self, sock: socket.socket) -> None:
        self.sent = 0
        self.thread = threading.Thread(target=self._run, args=(sock,), daemon=True)
        self.thread.start()

    def _run(self, sock: socket.socket) -> None:
        sock.settimeout(30)
        while self.sent < SIZE:
            sock.sendall(PIECE)
            self.sent += len(PIECE)

    def stuck_at(self) -> int:
        """How much was sent when no more is taken for a while."""
        before = -1
        while self.sent != before:
            before = self.sent
            time.sleep(0.25)
        return before


def pieces(client: Client, size: int) -> Iterator[bytes]:
    left = size
    while left:
        if not client.buffer:
            assert client.read_some()
        data, client.buffer = client.buffer, b""
        left -= len(data)
        yield data


def reaches(proxy: Proxy, name: str) -> bool:
    """Whether a statistic counts once for each worker, at least."""
    return bool(wait_for(lambda: proxy.stat(name) >= proxy.concurrency))


def test_download_to_a_slow_client(proxy: Proxy, workers: Workers) -> None:
    """Through all workers at once."""
    clients = workers.new_clients()
    senders: list[Sender] = []

    def answer(exchange: Exchange) -> None:
        exchange.send(f"HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n")
        sender = Sender(exchange.sock)
        senders.append(sender)
        sender.thread.join(30)

    proxy.origin().on("/down", answer)
    for client in clients:
        receives_little(client.socket)
        assert client.send(request_bytes("/down")).read_head().status == 200
    assert wait_for(lambda: len(senders) == len(clients))
    for sender in senders:
        assert sender.stuck_at() < SIZE // 2
    assert reaches(proxy, "cluster.app.upstream_flow_control_paused_reading_total")
    for client in clients:
        total = last = 0
        for data in pieces(client, SIZE):
            total += len(data)
            last = data[-1]
        assert (total, last) == (SIZE, 255)
        client.close()
    assert reaches(proxy, "cluster.app.upstream_flow_control_resumed_reading_total")


def test_upload_to_a_slow_upstream(proxy: Proxy, workers: Workers) -> None:
    """Through all workers at once."""
    clients = workers.new_clients()
    read = threading.Event()

    def answer(exchange: Exchange) -> None:
        receives_little(exchange.sock)
        read.wait(20)
        left = SIZE - len(exchange.buffer)
        exchange.buffer = b""
        while left:
            left -= len(exchange.sock.recv(min(left, 1 << 20)))
        exchange.seen.whole = True
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    proxy.origin().on("/up", answer)
    for client in clients:
        client.send(f"POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: {SIZE}\r\n\r\n")
    senders = [Sender(client.socket) for client in clients]
    for sender in senders:
        assert sender.stuck_at() < SIZE // 2
    assert reaches(proxy, "http.main.downstream_flow_control_paused_reading_total")
    read.set()
    for client, sender in zip(clients, senders, strict=True):
        assert client.read().text == "ok"
        assert sender.sent == SIZE
        client.close()


def fill(proxy: Proxy, client: Client) -> None:
    """Send until no more is taken, because reading is paused."""

    def paused() -> bool:
        found = proxy.stats("^http.main.downstream_flow_control")
        prefix = "http.main.downstream_flow_control_"
        return found[prefix + "paused_reading_total"] > found[prefix + "resumed_reading_total"]

    client.socket.settimeout(0.2)
    for _ in range(20):
        with contextlib.suppress(TimeoutError):
            while client.socket.send(PIECE):
                pass
        if paused():
            return
    raise AssertionError("reading is not paused")


@pytest.mark.parametrize("leave", [Client.close, Client.reset, Client.finish])
def test_a_client_that_leaves_while_it_has_to_wait(proxy: Proxy, leave: Callable[[Client], None]) -> None:
    """Nobody looks at a connection that is not read: it is noticed when the upstream goes on reading (or the stream's
    idle time is over)."""
    read, left = threading.Event(), threading.Event()

    def answer(exchange: Exchange) -> None:
        receives_little(exchange.sock)
        read.wait(20)
        try:
            while exchange.sock.recv(1 << 20):
                pass
        except ConnectionResetError:
            pass
        left.set()
        raise ConnectionError

    proxy.origin().on("/left", answer)
    word = f"/left?{leave.__name__}-{proxy.concurrency}"
    with proxy.client() as client:
        client.send(f"POST {word} HTTP/1.1\r\nhost: a\r\ncontent-length: {SIZE}\r\n\r\n")
        fill(proxy, client)
        leave(client)
        assert not left.wait(0.1)
        assert word not in "".join(proxy.log().lines())
        read.set()
        assert left.wait(10)
    assert proxy.log().line(word) == f"{word} 0 DC downstream_remote_disconnect"
