"""Redirects that the proxy follows by itself."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .origin import Answer, Seen, raw, text
from .settings import Config, access_log, bootstrap, cluster, listener

pytestmark = pytest.mark.parity
_PREDICATES = "type.googleapis.com/envoy.extensions.internal_redirect."
LISTED = {
    "name": "l",
    "typed_config": {"@type": _PREDICATES + "allow_listed_routes.v3.AllowListedRoutesConfig"},
}
PREVIOUS = {"name": "p", "typed_config": {"@type": _PREDICATES + "previous_routes.v3.PreviousRoutesConfig"}}
SAFE = {"name": "s", "typed_config": {"@type": _PREDICATES + "safe_cross_scheme.v3.SafeCrossSchemeConfig"}}
LISTED["typed_config"]["allowed_route_names"] = ["target"]  # type: ignore[index]

#: Name of a route, and what its paths begin with → the policy.
POLICIES: dict[str, Config] = {
    "plain": {},
    "all": {"redirect_response_codes": [301, 303, 307, 308, 304]},
    "chain": {"max_internal_redirects": 2},
    "none": {"max_internal_redirects": 0},
    "cross": {"allow_cross_scheme_redirect": True},
    "safe": {"allow_cross_scheme_redirect": True, "predicates": [SAFE]},
    "listed": {"predicates": [LISTED]},
    "previous": {"max_internal_redirects": 5, "predicates": [PREVIOUS]},
    "copied": {"response_headers_to_copy": ["x-copied", "X-Also"]},
    "small": {},
    "retried": {},
    "mirrored": {},
    "rewritten": {},
}
#: What these routes have besides.
MORE: dict[str, Config] = {
    "rewritten": {"prefix_rewrite": "/new", "host_rewrite_literal": "other.test"},
    "retried": {"retry_policy": {"retry_on": "5xx", "num_retries": 1}},
    "mirrored": {"request_mirror_policies": [{"cluster": "shadow"}]},
}
LOG = (
    "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED%"
    " %BYTES_SENT% %UPSTREAM_CLUSTER% %ROUTE_NAME% %REQ(X-ENVOY-ORIGINAL-URL)%\n"
)


def configure(proxy: Proxy) -> Config:
    routes: list[Config] = [
        {
            "name": name,
            "match": {"path_separated_prefix": f"/{name}"},
            "route": {"cluster": "app", "internal_redirect_policy": policy, **MORE.get(name, {})},
        }
        for name, policy in POLICIES.items()
    ]
    [small] = [route for route in routes if route["name"] == "small"]
    small["per_request_buffer_limit_bytes"] = 10
    for name, action in {
        "target": {"cluster": "app"},
        "off": {"cluster": "app"},
        "old": {"cluster": "app", "internal_redirect_action": "HANDLE_INTERNAL_REDIRECT"},
        "nowhere": {"cluster": "dead"},
    }.items():
        routes.append({"name": name, "match": {"path_separated_prefix": f"/{name}"}, "route": action})
    body = {"inline_string": "direct"}
    routes += [
        {"name": "direct", "match": {"path": "/direct"}, "direct_response": {"status": 200, "body": body}},
        {"name": "moved", "match": {"path": "/moved"}, "redirect": {"path_redirect": "/elsewhere"}},
    ]
    hosts = [
        {
            "name": "any",
            "domains": ["any.test"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}],
        },
        {
            "name": "app",
            "domains": ["app.test", "[::1]", "app_x.test"],
            "routes": routes,
            "request_headers_to_add": [{"header": {"key": "x-added", "value": "1"}}],
        },
    ]
    main = listener("main", proxy.port(), hosts, access_log=[access_log(proxy.log().path, LOG)])
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("shadow", proxy.origin("shadow").port),
        cluster("dead", proxy.port("nobody")),
    ]
    return bootstrap(proxy.port("admin"), [main], clusters)


TARGET = "http://app.test/target"


def to(location: str = TARGET, status: str = "302 Found", headers: str = "") -> Answer:
    return text("moved", status, f"location: {location}\r\n{headers}")


def requests(proxy: Proxy) -> list[Seen]:
    """All that reached the upstream."""
    found = []
    while not proxy.origin().queue.empty():
        found.append(proxy.origin().take().wait())
    return found


def test_followed(proxy: Proxy) -> None:
    proxy.origin().on("/plain", to(TARGET + "?x=1"))
    response = proxy.ask("/plain?first", headers="x-mine: 1\r\n")
    assert (response.status, response.text) == (200, "hello")
    first, second = requests(proxy)
    assert (first.target, second.target) == ("/plain?first", "/target?x=1")
    new = ("x-envoy-original-url", "http://app.test/plain?first")
    # Header rules act again.
    assert second.normal == sorted([*first.normal, ("x-added", "1"), new])


@pytest.mark.parametrize(
    ("path", "status", "followed"),
    [
        ("/plain", "301 X", False),
        ("/plain", "303 X", False),
        ("/plain", "307 X", False),
        ("/plain", "308 X", False),
        ("/plain", "200 X", False),
        ("/off", "302 X", False),
        ("/old", "302 X", True),
        ("/none", "302 X", False),
        ("/all", "301 X", True),
        ("/all", "302 X", False),
        ("/all", "303 X", True),
        ("/all", "307 X", True),
        ("/all", "308 X", True),
        ("/retried", "302 X", True),
        ("/mirrored", "302 X", True),
    ],
)
def test_which_statuses(proxy: Proxy, path: str, status: str, followed: bool) -> None:
    proxy.origin().on(path, to(status=status))
    assert proxy.ask(path).text == ("hello" if followed else "moved")
    assert len(requests(proxy)) == 1 + followed


@pytest.mark.parametrize(
    ("location", "path", "host"),
    [
        ("http://app.test/target?a=b#c", "/target?a=b", "app.test"),
        ("http://app.test/target#f", "/target", "app.test"),
        ("http://user@app.test/target", "/target", "app.test"),
        ("HTTP://APP.test/target", "/target", "APP.test"),
        ("http://[::1]/target", "/target", "[::1]"),
        ("http://app.test/target/../x", "/target/../x", "app.test"),
        ("http://any.test", "/", "any.test"),
        ("http://any.test/|", "/|", "any.test"),
        ("https://app.test/target", "/target", "app.test"),
    ],
)
def test_where_to(proxy: Proxy, location: str, path: str, host: str) -> None:
    proxy.origin().on("/cross", to(location))
    assert proxy.ask("/cross").text == "hello"
    last = requests(proxy)[-1]
    assert (last.target, last["host"]) == (path, host)
    assert last["x-forwarded-proto"] == "http"


@pytest.mark.parametrize(
    ("path", "location", "reason"),
    [
        ("/plain", "/target", "bad_location"),
        ("/plain", "target", "bad_location"),
        ("/plain", "//app.test/target", "bad_location"),
        ("/plain", "http:/target", "bad_location"),
        ("/plain", "", "bad_location"),
        ("/plain", "http:///target", "bad_location"),
        ("/plain", "http://:80/target", "bad_location"),
        ("/plain", "http://app.test:/target", "bad_location"),
        ("/plain", "http://app.test:99999/target", "bad_location"),
        ("/plain", "http://app_x.test/target", "bad_location"),
        ("/plain", "http://app.te<st/target", "bad_location"),
        ("/plain", "http://[::1/target", "bad_location"),
        ("/plain", "http://a@b@app.test/target", "bad_location"),
        ("/plain", "http://app.test/target path", "bad_location"),
        ("/plain", "http://app.test/tar\x80get", "bad_location"),
        ("/plain", "http://app.test/target#a b", "bad_location"),
        ("/plain", "1ttp://app.test/target", "bad_location"),
        ("/plain", "http://app.test", "no_route"),
        ("/plain", "http://any.test?x", "no_route"),
        ("/plain", "http://app.test:80/target", "no_route"),
        ("/plain", "http://app.test/%74arget", "no_route"),
        ("/plain", "http://two.test/target", "no_route"),
        ("/plain", "https://app.test/target", "unsafe_scheme"),
        ("/plain", "ftp://app.test/target", "unsafe_scheme"),
        ("/safe", "https://app.test/target", "predicate"),
        ("/listed", "http://app.test/off", "predicate"),
        ("/none", TARGET, "too_many_redirects"),
    ],
)
def test_not_followed(proxy: Proxy, path: str, location: str, reason: str) -> None:
    proxy.origin().on(path, to(location))
    names = [f"http.main.passthrough_internal_redirect_{reason}"]
    names.append("cluster.app.upstream_internal_redirect_failed_total")
    before = [proxy.stat(name) for name in names]
    response = proxy.ask(path)
    assert (response.status, response.text, response["location"]) == (302, "moved", location)
    assert [proxy.stat(name) for name in names] == [count + 1 for count in before]
    [only] = requests(proxy)
    assert only["x-envoy-original-url"] is None


@pytest.mark.parametrize("path", ["/safe", "/listed", "/previous"])
def test_predicates_that_agree(proxy: Proxy, path: str) -> None:
    proxy.origin().on(path, to())
    assert proxy.ask(path).text == "hello"


@pytest.mark.parametrize(("path", "count"), [("/plain", 2), ("/chain", 3), ("/previous", 2)])
def test_in_a_circle(proxy: Proxy, path: str, count: int) -> None:
    proxy.origin().on(path, to(f"http://app.test{path}"))
    assert proxy.ask(path).status == 302
    assert len(requests(proxy)) == count


def test_no_location(proxy: Proxy) -> None:
    """It is no redirect that could be followed, but counted as one."""
    proxy.origin().on("/plain", text("moved", "302 X"))
    before = proxy.stat("cluster.app.upstream_internal_redirect_failed_total")
    assert proxy.ask("/plain").status == 302
    assert proxy.stat("cluster.app.upstream_internal_redirect_failed_total") == before + 1


@pytest.mark.parametrize("path", ["/all", "/mirrored"])
@pytest.mark.parametrize("status", ["307 X", "303 X"])
def test_content(proxy: Proxy, path: str, status: str) -> None:
    """303 makes a GET of anything."""
    status = "302 X" if path == "/mirrored" else status
    proxy.origin().on(path, to(status=status))
    assert proxy.ask(path, method="PUT", body=b"content").text == "hello"
    second = requests(proxy)[1]
    lost = status == "303 X"
    assert (second.method, second.body) == (("GET", b"") if lost else ("PUT", b"content"))
    assert second["content-length"] == (None if lost else "7")


def test_a_head_stays_one(proxy: Proxy) -> None:
    proxy.origin().on("/all", raw(f"HTTP/1.1 303 X\r\nlocation: {TARGET}\r\n\r\n"))
    proxy.origin().on("/target", raw("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"))
    assert proxy.ask("/all", method="HEAD").status == 200
    assert [request.method for request in requests(proxy)] == ["HEAD", "HEAD"]


def test_chunked_content_with_trailers(proxy: Proxy) -> None:
    proxy.origin().on("/plain", to())
    with proxy.client() as client:
        head = b"POST /plain HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n"
        client.send(head, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert client.read().text == "hello"
        client.send("GET /target HTTP/1.1\r\nhost: app.test\r\n\r\n")
        assert client.read().text == "hello"
    second = requests(proxy)[1]
    assert (second.body, second["transfer-encoding"]) == (b"abcde", "chunked")


@pytest.mark.parametrize(("size", "followed"), [(10, True), (11, False)])
def test_content_that_is_too_long(proxy: Proxy, size: int, followed: bool) -> None:
    proxy.origin().on("/small", to())
    before = proxy.stat("cluster.app.upstream_internal_redirect_failed_total")
    assert proxy.ask("/small", method="POST", body=b"x" * size).text == ("hello" if followed else "moved")
    after = proxy.stat("cluster.app.upstream_internal_redirect_failed_total")
    assert after == before + (not followed)


def test_a_redirect_before_the_end_of_the_request(proxy: Proxy) -> None:
    answer = f"HTTP/1.1 302 Found\r\nlocation: {TARGET}\r\ncontent-length: 0\r\n\r\n"
    proxy.origin().on("/plain", raw(answer, early=True))
    with proxy.client() as client:
        client.send("POST /plain HTTP/1.1\r\nhost: app.test\r\ncontent-length: 10\r\n\r\nhello")
        assert client.read_head().status == 302


def test_headers_that_are_copied(proxy: Proxy) -> None:
    """From the redirect to the next request; what the redirect does not have goes."""
    proxy.origin().on("/copied", to(headers="x-copied: 1\r\nx-copied: 2\r\n"))
    proxy.ask("/copied", headers="x-copied: mine\r\nx-also: mine\r\nx-other: mine\r\n")
    second = requests(proxy)[1]
    found = [item for item in second.normal if item[0] in ("x-copied", "x-also", "x-other")]
    assert found == [("x-copied", "1"), ("x-copied", "2"), ("x-other", "mine")]


def test_after_a_rewrite(proxy: Proxy) -> None:
    """The original URL is the one that was sent."""
    proxy.origin().on("/new", to())
    assert proxy.ask("/rewritten").text == "hello"
    second = requests(proxy)[1]
    assert second["x-envoy-original-url"] == "http://other.test/new"
    assert second["x-envoy-original-path"] == "/rewritten"
    assert second["host"] == "app.test"


@pytest.mark.parametrize(
    ("target", "status", "body"), [("/direct", 200, "direct"), ("/moved", 301, ""), ("/nowhere", 503, None)]
)
def test_to_other_kinds_of_routes(proxy: Proxy, target: str, status: int, body: str | None) -> None:
    proxy.origin().on("/plain", to("http://app.test" + target))
    response = proxy.ask("/plain")
    assert response.status == status
    assert body is None or response.text == body


def test_the_first_connection(proxy: Proxy) -> None:
    """It is kept if the redirect was complete with its head; Envoy has it back only after the next request began."""
    proxy.origin().on("/plain", text("", "302 X", f"location: {TARGET}\r\n"))
    proxy.ask("/target")
    requests(proxy)
    with proxy.client() as client:
        for _ in range(3):
            client.send("GET /plain HTTP/1.1\r\nhost: app.test\r\n\r\n")
            assert client.read().text == "hello"
    assert len({request.connection for request in requests(proxy)}) <= 2


def test_statistics(proxy: Proxy) -> None:
    """To the connection manager they are two requests, of which one is answered; the redirect counts nowhere."""
    proxy.origin().on("/plain", to())
    names = [
        "http.main.downstream_rq_total",
        "http.main.downstream_rq_completed",
        "http.main.downstream_rq_2xx",
        "http.main.downstream_rq_3xx",
        "http.main.rq_total",
        "cluster.app.upstream_rq_total",
        "cluster.app.upstream_rq_completed",
        "cluster.app.upstream_internal_redirect_succeeded_total",
    ]
    before = [proxy.stat(name) for name in names]
    assert proxy.ask("/plain").status == 200
    assert wait_for(
        lambda: [proxy.stat(name) - old for name, old in zip(names, before)] == [2, 1, 1, 0, 2, 2, 1, 1]
    )


def test_the_log_has_a_line_for_each(proxy: Proxy) -> None:
    proxy.origin().on("/plain", to(TARGET + "?log"))
    assert proxy.ask("/plain", method="POST", body=b"12345").status == 200
    lines = wait_for(
        lambda: [one for one in proxy.log().lines() if "?log" in one][1:] and proxy.log().lines()
    )
    assert [one for one in lines if "?log" in one] == [
        "POST /target?log 302 - internal_redirect 5 0 app target http://app.test/plain",
        "POST /target?log 200 - via_upstream 10 5 app target http://app.test/plain",
    ]
