"""However the bytes are cut on their way, the outcome is the same."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from twistproxy.model.http1 import Http1Settings, UpstreamHttp1Settings
from twistproxy.testing.data_plane import DataPlane, cluster, manager

WITH_TRAILERS = UpstreamHttp1Settings(enable_trailers=True)

H = b"HTTP/1.1\r\nHost: a\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

#: Bytes of a client.  What comes after the last whole request may be unfinished.
REQUESTS = [
    b"GET /a " + H + b"\r\n",
    b"\r\n\r\nGET /a " + H + b"\r\n" + b"\r\nGET /b " + H + b"\r\n",
    b"GET /a HTTP/1.1\nHost: a\nX: y\n\n",
    b"GET /a HTTP/1.1\nHost: a\n\nGET /b " + H + b"\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\n\r\nGET /b " + H + b"\r\n",
    b"GET  /a  " + H + b"A:   b \t \r\nEmpty:\r\n\r\n",
    b"POST /a " + H + b"Content-Length: 5\r\n\r\nhelloGET /b " + H + b"\r\n",
    b"POST /a " + H + CHUNKED + b'5;x="y"\r\nhello\r\n3\r\nabc\n0\r\nT: u\r\n\r\nGET /b ' + H + b"\r\n",
    b"POST /a " + H + CHUNKED + b"0\r\n\r\nPUT /b " + H + b"Content-Length: 1\r\n\r\nx",
    b"POST /a " + H + CHUNKED + b"5\r\nhello!\r\n",
    b"POST /a " + H + CHUNKED + b"5 \r\nhello\r\n",
    b"POST /a " + H + CHUNKED + b"5\nhello\r\n",
    b"GET /a " + H + b"Connection: close\r\n\r\nGET /b " + H + b"\r\n",
    b"GET /a " + H + b"Proxy-Connection: keep-alive\r\n\r\nGET /b " + H + b"\r\n",
    b"GET http://b/c " + H + b"\r\n",
    b"GET /a " + H + b"X: a\r\n b\r\n\r\n",
    b"GET /a " + H + b"X : a\r\n\r\n",
    b"GET /a HTTP/1.0\r\n\r\n",
    b"GET /a\r\n",
    b"GE",
    b"GET /a " + H + b"Content-Length: 0\r\n\r\n" * 2,
    b"HEAD /a " + H + b"\r\nGET /b " + H + b"\r\n",
    b"PUT /a " + H + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    b"POST /a " + H + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    b"garbage that is no request\r\n\r\n",
    b"GET /a " + H + b"X: \xe9\xff\r\n\r\n",
]

#: Answers of an upstream to a GET; True: it closes behind it.
ANSWERS = [
    (OK + b"Content-Length: 2\r\n\r\nok", False),
    (OK + b"Content-Length: 0\r\n\r\n", False),
    (OK + CHUNKED + b"5;a\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n", False),
    (OK + CHUNKED + b"1\r\na\r\n0\r\nT: u\r\n\r\n", False),
    (OK + b"\r\nuntil the end", True),
    (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", True),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na", False),
    (b"HTTP/1.1 204 No Content\r\n\r\n", False),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", False),
    (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", False),
    (OK + b"X: a\r\n  b\r\nContent-Length: 2\r\n\r\nok", False),
    (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", False),
    (OK + b"Content-Length: 3\r\n\r\nok", True),
    (OK + CHUNKED + b"5\r\nhel", True),
    (OK + b"Content-Len", True),
    (b"", True),
    (b"HTTP/1.1 20x OK\r\n\r\n", True),
    (b"nonsense\r\n\r\n", True),
    (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", True),
]


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(marks) if a < b]


def dechunked(data: bytes) -> bytes:
    """Requests or answers with the content of their chunks joined: how it is cut up may differ."""
    out = b""
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        out += head + end
        if b"transfer-encoding: chunked" not in head or head.startswith(b"HTTP/1.1 200 OK (HEAD)"):
            continue
        while data:
            size, _, data = data.partition(b"\r\n")
            if not size.strip() or int(size, 16) == 0:
                out += b"|" + (b"" if data[:2] == b"\r\n" else b"trailers ")
                data = data[2:] if data[:2] == b"\r\n" else data
                break
            out += data[: int(size, 16)]
            data = data[int(size, 16) + 2 :]
    return out


def from_client(pieces: list[bytes], trailers: bool) -> tuple[bytes, list[bytes], list[str], bool]:
    """What the upstream gets and the client gets back, if each request is answered when it is whole."""
    plane = DataPlane(manager(http1=Http1Settings(enable_trailers=trailers)), cluster(http1=WITH_TRAILERS))
    client = plane.client()
    for piece in pieces:
        if not client.closed and not client.write_closed:
            client.receive(piece)
            plane.turn()
    received = []
    done = 0
    plane.clock.advance(0.5)
    # Each connection carries one request at a time; every request is answered before the next one comes.
    while True:
        sent = [connection.take() for connection in plane.connector.connections]
        received.append(b"".join(sent))
        active = plane.runtime.active_requests()
        if not active or done > 3:
            break
        done += 1
        log = len(plane.log)
        for connection in plane.connector.connections:
            if not connection.closing and active:
                head = b"".join(received).rpartition(b" HTTP/1.1\r\nhost")[0]
                content = b"" if head.endswith(b"HEAD /a") else b"ok"
                connection.receive(OK + b"Content-Length: 2\r\n\r\n" + content)
                break
        plane.turn()
        if len(plane.log) == log:
            break
    answers = client.take()
    ended = client.closing or client.write_closed
    plane.clock.advance(1.5)
    log = list(plane.log)
    plane.finish()
    return dechunked(b"".join(received)), answers.split(b"HTTP/1."), log, ended


def from_upstream(pieces: list[bytes], close: bool) -> tuple[bytes, list[str], bool]:
    plane = DataPlane(manager(http1=Http1Settings(enable_trailers=True)), cluster(http1=WITH_TRAILERS))
    client = plane.client()
    client.receive(b"GET /a " + H + b"\r\n")
    upstream = plane.upstream
    for piece in pieces:
        if not upstream.closing:
            upstream.receive(piece)
    if close:
        upstream.end()
    plane.turn()
    out = client.take()
    log = [" ".join(line.split()[:4]) for line in plane.log]
    aborted = client.aborted
    plane.finish()
    return out, log, aborted


def compare_upstream(pieces: list[bytes], answer: bytes, close: bool) -> None:
    whole = from_upstream([answer] if answer else [], close)
    cut = from_upstream(pieces, close)
    if whole[1] and cut[1] and whole[1] != cut[1]:
        # A message that breaks in the middle: with the break in the same read as the head there is still a 502.
        assert {whole[1][0].split()[2], cut[1][0].split()[2]} == {"502", "200"}
        assert "UPE" in whole[1][0] and "UPE" in cut[1][0]
        return
    assert dechunked(cut[0]) == dechunked(whole[0])
    assert cut[1:] == whole[1:]


def compare_client(pieces: list[bytes], request: bytes, trailers: bool) -> None:
    whole = from_client([request], trailers)
    cut = from_client(pieces, trailers)
    if whole[2] and " DPE " in whole[2][-1] and b"POST" in request:
        # Content that is malformed further on: how much of it went out before depends on the cuts; never its end.
        assert b"|" not in whole[0] + cut[0]
        assert [line.split()[:4] for line in cut[2]] == [line.split()[:4] for line in whole[2]]
        assert (cut[1], cut[3]) == (whole[1], whole[3])
    else:
        assert cut == whole, request


def test_requests_byte_by_byte() -> None:
    for trailers in (False, True):
        for request in REQUESTS:
            compare_client([request[at : at + 1] for at in range(len(request))], request, trailers)


def test_answers_byte_by_byte() -> None:
    for answer, close in ANSWERS:
        compare_upstream([answer[at : at + 1] for at in range(len(answer))], answer, close)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(REQUESTS), st.lists(st.integers(0, 400), max_size=6), st.booleans())
def test_requests_cut_at_random(request: bytes, cuts: list[int], trailers: bool) -> None:
    compare_client(pieces_of(request, cuts), request, trailers)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 200), max_size=6))
def test_answers_cut_at_random(case: tuple[bytes, bool], cuts: list[int]) -> None:
    answer, close = case
    compare_upstream(pieces_of(answer, cuts), answer, close)


_WORDS = st.sampled_from(
    [
        b"GET", b"POST", b" ", b"/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r", b"Host: a", b"Content-Length: ",
        b"5", b"Transfer-Encoding: chunked", b"0", b"hello", b":", b"\0", b"Connection: close", b"a: b", b"\t", b";",
        b"HTTP/1.1 200 OK", b"HTTP/1.1 100 Continue", b"\x80", b"\r\n\r\n",
    ]
)  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(st.lists(st.one_of(_WORDS, st.binary(max_size=8)), max_size=25), st.booleans())
def test_any_bytes_from_either_side(words: list[bytes], upstream: bool) -> None:
    """Nothing but our own protocol errors inside, and nothing left behind."""
    plane = DataPlane()
    client = plane.client()
    if upstream:
        client.receive(b"GET /a " + H + b"\r\n")
    target = plane.upstream if upstream else client
    for word in words:
        if word and not target.closing and not target.write_closed:
            target.receive(word)
    plane.turn()
    for connection in plane.connector.connections:
        sent = connection.take()
        assert b"\0" not in sent.partition(b"\r\n\r\n")[0]
    plane.finish()
