from __future__ import annotations

import pytest

from twistproxy.http.message import RequestHead
from twistproxy.observe.access_log import Clocks, compile_format
from twistproxy.observe.check_stream import CheckStream


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("%PROTOCOL%", "HTTP/1.1"),
        ("%STREAM_ID%", "-"),
        ("%REQUEST_TX_DURATION%", "-"),
        ("%COMMON_DURATION(US_TX_BEG:US_TX_END)%", "-"),
        ("%COMMON_DURATION(US_TX_BEG:DS_TX_END)%", "-"),
        ("%REQ(user-agent)%", "Envoy/HC"),
        ("%DOWNSTREAM_REMOTE_ADDRESS%", "127.0.0.1:0"),
        ("%UPSTREAM_HOST%", "10.0.0.1:80"),
        ("%UPSTREAM_REMOTE_ADDRESS%", "-"),
    ],
)
def test_what_a_check_knows(operator: str, expected: str) -> None:
    items = [(b"user-agent", b"Envoy/HC")]
    stream = CheckStream(RequestHead(b"GET", b"/", b"a", items, dict(items)), "10.0.0.1:80", 0.0)
    assert compile_format(operator, Clocks(float, float))(stream) == expected  # type: ignore[arg-type]
