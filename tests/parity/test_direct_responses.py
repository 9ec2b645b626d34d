"""Routes that answer by themselves: direct_response in all its forms."""

from __future__ import annotations

import os
from typing import Any

import pytest
import yaml

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity
LONG = "long " * 700

# path: direct_response
DIRECT: dict[str, Config] = {
    "/d/text": {"status": 200, "body": {"inline_string": "some text\n"}},
    "/d/none": {"status": 200},
    "/d/created": {"status": 201, "body": {"inline_string": "made"}},
    "/d/bytes": {"status": 200, "body": {"inline_bytes": "AAEC/w=="}},
    "/d/no-content": {"status": 204},
    "/d/no-content-body": {"status": 204, "body": {"inline_string": "ignored"}},
    "/d/not-modified": {"status": 304},
    "/d/teapot": {"status": 418, "body": {"inline_string": "short and stout"}},
    "/d/error": {"status": 500, "body": {"inline_string": "oops"}},
    "/d/found": {"status": 302},
    "/d/long": {"status": 200, "body": {"inline_string": LONG}},
    "/d/large": {"status": 200, "body": {"inline_string": "x" * 5000}},
    "/d/environment": {"status": 200, "body": {"environment_variable": "PATH"}},
    "/d/reset-content": {"status": 205, "body": {"inline_string": "reset"}},
    "/d/permanent": {"status": 308, "body": {"inline_string": "moved"}},
    "/d/utf-8": {"status": 200, "body": {"inline_string": "grüße"}},
}

# path: (direct_response with a format, header rules, content type, body)
FORMATTED: dict[str, tuple[Config, list[Config], str | None, bytes]] = {
    "text": (
        {
            "body": {"inline_string": "inner"},
            "body_format": {
                "text_format_source": {
                    "inline_string": "<%LOCAL_REPLY_BODY%|%RESPONSE_CODE%|%REQ(x)%|%RESPONSE_CODE_DETAILS%|%REQ(:PATH)%>"
                }
            },
        },
        [],
        "text/plain",
        b"<inner|0|-|-|/f/text>",
    ),
    "typed": (
        {
            "body": {"inline_string": "inner"},
            "body_format": {"text_format": "%LOCAL_REPLY_BODY%", "content_type": "text/html"},
        },
        [{"header": {"key": "content-type", "value": "c/d"}}],
        "text/html",
        b"inner",
    ),
    "typed-by-rule": (
        {"body": {"inline_string": "inner"}, "body_format": {"text_format": "<%LOCAL_REPLY_BODY%>"}},
        [{"header": {"key": "content-type", "value": "c/d"}}],
        "c/d",
        b"<inner>",
    ),
    "json": (
        {
            "body": {"inline_string": 'in"ner'},
            "body_format": {
                "json_format": {"b": "%LOCAL_REPLY_BODY%", "c": "%RESPONSE_CODE%", "a": "%REQ(x)%"}
            },
        },
        [],
        "application/json",
        b'{"a":null,"b":"in\\"ner","c":0}\n',
    ),
    "without-body": ({"body_format": {"text_format": "only"}}, [], "text/plain", b"only"),
    "nothing": (
        {
            "body": {"inline_string": "inner"},
            "body_format": {"omit_empty_values": True, "text_format": "%REQ(x)%"},
        },
        [],
        None,
        b"",
    ),
    "bytes": (
        {"body": {"inline_bytes": "AP/k"}, "body_format": {"text_format": "<%LOCAL_REPLY_BODY%>"}},
        [],
        "text/plain",
        b"<\0\xff\xe4>",
    ),
}


def configure(proxy: Proxy) -> Config:
    file = proxy.directory / "body.txt"
    file.write_text("from a file\n")
    direct = DIRECT | {"/d/file": {"status": 200, "body": {"filename": str(file)}}}
    routes: list[dict[str, Any]] = [
        {"match": {"path": path}, "direct_response": action} for path, action in direct.items()
    ]
    for name, (action, rules, *_) in FORMATTED.items():
        direct_response = {"status": 200, **action}
        route = {"match": {"path": f"/f/{name}"}, "direct_response": direct_response}
        routes.append(route | {"response_headers_to_add": rules})
    hosts = yaml.safe_dump([{"name": "all", "domains": ["*"], "routes": routes}])
    limit = {"max_direct_response_body_size_bytes": 5000}
    main = listener("main", proxy.port(), hosts, route_config=limit)
    form = {"text_format": "[%LOCAL_REPLY_BODY%]", "content_type": "l/r"}
    formatted = listener(
        "formatted",
        proxy.port("formatted"),
        hosts,
        local_reply_config={"body_format": form},
        route_config=limit,
    )
    return bootstrap(proxy.port("admin"), [main, formatted], [cluster("app", proxy.origin().port)])


