"""What a route changes on the way up: path and host rewrites, header rules, and their traces."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener

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
  - {match: {prefix: "/same/"}, route: {cluster: app, prefix_rewrite: "/same/"}}
  - {match: {prefix: "/"}, route: {cluster: app}}
"""


def configure(proxy: Proxy) -> Config:
    main = listener("main", proxy.port(), VIRTUAL_HOSTS)
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


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
]


@pytest.mark.parametrize(("asked", "arrived"), PATHS)
def test_path(proxy: Proxy, asked: str, arrived: str) -> None:
    assert proxy.ask(asked).status == 200
    seen = proxy.origin().take()
    assert (seen.target, seen["x-envoy-original-path"]) == (arrived, asked)


@pytest.mark.parametrize("path", ["/separatedx", "/plain", "/plain?a=/prefix"])
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
