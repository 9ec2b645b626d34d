"""A constant load of keep-alive requests in which every request is accounted for.

A request ends in exactly one of these ways:

- ok: status 200 with the whole body;
- failed: anything else, connection refused and no answer within ten seconds included;
- lost with a worker: as failed, but it was in flight on the connections of a worker when that was killed.

Two things are counted apart, as no request is lost by them (RFC 9112 section 9.3.1 lets a client send again):

- idle close: a kept connection was found closed before a request was sent on it;
- idle race: a kept connection was closed by the proxy, without a byte of an answer, before the proxy had
  read the request, which the kernel tells by a reset.  The request is sent again.  Where the proxy *had* read
  the request and closed in silence there is no reset, and that is a failure.
"""

from __future__ import annotations

import asyncio
import collections
import errno
import select
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

_ANSWER_TIMEOUT_S = 10.0
_UNREAD = (errno.ECONNRESET, errno.EPIPE)
_EXAMPLES = 20


class RequestLost(Exception):
    """One request did not get its answer; `unread`: the proxy never read it."""

    def __init__(self, reason: str, unread: bool = False) -> None:
        super().__init__(reason)
        self.unread = unread


class ClientConnection(asyncio.Protocol):
    """One connection with at most one request at a time."""

    def __init__(self) -> None:
        self.local_port = 0
        self.answered = 0
        self.usable = True
        self._buffer = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        self.local_port = transport.get_extra_info("sockname")[1]
        self._poll = select.poll()
        self._poll.register(self._socket.fileno(), select.POLLRDHUP)

    def closed_by_peer(self) -> bool:
        """Whether the kernel already knows that the peer has closed."""
        return not self.usable or bool(self._poll.poll(0))

    async def request(self, path: str) -> tuple[int, bytes]:
        """Status and body of GET `path`; RequestLost."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: app.example.com\r\n\r\n".encode())
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                answer = await self._waiting
        except TimeoutError:
            self.close()
            raise RequestLost("no answer in time") from None
        finally:
            self._waiting = None
        self.answered += 1
        return answer

    def close(self) -> None:
        """Close at once."""
        self.usable = False
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes of an answer."""
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
        if length is None or self._waiting is None:
            self._lose("an answer without a length, or that nobody asked for", unread=False)
            self.close()
        elif len(rest) >= length:
            self._buffer = rest[length:]
            if b"connection: close" in lines:
                self.close()
            if not self._waiting.done():
                self._waiting.set_result((int(lines[0].split()[1]), rest[:length]))

    def eof_received(self) -> bool:
        """asyncio: the proxy will send no more."""
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._lose("closed without an answer", unread=error in _UNREAD)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._lose(f"connection lost: {exc}", unread=isinstance(exc, OSError) and exc.errno in _UNREAD)

    def _lose(self, reason: str, unread: bool) -> None:
        self.usable = False
        if self._waiting is not None and not self._waiting.done():
            if self._buffer:
                reason, unread = f"cut off after {len(self._buffer)} bytes: {reason}", False
            self._waiting.set_exception(RequestLost(reason, unread and self.answered > 0))


@dataclass
class Account:
    """The figures of one phase."""

    ok: int = 0
    failed: int = 0
    lost_with_worker: int = 0
    idle_closes: int = 0
    idle_races: int = 0
    examples: list[str] = field(default_factory=list)

    def fail(self, reason: str) -> None:
        """One more failed request."""
        self.failed += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(reason)


@dataclass(eq=False)
class _Sent:
    """One request under way, and its connection's port at our end."""

    account: Account
    local_port: int = 0


class ConstantLoad:
    """`connections` clients that together send `rate` requests a second to 127.0.0.1:`port`.

    Set `phase` to start a new account; a request belongs to the phase in which it was first sent.
    """

    def __init__(self, port: int, connections: int, rate: float) -> None:
        self.accounts: dict[str, Account] = {}
        self.origins: collections.Counter[bytes] = collections.Counter()
        self._port = port
        self._count = connections
        self._interval_s = connections / rate
        self._in_flight: set[_Sent] = set()
        self._killed_ports: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._account = Account()
        self._number = 0
        self._stopping = False

    def enter_phase(self, name: str) -> None:
        """Requests sent from now on count for `name`."""
        self._account = self.accounts.setdefault(name, Account())

    def start(self) -> None:
        """Begin; the clients are spread evenly over the interval."""
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._count)]

    async def stop(self) -> None:
        """Let every request end, then close."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    def excuse(self, local_ports: Iterable[int]) -> int:
        """The worker that holds these connections is about to be killed: how many requests are in flight on
        them.
        """
        self._killed_ports = set(local_ports)
        return sum(sent.local_port in self._killed_ports for sent in self._in_flight)

    async def _client(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._interval_s * number / self._count
        connection: ClientConnection | None = None
        while not self._stopping:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + self._interval_s, loop.time())
            connection = await self._one_request(connection)
        if connection is not None:
            connection.close()

    async def _one_request(self, connection: ClientConnection | None) -> ClientConnection | None:
        """Send one request, if need be on a new connection, and account for it; the connection if it can be
        kept.
        """
        account = self._account
        self._number += 1
        path = f"/items?n={self._number}"
        if connection is not None and connection.closed_by_peer():
            account.idle_closes += 1
            connection.close()
            connection = None
        sent = _Sent(account)
        self._in_flight.add(sent)
        try:
            while True:
                if connection is None:
                    connection = await self._connect()
                    self._killed_ports.discard(connection.local_port)
                sent.local_port = connection.local_port
                try:
                    status, body = await connection.request(path)
                    break
                except RequestLost as lost:
                    connection.close()
                    if not lost.unread:
                        raise
                    account.idle_races += 1
                    connection = None
        except RequestLost as lost:
            if sent.local_port in self._killed_ports:
                account.lost_with_worker += 1
            else:
                account.fail(f"{path}: {lost}")
            return None
        finally:
            self._in_flight.discard(sent)
        self._count_answer(account, path, status, body)
        return connection if connection.usable else None

    def _count_answer(self, account: Account, path: str, status: int, body: bytes) -> None:
        if status == 200 and body.rstrip().endswith(path.partition("/items")[2].encode()):
            account.ok += 1
            self.origins[body.split()[0]] += 1
        else:
            account.fail(f"{path}: status {status}, body {body[:80]!r}")

    async def _connect(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                _, connection = await loop.create_connection(ClientConnection, "127.0.0.1", self._port)
        except (OSError, TimeoutError) as error:
            raise RequestLost(f"no connection: {error!r}") from None
        return connection