TAIL = [("date", "DATE"), ("server", "SERVER")]


def with_body(length: int) -> list[tuple[str, str]]:
    return [("content-length", str(length)), ("content-type", "text/plain"), *TAIL]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/d/text", 200, b"some text\n"),
        ("/d/bytes", 200, b"\0\1\2\xff"),
        ("/d/teapot", 418, b"short and stout"),
        ("/d/error", 500, b"oops"),
        ("/d/long", 200, LONG.encode()),
        ("/d/large", 200, b"x" * 5000),
        ("/d/environment", 200, os.environb[b"PATH"]),
        ("/d/utf-8", 200, "grüße".encode()),
        ("/d/file", 200, b"from a file\n"),
    ],
)
def test_direct_response_with_a_body(proxy: Proxy, path: str, status: int, body: bytes) -> None:
    with proxy.client() as client:
        for _ in range(2):
            response = client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").read()
            assert (response.status, response.body) == (status, body)
            assert response.normal == with_body(len(body))


@pytest.mark.parametrize(
    ("path", "status", "headers"),
    [
        ("/d/none", 200, [("content-length", "0"), *TAIL]),
        ("/d/no-content", 204, TAIL),
    ],
)
def test_direct_response_without_a_body(
    proxy: Proxy, path: str, status: int, headers: list[tuple[str, str]]
) -> None:
    with proxy.client() as client:
        for _ in range(2):
            response = client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").read()
            assert (response.status, response.body, response.normal) == (status, b"", headers)


def test_direct_response_of_a_kind_with_a_location(proxy: Proxy) -> None:
    """201 and the 3xx get a location: what was asked for."""
    response = proxy.ask("/d/created?a=1")
    assert (response.status, response.text) == (201, "made")
    assert response.normal == sorted([("location", "http://app.test/d/created?a=1"), *with_body(4)])
    response = proxy.ask("/d/permanent")
    assert (response.text, response["location"]) == ("moved", "http://app.test/d/permanent")
    for path, status, rest in [("/d/found", 302, [("content-length", "0")]), ("/d/not-modified", 304, [])]:
        response = proxy.ask(path)
        assert response.status == status
        assert response.normal == sorted([("location", f"http://app.test{path}"), *rest, *TAIL])


@pytest.mark.parametrize("name", FORMATTED)
def test_body_format(proxy: Proxy, name: str) -> None:
    *_, content_type, body = FORMATTED[name]
    response = proxy.ask(f"/f/{name}")
    found = (response.status, response["content-type"], response["content-length"], response.body)
    assert found == (200, content_type, str(len(body)), body)


def test_body_format_over_that_of_all_replies(proxy: Proxy) -> None:
    """`local_reply_config` formats what the route's format has made, and says of what type it is."""
    for name, body in (("typed", b"[inner]"), ("typed-by-rule", b"[<inner>]"), ("without-body", b"[only]")):
        response = proxy.ask(f"/f/{name}", "formatted")
        assert (response["content-type"], response.body) == ("l/r", body)


def test_204_with_a_body(proxy: Proxy) -> None:
    """The body is dropped; Envoy sends its length, which RFC 9110 section 8.6 forbids with 204."""
    with proxy.client() as client:
        for _ in range(2):
            response = client.send("GET /d/no-content-body HTTP/1.1\r\nhost: a\r\n\r\n").read()
            assert response.status == 204
            lengths = [pair for pair in response.normal if pair[0] == "content-length"]
            proxy.may_be_stricter(lengths, at_envoy=[("content-length", "7")], stricter=[])


def test_direct_response_to_head(proxy: Proxy) -> None:
    with proxy.client() as client:
        response = client.send("HEAD /d/text HTTP/1.1\r\nhost: a\r\n\r\n").read("HEAD")
        assert response.normal == with_body(10)
        assert client.send("GET /d/text HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200


def test_direct_response_before_the_body_closes(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("POST /d/text HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
        response = client.read()
        assert (response.status, response["connection"]) == (200, "close")
        assert client.ended()


def test_direct_response_with_the_body_in_the_same_packet_closes_too(proxy: Proxy) -> None:
    response = proxy.ask("/d/text", method="POST", body=b"12345")
    assert (response.status, response["connection"]) == (200, "close")


def test_counted(proxy: Proxy) -> None:
    before = proxy.stat("http.main.rq_direct_response")
    proxy.ask("/d/none")
    assert proxy.stat("http.main.rq_direct_response") == before + 1
