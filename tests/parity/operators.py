"""One request whose access log line has every operator of a table, and the values it should have."""

from __future__ import annotations

import re
import socket
import time

from .harness import Proxy
from .origin import text
from .settings import Config, access_log

Table = dict[str, str]
START = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
UUID = r"[0-9a-f]{8}-[0-9a-f-]{27}"


def operator_log(proxy: Proxy, operators: Table) -> Config:
    """An access log with all operators of the table in one line."""
    return access_log(proxy.log("operators").path, "\x01".join(["%REQ(:PATH)%", *operators]) + "\n")


def logged_values(proxy: Proxy, operators: Table) -> dict[str, tuple[str, str]]:
    """Each operator's value and expected pattern for one request to the listener "operators".

    In the patterns NUMBER, ORIGIN, CLIENT, LISTENER and HOSTNAME stand for what is known at run time.
    """
    number = str(int(time.time()))
    lines = "x-one: first\r\nx-twice: a\r\nx-twice: b\r\n"
    proxy.origin().on(f"/log/{number}", text("answer!", "201 Made", "x-up: up value\r\n"))
    with proxy.client("operators") as client:
        client.send(
            f"POST /log/{number}?q=1 HTTP/1.1\r\nhost: log.test:81\r\n{lines}content-length: 5\r\n\r\n12345"
        )
        assert client.read().status == 201
        port = client.local_port
    found = proxy.log("operators").line(f"/log/{number}").split("\x01")[1:]
    words = {
        "NUMBER": number,
        "ORIGIN": str(proxy.origin().port),
        "CLIENT": str(port),
        "LISTENER": str(proxy.port("operators")),
        "HOSTNAME": re.escape(socket.gethostname()),
    }
    expected = []
    for pattern in operators.values():
        for word, value in words.items():
            pattern = pattern.replace(word, value)
        expected.append(pattern)
    return dict(zip(operators, zip(found, expected, strict=True), strict=True))
