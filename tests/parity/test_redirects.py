"""Routes that answer by themselves: redirect in all its forms."""

from __future__ import annotations

import pytest
import yaml

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener
from .wire import Response

pytestmark = pytest.mark.parity

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
    # The longest first: names are prefixes of each other.
    routes: list[Config] = [
        {"match": {"prefix": f"/r/{name}"}, "redirect": action}
        for name, (action, *_) in sorted(REDIRECTS.items(), key=lambda item: -len(item[0]))
    ]
    routes.append(
        {"match": {"prefix": "/upper", "case_sensitive": False}, "redirect": {"prefix_rewrite": "/low"}}
    )
    hosts = yaml.safe_dump([{"name": "all", "domains": ["*"], "routes": routes}])
    main = listener("main", proxy.port(), hosts)
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


@pytest.mark.parametrize("name", REDIRECTS)
def test_redirect(proxy: Proxy, name: str) -> None:
    _, target, status, location = REDIRECTS[name]
    response = proxy.ask(target)
    assert (response.status, response["location"], response.text) == (status, location, "")
    fields = [("content-length", "0"), ("date", "DATE"), ("location", location), ("server", "SERVER")]
    assert response.normal == fields


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


def test_counted(proxy: Proxy) -> None:
    """As direct responses, not as redirects."""
    before = proxy.stats("^http.main.rq_(direct_response|redirect)$")
    proxy.ask("/r/path")
    after = proxy.stats("^http.main.rq_(direct_response|redirect)$")
    assert after["http.main.rq_direct_response"] - before["http.main.rq_direct_response"] == 1
    assert after["http.main.rq_redirect"] == before["http.main.rq_redirect"] == 0
