"""Access log lines of real streams."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twistproxy.model.access_log import AccessLogSettings
from twistproxy.observe.access_log import Clocks, FormatError, compile_format
from twistproxy.testing.data_plane import LOG, DataPlane, manager

GET = b"GET /x?y HTTP/1.1\r\nHost: a.b\r\nUser-Agent: me\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Up: v\r\n\r\nok"


def logged(text: str | None) -> str:
    plane = DataPlane(replace(manager(), access_logs=(AccessLogSettings(LOG, text),)))
    client = plane.client()
    client.receive(GET)
    upstream = plane.upstream
    plane.clock.advance(0.25)
    upstream.receive(OK[:-2])
    plane.clock.advance(0.25)
    upstream.receive(OK[-2:])
    (line,) = plane.log
    plane.finish()
    return line


def test_default_format() -> None:
    assert logged(None) == (
        '[2023-11-14T22:13:20.000Z] "GET /x?y HTTP/1.1" 200 - 0 2 500 250 "-" "me" "-" "a.b" "10.0.0.1:80"'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%REQ(x-two)%|%REQ(NONE)%|%REQ(NONE?USER-AGENT)%|%REQ(:METHOD):2%", "1|-|me|GE"),
        ("%RESP(X-UP)%|%RESPONSE_CODE_DETAILS%|%RESPONSE_FLAGS%", "v|via_upstream|-"),
        ("%START_TIME(%Y/%m/%d %s %3f)%", "2023/11/14 1700000000 000"),
        ("%DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION% %REQUEST_DURATION%", "500 250 250 0"),
        ("%UPSTREAM_HOST% %UPSTREAM_CLUSTER% %PROTOCOL%", "10.0.0.1:80 app HTTP/1.1"),
        (
            "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
            "198.51.100.7:5555 198.51.100.7",
        ),
        ("%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_PORT%", "127.0.0.1:10000 10000"),
        ("100%% %BYTES_SENT%", "100% 2"),
    ],
)
def test_operators(text: str, expected: str) -> None:
    assert logged(text + "\n") == expected


@pytest.mark.parametrize("text", ["%NOPE%", "%REQ%", "%REQ()%", "50%", "%BYTES_SENT(x)%", "%START_TIME"])
def test_malformed_formats(text: str) -> None:
    with pytest.raises(FormatError):
        compile_format(text, Clocks(lambda: 0.0, lambda: 0.0))


def test_a_value_cannot_break_the_line() -> None:
    """No line feed can be in a header; bytes that are no UTF-8 are written so that they can be read."""
    plane = DataPlane(replace(manager(), access_logs=(AccessLogSettings(LOG, "%REQ(X)%\n"),)))
    client = plane.client()
    client.receive(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\xe9\r\n\r\n")
    plane.upstream.receive(OK)
    assert len(plane.log) == 1 and plane.log[0].isascii()
    plane.finish()
