"""The origins behind the chaos test: `PORT...`, one server on each, in one process.

Each answers after 0 to 40 ms, so that at any moment many requests are in flight, with its port and the path
asked for.
"""

from __future__ import annotations

import asyncio
import itertools
import sys

_DELAYS_S = (0.0, 0.003, 0.011, 0.024, 0.040)


class Origin(asyncio.Protocol):
    """One connection: requests one after the other, without bodies."""

    _turn = itertools.count()

    def __init__(self, port: int) -> None:
        self._port = port
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes of a request."""
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            delay_s = _DELAYS_S[next(self._turn) % len(_DELAYS_S)]
            asyncio.get_running_loop().call_later(delay_s, self._answer, path)

    def _answer(self, path: bytes) -> None:
        body = b"%d %s\n" % (self._port, path)
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def serve(ports: list[int]) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_server(lambda port=port: Origin(port), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve([int(argument) for argument in sys.argv[1:]]))
