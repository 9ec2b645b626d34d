"""`http_protocol_options` of connection managers and clusters."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import raw, text
from .settings import Config, bootstrap, cluster, listener, protocol_options, routes_to
from .wire import Ended

pytestmark = pytest.mark.parity

FORMATTER = (
    "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
)
PROPER = {"header_key_format": {"proper_case_words": {}}}


def keep(**config: object) -> Config:
    extension = {"name": "preserve_case", "typed_config": {"@type": FORMATTER, **config}}
    return {"header_key_format": {"stateful_formatter": extension}}


ALL = keep(formatter_type_on_envoy_headers="PROPER_CASE", forward_reason_phrase=True)
CLUSTERS: dict[str, Config] = {
    "app": {},
    "lenient": {"allow_chunked_length": True},
    "proper": PROPER,
    "keep": keep(),
    "all": ALL,
    "qualified": {"send_fully_qualified_url": True},
    "trailers": {"enable_trailers": True},
}
#: Listener: (its options, the cluster).
LISTENERS: dict[str, tuple[Config, str]] = {
    "plain": ({}, "app"),
    "old": ({"accept_http_10": True}, "app"),
    "named": ({"accept_http_10": True, "default_host_for_http_10": "def.test"}, "app"),
    "lenient": ({"allow_chunked_length": True}, "app"),
    "lenient_up": ({}, "lenient"),
    "proper": (PROPER, "app"),
    "proper_up": ({}, "proper"),
    "keep": (keep(), "app"),
    "keep_both": (keep(), "keep"),
    "keep_all": (ALL, "all"),
    "proper_keep": (PROPER, "keep"),
    "keep_proper": (keep(), "proper"),
    "custom": ({"allow_custom_methods": True}, "app"),
    "open": ({"override_stream_error_on_invalid_http_message": True}, "app"),
    "qualified": ({}, "qualified"),
    "trailers": ({"enable_trailers": True}, "app"),
    "trailers_up": ({}, "trailers"),
    "trailers_both": ({"enable_trailers": True}, "trailers"),
    "old_place": ({"enable_trailers": True}, "old_place"),
    "no_upgrade": (
        {"ignore_http_11_upgrade": [{"exact": "foo"}, {"prefix": "tls", "ignore_case": True}]},
        "app",
    ),
    "relative": ({"allow_absolute_url": False}, "app"),
}


def configure(proxy: Proxy) -> Config:
    clusters = [
        cluster(name, proxy.origin().port, typed_extension_protocol_options=protocol_options(http1=options))
        for name, options in CLUSTERS.items()
    ]
    small = {"max_response_headers_kb": 1}
    clusters += [
        cluster(
            "small",
            proxy.origin().port,
            typed_extension_protocol_options=protocol_options(common_http_protocol_options=small),
        ),
        cluster(
            "old_place",
            proxy.origin().port,
            http_protocol_options={"enable_trailers": True},
            common_http_protocol_options=small,
        ),
    ]
    listeners = [
        listener(name, proxy.port(name), routes_to(to), http_protocol_options=options)
        for name, (options, to) in LISTENERS.items()
    ]
    stays: Config = {"stream_error_on_invalid_http_message": True}
    overridden = stays | {"http_protocol_options": {"override_stream_error_on_invalid_http_message": False}}
    listeners += [
        listener("stays", proxy.port("stays"), routes_to("app"), **stays),
        listener("overridden", proxy.port("overridden"), routes_to("app"), **overridden),
        listener("small", proxy.port("small"), routes_to("small")),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def status(proxy: Proxy, name: str, data: str, method: str = "GET") -> int:
    with proxy.client(name) as client:
        return client.send(data).read(method).status


# HTTP/1.0


def test_http_10(proxy: Proxy) -> None:
    assert status(proxy, "plain", "GET / HTTP/1.0\r\nhost: a\r\n\r\n") == 426
    with proxy.client("old") as client:
        response = client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").read()
        assert (response.version, response.status, response["connection"]) == ("HTTP/1.0", 200, "close")
        assert client.ended()
    assert proxy.origin().take().version == "HTTP/1.1"
    with proxy.client("plain") as client:
        assert client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").read().version == "HTTP/1.1"
    assert status(proxy, "old", "GET / HTTP/1.0\r\n\r\n") == 400


def test_http_10_default_host(proxy: Proxy) -> None:
    assert status(proxy, "named", "GET / HTTP/1.0\r\n\r\n") == 200
    assert proxy.origin().take()["host"] == "def.test"
    assert status(proxy, "named", "GET / HTTP/1.0\r\nhost: a\r\n\r\n") == 200
    assert proxy.origin().take()["host"] == "a"
    assert status(proxy, "named", "GET / HTTP/1.1\r\n\r\n") == 400


def test_http_10_absolute(proxy: Proxy) -> None:
    assert status(proxy, "old", "GET http://b.test/x HTTP/1.0\r\n\r\n") == 200
    seen = proxy.origin().take()
    assert (seen.target, seen["host"]) == ("/x", "b.test")


def test_http_10_keep_alive(proxy: Proxy) -> None:
    with proxy.client("old") as client:
        data = "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n"
        assert client.send(data).read()["connection"] == "keep-alive"
        assert client.send(data.replace("keep-alive", "close")).read()["connection"] == "close"
        assert client.ended()


def test_http_10_chunked(proxy: Proxy) -> None:
    """There is no such thing (RFC 9112 section 6.1)."""
    data = "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    assert status(proxy, "plain", data) == 426
    proxy.may_be_stricter(status(proxy, "old", data), at_envoy=200, stricter=400)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("transfer-encoding: gzip", 501),
        ("transfer-encoding: identity", 501),
        ("transfer-encoding: chunked, chunked", 501),
        ("transfer-encoding: chunked\r\ncontent-length: 5", 400),
        ("content-length: x", 400),
        ("content-length: 5\r\ncontent-length: 6", 400),
        ("connection: x-forwarded-for", 400),
        ("x y: 1", 400),
    ],
)
@pytest.mark.parametrize("name", ["plain", "old"])
def test_http_10_that_is_malformed(proxy: Proxy, name: str, field: str, expected: int) -> None:
    """That is said before anything about the version."""
    with proxy.client(name) as client:
        response = client.send(f"POST / HTTP/1.0\r\nhost: a\r\n{field}\r\n\r\n0\r\n\r\n").read()
        assert response.status == expected
        assert client.ended()


# Framing

BOTH = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("plain", BOTH, 400),
        ("lenient_up", BOTH, 400),
        ("lenient", BOTH, 200),
        ("lenient", BOTH.replace("content-length: 5", "content-length: 5\r\ncontent-length: 6"), 400),
        ("lenient", BOTH.replace(": chunked", ": identity"), 400),
        ("lenient", BOTH.replace(": chunked", ": gzip, chunked"), 400),
    ],
)
def test_both_framings(proxy: Proxy, name: str, data: str, expected: int) -> None:
    assert status(proxy, name, data) == expected
    if expected == 200:
        seen = proxy.origin().take().wait()
        assert (seen["content-length"], seen["transfer-encoding"], seen.body) == (None, "chunked", b"abc")
    else:
        assert proxy.origin().nothing(0.01)


@pytest.mark.parametrize(("name", "expected"), [("plain", 502), ("lenient", 502), ("lenient_up", 200)])
def test_both_framings_of_a_response(proxy: Proxy, name: str, expected: int) -> None:
    both = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    proxy.origin().on("/both", raw(both))
    response = proxy.ask("/both", name)
    assert response.status == expected
    if expected == 200:
        assert (response.text, response["content-length"]) == ("abc", None)


@pytest.mark.parametrize("name", ["plain", "trailers", "trailers_up", "trailers_both", "old_place"])
def test_trailers(proxy: Proxy, name: str) -> None:
    answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-r: 1\r\n\r\n"
    proxy.origin().on("/t", raw(answer))
    with proxy.client(name) as client:
        head = "POST /t HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        response = client.send(head, "3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n").read()
    seen = proxy.origin().take().wait()
    both = name in ("trailers_both", "old_place")
    assert (seen.trailers, response.trailers) == (
        [("x-t", "1")] if both else [],
        [("x-r", "1")] if both else [],
    )
    assert (seen.body, response.text) == (b"abc", "abc")


#: What comes behind the last chunk, and whether it is taken where trailers are passed on, and where they are dropped.
TRAILERS = {
    "a control character": ("x-t: a\x01b\r\n", False, False),
    "a vertical tab": ("x-t: a\x0bb\r\n", False, False),
    "DEL": ("x-t: a\x7fb\r\n", False, False),
    "a tab": ("x-t: a\tb\r\n", True, True),
    "a name that is none": (":path: /\r\n", False, False),
    "100 of them": ("x-t: v\r\n" * 100, True, True),
    "101 of them": ("x-t: v\r\n" * 101, False, True),
}


@pytest.mark.parametrize("name", ["trailers_both", "plain"])
@pytest.mark.parametrize("which", TRAILERS)
def test_trailers_that_are_none(proxy: Proxy, which: str, name: str) -> None:
    trailers, passed_on, dropped = TRAILERS[which]
    taken = dropped if name == "plain" else passed_on
    with proxy.client(name) as client:
        head = "POST /s HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
        status = client.send(head, f"{trailers}\r\n").read().status
        assert status == (200 if taken else 431 if "101" in which else 400)
        if not taken:
            assert client.ended()
    answer = f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{trailers}\r\n"
    proxy.origin().on("/r", raw(answer))
    with proxy.client(name) as client:
        client.send("GET /r HTTP/1.1\r\nhost: a\r\n\r\n")
        if taken:
            assert client.read().text == "abc"
        else:
            # Envoy cuts it off; here it was not begun yet.
            try:
                found: object = client.read().status
            except Ended:
                found = "cut"
            proxy.may_be_stricter(found, "cut", 502)
    proxy.origin().forget()


def test_large_response_head(proxy: Proxy) -> None:
    proxy.origin().on("/large", raw(f"HTTP/1.1 200 OK\r\nx: {'y' * 1100}\r\ncontent-length: 0\r\n\r\n"))
    assert proxy.ask("/large", "small").status == 502
    assert proxy.ask("/large", "old_place").status == 502
    assert proxy.ask("/large", "plain").status == 200
    proxy.origin().on("/large", raw(f"HTTP/1.1 200 OK\r\nx: {'y' * 900}\r\ncontent-length: 0\r\n\r\n"))
    assert proxy.ask("/large", "small").status == 200


# Names

SENT = (
    "GET /names HTTP/1.1\r\nHOST: a\r\nX-FoO-baR_x: 1\r\nx-ABC: 1\r\nx-abc: 2\r\nX-Forwarded-PROTO: https\r\n"
    "x-env_OY.a-b: 1\r\n\r\n"
)
ANSWER = (
    "HTTP/1.1 200 All Fine\r\nConTent-lEngth: 2\r\nX-BaR-foo_x: B\r\nx-request-ID: 5\r\nSet-cookie: a\r\n"
    "SET-cookie: b\r\nserver: Q\r\n\r\nok"
)
LOWER = (
    "host x-foo-bar_x x-abc x-abc x-forwarded-proto x-env_oy.a-b x-request-id x-envoy-expected-rq-timeout-ms"
)
KEPT = (
    "HOST X-FoO-baR_x x-ABC x-ABC X-Forwarded-PROTO x-env_OY.a-b x-request-id x-envoy-expected-rq-timeout-ms"
)
PROPERLY = (
    "Host X-Foo-Bar_X X-Abc X-Abc X-Forwarded-Proto X-Env_Oy.A-B X-Request-Id X-Envoy-Expected-Rq-Timeout-Ms"
)
OURS_PROPERLY = KEPT.replace("x-request-id", "X-Request-Id").replace(
    "x-envoy-expected-rq-timeout-ms", "X-Envoy-Expected-Rq-Timeout-Ms"
)
LOWER_BACK = (
    "content-length x-bar-foo_x x-request-id set-cookie set-cookie server x-envoy-upstream-service-time date"
)
KEPT_BACK = (
    "ConTent-lEngth X-BaR-foo_x x-request-ID Set-cookie Set-cookie server x-envoy-upstream-service-time date"
)
PROPERLY_BACK = (
    "Content-Length X-Bar-Foo_X X-Request-Id Set-Cookie Set-Cookie Server X-Envoy-Upstream-Service-Time Date"
)
OURS_PROPERLY_BACK = KEPT_BACK.replace(
    "x-envoy-upstream-service-time date", "X-Envoy-Upstream-Service-Time Date"
)


@pytest.mark.parametrize(
    ("name", "there", "back", "reason"),
    [
        ("plain", LOWER, LOWER_BACK, "OK"),
        ("proper", LOWER, PROPERLY_BACK, "OK"),
        ("proper_up", PROPERLY, LOWER_BACK, "OK"),
        ("keep", KEPT, LOWER_BACK, "OK"),
        ("keep_both", KEPT, KEPT_BACK, "OK"),
        ("keep_all", OURS_PROPERLY, OURS_PROPERLY_BACK, "All Fine"),
        ("proper_keep", LOWER, KEPT_BACK, "OK"),
        ("keep_proper", KEPT, LOWER_BACK, "OK"),
    ],
)
def test_names(proxy: Proxy, name: str, there: str, back: str, reason: str) -> None:
    proxy.origin().on("/names", raw(ANSWER))
    with proxy.client(name) as client:
        client.send(SENT)
        while not client.buffer.endswith(b"\r\n\r\nok"):
            assert client.read_some()
        first, *lines = client.buffer.decode().split("\r\n\r\n")[0].split("\r\n")
    assert first == f"HTTP/1.1 200 {reason}"
    assert " ".join(line.partition(":")[0] for line in lines) == back
    lines = proxy.origin().take().head.decode().split("\r\n")[1:]
    assert " ".join(line.partition(":")[0] for line in lines) == there


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("proper", "Date Server Connection Content-Length"),
        ("keep_both", "date server connection content-length"),
    ],
)
def test_names_of_our_own_answer(proxy: Proxy, name: str, expected: str) -> None:
    with proxy.client(name) as client:
        client.send("GET / HTTP/1.1\r\nhost: a\r\nX-A: b\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        while not client.buffer.endswith(b"\r\n\r\n"):
            assert client.read_some()
        lines = client.buffer.decode().strip().split("\r\n")[1:]
    assert " ".join(line.partition(":")[0] for line in lines) == expected


def test_names_of_framing(proxy: Proxy) -> None:
    with proxy.client("keep_both") as client:
        client.send(
            "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
        ).read()
    assert b"\r\nTransfer-Encoding: chunked" in proxy.origin().take().head


# Methods


@pytest.mark.parametrize("method", ["FOO", "foo", "GETX", "M-SEARCH", "PRI", "A" * 300])
def test_custom_methods(proxy: Proxy, method: str) -> None:
    data = f"{method} /m HTTP/1.1\r\nhost: a\r\n\r\n"
    assert status(proxy, "plain", data) == 400
    with proxy.client("custom") as client:
        assert client.send(data).read().status == 200
        seen = proxy.origin().take()
        assert (seen.method, seen["content-length"]) == (method, "0")
        for at in range(0, len(data), 5):
            client.send(data[at : at + 5])
        assert client.read().status == 200
        assert proxy.origin().take().method == method


def test_methods(proxy: Proxy) -> None:
    known = (
        "ACL BIND CHECKOUT COPY DELETE GET LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH "
        "POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE"
    )
    with proxy.client("plain") as client:
        for method in known.split():
            client.send(f"{method} /m HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
            assert (method, client.read().status) == (method, 200)
    assert status(proxy, "plain", "QUERY / HTTP/1.1\r\nhost: a\r\n\r\n") == 400
    assert status(proxy, "plain", "QUERY / HTTP/1.1\r\nhost: a\r\ncontent-type: a/b\r\n\r\n") == 200


@pytest.mark.parametrize("method", ["F@O", "\x80", ""])
def test_no_methods(proxy: Proxy, method: str) -> None:
    assert status(proxy, "custom", f"{method} / HTTP/1.1\r\nhost: a\r\n\r\n") == 400


# Errors

GOOD = "GET /next HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.mark.parametrize("name", ["plain", "open", "stays", "overridden"])
@pytest.mark.parametrize(
    ("data", "whole"),
    [
        ("GET / HTTP/1.1\r\n\r\n", True),
        ("GET /#x HTTP/1.1\r\nhost: a\r\n\r\n", True),
        ("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", False),
        ("GET / HTTP/1.1\r\nhost: a\r\nx y: 1\r\n\r\n", False),
        ("GET http:// HTTP/1.1\r\nhost: a\r\n\r\n", False),
    ],
)
def test_connection_after_an_error(proxy: Proxy, name: str, data: str, whole: bool) -> None:
    with proxy.client(name) as client:
        response = client.send(data).read()
        stays = whole and name in ("open", "stays")
        assert (response.status, response["connection"]) == (400, None if stays else "close")
        if stays:
            assert client.send(GOOD).read().status == 200
        else:
            assert client.ended()


# Targets


@pytest.mark.parametrize(
    ("target", "headers", "expected"),
    [
        ("/a?b", "", "http://a.test/a?b"),
        ("https://b.test/a?b", "", "https://b.test/a?b"),
        ("/a", "x-forwarded-proto: https\r\n", "https://a.test/a"),
    ],
)
def test_fully_qualified(proxy: Proxy, target: str, headers: str, expected: str) -> None:
    proxy.origin().default = text()
    assert proxy.ask(target, "qualified", headers=headers, host="a.test").status == 200
    seen = proxy.origin().take()
    assert (seen.target, seen["host"]) == (expected, expected.split("/")[2])


def test_absolute_not_allowed(proxy: Proxy) -> None:
    assert proxy.ask("http://b.test/a?b", "relative").status == 404


# Upgrades that are not heard


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("foo", 200), ("FOO", 403), ("tls/1.0", 200), ("TLS/1.2", 200), ("foo, bar", 403)],
)
def test_ignored_upgrade(proxy: Proxy, kind: str, expected: int) -> None:
    headers = f"connection: upgrade\r\nupgrade: {kind}\r\n"
    assert proxy.ask("/", "no_upgrade", headers=headers).status == expected
    if expected == 200:
        seen = proxy.origin().take()
        assert (seen["connection"], seen["upgrade"]) == (None, None)
