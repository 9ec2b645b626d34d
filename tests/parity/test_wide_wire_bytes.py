"""Operators of access log formats that count bytes on the wire, and those that name the upstreams that were tried."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .harness import Proxy
from .origin import raw, text
from .settings import FILE_LOG, Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

OPERATORS = {
    "up sent": "UPSTREAM_WIRE_BYTES_SENT",
    "up received": "UPSTREAM_WIRE_BYTES_RECEIVED",
    "up header sent": "UPSTREAM_HEADER_BYTES_SENT",
    "up header received": "UPSTREAM_HEADER_BYTES_RECEIVED",
    "received": "DOWNSTREAM_WIRE_BYTES_RECEIVED",
    "sent": "DOWNSTREAM_WIRE_BYTES_SENT",
    "header received": "DOWNSTREAM_HEADER_BYTES_RECEIVED",
    "header sent": "DOWNSTREAM_HEADER_BYTES_SENT",
    "header inflated": "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
    "request headers": "REQUEST_HEADERS_BYTES",
    "response headers": "RESPONSE_HEADERS_BYTES",
    "tried": "UPSTREAM_HOSTS_ATTEMPTED",
    "tried bare": "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT",
    "tried names": "UPSTREAM_HOST_NAMES_ATTEMPTED",
    "tried connections": "UPSTREAM_CONNECTION_IDS_ATTEMPTED",
    "connection": "UPSTREAM_CONNECTION_ID",
}
VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: "/direct"}, direct_response: {status: 200, body: {inline_string: "direct!"}}}
  - {match: {prefix: "/refused"}, route: {cluster: refusing}}
  - match: {prefix: "/tell"}
    route: {cluster: app}
    request_headers_to_add: [{header: {key: x-so-far, value: "%DOWNSTREAM_WIRE_BYTES_RECEIVED%"}}]
  - {match: {prefix: "/again"}, route: {cluster: two, retry_policy: {retry_on: "5xx", num_retries: 1}}}
  - {match: {prefix: "/"}, route: {cluster: app}}
"""


def configure(proxy: Proxy) -> Config:
    form = {"path": "%REQ(:PATH)%", **{name: f"%{operator}%" for name, operator in OPERATORS.items()}}
    settings = {
        "@type": FILE_LOG,
        "path": str(proxy.log().path),
        "log_format": {"json_format": form},
    }
    log = {"name": "log", "typed_config": settings}
    main = listener(
        "main",
        proxy.port(),
        VIRTUAL_HOSTS,
        access_log=[log],
        server_name="a-name",
        generate_request_id=False,
        http_protocol_options={"enable_trailers": True},
    )
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("refusing", proxy.port("nobody")),
        cluster("two", proxy.origin("one").port, proxy.origin("two").port),
    ]
    return bootstrap(proxy.port("admin"), [main], clusters)


