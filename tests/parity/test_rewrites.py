"""What a route changes on the way up: path and host rewrites, header rules, and their traces."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import ROUTER, Config, bootstrap, cluster, endpoint, listener

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = r"""
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: "/prefix/"}, route: {cluster: app, prefix_rewrite: "/"}}
  - {match: {prefix: "/prefix"}, route: {cluster: app, prefix_rewrite: "/new"}}
  - {match: {path: "/exact"}, route: {cluster: app, prefix_rewrite: "/other"}}
  - {match: {prefix: "/query"}, route: {cluster: app, prefix_rewrite: "/new?x=1"}}
  - {match: {prefix: "/UPPER", case_sensitive: false}, route: {cluster: app, prefix_rewrite: "/low"}}
  - {match: {path_separated_prefix: "/separated"}, route: {cluster: app, prefix_rewrite: "/s"}}
  - {match: {safe_regex: {regex: "/regex-prefix/.*"}}, route: {cluster: app, prefix_rewrite: "/whole"}}
  - match: {prefix: "/regex/"}
    route:
      cluster: app
      regex_rewrite: {pattern: {regex: "^/regex/([^/]+)(/.*)?$"}, substitution: '\2/at/\1'}
  - match: {prefix: "/all/"}
    route: {cluster: app, regex_rewrite: {pattern: {regex: "a"}, substitution: "b"}}
  - match: {prefix: "/whole/"}
    route: {cluster: app, regex_rewrite: {pattern: {regex: "/whole/(x)?"}, substitution: '/[\0]\\'}}
  - match: {prefix: "/nomatch/"}
    route: {cluster: app, regex_rewrite: {pattern: {regex: "zzz"}, substitution: "y"}}
  - match: {prefix: "/host/both"}
    route: {cluster: app, prefix_rewrite: "/b", host_rewrite_literal: "both.test"}
  - {match: {prefix: "/host/"}, route: {cluster: app, host_rewrite_literal: "inner.test:8"}}
  - match: {prefix: "/host-forwarded"}
    route: {cluster: app, host_rewrite_literal: "inner.test", append_x_forwarded_host: true}
  - match: {prefix: "/host-kept"}
    route: {cluster: app, append_x_forwarded_host: true}
  - match: {prefix: "/host-header"}
    route: {cluster: app, host_rewrite_header: X-Host}
  - match: {prefix: "/host-regex/"}
    route:
      cluster: app
      append_x_forwarded_host: true
      prefix_rewrite: "/new/"
      host_rewrite_path_regex: {pattern: {regex: "^/host-regex/([^/]*)(/.*)?$"}, substitution: '\1.test'}
  - match: {prefix: "/host-format"}
    route: {cluster: app, host_rewrite: "%REQ(x-host)%"}
    request_headers_to_add: [{header: {key: x-host, value: "%REQ(x-other)%"}, append_action: ADD_IF_ABSENT}]
  - match: {prefix: "/host-auto"}
    route: {cluster: named, auto_host_rewrite: true, append_x_forwarded_host: true}
  - match: {prefix: "/host-nameless"}
    route: {cluster: app, auto_host_rewrite: true, append_x_forwarded_host: true}
  - {match: {prefix: "/host-not-auto"}, route: {cluster: named, auto_host_rewrite: false}}
  - {match: {path: "/EXACTLY", case_sensitive: false}, route: {cluster: app, prefix_rewrite: "/low"}}
  - {match: {prefix: "/to-nothing"}, route: {cluster: app, regex_rewrite: {pattern: {regex: ".*"}, substitution: ""}}}
  - match: {prefix: "/slashless/"}
    route: {cluster: app, regex_rewrite: {pattern: {regex: "^/slashless/"}, substitution: ""}}
  - match: {prefix: "/groups/"}
    route: {cluster: app, regex_rewrite: {pattern: {regex: "^/groups/(a)?(b)?"}, substitution: '/\1-\2-\0'}}
  - match: {prefix: "/no-group/"}
    route: {cluster: app, regex_rewrite: {pattern: {regex: "/no-group/"}, substitution: '/\3'}}
  - match: {prefix: "/bad-escape/"}
    route: {cluster: app, regex_rewrite: {pattern: {regex: "escape"}, substitution: 'x\ny'}}
  - match: {prefix: "/empty-matches"}
    route: {cluster: app, regex_rewrite: {pattern: {regex: "a*"}, substitution: "-"}}
  - match: {path_match_policy:
      {name: envoy.path.match.uri_template.uri_template_matcher, typed_config: {
      "@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig,
      path_template: "/template/{first}/{rest=**}"}}}
    route:
      cluster: app
      path_rewrite_policy: {name: envoy.path.rewrite.uri_template.uri_template_rewriter, typed_config: {
        "@type": type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig,
        path_template_rewrite: "/{rest}/of/{first}"}}
  - {match: {prefix: "/format"}, route: {cluster: app, path_rewrite: "/new%REQ(x-path)%"}}
  - {match: {prefix: "/only-format"}, route: {cluster: app, path_rewrite: "%REQ(x-path)%"}}
  - {match: {prefix: "/operation"}, route: {cluster: app}, decorator: {operation: named, propagate: true}}
  - {match: {prefix: "/same/"}, route: {cluster: app, prefix_rewrite: "/same/"}}
  - {match: {prefix: "/"}, route: {cluster: app}}
