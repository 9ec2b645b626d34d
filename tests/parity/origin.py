"""A scripted upstream: records every request as it came and answers as the test says."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, Queue

from .wire import HEAD_END, Headers, normalised, parse_head, value_of


@dataclass
class Seen:
    """One request as the upstream got it. `done` is set when its end or the connection's end came."""

    connection: int
    head: bytes
    method: str
    target: str
    version: str
    headers: Headers
    body: bytes = b""
    trailers: Headers = field(default_factory=list)
    whole: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)

    def __getitem__(self, name: str) -> str | None:
        return value_of(self.headers, name)

    @property
    def normal(self) -> Headers:
        return normalised(self.headers)

    def wait(self, timeout: float = 10.0) -> Seen:
        """Wait until the whole request was read."""
        assert self.done.wait(timeout), "the upstream is still waiting for the end of the request"
        return self

    def connection_closed(self, timeout: float = 10.0) -> bool:
        """Whether the proxy closes the connection of this request in time."""
        return self.gone.wait(timeout)


class Exchange:
    """What an answer may do: read the request's body, send bytes, wait, close, reset."""

    def __init__(self, sock: socket.socket, seen: Seen, buffer: bytes) -> None:
        self.sock = sock
        self.seen = seen
        self.buffer = buffer
        self.open = True

    def send(self, data: bytes | str) -> None:
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def close(self) -> None:
        self.open = False
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def reset(self) -> None:
        self.open = False
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def wait_closed(self, timeout: float) -> bool:
        """Wait for the proxy to close the connection, reading nothing that it sends."""
        limit = time.monotonic() + timeout
        while (left := limit - time.monotonic()) > 0:
            try:
                if select.select([self.sock], [], [], left)[0]:
                    if not self.sock.recv(65536, socket.MSG_PEEK):
                        return True
                    time.sleep(0.01)
            except (OSError, ValueError):  # gone, or closed by the end of the test
                return True
        return False

    def _fill(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed by the proxy")
        self.buffer += data

    def _line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self._fill()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def read_body(self) -> bytes:
        """Read the request's body to its end (once)."""
        seen = self.seen
        if seen.whole:
            return seen.body
        if seen["transfer-encoding"]:
            while size := int(self._line(), 16):
                while len(self.buffer) < size + 2:
                    self._fill()
                seen.body, self.buffer = seen.body + self.buffer[:size], self.buffer[size + 2 :]
            while line := self._line():
                seen.trailers += parse_head(b"x\r\n" + line)[1]
        else:
            left = int(seen["content-length"] or 0)
            while left:
                if not self.buffer:
                    self._fill()
                piece, self.buffer = self.buffer[:left], self.buffer[left:]
                seen.body += piece
                left -= len(piece)
        seen.whole = True
        seen.done.set()
        return seen.body


Answer = Callable[[Exchange], None]


def text(body: str = "hello", status: str = "200 OK", headers: str = "") -> Answer:
    """Read the request whole, then send a normal answer; `headers` are lines ending in CRLF."""

    def answer(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n{body}")

    return answer


def raw(*pieces: bytes | str | float, then: str = "keep", early: bool = False) -> Answer:
    """Send pieces (a number is a pause in seconds), then "keep", "close" or "reset" the connection.

    The request's body is read first unless `early`.
    """

    def answer(exchange: Exchange) -> None:
        if not early:
            exchange.read_body()
        for piece in pieces:
            if isinstance(piece, float):
                time.sleep(piece)
            else:
                exchange.send(piece)
        if then == "close":
            exchange.close()
        elif then == "reset":
            time.sleep(0.03)  # else the reset may overtake the bytes before it
            exchange.reset()

    return answer


def silent(seconds: float = 5.0) -> Answer:
    """Answer nothing until the proxy goes away."""

    def answer(exchange: Exchange) -> None:
        exchange.wait_closed(seconds)
        exchange.close()

    return answer


class Origin:
    """An upstream, by default on a free loopback port. Answers are chosen by the path that arrives."""

    def __init__(self, listener: socket.socket | None = None) -> None:
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=256)
        name = self.listener.getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0
        self.default: Answer = text()
        self.answers: dict[str, Answer] = {}
        self.queue: Queue[Seen] = Queue()
        self.received: dict[int, bytes] = {}
        self.sockets: dict[int, socket.socket] = {}
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def on(self, path: str, answer: Answer) -> None:
        """Answer requests for this path (without its query) so."""
        self.answers[path] = answer

    def take(self, timeout: float = 10.0) -> Seen:
        """The next request that arrived."""
        try:
            return self.queue.get(timeout=timeout)
        except Empty:
            raise AssertionError("no request reached the upstream") from None

    def forget(self) -> None:
        """Drop the answers of an earlier test and the requests that nobody asked for."""
        self.answers.clear()
        while not self.queue.empty():
            self.queue.get()

    def nothing(self, within: float = 0.1) -> bool:
        """Whether no request arrives for some time."""
        try:
            self.queue.get(timeout=within)
        except Empty:
            return True
        return False

    def hang_up(self) -> None:
        """Close every connection."""
        for sock in list(self.sockets.values()):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Stop listening and close every connection."""
        for sock in [self.listener, *self.sockets.values()]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets[self.count] = sock
            threading.Thread(target=self._serve, args=(sock, self.count), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        buffer = b""
        seen: Seen | None = None
        self.received[number] = b""
        try:
            while True:
                while HEAD_END not in buffer:
                    data = sock.recv(65536)
                    self.received[number] += data
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(HEAD_END)
                seen = self._record(number, head)
                exchange = Exchange(sock, seen, buffer)
                self.answers.get(seen.target.partition("?")[0], self.default)(exchange)
                if not exchange.open:
                    return
                exchange.read_body()
                buffer = exchange.buffer
        except OSError:
            pass
        finally:
            sock.close()
            self.sockets.pop(number, None)
            if seen is not None:
                seen.gone.set()
                seen.done.set()

    def _record(self, number: int, head: bytes) -> Seen:
        first, headers = parse_head(head)
        method, target, version = first.split(" ")
        seen = Seen(number, head, method, target, version, headers)
        if not seen["transfer-encoding"] and not int(seen["content-length"] or 0):
            seen.whole = True
            seen.done.set()
        self.queue.put(seen)
        return seen
