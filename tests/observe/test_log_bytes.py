"""Whatever bytes a request and its response bring, a line of a log stays one line, and one of JSON stays JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from twistproxy.model.access_log import AccessLogSettings, LogFormat
from twistproxy.testing.data_plane import LOG, DataPlane, manager

OPERATORS = (
    "%REQ(:PATH)%",
    "%REQ(:AUTHORITY)%",
    "%REQ(X)%",
    "%REQ(X):3%",
    "%REQ(NONE?X)%",
    "%RESP(Y)%",
    "%RESP(Y):5%",
    "%TRAILER(Z)%",
    "%DOWNSTREAM_REMOTE_ADDRESS%",
    "%RESPONSE_CODE_DETAILS%",
    "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "%REASON%",
)
#: Mostly what needs care: quotes, escapes, percent signs, control characters, UTF-8 whole and in pieces.
octets = st.lists(
    st.one_of(
        st.sampled_from(
            [b'"', b"\\", b"%", b"%s", b"\t", b"\x01", b"\x0b", b"\x7f", b"\r", b"\n", b"\xc3", b"\xa9"]
        ),
        st.sampled_from([piece.encode() for piece in ("é", "\u2028", "\u0085", "😀")]),
        st.binary(max_size=4),
    ),
    max_size=6,
).map(b"".join)


@given(octets, octets, octets, octets, st.booleans())
def test_one_line_for_one_request(x: bytes, path: bytes, y: bytes, z: bytes, omit_empty: bool) -> None:
    tree = {"alone": list(OPERATORS), "joined": [f'"{one}\\' for one in OPERATORS], "k%": "%REQ(X)%"}
    logs = (
        AccessLogSettings(LOG, LogFormat("|".join(OPERATORS) + "\n")),
        AccessLogSettings("/json", LogFormat(json=tree, omit_empty=omit_empty)),
    )
    http1 = replace(manager().http1, enable_trailers=True)
    plane = DataPlane(replace(manager(), access_logs=logs, http1=http1))
    client = plane.client()
    client.receive(b"GET /" + path + b" HTTP/1.1\r\nHost: a\r\nX: " + x + b"\r\n\r\n")
    if plane.connector.attempts:
        plane.upstream.receive(
            b"HTTP/1.1 200 OK\r\nY: "
            + y
            + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nZ: "
            + z
            + b"\r\n\r\n"
        )
    client.lose()
    texts = plane.log
    lines = plane.logs.open("/json").lines
    assert len(lines) == len(texts)
    for text in texts:
        assert "\n" not in text and "\r" not in text
    for line in lines:
        assert "\n" not in line and "\r" not in line
        json.loads(line.encode("utf-8", "surrogateescape").decode())
