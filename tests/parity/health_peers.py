"""Servers that health checks other than those over HTTP/1.1 talk to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Queue

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded, StreamReset

SERVING = b"\0\0\0\0\2\x08\1"
HEAD = [(":status", "200"), ("content-type", "application/grpc")]


class Server:
    """Listens on a free loopback port and gives each connection to `serve`, in a thread."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.listener.getsockname()[1]
        self.connections = 0
        self.sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        raise NotImplementedError

    def forget(self) -> None:
        """Called between tests, as origins are."""

    def stop(self) -> None:
        for sock in [self.listener, *self.sockets]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            self.serve(sock)


class TcpPeer(Server):
    """Sends `greeting`, then an answer to each piece that it receives; None: it closes.

    received  the pieces, each with the number of its connection
    """

    def __init__(self, answer: Callable[[bytes], bytes | None], greeting: bytes = b"") -> None:
        self.answer = answer
        self.greeting = greeting
        self.received: Queue[tuple[int, bytes, int]] = Queue()
        super().__init__()

    def serve(self, sock: socket.socket) -> None:
        number = self.connections
        if self.greeting:
            sock.sendall(self.greeting)
        while data := sock.recv(65536):
            self.received.put((number, data, sock.getpeername()[1]))
            answer = self.answer(data)
            if answer is None:
                return
            if answer:
                sock.sendall(answer)


@dataclass
class Call:
    """One gRPC call as the server got it."""

    connection: int
    headers: list[tuple[str, str]]
    content: bytes = b""


@dataclass
class GrpcAnswer:
    """What a server answers.  `head` None: nothing at all; `reset`: it resets the stream; `goaway`: it says that it
    leaves, before the answer."""

    head: list[tuple[str, str]] | None = field(default_factory=lambda: list(HEAD))
    data: bytes | None = SERVING
    trailers: list[tuple[str, str]] | None = field(default_factory=lambda: [("grpc-status", "0")])
    reset: bool = False
    goaway: bool = False


class GrpcPeer(Server):
    """Answers every call so."""

    def __init__(self, answer: GrpcAnswer) -> None:
        self.answer = answer
        self.calls: Queue[Call] = Queue()
        self.resets = 0
        super().__init__()

    def serve(self, sock: socket.socket) -> None:
        number = self.connections
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        h2.initiate_connection()
        sock.sendall(h2.data_to_send())
        open_calls: dict[int, Call] = {}
        while data := sock.recv(65536):
            for event in h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    fields: list[tuple[str, str]] = list(event.headers)  # type: ignore[arg-type]
                    open_calls[event.stream_id] = Call(number, fields)
                elif isinstance(event, DataReceived):
                    open_calls[event.stream_id].content += event.data
                    h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamEnded):
                    self.calls.put(open_calls.pop(event.stream_id))
                    self._answer(h2, event.stream_id, sock)
                elif isinstance(event, StreamReset):
                    self.resets += 1
                elif isinstance(event, ConnectionTerminated):
                    return
            sock.sendall(h2.data_to_send())

    def _answer(self, h2: H2Connection, stream: int, sock: socket.socket) -> None:
        answer = self.answer
        if answer.goaway:
            # By hand, as h2 sends nothing more after it.
            frame = bytes.fromhex("0000080700000000 00") + stream.to_bytes(4, "big") + bytes(4)
            sock.sendall(h2.data_to_send() + frame)
        if answer.reset:
            h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
            return
        if answer.head is None:
            return
        h2.send_headers(stream, answer.head, end_stream=answer.data is None and answer.trailers is None)
        if answer.data is not None:
            h2.send_data(stream, answer.data, end_stream=answer.trailers is None)
        if answer.trailers is not None:
            h2.send_headers(stream, answer.trailers, end_stream=True)
