"""Access log lines of real streams."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twistproxy.model.access_log import AccessLogSettings, LogFormat
from twistproxy.observe.access_log import Clocks, FormatError, compile_format
from twistproxy.testing.data_plane import LOG, DataPlane, manager

GET = b"GET /x?y HTTP/1.1\r\nHost: a.b\r\nUser-Agent: me\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Up: v\r\n\r\nok"


def logged(text: str | None) -> str:
    plane = DataPlane(
        replace(manager(), access_logs=(AccessLogSettings(LOG, None if text is None else LogFormat(text)),))
    )
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


def test_bytes_are_written_as_they_came() -> None:
    """No line feed can be in a header; what is no UTF-8 goes to the file unchanged, and escaped into JSON."""
    form = LogFormat(json={"x": "%REQ(X)%"})
    logs = (AccessLogSettings(LOG, LogFormat("%REQ(X)%|%REQ(X):1%\n")), AccessLogSettings("/json", form))
    plane = DataPlane(replace(manager(), access_logs=logs))
    client = plane.client()
    client.receive(b'GET / HTTP/1.1\r\nHost: a\r\nX: \xff"\xe9\r\n\r\n')
    plane.upstream.receive(OK)
    assert [line.encode("utf-8", "surrogateescape") for line in plane.log] == [b'\xff"\xe9|\xff']
    assert plane.logs.open("/json").lines == ['{"x":"\\u00ff\\u0022\\u00e9"}']
    plane.finish()


@pytest.mark.parametrize(
    ("omit_empty", "line"),
    [
        (False, '{"a":{"n":null},"b":["-/GET",200,null,[],true,1.5],"c":"100%","z":{}}'),
        (True, '{"b":["/GET",200,[],true,1.5],"c":"100%"}'),
    ],
)
def test_json(omit_empty: bool, line: str) -> None:
    form = {
        "z": {},
        "b": ["%REQ(NONE)%/%REQ(:METHOD)%", "%RESPONSE_CODE%", "%REQ(NONE)%", [], True, 1.5],
        "c": "100%%",
        "a": {"n": "%ROUTE_NAME%"},
    }
    logs = (AccessLogSettings(LOG, LogFormat(json=form, omit_empty=omit_empty)),)
    plane = DataPlane(replace(manager(), access_logs=logs))
    plane.client().receive(GET)
    plane.upstream.receive(OK)
    assert plane.log == [line]
    plane.finish()
