"""Filters before the router: who sees what, stopping, going on, answering."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.api.http_filter import FilterChain, FilterStatus
from twistproxy.model.http1 import Http1Settings, UpstreamHttp1Settings
from twistproxy.testing.data_plane import DataPlane, cluster, manager

WITH_TRAILERS = UpstreamHttp1Settings(enable_trailers=True)

CONTINUE, STOP = FilterStatus.CONTINUE, FilterStatus.STOP
STOP_AND_BUFFER, STOP_AND_WATERMARK = FilterStatus.STOP_AND_BUFFER, FilterStatus.STOP_AND_WATERMARK
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: u\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nV: w\r\n\r\n"


def with_filters(*filters: Any) -> DataPlane:
    plane = DataPlane(manager(http1=Http1Settings(enable_trailers=True)), cluster(http1=WITH_TRAILERS))
    running = plane.runtime._listeners["main"].manager
    running.chain = FilterChain(filters, running.chain.router)
    return plane


class Recorder:
    """Notes every call; stops where told to."""

    def __init__(
        self, name: str, calls: list[str], stop_at: str = "", status: FilterStatus = STOP_AND_WATERMARK
    ) -> None:
        self.status = status
        self.name = name
        self.calls = calls
        self.stop_at = stop_at
        self.stream: Any = None

    def _note(self, stream: Any, method: str, end_stream: bool) -> FilterStatus:
        self.stream = stream
        self.calls.append(f"{self.name} {method}{' end' if end_stream else ''}")
        return self.status if method in self.stop_at.split() else CONTINUE

    def decode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        return self._note(stream, "decode_headers", end_stream)

    def decode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus:
        return self._note(stream, "decode_data", end_stream)

    def decode_trailers(self, stream: Any, trailers: Any) -> FilterStatus:
        return self._note(stream, "decode_trailers", True)

    def encode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        return self._note(stream, "encode_headers", end_stream)

    def encode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus:
        return self._note(stream, "encode_data", end_stream)

    def encode_trailers(self, stream: Any, trailers: Any) -> FilterStatus:
        return self._note(stream, "encode_trailers", True)


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


@pytest.mark.parametrize("where", ["decode_headers", "decode_data decode_trailers", "decode_trailers"])
def test_stopped_request_waits_whole_and_in_order(where: str) -> None:
    calls: list[str] = []
    stopper = Recorder("1", calls, where)
    plane = with_filters(stopper, Recorder("2", calls))
    client = plane.client()
    client.receive(POST)
    plane.turn()
    assert f"2 {where.split()[0]}" not in calls
    if where == "decode_headers":
        assert plane.connector.attempts == []
    stopper.stop_at = ""
    stopper.stream.continue_decoding(stopper)
    upstream = plane.upstream
    assert upstream.take().endswith(b"2\r\nab\r\n0\r\nt: u\r\n\r\n")
    assert [call[2:] for call in calls if call[0] == "2"] == [
        "decode_headers",
        "decode_data",
        "decode_trailers end",
    ]
    upstream.receive(ANSWER)
    plane.finish()


@pytest.mark.parametrize("where", ["encode_headers", "encode_data encode_trailers", "encode_trailers"])
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
    stopper.stream.continue_encoding(stopper)
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
    stopper.stream.continue_encoding(stopper)
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
    chain = FilterChain((None, Answering()), None)  # type: ignore[arg-type]
    assert [at for at, _, _ in chain.decoding[0]] == [1]
    assert chain.decoding[1:] == ((), ())
    assert chain.encoding == ((), (), ())
    assert not chain.plain and FilterChain((), None).plain  # type: ignore[arg-type]


class Upper:
    """Takes the whole request and sends it on in capitals."""

    def decode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        head.remove(b"content-length")
        return CONTINUE if end_stream else STOP

    def decode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus | bytes:
        if not end_stream:
            return STOP_AND_BUFFER
        body: bytes = stream.take_held(self) + data
        stream.head.set(b"x-length", b"%d" % len(body))
        return body.upper()


def test_content_that_a_filter_takes_whole_and_replaces() -> None:
    plane = with_filters(Upper())
    client = plane.client()
    client.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    client.receive(b"2\r\ncd\r\n")
    assert plane.connector.attempts == []
    client.receive(b"0\r\n\r\n")
    upstream = plane.upstream
    sent = upstream.take()
    assert b"x-length: 4\r\n" in sent and b"ABCD" in sent and b"AB\r\n" not in sent
    upstream.receive(ANSWER)
    plane.finish()


def test_trailers_end_the_content_of_a_filter_that_takes_none() -> None:
    plane = with_filters(Upper())
    client = plane.client()
    client.receive(POST)
    upstream = plane.upstream
    assert upstream.take().endswith(b"2\r\nAB\r\n0\r\nt: u\r\n\r\n")
    upstream.receive(ANSWER)
    plane.finish()


class Taking:
    """Takes content away, piece by piece."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def decode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus:
        if end_stream:
            return CONTINUE
        self.taken.append(data)
        return STOP


