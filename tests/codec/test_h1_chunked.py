"""Chunked content, decoded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistproxy.codec.h1_chunked import ChunkedDecoder, encode_chunk
from twistproxy.errors import RemoteProtocolError


def decode(data: bytes, step: int = 0) -> tuple[bytes, ChunkedDecoder]:
    decoder = ChunkedDecoder(1000)
    content = b""
    for at in range(0, len(data), step or len(data)):
        if decoder.done:
            decoder.rest += data[at : at + (step or len(data))]
        else:
            content += b"".join(decoder.feed(data[at : at + (step or len(data))]))
    return content, decoder


@pytest.mark.parametrize("step", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789"),
        (b'1;a;b=c;d="e;\\"f"\r\nx\r\n0;y\r\n\r\n', b"x"),
        (b"1 ; a = b\r\nx\r\n0\r\n\r\n", b"x"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"1\r\nx\n0\r\n\n", b"x"),
    ],
)
def test_well_formed(data: bytes, content: bytes, step: int) -> None:
    found, decoder = decode(data + b"GET", step)
    assert (found, decoder.done, decoder.rest) == (content, True, b"GET")


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"x\r\n",
        b"5\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\t\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5_0\r\n",
        b"-1\r\n",
        b"5;\r\nhello\r\n",
        b"5;a=\r\nhello\r\n",
        b"5;a\0\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5 a\r\nhello\r\n",
        b"10000000000000000\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhellox\n",
        b"5\r\nhello0\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nspace : x\r\n\r\n",
        b"0\r\n: x\r\n\r\n",
        b"0\r\na: b\0\r\n\r\n",
        b"0\r\na: b\r\n folded\r\n\r\n",
        b"0\r\n" + b"a: " + b"b" * 1000 + b"\r\n\r\n",
        b"5;" + b"a" * 70000,
        (b"1;" + b"a" * 4000 + b"\r\nx\r\n") * 17,
    ],
)
def test_malformed(data: bytes, step: int) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(data, step)


def test_trailers_that_would_change_the_message_are_dropped() -> None:
    _, decoder = decode(
        b"0\r\nX-A:  b \r\nContent-Length: 5\r\nHost: x\r\nTransfer-Encoding: y\r\nx-c:\r\n\r\n"
    )
    assert decoder.trailers == [(b"x-a", b"b"), (b"x-c", b"")]


def test_too_large_trailers_hint_at_431() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(b"0\r\n" + b"a: b\r\n" * 300 + b"\r\n")
    assert caught.value.status_hint == 431


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(1, 40))
def test_what_is_encoded_is_decoded(pieces: list[bytes], step: int) -> None:
    data = b"".join(map(encode_chunk, pieces)) + b"0\r\n\r\n"
    found, decoder = decode(data, step)
    assert found == b"".join(pieces) and decoder.done


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from([b"5", b"\r\n", b"\n", b"\r", b";a", b"hello", b"0", b": ", b'"', b"\0", b" "]))
)
def test_nothing_but_protocol_errors_and_the_same_however_cut(words: list[bytes]) -> None:
    data = b"".join(words)
    outcomes = []
    for step in (0, 1, 3):
        try:
            found, decoder = decode(data, step) if data else (b"", ChunkedDecoder())
            outcomes.append((found, decoder.done, decoder.rest, decoder.trailers))
        except RemoteProtocolError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_million_small_chunks_take_linear_time_and_no_memory() -> None:
    decoder = ChunkedDecoder()
    data = b"1\r\nx\r\n" * 10000
    total = 0
    for _ in range(20):
        total += sum(map(len, decoder.feed(data)))
    assert total == 200000 and not decoder.done


@pytest.mark.parametrize("value", [b"a\x01b", b"\x0b", b"a\x7f", b"a\x1b[0m", b"a\rb", b"a\0"])
def test_trailers_have_no_control_characters(value: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(b"0\r\nx: " + value + b"\r\n\r\n")


def test_number_of_trailers() -> None:
    decoder = ChunkedDecoder(1000, 3)
    decoder.feed(b"0\r\n" + b"x: v\r\n" * 3)
    with pytest.raises(RemoteProtocolError) as found:
        decoder.feed(b"x: v\r\n")
    assert found.value.status_hint == 431


@pytest.mark.parametrize("data", [b"hello", b"g", b"1g", b"-1", b"0x5", b"5_"])
def test_a_size_is_refused_at_its_first_wrong_byte(data: bytes) -> None:
    """Whoever sends it may send nothing more, and would wait."""
    with pytest.raises(RemoteProtocolError):
        decode(data)
