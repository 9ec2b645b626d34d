"""`local_reply_config`: mappers, formats of bodies, content types; and local replies to gRPC requests."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy
from .settings import Config, access_log, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: "/direct404"}, direct_response: {status: 404, body: {inline_string: "direct!"}}}
  - {match: {prefix: "/direct200"}, direct_response: {status: 200, body: {inline_string: "direct!"}}}
  - {match: {prefix: "/redir"}, redirect: {path_redirect: "/x"}}
  - {match: {prefix: "/odd"}, direct_response: {status: 403, body: {inline_string: "50% \\u00e9\\nx"}}}
  - {match: {prefix: "/lined"}, direct_response: {status: 403, body: {inline_string: "two\\n\\n"}}}
  - {match: {prefix: "/empty"}, route: {cluster: empty}}
  - {match: {prefix: "/refused"}, route: {cluster: refusing}}
  - {match: {prefix: "/up"}, route: {cluster: app}}
"""


def status_is(value: int) -> Config:
    comparison = {"op": "EQ", "value": {"default_value": value, "runtime_key": "none.such"}}
    return {"status_code_filter": {"comparison": comparison}}


def mapped(name: str, **fields: Any) -> Config:
    """A mapper for requests that have `x-map: NAME`."""
    header = {"name": "x-map", "string_match": {"exact": name}}
    return {"filter": {"header_filter": {"header": header}}, **fields}