def test_content_that_a_filter_takes_away() -> None:
    taking = Taking()
    plane = with_filters(taking)
    client = plane.client()
    client.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    client.receive(b"3\r\ncde\r\n")
    client.receive(b"0\r\n\r\n")
    upstream = plane.upstream
    assert upstream.take().endswith(b"\r\n\r\n0\r\n\r\n")
    assert taking.taken == [b"ab", b"cde"]
    upstream.receive(ANSWER)
    plane.finish()


def big(plane: DataPlane, limit: int = 10) -> Any:
    """A client of a plane whose filters may hold that many bytes."""
    plane.runtime._listeners["main"].manager.buffer_limit = limit
    return plane.client()


HEAD_OF_20 = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n"


@pytest.mark.parametrize("where", ["decode_headers", "decode_data"])
def test_too_much_held_of_a_request_is_413(where: str) -> None:
    plane = with_filters(Recorder("1", [], where, STOP_AND_BUFFER))
    client = big(plane)
    client.receive(HEAD_OF_20 + b"x" * 10)
    assert client.take() == b""
    client.receive(b"x")
    answer = client.take()
    assert answer.startswith(b"HTTP/1.1 413 Payload Too Large") and answer.endswith(
        b"\r\n\r\nPayload Too Large"
    )
    assert plane.log == ["POST /x 413 - request_payload_too_large 11 17"]
    assert plane.counter("http.ingress.downstream_rq_too_large") == 1
    plane.finish()


@pytest.mark.parametrize("where", ["decode_headers", "decode_data"])
def test_a_source_is_paused_at_the_limit(where: str) -> None:
    stopper = Recorder("1", [], where, STOP_AND_WATERMARK)
    plane = with_filters(stopper)
    client = big(plane)
    client.receive(HEAD_OF_20 + b"x" * 10)
    assert client.reading
    client.receive(b"x" * 5)
    assert not client.reading
    stopper.stop_at = ""
    stopper.stream.continue_decoding(stopper)
    assert client.reading
    client.receive(b"x" * 5)
    upstream = plane.upstream
    assert upstream.take().endswith(b"x" * 20)
    upstream.receive(ANSWER)
    plane.finish()


class HeadHolder:
    """Stops heads and has nothing to do with content."""

    def decode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        self.stream = stream
        return STOP


def test_content_waits_too_where_a_filter_only_stops_the_head() -> None:
    holder = HeadHolder()
    plane = with_filters(holder)
    client = big(plane)
    client.receive(HEAD_OF_20 + b"x" * 15)
    assert not client.reading and plane.connector.attempts == []
    holder.stream.continue_decoding(holder)
    client.receive(b"x" * 5)
    upstream = plane.upstream
    assert upstream.take().endswith(b"x" * 20)
    upstream.receive(ANSWER)
    plane.finish()


@pytest.mark.parametrize("where", ["encode_headers", "encode_data"])
def test_too_much_held_of_a_response_is_500(where: str) -> None:
    plane = with_filters(
        Recorder("1", [], "encode_headers" if where == "encode_headers" else "", STOP_AND_BUFFER)
    )
    if where == "encode_data":
        plane = with_filters(WholeAnswer())
    client = big(plane)
    client.receive(GET)
    plane.upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"x" * 15)
    answer = client.take()
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error")
    assert plane.log == ["GET /x 500 - response_payload_too_large 0 21"]
    assert plane.counter("http.ingress.rs_too_large") == 1
    plane.finish()


class WholeAnswer:
    """Wants responses whole."""

    def encode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        return CONTINUE if end_stream else STOP

    def encode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus | bytes:
        if not end_stream:
            return STOP_AND_BUFFER
        body: bytes = stream.take_held_response(self) + data
        return body[::-1]


def test_a_response_is_taken_whole_and_replaced() -> None:
    plane = with_filters(WholeAnswer())
    client = plane.client()
    client.receive(GET)
    plane.upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    assert client.take() == b""
    plane.upstream.receive(b"cd")
    assert client.take().endswith(b"\r\n\r\ndcba")
    plane.finish()


