"""Routes that answer by themselves: direct_response and redirect, in all their forms."""

from __future__ import annotations

import os
from typing import Any

import pytest
import yaml

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener
from .wire import Response

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

# path: (redirect, what is asked, status, location)
REDIRECTS: dict[str, tuple[Config, str, int, str]] = {
    "host": ({"host_redirect": "new.test"}, "/r/host?a=1", 301, "http://new.test/r/host?a=1"),
    "path": ({"path_redirect": "/new"}, "/r/path?a=1", 301, "http://app.test/new?a=1"),
    "path-query": ({"path_redirect": "/new?b=2"}, "/r/path-query?a=1", 301, "http://app.test/new?b=2"),
    "path-strip": (
        {"path_redirect": "/new", "strip_query": True},
        "/r/path-strip?a=1",
        301,
        "http://app.test/new",
    ),
    "path-query-strip": (
        {"path_redirect": "/new?b=2", "strip_query": True},
        "/r/path-query-strip?a=1",
        301,
        "http://app.test/new?b=2",
    ),
    "prefix": ({"prefix_rewrite": "/new"}, "/r/prefix/deep?a=1", 301, "http://app.test/new/deep?a=1"),
    "prefix-exact": ({"prefix_rewrite": "/"}, "/r/prefix-exact", 301, "http://app.test/"),
    "prefix-strip": (
        {"prefix_rewrite": "/new", "strip_query": True},
        "/r/prefix-strip/x?a=1",
        301,
        "http://app.test/new/x",
    ),
    "https": ({"https_redirect": True}, "/r/https?a", 301, "https://app.test/r/https?a"),
    "scheme": ({"scheme_redirect": "ftp"}, "/r/scheme", 301, "ftp://app.test/r/scheme"),
    "port": ({"port_redirect": 8443}, "/r/port", 301, "http://app.test:8443/r/port"),
    "https-port": (
        {"https_redirect": True, "port_redirect": 8443},
        "/r/https-port",
        301,
        "https://app.test:8443/r/https-port",
    ),
    "https-443": (
        {"https_redirect": True, "port_redirect": 443},
        "/r/https-443",
        301,
        "https://app.test:443/r/https-443",
    ),
    "host-port": (
        {"host_redirect": "new.test:81"},
        "/r/host-port",
        301,
        "http://new.test:81/r/host-port",
    ),
    "host-and-port": (
        {"host_redirect": "new.test", "port_redirect": 82},
        "/r/host-and-port",
        301,
        "http://new.test:82/r/host-and-port",
    ),
    "all": (
        {
            "https_redirect": True,
            "host_redirect": "new.test",
            "path_redirect": "/p",
            "response_code": "SEE_OTHER",
        },
        "/r/all?q",
        303,
        "https://new.test/p?q",
    ),
    "regex": (
        {"regex_rewrite": {"pattern": {"regex": "^/r/regex/(\\d+)"}, "substitution": "/item/\\1/"}},
        "/r/regex/42/x?a=1",
        301,
        "http://app.test/item/42//x?a=1",
    ),
    "found": ({"path_redirect": "/n", "response_code": "FOUND"}, "/r/found", 302, "http://app.test/n"),
    "other": ({"path_redirect": "/n", "response_code": "SEE_OTHER"}, "/r/other", 303, "http://app.test/n"),
    "temporary": (
        {"path_redirect": "/n", "response_code": "TEMPORARY_REDIRECT"},
        "/r/temporary",
        307,
        "http://app.test/n",
    ),
    "permanent": (
        {"path_redirect": "/n", "response_code": "PERMANENT_REDIRECT"},
        "/r/permanent",
        308,
        "http://app.test/n",
    ),
    "nothing": ({}, "/r/nothing?a", 301, "http://app.test/r/nothing?a"),
    "scheme-to-http": (
        {"scheme_redirect": "http"},
        "/r/scheme-to-http",
        301,
        "http://app.test/r/scheme-to-http",
    ),
    "scheme-upper": ({"scheme_redirect": "HTTPS"}, "/r/scheme-upper", 301, "HTTPS://app.test/r/scheme-upper"),
    "https-not": ({"https_redirect": False}, "/r/https-not?x", 301, "http://app.test/r/https-not?x"),
    "two-ports": (
        {"host_redirect": "new.test:8", "port_redirect": 9},
        "/r/two-ports",
        301,
        "http://new.test:8:9/r/two-ports",
    ),
    "host-ip6": (
        {"host_redirect": "[::1]", "port_redirect": 9},
        "/r/host-ip6",
        301,
        "http://[::1]:9/r/host-ip6",
    ),
    "largest-port": (
        {"port_redirect": 70000},
        "/r/largest-port",
        301,
        "http://app.test:70000/r/largest-port",
    ),
    "fragment": ({"path_redirect": "/a#b"}, "/r/fragment?x", 301, "http://app.test/a#b?x"),
    "slashless": ({"path_redirect": "new"}, "/r/slashless?x", 301, "http://app.test/new?x"),
    "operators": ({"path_redirect": "/%PROTOCOL%"}, "/r/operators", 301, "http://app.test/%PROTOCOL%"),
    "prefix-query": ({"prefix_rewrite": "/z?k=v"}, "/r/prefix-query/a?x", 301, "http://app.test/z?k=v/a?x"),
    "prefix-query-strip": (
        {"prefix_rewrite": "/z?k=v", "strip_query": True},
        "/r/prefix-query-strip/a?x",
        301,
        "http://app.test/z",
    ),
    "prefix-slashless": ({"prefix_rewrite": "zz"}, "/r/prefix-slashless/a", 301, "http://app.test/zz/a"),
    "regex-to-nothing": (
        {"regex_rewrite": {"pattern": {"regex": ".*"}, "substitution": ""}},
        "/r/regex-to-nothing?x",
        301,
        "http://app.test/r/regex-to-nothing?x",
    ),
    "regex-strip": (
        {"regex_rewrite": {"pattern": {"regex": "^/r/"}, "substitution": ""}, "strip_query": True},
        "/r/regex-strip?x",
        301,
        "http://app.test/regex-strip",
    ),
    "format": (
        {"path_rewrite": "/n/%REQ(:METHOD)%%REQ(missing)%"},
        "/r/format?a=1",
        301,
        "http://app.test/n/GET?a=1",
    ),
    "format-query": (
        {"path_rewrite": "/n?was=%REQ(:PATH)%"},
        "/r/format-query?a=1",
        301,
        "http://app.test/n?was=/r/format-query?a=1",
    ),
    "format-strip": (
        {"path_rewrite": "%PROTOCOL%", "strip_query": True},
        "/r/format-strip?a=1",
        301,
        "http://app.test/HTTP/1.1",
    ),
    "format-nothing": (
        {"path_rewrite": "%REQ(missing)%"},
        "/r/format-nothing?a",
        301,
        "http://app.test/r/format-nothing?a",
    ),
    "strip-only": ({"strip_query": True}, "/r/strip-only?a", 301, "http://app.test/r/strip-only"),
}


