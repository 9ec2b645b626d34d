from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamReset

from twistproxy.codec.h2_calls import Fields, H2Calls
from twistproxy.errors import RemoteProtocolError

HEAD = [(b":method", b"GET"), (b":path", b"/"), (b":authority", b"a"), (b":scheme", b"http")]


class Sink:
    def __init__(self) -> None:
        self.told: list[object] = []

    def call_head(self, fields: Fields, ended: bool) -> None:
        self.told.append((fields[b":status"], ended))

    def call_data(self, data: bytes, ended: bool) -> None:
        self.told.append((data, ended))

    def call_trailers(self, fields: Fields) -> None:
        self.told.append(fields)

    def call_reset(self) -> None:
        self.told.append("reset")

    def going_away(self, orderly: bool) -> None:
        self.told.append(("going away", orderly))


class Pair:
    def __init__(self) -> None:
        self.sink = Sink()
        self.sent = bytearray()
        self.calls = H2Calls(self.sent.extend, self.sink)
        self.server = H2Connection(H2Configuration(client_side=False))
        self.server.initiate_connection()

    def serve(self) -> list[object]:
        events = self.server.receive_data(bytes(self.sent))
        self.sent.clear()
        return list(events)

    def answer(self, size: int = 1 << 20) -> None:
        """In pieces of that size."""
        data = self.server.data_to_send()
        for at in range(0, len(data), size):
            self.calls.receive(data[at : at + size])


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_calls(size: int) -> None:
    pair = Pair()
    for number in (1, 3):
        pair.calls.call(HEAD, b"abc")
        assert pair.calls.active
        assert [event.stream_id for event in pair.serve() if isinstance(event, RequestReceived)] == [number]
        pair.server.send_headers(number, [(":status", "200")])
        pair.server.send_data(number, b"def")
        pair.server.send_headers(number, [("x", "y")], end_stream=True)
        pair.answer(size)
        assert not pair.calls.active
    assert pair.sink.told == [(b"200", False), (b"def", False), {b"x": b"y"}] * 2


def test_what_comes_for_a_call_that_was_cancelled_is_not_told() -> None:
    pair = Pair()
    pair.calls.call(HEAD, b"")
    pair.serve()
    pair.server.send_headers(1, [(":status", "200")])
    pair.calls.cancel()
    pair.answer()
    assert pair.sink.told == []
    assert any(isinstance(event, StreamReset) for event in pair.serve())


def test_a_call_is_finished_after_a_server_has_said_that_it_leaves() -> None:
    pair = Pair()
    pair.calls.call(HEAD, b"")
    pair.serve()
    start = pair.server.data_to_send()
    pair.server.send_headers(1, [(":status", "200")], end_stream=True)
    goaway = bytes.fromhex("0000080700000000000000000100000000")
    pair.calls.receive(start + goaway + pair.server.data_to_send())
    assert pair.sink.told == [("going away", True), (b"200", True)]


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n", bytes(9), b"\0\xff\xff\4\0" + bytes(4), b"\0\0\1\4\0\0\0\0\0x"]
)
def test_what_is_not_http2(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Pair().calls.receive(data)
