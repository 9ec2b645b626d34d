"""A TCP connection to an upstream in place of a request: what a CONNECT that ends here becomes."""

from __future__ import annotations

from twistproxy.codec.h1_client import Http1ClientConnection
from twistproxy.codec.h1_request_writer import TUNNEL
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead


class TcpClientConnection(Http1ClientConnection):
    """No head is sent, and the request is accepted as soon as the connection is there."""

    __slots__ = ()

    def encode_upgrade(self, head: RequestHead) -> None:
        sink = self._sink
        assert sink is not None
        self._request_done = False
        self._state = TUNNEL
        self.switched = True
        sink.decode_headers(ResponseHead(200, []), False)
        sink.flush()

    def encode_data(self, data: bytes, end_stream: bool) -> None:
        self._write(data)
        if end_stream:
            self._end_request()

    def encode_trailers(self, trailers: HeaderMap) -> None:
        self._end_request()

    def _end_request(self) -> None:
        """A POST is complete: so is what we send."""
        self._request_done = True
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()

    def read_ended(self) -> None:
        """The upstream has said everything: the response is complete."""
        sink = self._sink
        if self._state != TUNNEL or sink is None:
            super().read_ended()
            return
        self._keep_alive = False
        self._finish(sink, b"")

    def close(self) -> None:
        """The tunnel is over; what the client said last shall arrive."""
        self.cut_short = self.switched and not self._request_done
        self.ended = self._request_done
        if self._backed_up:
            self._abort()
        else:
            self._close()
