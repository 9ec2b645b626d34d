from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead, ResponseWithTrailers
from twistproxy.observe import flags
from twistproxy.observe.access_log import Clocks, FormatError, compile_format

CLOCKS = Clocks(lambda: 1_000_000_000.25, lambda: 50.0)


def stream(**changes: Any) -> Any:
    items = [
        (b"x-two", b"a"),
        (b"x-two", b"b"),
        (b"x-envoy-original-path", b"/was?o=1"),
        (b"content-type", b"application/grpc"),
    ]
    head = RequestHead(b"GET", b"/is?a=1&b=2&a=3", b"host:81", items, dict(items))
    response = ResponseHead(200, [(b"x-up", b"v")])
    values = {
        "head": head,
        "response": ResponseWithTrailers(response, HeaderMap([(b"grpc-status", b"5"), (b"x-sum", b"9")])),
        "start": 49.5,
        "end": 50.0,
        "request_ended_at": 49.6,
        "response_at": 49.9,
        "flags": 0,
        "host": SimpleNamespace(
            address_text="[::1]:80", endpoint=SimpleNamespace(additional=(), hostname="app.test")
        ),
        "upstream_connection": SimpleNamespace(
            attached_at=49.75, transport=SimpleNamespace(getHost=lambda: SimpleNamespace(host="::1", port=9))
        ),
        "connection": SimpleNamespace(
            number=7,
            closing=False,
            remote_text="10.0.0.1:5",
            remote_host="10.0.0.1",
            local_text="/run/socket",
        ),
        "remote_text": "10.0.0.1:5",
        "failure": "",
        "attempts": 2,
        "client_host": lambda: "10.0.0.1",
        "metadata": {"ns": {"list": [1.0, {"x": None}], "deep": {"b": True}, "n": 3.0}},
        "context": SimpleNamespace(settings=SimpleNamespace(filter_chain_name="chain")),
        **changes,
    }
    return SimpleNamespace(
        **values,
        request_sent_at=lambda: 49.75 if values["upstream_connection"] else 0.0,
        response_sent_at=lambda: values["end"] if values["response"] else 0.0,
        stream_id=lambda: values["head"].index.get(b"x-request-id", b"").decode() or None,
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("%REQ(x-two)%", "a"),
        ("%REQ(none?X-TWO)%", "a"),
        ("%RESP(x-up)%", "v"),
        ("%TRAILER(x-sum)%", "9"),
        ("%TRAILER(none)%", "-"),
        ("%PATH%", "/was?o=1"),
        ("%PATH(NQ)%", "/was"),
        ("%PATH(WQ:PATH)%", "/is?a=1&b=2&a=3"),
        ("%PATH(NQ:ORIG)%", "/was"),
        ("%QUERY_PARAM(a)%", "1"),
        ("%QUERY_PARAM(c)%", "-"),
        ("%QUERY_PARAMS%", "a=1&b=2&a=3"),
        ("%GRPC_STATUS%", "NotFound"),
        ("%GRPC_STATUS(SNAKE_STRING)%", "NOT_FOUND"),
        ("%GRPC_STATUS_NUMBER%", "5"),
        ("%EMIT_TIME%", "2001-09-09T01:46:40.250Z"),
        ("%START_TIME(%s.%3f)%", "999999999.750"),
        ("%REQUEST_DURATION%", "100"),
        ("%REQUEST_TX_DURATION%", "250"),
        ("%RESPONSE_TX_DURATION%", "100"),
        ("%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%:%UPSTREAM_REMOTE_PORT%", "::1:80"),
        ("%UPSTREAM_LOCAL_ADDRESS%", "[::1]:9"),
        ("%UPSTREAM_HOST_NAME%", "app.test"),
        ("%DOWNSTREAM_REMOTE_PORT%", "5"),
        ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%%DOWNSTREAM_LOCAL_PORT%", "/run/socket-"),
        ("%FILTER_CHAIN_NAME%", "chain"),
        ("%RESPONSE_FLAGS%%RESPONSE_FLAGS_LONG%", "--"),
        ("%DYNAMIC_METADATA(a:b)%%DOWNSTREAM_TLS_VERSION%", "--"),
        ("100%%%REQ(x-two):1%%REQ(x-two):0%", "100%a"),
        ("%REQ(host)%", "host:81"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)%", "10.0.0.0/8"),
        (
            "%DURATION% %COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)% %COMMON_DURATION(DS_RX_END:DS_RX_BEG)%",
            "500 100000 -",
        ),
        (
            '%COALESCE({"operators": ["TRACE_ID", {"command": "REQ", "param": ":path", "max_length": 2}]})%',
            "/i",
        ),
        ("%QUERY_PARAMS(DECODED)%", "a=1&b=2&a=3"),
        ("%RESPONSE_HEADERS_BYTES% %RESPONSE_TRAILERS_BYTES%", "15 18"),
        ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2"),
        (
            "%DYNAMIC_METADATA(ns:list)% %METADATA(DYNAMIC:ns:deep:b)% %DYNAMIC_METADATA(ns:n)%",
            '[1,{"x":null}] true 3',
        ),
    ],
)
def test_value(text: str, value: str) -> None:
    assert compile_format(text, CLOCKS)(stream()) == value


def test_flags_in_letters_and_words() -> None:
    render = compile_format("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%", CLOCKS)
    words = "UpstreamConnectionFailure,DownstreamConnectionTermination"
    assert render(stream(flags=flags.UF | flags.DC)) == f"UF,DC {words}"


def test_a_stream_has_the_id_of_its_request() -> None:
    render = compile_format("%STREAM_ID%", CLOCKS)
    items = [(b"x-request-id", b"me")]
    assert render(stream(head=RequestHead(b"GET", b"/", b"a", items, dict(items)))) == "me"
    assert render(stream()) == "-"


def test_the_scheme_is_that_of_the_head() -> None:
    render = compile_format("%REQ(:SCHEME)%", CLOCKS)
    assert render(stream(head=RequestHead(b"GET", b"/", b"a", [], {}, scheme=b"https"))) == "https"
    assert render(stream(head=RequestHead(b"GET", b"/", b"a", [], {}))) == "-"


def test_nothing_is_known_of_a_request_that_never_reached_an_upstream() -> None:
    text = "%UPSTREAM_PROTOCOL% %UPSTREAM_LOCAL_PORT% %UPSTREAM_REMOTE_PORT% %REQUEST_TX_DURATION% %RESPONSE_CODE%"
    empty = stream(host=None, upstream_connection=None, response=None)
    assert compile_format(text, CLOCKS)(empty) == "- - - - 0"


@pytest.mark.parametrize(
    "text",
    [
        "%NONE_SUCH%",
        "%REQ%",
        "%DURATION(x)%",
        "%PATH(XX)%",
        "%QUERY_PARAM%",
        "%GRPC_STATUS(x)%",
        "%DYNAMIC_METADATA%",
        "50% off",
        "%REQ(a?b?c)%",
        "%REQ(a b)%",
        "%REQ_WITHOUT_QUERY(:PATH)%",
        "%DURATION:3%",
        "%START_TIME(%n)%",
        "%COMMON_DURATION(DS_RX_BEG)%",
        "%METADATA(NOWHERE:a)%",
        "%COALESCE({})%",
    ],
)
def test_bad_formats(text: str) -> None:
    with pytest.raises(FormatError):
        compile_format(text, CLOCKS)