def configure(proxy: Proxy) -> Config:
    file = proxy.directory / "body.txt"
    file.write_text("from a file\n")
    direct = DIRECT | {"/d/file": {"status": 200, "body": {"filename": str(file)}}}
    routes: list[dict[str, Any]] = [
        {"match": {"path": path}, "direct_response": action} for path, action in direct.items()
    ]
    for name, (action, *_) in sorted(REDIRECTS.items(), key=lambda item: -len(item[0])):
        routes.append({"match": {"prefix": f"/r/{name}"}, "redirect": action})
    for name, (action, rules, *_) in FORMATTED.items():
        direct_response = {"status": 200, **action}
        route = {"match": {"path": f"/f/{name}"}, "direct_response": direct_response}
        routes.append(route | {"response_headers_to_add": rules})
    routes.append(
        {"match": {"prefix": "/upper", "case_sensitive": False}, "redirect": {"prefix_rewrite": "/low"}}
    )
    routes.append({"match": {"prefix": "/"}, "route": {"cluster": "app"}})
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    limit = {"max_direct_response_body_size_bytes": 5000}
    main = listener("main", proxy.port(), yaml.safe_dump(hosts), route_config=limit)
    form = {"text_format": "[%LOCAL_REPLY_BODY%]", "content_type": "l/r"}
    formatted = listener(
        "formatted",
        proxy.port("formatted"),
        yaml.safe_dump(hosts),
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


@pytest.mark.parametrize("name", REDIRECTS)
def test_redirect(proxy: Proxy, name: str) -> None:
    _, target, status, location = REDIRECTS[name]
    response = proxy.ask(target)
    assert (response.status, response["location"], response.text) == (status, location, "")
    assert response.normal == [("content-length", "0"), TAIL[0], ("location", location), TAIL[1]]


def location(response: Response) -> str | None:
    assert response.status == 301
    return response["location"]


def test_redirect_keeps_the_port_of_the_host(proxy: Proxy) -> None:
    assert location(proxy.ask("/r/path", host="app.test:8080")) == "http://app.test:8080/new"


def test_redirect_drops_the_default_port_of_the_old_scheme(proxy: Proxy) -> None:
    assert location(proxy.ask("/r/https", host="app.test:80")) == "https://app.test/r/https"
    assert location(proxy.ask("/r/https", host="app.test:8080")) == "https://app.test:8080/r/https"
    assert location(proxy.ask("/r/path", host="app.test:80")) == "http://app.test:80/new"


def test_redirect_port_replaces_the_port_of_the_host(proxy: Proxy) -> None:
    assert location(proxy.ask("/r/port", host="app.test:8080")) == "http://app.test:8443/r/port"
    assert location(proxy.ask("/r/port", host="[::1]:8080")) == "http://[::1]:8443/r/port"
    assert location(proxy.ask("/r/port", host="[::1]")) == "http://[::1]:8443/r/port"


def test_redirect_follows_forwarded_proto(proxy: Proxy) -> None:
    headers = "x-forwarded-proto: https\r\n"
    assert location(proxy.ask("/r/path", headers=headers)) == "https://app.test/new"


@pytest.mark.parametrize(
    ("name", "host", "scheme", "expected"),
    [
        ("https", "a:443", "http", "https://a:443/"),
        ("https", "[::1]:80", "http", "https://[::1]/"),
        ("https", "[::1]", "http", "https://[::1]/"),
        ("https", "a:", "http", "https://a:/"),
        ("https", "a:443", "https", "https://a:443/"),
        ("scheme-to-http", "a:443", "https", "http://a/"),
        ("scheme-to-http", "a:80", "http", "http://a:80/"),
        ("scheme-upper", "a:80", "http", "HTTPS://a/"),
        ("port", "[::1]:9", "http", "http://[::1]:8443/"),
    ],
)
def test_redirect_of_authorities(proxy: Proxy, name: str, host: str, scheme: str, expected: str) -> None:
    headers = f"x-forwarded-proto: {scheme}\r\n"
    assert location(proxy.ask(f"/r/{name}", host=host, headers=headers)) == f"{expected}r/{name}"


def test_redirect_ignores_case_if_its_route_does(proxy: Proxy) -> None:
    assert location(proxy.ask("/UPPER/A?x")) == "http://app.test/low/A?x"


def test_redirect_to_head(proxy: Proxy) -> None:
    with proxy.client() as client:
        for _ in range(2):
            response = client.send("HEAD /r/path HTTP/1.1\r\nhost: a\r\n\r\n").read("HEAD")
            assert (response.status, response["location"]) == (301, "http://a/new")


def test_redirect_keeps_the_case_of_the_host(proxy: Proxy) -> None:
    assert location(proxy.ask("/r/path", host="APP.test")) == "http://APP.test/new"


def test_redirect_counts(proxy: Proxy) -> None:
    before = proxy.stats("^http.main.rq_(direct_response|redirect)$")
    proxy.ask("/r/path")
    proxy.ask("/d/none")
    after = proxy.stats("^http.main.rq_(direct_response|redirect)$")
    assert after["http.main.rq_direct_response"] - before["http.main.rq_direct_response"] == 2
    assert after["http.main.rq_redirect"] == before["http.main.rq_redirect"] == 0