"""


def configure(proxy: Proxy) -> Config:
    router = {"@type": ROUTER, "suppress_envoy_headers": True}
    bare = [{"name": "envoy.filters.http.router", "typed_config": router}]
    listeners = [
        listener("main", proxy.port(), VIRTUAL_HOSTS),
        listener("bare", proxy.port("bare"), VIRTUAL_HOSTS, http_filters=bare),
    ]
    named = endpoint(proxy.origin().port)
    named["endpoint"]["hostname"] = "named.test"
    clusters = [cluster("app", proxy.origin().port), cluster("named", named)]
    return bootstrap(proxy.port("admin"), listeners, clusters)


# What is asked, and what arrives.
PATHS = [
    ("/prefix", "/new"),
    ("/prefix/", "/"),
    ("/prefix/a/b", "/a/b"),
    ("/prefix/a?b=c", "/a?b=c"),
    ("/prefixed/a", "/newed/a"),
    ("/prefix?q", "/new?q"),
    ("/exact", "/other"),
    ("/exact?a=/exact", "/other?a=/exact"),
    ("/query/a", "/new?x=1/a"),
    ("/query?a", "/new?x=1?a"),
    ("/upper/A", "/low/A"),
    ("/UPPERcase", "/lowcase"),
    ("/separated", "/s"),
    ("/separated/a", "/s/a"),
    ("/separated?a", "/s?a"),
    ("/regex-prefix/a/b", "/whole"),
    ("/regex-prefix/a?b", "/whole?b"),
    ("/regex/svc/v1/api?q=/regex/x", "/v1/api/at/svc?q=/regex/x"),
    ("/regex/svc", "/at/svc"),
    ("/all/banana?a=a", "/bll/bbnbnb?a=a"),
    ("/whole/x", "/[/whole/x]\\"),
    ("/same/x", "/same/x"),
    ("/nomatch/x", "/nomatch/x"),
    ("/exactly?x", "/low?x"),
    ("/slashless/a?b", "a?b"),
    ("/groups/ab", "/a-b-/groups/ab"),
    ("/groups/", "/--/groups/"),
    ("/no-group/a", "/no-group/a"),
    ("/bad-escape/a", "/bad-x/a"),
    ("/empty-matches/baab", "-/-e-m-p-t-y---m-t-c-h-e-s-/-b-b-"),
    ("/template/a/b/c?d", "/b/c/of/a?d"),
    ("/template/a/", "//of/a"),
    ("/format/a?b", "/new?b"),
]


@pytest.mark.parametrize(("asked", "arrived"), PATHS)
def test_path(proxy: Proxy, asked: str, arrived: str) -> None:
    assert proxy.ask(asked).status == 200
    seen = proxy.origin().take()
    assert (seen.target, seen["x-envoy-original-path"]) == (arrived, asked)


@pytest.mark.parametrize(
    "path", ["/separatedx", "/plain", "/plain?a=/prefix", "/to-nothing", "/to-nothing?x", "/only-format?x"]
)
def test_path_left_alone(proxy: Proxy, path: str) -> None:
    assert proxy.ask(path).status == 200
    seen = proxy.origin().take()
    assert (seen.target, seen["x-envoy-original-path"]) == (path, None)


# Paths pass as they are: nothing is decoded, encoded, merged or resolved by default.
@pytest.mark.parametrize(
    "path",
    [
        "/a//b",
        "/a/./b",
        "/a/../b",
        "/%41",
        "/%2f",
        "/%5c",
        "/a%20b",
        "/a;b=c",
        "/~a",
        "/a|b",
        "/a\\b",
        '/a"b',
        "/a{b}",
        "/a?b?c",
        "/?",
        "/a?",
        "/%zz",
        "/%00",
        "//",
        "/a'b,c:d@e!$&()*+",
        "/a^b`c<d>",
    ],
)
def test_path_bytes_pass(proxy: Proxy, path: str) -> None:
    assert proxy.ask(path).status == 200
    assert proxy.origin().take().target == path


def test_host(proxy: Proxy) -> None:
    proxy.ask("/host/x", host="outer.test")
    seen = proxy.origin().take()
    assert (seen["host"], seen.target) == ("inner.test:8", "/host/x")
    assert (seen["x-forwarded-host"], seen["x-envoy-original-host"]) == (None, "outer.test")


def test_host_and_path(proxy: Proxy) -> None:
    proxy.ask("/host/both/c")
    seen = proxy.origin().take()
    assert (seen["host"], seen.target, seen["x-envoy-original-path"]) == ("both.test", "/b/c", "/host/both/c")


def test_client_cannot_set_the_original_path(proxy: Proxy) -> None:
    proxy.ask("/prefix/a", headers="x-envoy-original-path: /fake\r\n")
    seen = proxy.origin().take()
    assert [pair for pair in seen.headers if pair[0] == "x-envoy-original-path"] == [
        ("x-envoy-original-path", "/prefix/a")
    ]


@pytest.mark.parametrize(
    ("target", "value", "arrived"),
    [
        ("/format?a=b", "/z", "/new/z?a=b"),
        ("/format", "?q=1", "/new?q=1"),
        ("/format?x", "#", "/new#?x"),
        ("/only-format?x", "y", "y?x"),
    ],
)
def test_path_by_format(proxy: Proxy, target: str, value: str, arrived: str) -> None:
    proxy.ask(target, headers=f"x-path: {value}\r\n")
    seen = proxy.origin().take()
    assert (seen.target, seen["x-envoy-original-path"]) == (arrived, target)


@pytest.mark.parametrize(
    ("path", "host", "headers", "arrived", "forwarded"),
    [
        ("/host-forwarded", "a.test:1", "", "inner.test", "a.test:1"),
        ("/host-forwarded", "a.test", "x-forwarded-host: b\r\n", "inner.test", "b,a.test"),
        ("/host-forwarded", "a.test", "x-forwarded-host: b,a.test\r\n", "inner.test", "b,a.test"),
        ("/host-forwarded", "a.test", "x-forwarded-host: b, a.test\r\n", "inner.test", "b, a.test,a.test"),
        ("/host-forwarded", "inner.test", "", "inner.test", "inner.test"),
        ("/host-header", "a.test", "x-host: b.test:8\r\n", "b.test:8", None),
        ("/host-header", "a.test", "x-host: one\r\nx-host: two\r\n", "one", None),
        ("/host-regex/sub/x?y=/host-regex/z", "a.test", "", "sub.test", "a.test"),
        ("/host-regex/", "a.test", "", ".test", "a.test"),
        ("/host-format", "a.test", "x-host: b.test\r\n", "b.test", None),
        ("/host-format", "a.test", "x-other: c.test\r\n", "c.test", None),
        ("/host-format", "a.test", "", "-", None),
        ("/host-auto", "a.test", "", "named.test", "a.test"),
        ("/host-auto", "a.test", "x-forwarded-host: b\r\n", "named.test", "b,a.test"),
    ],
)
def test_host_rewrites(
    proxy: Proxy, path: str, host: str, headers: str, arrived: str, forwarded: str | None
) -> None:
    proxy.ask(path, host=host, headers=headers + "x-envoy-original-host: fake\r\n")
    seen = proxy.origin().take()
    found = [value for name, value in seen.headers if name == "x-envoy-original-host"]
    assert (seen["host"], found, seen["x-forwarded-host"]) == (arrived, [host], forwarded)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/host-kept", ""),
        ("/host-header", ""),
        ("/host-header", "x-host:\r\n"),
        ("/host-nameless", ""),
        ("/host-not-auto", ""),
    ],
)
def test_host_left_alone(proxy: Proxy, path: str, headers: str) -> None:
    proxy.ask(path, host="a.test", headers=headers)
    seen = proxy.origin().take()
    found = (seen["host"], seen["x-envoy-original-host"], seen["x-forwarded-host"])
    assert found == ("a.test", None, None)


def test_host_that_is_none(proxy: Proxy) -> None:
    """Envoy sends whatever the header says; we keep the host if that is no host (RFC 9110 section 7.2)."""
    proxy.ask("/host-header", host="a.test", headers="x-host: b test/\r\n")
    found = proxy.origin().take()["host"]
    proxy.may_be_stricter(found, at_envoy="b test/", stricter="a.test")


@pytest.mark.parametrize(
    ("path", "target", "host", "forwarded"),
    [
        ("/prefix/a", "/a", "app.test", None),
        ("/host-forwarded", "/host-forwarded", "inner.test", "app.test"),
        ("/host-auto", "/host-auto", "named.test", "app.test"),
    ],
)
def test_without_envoy_headers(
    proxy: Proxy, path: str, target: str, host: str, forwarded: str | None
) -> None:
    proxy.ask(path, "bare")
    seen = proxy.origin().take()
    assert (seen.target, seen["host"], seen["x-forwarded-host"]) == (target, host, forwarded)
    assert (seen["x-envoy-original-path"], seen["x-envoy-original-host"]) == (None, None)


@pytest.mark.parametrize("operation", [None, "mine"])
def test_decorator_without_tracing(proxy: Proxy, operation: str | None) -> None:
    """Only traced requests are decorated."""
    headers = f"x-envoy-decorator-operation: {operation}\r\n" if operation else ""
    response = proxy.ask("/operation", headers=headers)
    assert proxy.origin().take()["x-envoy-decorator-operation"] == operation
    assert response["x-envoy-decorator-operation"] is None
