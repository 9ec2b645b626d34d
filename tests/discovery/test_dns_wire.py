"""Our reading and writing of messages beside that of twisted.names."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns

from twistproxy.discovery.dns_wire import (
    AAAA,
    CNAME,
    NXDOMAIN,
    OK,
    SRV,
    A,
    MalformedMessage,
    Record,
    Reply,
    ServiceRecord,
    decode_reply,
    encode_question,
)


def message(*answers: dns.RRHeader, name: str = "app.test", kind: int = A, **fields: int) -> dns.Message:
    made = dns.Message(id=7, answer=1, maxSize=0, **fields)
    made.queries = [dns.Query(name, kind)]
    made.answers = list(answers)
    return made


def record(kind: int, payload: object, name: str = "app.test", ttl: int = 60) -> dns.RRHeader:
    return dns.RRHeader(name, kind, dns.IN, ttl, payload)


def test_question() -> None:
    read = dns.Message()
    read.fromStr(encode_question(258, "App.test.", AAAA, 1232))
    assert (read.id, read.answer, read.recDes) == (258, 0, 1)
    assert read.queries == [dns.Query(b"App.test", dns.AAAA, dns.IN)]
    [option] = read.additional
    assert (option.type, option.cls, option.name.name) == (dns.OPT, 1232, b"")
    plain = dns.Message()
    plain.fromStr(encode_question(1, "bücher.test", A))
    assert plain.additional == []
    assert plain.queries[0].name.name == b"xn--bcher-kva.test"


@pytest.mark.parametrize("name", ["", ".", "a..b", ".a", "a" * 64 + ".test", "a." * 127 + "b", "ä" * 70])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(MalformedMessage):
        encode_question(1, name, A)


def test_reply() -> None:
    made = message(
        record(dns.CNAME, dns.Record_CNAME("Real.test", 5), ttl=5),
        record(dns.A, dns.Record_A("10.0.0.1", 60), "real.test"),
        record(dns.AAAA, dns.Record_AAAA("fd00::1", 60), "real.test"),
        record(dns.SRV, dns.Record_SRV(1, 2, 80, "Real.test", 60)),
        record(dns.SRV, dns.Record_SRV(1, 2, 80, "", 60)),
        record(dns.TXT, dns.Record_TXT(b"x", ttl=60)),
        rCode=0,
    )
    made.authority = [record(dns.NS, dns.Record_NS("ns.test", 60))]
    made.additional = [record(dns.A, dns.Record_A("10.0.0.2", 9), "real.test", 9)]
    assert decode_reply(made.toStr()) == Reply(
        7,
        OK,
        False,
        "app.test",
        A,
        (
            Record("app.test", CNAME, 5, None),
            Record("real.test", A, 60, "10.0.0.1"),
            Record("real.test", AAAA, 60, "fd00::1"),
            Record("app.test", SRV, 60, ServiceRecord(1, 2, 80, "real.test")),
            Record("app.test", SRV, 60, ServiceRecord(1, 2, 80, "")),
            Record("app.test", dns.TXT, 60, None),
        ),
        (Record("real.test", A, 9, "10.0.0.2"),),
    )


def test_codes_and_truncation() -> None:
    assert decode_reply(message(rCode=3).toStr()).code == NXDOMAIN
    cut = message(record(dns.A, dns.Record_A("10.0.0.1", 60)), trunc=1).toStr()
    assert decode_reply(cut[:-2]) == Reply(7, OK, True, "app.test", A)


def test_a_negative_time_to_live_is_none() -> None:
    data = bytearray(message(record(dns.A, dns.Record_A("10.0.0.1", 60))).toStr())
    data[-10] = 0x80
    assert decode_reply(bytes(data)).answers[0].ttl == 0


def test_many_addresses() -> None:
    answers = [record(dns.A, dns.Record_A(f"10.0.{n >> 8}.{n & 255}", 60)) for n in range(4000)]
    assert len(decode_reply(message(*answers).toStr()).answers) == 4000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 11,
        encode_question(1, "app.test", A),  # not an answer
        struct.pack("!HHHHHH", 1, 0x8180, 2, 0, 0, 0) + b"\1a\0\0\1\0\1" * 2,
        struct.pack("!HHHHHH", 1, 0x8180, 1, 1, 0, 0) + b"\1a\0\0\1\0\1",  # a record short
        struct.pack("!HHHHHH", 1, 0x8180, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",  # a name that is itself
        struct.pack("!HHHHHH", 1, 0x8180, 1, 0, 0, 0) + b"\x80a\0\0\1\0\1",
        struct.pack("!HHHHHH", 1, 0x8180, 1, 0, 0, 0) + b"\x3f" + b"a" * 63 * 5 + b"\0\0\1\0\1",
        struct.pack("!HHHHHH", 1, 0x8180, 1, 0, 0, 0) + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
        message(record(dns.A, dns.Record_A("10.0.0.1", 60))).toStr()[:-1],
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_reply(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    head = struct.pack("!HHHHHH", 1, 0x8180, 1, 3, 1, 1)
    for whole in (data, head + b"\1a\0\0\1\0\1" + data):
        try:
            decode_reply(whole)
        except MalformedMessage:
            pass


@pytest.mark.parametrize(("pointers", "refused"), [(127, False), (128, True)])
def test_a_name_has_no_more_pointers_than_labels(pointers: int, refused: bool) -> None:
    """Else reading the longest message could take minutes."""
    question, begin = b"\1a\0\0\1\0\1", 12 + 7 + 12
    # The first points to the name of the question, each further one to the one before.
    targets = [12, *(begin + 2 * at for at in range(pointers - 1))]
    chain = b"".join(struct.pack("!H", 0xC000 | target) for target in targets)
    first = struct.pack("!HHHIH", 0xC00C, 99, 1, 1, len(chain)) + chain
    last = begin + 2 * (pointers - 1)
    second = struct.pack("!HHHIH", 0xC000 | last, A, 1, 1, 4) + b"\1\2\3\4"
    data = struct.pack("!HHHHHH", 1, 0x8180, 1, 2, 0, 0) + question + first + second
    if refused:
        with pytest.raises(MalformedMessage):
            decode_reply(data)
    else:
        assert decode_reply(data).answers[1] == Record("a", A, 1, "1.2.3.4")
