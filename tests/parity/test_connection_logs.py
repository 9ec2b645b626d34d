"""`access_log` of a listener: a line for each connection."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from .harness import Proxy, wait_for
from .origin import raw
from .settings import Config, access_log, bootstrap, cluster, json_log, listener

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: "/direct"}, direct_response: {status: 299, body: {inline_string: "direct!"}}}
  - {match: {prefix: "/"}, route: {cluster: app}}
"""
OPERATORS = (
    *("ACCESS_LOG_TYPE", "PROTOCOL", "BYTES_RECEIVED", "BYTES_SENT", "RESPONSE_FLAGS", "RESPONSE_CODE"),
    *("REQ(:PATH)", "REQ(:METHOD)", "RESP(:STATUS)", "RESPONSE_CODE_DETAILS", "UPSTREAM_HOST", "ROUTE_NAME"),
    *("UPSTREAM_CLUSTER", "STREAM_ID", "GRPC_STATUS", "REQUEST_DURATION", "RESPONSE_DURATION"),
    *(
        "RESPONSE_TX_DURATION",
        "UPSTREAM_WIRE_BYTES_SENT",
        "DOWNSTREAM_WIRE_BYTES_RECEIVED",
        "FILTER_CHAIN_NAME",
    ),
    *("REQUEST_HEADERS_BYTES", "RESPONSE_HEADERS_BYTES", "UPSTREAM_REQUEST_ATTEMPT_COUNT"),
    *("UPSTREAM_CONNECTION_ID", "VIRTUAL_CLUSTER_NAME", "DYNAMIC_METADATA(a)"),
)
#: what does not depend on the connection
SAME = {
    "ACCESS_LOG_TYPE": "NotSet",
    "RESPONSE_CODE": 0,
    **dict.fromkeys(
        ("REQ(:PATH)", "REQ(:METHOD)", "RESP(:STATUS)", "RESPONSE_CODE_DETAILS", "UPSTREAM_HOST")
    ),
    **dict.fromkeys(("ROUTE_NAME", "UPSTREAM_CLUSTER", "STREAM_ID", "GRPC_STATUS", "REQUEST_DURATION")),
    **dict.fromkeys(
        ("RESPONSE_DURATION", "RESPONSE_TX_DURATION", "VIRTUAL_CLUSTER_NAME", "DYNAMIC_METADATA(a)")
    ),
    "UPSTREAM_WIRE_BYTES_SENT": 0,
    "DOWNSTREAM_WIRE_BYTES_RECEIVED": 0,
    "REQUEST_HEADERS_BYTES": 0,
    "RESPONSE_HEADERS_BYTES": 0,
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": 0,
    "UPSTREAM_CONNECTION_ID": 0,
    "FILTER_CHAIN_NAME": "chain",
}


def configure(proxy: Proxy) -> Config:
    main = listener("main", proxy.port(), VIRTUAL_HOSTS)
    main["filter_chains"][0]["name"] = "chain"
    fields = {name: f"%{name}%" for name in OPERATORS}
    fields["times"] = (
        "%START_TIME(%s)% %DURATION% %CONNECTION_ID% %DOWNSTREAM_REMOTE_PORT% %DOWNSTREAM_LOCAL_PORT%"
    )
    longer = access_log(proxy.log("longer").path, "%DURATION%\n")
    comparison = {"op": "GE", "value": {"default_value": 40, "runtime_key": "none"}}
    longer["filter"] = {"duration_filter": {"comparison": comparison}}
    main["access_log"] = [json_log(proxy.log().path, fields), longer]
    main["metadata"] = {"filter_metadata": {"a": {"b": "c"}}}
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


def after(proxy: Proxy, *sent: str, answers: bool = True) -> dict[str, Any]:
    """What is logged of a connection with these bytes; each part has an answer, or none has."""
    before = len(proxy.log().lines())
    with proxy.client() as client:
        for part in sent:
            client.send(part)
            if answers:
                client.read()
        if not answers:
            time.sleep(0.02)
        port = client.local_port
    (line,) = wait_for(lambda: proxy.log().lines()[before:])
    found: dict[str, Any] = json.loads(line)
    started, duration, number, remote, local = found.pop("times").split()
    assert int(remote) == port and int(local) == proxy.port() and int(number) > 0
    assert abs(int(started) - time.time()) < 5 and int(duration) < 5000
    assert {name: found.pop(name) for name in SAME} == SAME
    return found


ONE = "GET /direct HTTP/1.1\r\nhost: a\r\n\r\n"
#: what a client sends, whether there are answers, PROTOCOL, flags
CONNECTIONS = {
    "one": ((ONE,), True, "HTTP/1.1", "-"),
    "two": ((ONE, ONE), True, "HTTP/1.1", "-"),
    "upstream": (("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",), True, "HTTP/1.1", "-"),
    "begun": (("GET /direct HT",), False, "HTTP/1.1", "-"),
    "nothing": ((), False, None, "-"),
    "unreadable": (("foo\r\n\r\n",), True, None, "DPE"),
    "later": ((ONE, "foo\r\n\r\n"), True, "HTTP/1.1", "DPE"),
    "framing": (("GET /direct HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",), True, None, "DPE"),
    "no host": (("GET /direct HTTP/1.1\r\n\r\n",), True, "HTTP/1.1", "-"),
}


@pytest.mark.parametrize("name", CONNECTIONS)
def test_line(proxy: Proxy, name: str) -> None:
    sent, answers, protocol, flags = CONNECTIONS[name]
    found = after(proxy, *sent, answers=answers)
    assert found.pop("BYTES_RECEIVED") == len("".join(sent))
    assert (found.pop("BYTES_SENT") > 0) == answers
    assert found == {"PROTOCOL": protocol, "RESPONSE_FLAGS": flags}


def test_bytes_of_all_requests(proxy: Proxy) -> None:
    one, two = (after(proxy, *[ONE] * count)["BYTES_SENT"] for count in (1, 2))
    assert two == 2 * one


def test_filter(proxy: Proxy) -> None:
    proxy.origin().on("/slow", raw(0.045, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
    before = len(proxy.log("longer").lines())
    after(proxy, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
    after(proxy, ONE)
    assert len(wait_for(lambda: proxy.log("longer").lines()[before:])) == 1