def add(key: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD") -> Config:
    return {"header": {"key": key, "value": value}, "append_action": action}


JSON = {
    "b": "%LOCAL_REPLY_BODY%",
    "c": "%RESPONSE_CODE%",
    "f": "%RESPONSE_FLAGS%",
    "d": "%RESPONSE_CODE_DETAILS%",
    "rc": "%RESP(X-A)%",
    "st": "%RESP(:STATUS)%",
    "t": "%ACCESS_LOG_TYPE%",
}
MAPPERS = [
    mapped(
        "all",
        status_code=418,
        body={"inline_string": "tea"},
        body_format_override={"json_format": JSON},
        headers_to_add=[
            add("x-a", "one %RESPONSE_CODE% %RESPONSE_FLAGS%"),
            add("content-type", "foo/bar"),
            add("server", "me"),
        ],
    ),
    mapped(
        "html",
        body_format_override={
            "text_format_source": {"inline_string": "<%LOCAL_REPLY_BODY%>"},
            "content_type": "text/html; charset=UTF-8",
        },
        headers_to_add=[add("location", "/mine", "OVERWRITE_IF_EXISTS_OR_ADD"), add("location", "/second")],
    ),
    mapped("json", body_format_override={"json_format": {"x": "%LOCAL_REPLY_BODY%"}}),
    mapped(
        "problem",
        body_format_override={
            "json_format": {"x": "%LOCAL_REPLY_BODY%"},
            "content_type": "application/problem+json",
        },
    ),
    mapped("lined", body_format_override={"text_format_source": {"inline_string": "<%LOCAL_REPLY_BODY%>\n"}}),
    mapped("status", status_code=299),
    mapped("nothing", body={"inline_string": ""}),
    {
        "filter": {"and_filter": {"filters": [{"response_flag_filter": {"flags": ["UH"]}}, status_is(503)]}},
        "body": {"inline_string": "no host"},
    },
    {
        "filter": status_is(400),
        "body": {"inline_string": "bad"},
        "headers_to_add": [add("x-b", "%REQ(:PATH)%")],
    },
]
FORMAT = {"text_format_source": {"inline_string": "[%RESPONSE_CODE%:%LOCAL_REPLY_BODY%:%REQ(X-MAP)%]"}}
LOG = (
    "id=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tsent=%BYTES_SENT%\tgrpc=%GRPC_STATUS%"
    "\ttype=%RESP(CONTENT-TYPE)%\n"
)
NOBODY_THERE = (
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
)


def configure(proxy: Proxy) -> Config:
    def one(name: str, **manager: Any) -> Config:
        return listener(
            name, proxy.port(name), VIRTUAL_HOSTS, access_log=[access_log(proxy.log().path, LOG)], **manager
        )

    listeners = [
        one("main", local_reply_config={"mappers": MAPPERS, "body_format": FORMAT}),
        one("unformatted", local_reply_config={"mappers": MAPPERS}),
        one("plain"),
    ]
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("empty"),
        cluster("refusing", proxy.port("nobody")),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


#: listener, target, x-map → status, body, headers besides content-length, date and server
REPLIES: dict[tuple[str, str, str], tuple[int, str, dict[str, str]]] = {
    ("main", "/direct404", ""): (404, "[404:direct!:-]", {"content-type": "text/plain"}),
    ("main", "/direct200", ""): (200, "[200:direct!:-]", {"content-type": "text/plain"}),
    ("main", "/redir", ""): (
        301,
        "[301::-]",
        {"location": "http://app.test/x?main-", "content-type": "text/plain"},
    ),
    ("main", "/empty", ""): (503, "[503:no host:-]", {"content-type": "text/plain"}),
    ("main", "/refused", ""): (503, f"[503:{NOBODY_THERE}:-]", {"content-type": "text/plain"}),
    ("main", "/none", ""): (404, "[404::-]", {"content-type": "text/plain"}),
    ("main", "/up", "all"): (200, "hello", {"x-envoy-upstream-service-time": "N"}),
    ("main", "/direct404", "all"): (
        418,
        '{"b":"tea","c":418,"d":"direct_response","f":"-","rc":"one 404 -","st":"418","t":"NotSet"}\n',
        {"x-a": "one 404 -", "content-type": "foo/bar"},
    ),
    ("main", "/empty", "all"): (
        418,
        '{"b":"tea","c":418,"d":"no_healthy_upstream","f":"UH","rc":"one 503 UH","st":"418","t":"NotSet"}\n',
        {"x-a": "one 503 UH", "content-type": "foo/bar"},
    ),
    ("main", "/redir", "html"): (
        301,
        "<>",
        {"location": "/mine,/second", "content-type": "text/html; charset=UTF-8"},
    ),
    ("main", "/refused", "json"): (503, f'{{"x":"{NOBODY_THERE}"}}\n', {"content-type": "application/json"}),
    ("main", "/none", "problem"): (404, '{"x":""}\n', {"content-type": "application/problem+json"}),
    ("main", "/refused", "status"): (299, f"[299:{NOBODY_THERE}:status]", {"content-type": "text/plain"}),
    ("main", "/refused", "nothing"): (503, "[503::nothing]", {"content-type": "text/plain"}),
    ("unformatted", "/direct404", ""): (404, "direct!", {"content-type": "text/plain"}),
    ("unformatted", "/none", ""): (404, "", {}),
    ("unformatted", "/empty", ""): (503, "no host", {"content-type": "text/plain"}),
    ("unformatted", "/none", "status"): (299, "", {}),
    ("unformatted", "/refused", "nothing"): (503, "", {}),
    ("unformatted", "/none", "html"): (
        404,
        "<>",
        {"location": "/mine,/second", "content-type": "text/html; charset=UTF-8"},
    ),
}


@pytest.mark.parametrize("case", REPLIES, ids=lambda case: "-".join(case).replace("/", ""))
def test_reply(proxy: Proxy, case: tuple[str, str, str]) -> None:
    name, target, kind = case
    status, body, headers = REPLIES[case]
    query = f"{target}?{name}-{kind}"
    response = proxy.ask(query, name, headers=f"x-map: {kind}\r\n" if kind else "")
    assert (response.status, response.text) == (status, body)
    expected = {**headers, "content-length": str(len(body)), "date": "DATE", "server": "SERVER"}
    assert dict(response.normal) == expected
    line = proxy.log().fields(f"{query}\t")
    assert (line["code"], line["sent"]) == (str(status), str(len(body)))
    assert line["type"] == headers.get("content-type", "-")


def test_head_gets_no_body(proxy: Proxy) -> None:
    response = proxy.ask("/none?head", method="HEAD", headers="x-map: all\r\n")
    assert (response.status, response["content-length"], response["content-type"]) == (418, "93", "foo/bar")
    assert proxy.log().fields("/none?head\t")["sent"] == "0"


def test_what_is_no_request_is_mapped(proxy: Proxy) -> None:
    with proxy.client() as client:
        response = client.send("GET /bad HTTP/1.1\r\nhost: a\r\nx a: 1\r\n\r\n").read()
        assert (response.status, response.text, response["x-b"]) == (400, "[400:bad:-]", None)
    with proxy.client() as client:
        response = client.send("GET /nohost HTTP/1.1\r\n\r\n").read()
        assert (response.status, response.text, response["x-b"]) == (400, "[400:bad:-]", "/nohost")


#: listener, target, x-map, content-type → grpc-status, grpc-message, name of the status in the log
GRPC = {
    ("plain", "/direct404", "", "application/grpc"): ("12", "direct!", "Unimplemented"),
    ("plain", "/direct200", "", "application/grpc"): ("2", "direct!", "Unknown"),
    ("plain", "/redir", "", "application/grpc"): ("2", None, "Unknown"),
    ("plain", "/empty", "", "application/grpc+proto"): ("14", "no healthy upstream", "Unavailable"),
    ("plain", "/refused", "", "application/grpc"): ("14", NOBODY_THERE, "Unavailable"),
    ("plain", "/none", "", "application/grpc"): ("12", None, "Unimplemented"),
    ("plain", "/odd", "", "application/grpc"): ("7", "50%25 %C3%A9%0Ax", "PermissionDenied"),
    ("plain", "/lined", "", "application/grpc"): ("7", "two%0A%0A", "PermissionDenied"),
    ("main", "/lined", "json", "application/grpc"): ("7", '{"x":"two\\n\\n"}', "PermissionDenied"),
    ("main", "/lined", "lined", "application/grpc"): ("7", "<two%0A%0A>%0A", "PermissionDenied"),
    ("main", "/empty", "", "application/grpc"): ("14", "[503:no host:-]", "Unavailable"),
    ("main", "/none", "json", "application/grpc"): ("12", '{"x":""}', "Unimplemented"),
    ("main", "/none", "status", "application/grpc"): ("2", "[299::status]", "Unknown"),
}


@pytest.mark.parametrize("case", GRPC, ids=lambda case: "-".join(case[:3]).replace("/", ""))
def test_grpc(proxy: Proxy, case: tuple[str, str, str, str]) -> None:
    name, target, kind, content_type = case
    status, message, word = GRPC[case]
    query = f"{target}?grpc-{name}-{kind}"
    lines = f"content-type: {content_type}\r\n" + (f"x-map: {kind}\r\n" if kind else "")
    response = proxy.ask(query, name, headers=lines)
    assert (response.status, response.body, response["content-length"]) == (200, b"", "0")
    assert response["content-type"] == "application/grpc"
    assert (response["grpc-status"], response["grpc-message"]) == (status, message)
    line = proxy.log().fields(f"{query}\t")
    assert (line["code"], line["sent"], line["grpc"]) == ("200", "0", word)


def test_grpc_web_is_not_grpc(proxy: Proxy) -> None:
    response = proxy.ask("/empty?web", "plain", headers="content-type: application/grpc-web\r\n")
    assert (response.status, response.text) == (503, "no healthy upstream")


def test_grpc_head(proxy: Proxy) -> None:
    with proxy.client("plain") as client:
        client.send("HEAD /empty?h HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\n\r\n")
        response = client.read("HEAD")
    assert (response.status, response["grpc-status"], response["grpc-message"]) == (200, "14", None)
