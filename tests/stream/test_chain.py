"""Filters before the router: who sees what, stopping, going on, answering."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.api.http_filter import FilterChain, FilterStatus
from twistproxy.model.http_manager import Http1Settings
from twistproxy.testing.data_plane import DataPlane, manager

CONTINUE, STOP = FilterStatus.CONTINUE, FilterStatus.STOP
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: u\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nV: w\r\n\r\n"


def with_filters(*filters: Any) -> DataPlane:
    plane = DataPlane(manager(http1=Http1Settings(enable_trailers=True)))
    running = plane.runtime._listeners["main"].manager
    running.chain = FilterChain(filters, running.chain.router)
    return plane


class Recorder:
    """Notes every call; stops where told to."""

    def __init__(self, name: str, calls: list[str], stop_at: str = "") -> None:
        self.name = name
        self.calls = calls
        self.stop_at = stop_at
        self.stream: Any = None

    def _note(self, stream: Any, method: str, end_stream: bool) -> FilterStatus:
        self.stream = stream
        self.calls.append(f"{self.name} {method}{' end' if end_stream else ''}")
        return STOP if method == self.stop_at else CONTINUE

    def decode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        return self._note(stream, "decode_headers", end_stream)

    def decode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus:
        return self._note(stream, "decode_data", end_stream)

    def decode_trailers(self, stream: Any, trailers: Any, end_stream: bool) -> FilterStatus:
        return self._note(stream, "decode_trailers", end_stream)

    def encode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        return self._note(stream, "encode_headers", end_stream)

    def encode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus:
        return self._note(stream, "encode_data", end_stream)

    def encode_trailers(self, stream: Any, trailers: Any, end_stream: bool) -> FilterStatus:
        return self._note(stream, "encode_trailers", end_stream)


def test_order_is_there_and_back_again() -> None:
    calls: list[str] = []
    plane = with_filters(Recorder("1", calls), Recorder("2", calls))
    client = plane.client()
    client.receive(POST)
    upstream = plane.upstream
    assert upstream.take().endswith(b"2\r\nab\r\n0\r\nt: u\r\n\r\n")
    upstream.receive(ANSWER)
    assert client.take().endswith(b"2\r\nok\r\n0\r\nv: w\r\n\r\n")
    there = ["decode_headers", "decode_data", "decode_trailers end"]
    back = ["encode_headers", "encode_data", "encode_trailers end"]
    assert calls == [f"{n} {m}" for m in there for n in "12"] + [f"{n} {m}" for m in back for n in "21"]
    plane.finish()


@pytest.mark.parametrize("where", ["decode_headers", "decode_data", "decode_trailers"])
def test_stopped_request_waits_whole_and_in_order(where: str) -> None:
    calls: list[str] = []
    stopper = Recorder("1", calls, where)
    plane = with_filters(stopper, Recorder("2", calls))
    client = plane.client()
    client.receive(POST)
    plane.turn()
    assert f"2 {where}" not in calls
    if where == "decode_headers":
        assert plane.connector.attempts == []
    stopper.stop_at = ""
    stopper.stream._walk.continue_decoding()
    upstream = plane.upstream
    assert upstream.take().endswith(b"2\r\nab\r\n0\r\nt: u\r\n\r\n")
    assert [call[2:] for call in calls if call[0] == "2"] == [
        "decode_headers",
        "decode_data",
        "decode_trailers end",
    ]
    upstream.receive(ANSWER)
    plane.finish()


@pytest.mark.parametrize("where", ["encode_headers", "encode_data", "encode_trailers"])
def test_stopped_answer_waits_whole_and_in_order(where: str) -> None:
    calls: list[str] = []
    stopper = Recorder("2", calls, where)
    plane = with_filters(Recorder("1", calls), stopper)
    client = plane.client()
    client.receive(POST)
    plane.upstream.receive(ANSWER)
    assert not client.take().endswith(b"0\r\nv: w\r\n\r\n")
    assert plane.log == []
    stopper.stop_at = ""
    stopper.stream._walk.continue_encoding()
    assert plane.log[0].split()[2] == "200"
    plane.finish()


def test_answer_held_by_a_filter_outlives_the_route_timeout() -> None:
    stopper = Recorder("1", [], "encode_headers")
    plane = with_filters(stopper)
    client = plane.client()
    client.receive(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    plane.upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    plane.clock.advance(16)
    stopper.stop_at = ""
    stopper.stream._walk.continue_encoding()
    assert client.take().endswith(b"ok")
    plane.finish()


class Answering:
    """Answers by itself."""

    def decode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        stream.local_reply(403, b"no", 0, "denied")
        return STOP


def test_a_filter_may_answer() -> None:
    calls: list[str] = []
    plane = with_filters(Recorder("1", calls), Answering(), Recorder("3", calls))
    client = plane.client()
    client.receive(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    assert client.take().count(b"HTTP/1.1 403 Forbidden") == 2
    assert plane.connector.attempts == []
    assert "3 decode_headers end" not in calls and "1 encode_headers" in calls
    assert plane.log == ["GET /x 403 - denied 0 2"] * 2
    plane.finish()


def test_client_gone_while_a_filter_holds_the_request() -> None:
    plane = with_filters(Recorder("1", [], "decode_headers"))
    client = plane.client()
    client.receive(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    client.lose()
    assert plane.log[0].split()[3] == "DC"
    plane.finish()


def test_a_filter_costs_nothing_where_it_has_no_method() -> None:
    chain = FilterChain((Answering(),), None)  # type: ignore[arg-type]
    assert len(chain.decode_headers) == 1
    assert chain.decode_data == chain.encode_headers == chain.encode_data == ()