def test_an_upstream_is_paused_at_the_limit() -> None:
    stopper = Recorder("1", [], "encode_headers")
    plane = with_filters(stopper)
    client = big(plane)
    client.receive(GET)
    upstream = plane.upstream
    upstream.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"x" * 15)
    assert not upstream.reading
    stopper.stream.continue_encoding(stopper)
    assert upstream.reading
    upstream.receive(b"x" * 5)
    assert client.take().endswith(b"x" * 20)
    plane.finish()


class AtOnce:
    """Its answer is there before it has stopped."""

    def decode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        stream.continue_decoding(self)
        return STOP_AND_BUFFER


def test_a_filter_may_continue_before_it_has_stopped() -> None:
    plane = with_filters(AtOnce())
    client = plane.client()
    client.receive(GET)
    plane.upstream.receive(ANSWER)
    assert client.take().startswith(b"HTTP/1.1 200")
    plane.finish()


def test_two_filters_may_hold_at_a_time() -> None:
    calls: list[str] = []
    first = Recorder("1", calls, "decode_data", STOP_AND_BUFFER)
    second = Recorder("2", calls, "decode_headers", STOP)
    plane = with_filters(first, second)
    client = plane.client()
    client.receive(HEAD_OF_20 + b"x" * 10)
    client.receive(b"x" * 10)
    assert plane.connector.attempts == []
    second.stop_at = first.stop_at = ""
    second.stream.continue_decoding(second)
    upstream = plane.upstream
    assert not upstream.take().endswith(b"x")
    first.stream.continue_decoding(first)
    assert upstream.take().endswith(b"x" * 20)
    assert calls[-1] == "2 decode_data end"
    upstream.receive(ANSWER)
    plane.finish()


class Ending:
    """Notes which streams are over, and keeps notes of its own."""

    def __init__(self) -> None:
        self.ended: list[Any] = []

    def decode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        stream.notes[self] = head.path
        return CONTINUE

    def stream_ended(self, stream: Any) -> None:
        self.ended.append(stream.notes.get(self))


def test_filters_hear_of_the_end() -> None:
    ending = Ending()
    plane = with_filters(ending)
    client = plane.client()
    client.receive(GET)
    assert ending.ended == []
    plane.upstream.receive(ANSWER)
    client.receive(GET)
    client.lose()
    assert ending.ended == [b"/x", b"/x"]
    plane.finish()


def test_answers_to_what_cannot_be_routed_pass_the_filters() -> None:
    calls: list[str] = []
    plane = with_filters(Recorder("1", calls))
    client = plane.client()
    client.receive(b"GET /x HTTP/1.1\r\nHost:\r\n\r\n")
    assert client.take().startswith(b"HTTP/1.1 400")
    assert calls == ["1 encode_headers end"]
    plane.finish()


class Rerouting:
    """Sends everything to /other."""

    def decode_headers(self, stream: Any, head: Any, end_stream: bool) -> FilterStatus:
        head.path = b"/other"
        stream.clear_route_cache()
        return CONTINUE


def test_a_filter_may_have_the_route_picked_anew() -> None:
    plane = with_filters(Rerouting())
    running = plane.runtime._listeners["main"].manager
    asked = []
    pick = running.pick_route

    def noting(head: Any, stream: Any) -> Any:
        asked.append(head.path)
        return pick(head, stream) if head.path == b"/x" else None

    running.pick_route = noting
    client = plane.client()
    client.receive(GET)
    assert client.take().startswith(b"HTTP/1.1 404")
    assert asked == [b"/x", b"/other"]
    plane.finish()


def test_a_filter_that_the_new_route_has_not_hears_of_the_end_too() -> None:
    ending = Ending()
    plane = with_filters(ending, Rerouting())
    running = plane.runtime._listeners["main"].manager
    there, gone = running.chain, FilterChain((None, None), running.chain.router)

    class Chains:
        """The first route has all filters, the other one none."""

        def __init__(self) -> None:
            self.left = [there]

        def select(self, route: Any) -> FilterChain:
            return self.left.pop() if self.left else gone

        def routes_changed(self) -> None: ...

    running.chain = FilterChain((), there.router, Chains())
    client = plane.client()
    client.receive(GET)
    plane.upstream.receive(ANSWER)
    assert ending.ended == [b"/x"]
    plane.finish()