def logged(proxy: Proxy, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(proxy.log().line(f'"{path}"'))
    return found


def sent_to(client: Any, method: str = "GET") -> tuple[int, int]:
    """Bytes of the answer that comes, and of the lines of its fields."""
    response = client.read(method)
    fields = sum(len(name) + len(value) + 4 for name, value in response.headers)
    return fields, len(response.body)


def test_a_request_with_its_answer(proxy: Proxy) -> None:
    proxy.origin().on("/both", text("answer!", "201 Made", "x-up: up value\r\n"))
    lines = "host: a\r\nx-pad:    padded   \r\nconnection: keep-alive\r\ncontent-length: 5\r\n"
    request = f"POST /both HTTP/1.1\r\n{lines}\r\n12345"
    with proxy.client() as client:
        fields, body = sent_to(client.send(request))
    line = logged(proxy, "/both")
    seen = proxy.origin().take()
    up_fields = sum(len(name) + len(value) + 4 for name, value in seen.headers)
    assert line["received"] == len(request)
    names = "host" + "x-pad" + "connection" + "content-length"
    assert line["header received"] == len(names) + len("a" + "padded" + "keep-alive" + "5") + 4 * 3
    assert (line["header sent"], line["header inflated"]) == (fields, fields)
    assert line["sent"] == len("HTTP/1.1 201 Created\r\n\r\n") + fields + body
    assert line["up header sent"] == up_fields
    assert line["up sent"] == len("POST /both HTTP/1.1\r\n\r\n") + up_fields + 5
    answer = "x-up: up value\r\ncontent-length: 7\r\n"
    assert line["up received"] == len(f"HTTP/1.1 201 Made\r\n{answer}\r\nanswer!")
    assert line["up header received"] == len(answer) - 2
    assert line["tried"] == line["tried names"] == proxy.origin().address
    assert line["tried bare"] == "127.0.0.1"
    assert line["tried connections"] == str(line["connection"])


def test_chunks_and_trailers(proxy: Proxy) -> None:
    proxy.origin().on(
        "/chunks", raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    )
    lines = "host: a\r\ntransfer-encoding: chunked\r\n"
    request = f"POST /chunks HTTP/1.1\r\n{lines}\r\n3\r\nabc\r\n0\r\nx-t: 12\r\n\r\n"
    with proxy.client() as client:
        fields, body = sent_to(client.send(request))
    line = logged(proxy, "/chunks")
    assert line["received"] == len(request)
    assert line["header received"] == len(lines) - 2 + len("x-t: 12\r\n") - 1
    assert line["header sent"] == fields
    assert line["sent"] == len("HTTP/1.1 200 OK\r\n\r\n") + fields + len("3\r\nabc\r\n0\r\n\r\n")
    assert line["up header received"] == len("transfer-encoding: chunked\r\n") - 1
    assert body == 3


def test_an_own_answer(proxy: Proxy) -> None:
    with proxy.client() as client:
        fields, _ = sent_to(client.send("GET /direct HTTP/1.1\r\nhost: a\r\n\r\n"))
    line = logged(proxy, "/direct")
    assert (line["received"], line["header received"]) == (33, 8)
    assert (line["sent"], line["header sent"]) == (fields + 19 + 7, fields)
    assert [line[name] for name in line if name.startswith("up ")] == [0, 0, 0, 0]
    assert (line["tried"], line["tried connections"], line["connection"]) == (None, None, 0)
    assert line["request headers"] == len(
        ":authoritya" + ":path/direct" + ":methodGET" + ":schemehttp"
    ) + len("x-forwarded-protohttp")


def test_an_answer_before_the_end_of_its_request(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("POST /direct?early HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
        fields, _ = sent_to(client)
    line = logged(proxy, "/direct?early")
    assert (line["sent"], line["header sent"]) == (fields + 19 + 7, fields)
    assert line["response headers"] == fields + len(":status200") - 4 * 5


def test_requests_in_a_row(proxy: Proxy) -> None:
    """The first is charged with all that came with it."""
    one = "GET /direct?row-1 HTTP/1.1\r\nhost: a\r\n\r\n"
    two = "GET /direct?row-2 HTTP/1.1\r\nhost: a\r\n\r\n"
    with proxy.client() as client:
        client.send(one + two)
        first, second = sent_to(client)[0], sent_to(client)[0]
        client.send("GET /direct?row-3 HTTP/1.1\r\nhost: a\r\n\r\n")
        sent_to(client)
    found = [logged(proxy, f"/direct?row-{number}") for number in (1, 2, 3)]
    assert [line["received"] for line in found] == [len(one + two), len(two), len(two)]
    assert [line["header sent"] for line in found[:2]] == [first, second]
    assert [line["sent"] for line in found[:2]] == [first + 26, second + 26]


def test_upstream_requests_in_a_row(proxy: Proxy) -> None:
    for number in (1, 2):
        proxy.ask(f"/kept?{number}")
    lines = [logged(proxy, f"/kept?{number}") for number in (1, 2)]
    assert lines[0]["up sent"] == lines[1]["up sent"]
    assert lines[0]["up received"] == lines[1]["up received"] > 0
    assert lines[0]["connection"] == lines[1]["connection"] != 0


def test_no_connection(proxy: Proxy) -> None:
    proxy.ask("/refused?1")
    line = logged(proxy, "/refused?1")
    assert [line[name] for name in line if name.startswith("up ")] == [0, 0, 0, 0]
    assert line["tried"] is None


def test_what_is_no_request(proxy: Proxy) -> None:
    with proxy.client() as client:
        fields, body = sent_to(client.send("GET /bad HTTP/1.1\r\nhost: a\r\nx a: 1\r\n\r\n"))
    line = json.loads(proxy.log().line('"path":null'))
    assert (line["received"], line["header received"]) == (38, 0)
    assert (line["sent"], line["header sent"]) == (fields + 28 + body, fields)


def test_while_it_runs(proxy: Proxy) -> None:
    proxy.ask("/tell")
    assert proxy.origin().take()["x-so-far"] == str(logged(proxy, "/tell")["received"])


def test_the_last_attempt_is_named_and_all_are_counted(proxy: Proxy) -> None:
    for name in ("one", "two"):
        proxy.origin(name).on("/again", text("no", "500 No"))
    proxy.ask("/again")
    line = logged(proxy, "/again")
    assert line["tried"] in (proxy.origin("one").address, proxy.origin("two").address)
    assert line["tried connections"] == str(line["connection"])
    assert line["up received"] == 2 * len("HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno")
    assert line["up header received"] == 2 * (len("content-length: 2\r\n") - 1)
    heads = [proxy.origin(name).take() for name in ("one", "two")]
    sizes = [sum(len(name) + len(value) + 4 for name, value in head.headers) for head in heads]
    assert line["up header sent"] == sum(sizes)
