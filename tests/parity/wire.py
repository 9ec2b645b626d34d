"""A raw HTTP/1 client: sends exactly the bytes it is given and reads answers by their framing."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass, field

HEAD_END = b"\r\n\r\n"
DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
Headers = list[tuple[str, str]]


class Ended(Exception):
    """The peer closed or reset the connection before a whole answer had come."""


def parse_head(head: bytes) -> tuple[str, Headers]:
    """Split a message head (without its last empty line) into its first line and its header list."""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: Headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        assert colon, f"not a header line: {line!r}"
        headers.append((name, value.strip()))
    return first, headers


def value_of(headers: Headers, name: str) -> str | None:
    """The only value of a header, or None; two lines of one name are an error of the test."""
    values = [value for key, value in headers if key.lower() == name.lower()]
    assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
    return values[0] if values else None


def normalised(headers: Headers) -> Headers:
    """Sorted headers, with what differs from run to run replaced by a word: DATE, ID, N, SERVER.

    A value that does not have the expected form stays as it is and so fails the comparison.
    """
    out = []
    for name, value in headers:
        if name == "date" and DATE.fullmatch(value):
            value = "DATE"
        elif name == "x-request-id" and UUID.fullmatch(value):
            value = "ID"
        elif name == "x-envoy-upstream-service-time" and value.isdigit():
            value = "N"
        elif name == "server" and value in ("envoy", "twistproxy"):
            value = "SERVER"
        out.append((name, value))
    return sorted(out)


@dataclass
class Response:
    """One answer as the client read it."""

    version: str
    status: int
    reason: str
    headers: Headers
    body: bytes = b""
    trailers: Headers = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    def __getitem__(self, name: str) -> str | None:
        return value_of(self.headers, name)

    @property
    def normal(self) -> Headers:
        """The headers, sorted and normalised."""
        return normalised(self.headers)

    @property
    def text(self) -> str:
        return self.body.decode("latin-1")


class Client:
    """One TCP connection to the proxy. Every wait has a limit; past it a test fails, never hangs."""

    def __init__(self, port: int | str, timeout: float = 10.0, address: str = "127.0.0.1") -> None:
        """Connect to a port of an address, or to a Unix socket if the port is a path."""
        self.timeout = timeout
        self.local_port = 0
        if isinstance(port, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(port)
        else:
            self.socket = socket.create_connection((address, port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.local_port = self.socket.getsockname()[1]
        self.buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def finish(self) -> None:
        """Send our FIN and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, *parts: bytes | str) -> Client:
        """Send the joined parts in one write; text is Latin-1."""
        data = b"".join(part.encode("latin-1") if isinstance(part, str) else part for part in parts)
        self.socket.sendall(data)
        return self

    def read_some(self, timeout: float | None = None) -> bytes:
        """Append what comes next to the buffer; b"" at the end of the connection."""
        self.socket.settimeout(self.timeout if timeout is None else timeout)
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return data

    def _fill(self) -> None:
        if not self.read_some():
            raise Ended(f"connection ended with {self.buffer!r} unread")

    def _take_to(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._fill()
        piece, _, self.buffer = self.buffer.partition(mark)
        return piece

    def _take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._fill()
        piece, self.buffer = self.buffer[:count], self.buffer[count:]
        return piece

    def read_head(self) -> Response:
        """Read one message head only."""
        first, headers = parse_head(self._take_to(HEAD_END))
        version, status, reason = (*first.split(" ", 2), "")[:3]
        return Response(version, int(status), reason, headers)

    def read(self, method: str = "GET") -> Response:
        """Read one final or interim answer with its body, framed as RFC 9112 section 6.3 says."""
        response = self.read_head()
        if method == "HEAD" or response.status < 200 or response.status in (204, 304):
            return response
        length = response["content-length"]
        if response["transfer-encoding"] == "chunked":
            self._read_chunks(response)
        elif length is not None:
            response.body = self._take(int(length))
        else:
            while self.read_some():
                pass
            response.body, self.buffer = self.buffer, b""
        return response

    def _read_chunks(self, response: Response) -> None:
        while size := int(self._take_to(b"\r\n"), 16):
            response.chunks.append(self._take(size))
            assert self._take(2) == b"\r\n"
        response.body = b"".join(response.chunks)
        while line := self._take_to(b"\r\n"):
            response.trailers += parse_head(b"x\r\n" + line)[1]

    def ended(self, within: float = 2.0) -> bool:
        """Whether the proxy closes the connection in time without sending anything more."""
        limit = time.monotonic() + within
        while not self.buffer:
            try:
                if not self.read_some(max(0.001, limit - time.monotonic())):
                    return True
            except TimeoutError:
                return False
        return False

    def still_open(self, seconds: float = 0.05) -> bool:
        """Whether the connection is open and silent for some time."""
        return not self.ended(seconds) and not self.buffer


def request_bytes(
    target: str, method: str = "GET", headers: str = "", body: bytes = b"", host: str = "app.test"
) -> bytes:
    """A plain request; `headers` are whole lines, each ending in CRLF."""
    length = f"content-length: {len(body)}\r\n" if body else ""
    return f"{method} {target} HTTP/1.1\r\nhost: {host}\r\n{headers}{length}\r\n".encode("latin-1") + body


def ask(
    port: int, target: str, method: str = "GET", headers: str = "", body: bytes = b"", host: str = "app.test"
) -> Response:
    """One request on a connection of its own."""
    with Client(port) as client:
        client.send(request_bytes(target, method, headers, body, host))
        return client.read(method)
