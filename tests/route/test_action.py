"""What routes do to requests: rewrites and redirects."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.http.message import RequestHead
from twistproxy.model.route import (
    ClusterAction,
    HostRewrite,
    RedirectAction,
    RegexRewrite,
    RouteMatch,
    RouteSettings,
)
from twistproxy.route.action import Route, compile_route


def head(path: bytes, authority: bytes = b"a.b:80") -> RequestHead:
    return RequestHead(b"GET", path, authority, [], {}, scheme=b"http")


def forward(match: RouteMatch, **action: Any) -> Route:
    return compile_route(RouteSettings(match, ClusterAction("c", **action)), "v")


def location(match: RouteMatch, target: bytes, authority: bytes = b"a.b:80", **action: Any) -> bytes:
    route = compile_route(RouteSettings(match, RedirectAction(**action)), "v")
    assert route.redirect is not None
    return route.redirect.location(head(target, authority), None)


@pytest.mark.parametrize(
    ("match", "action", "path", "expected"),
    [
        (RouteMatch(prefix="/a"), {"prefix_rewrite": "/b"}, b"/a/c?d", b"/b/c?d"),
        (RouteMatch(prefix="/a/"), {"prefix_rewrite": "/"}, b"/a/c", b"/c"),
        (RouteMatch(path="/a"), {"prefix_rewrite": "/b"}, b"/a?d", b"/b?d"),
        (RouteMatch(regex="/a.*"), {"prefix_rewrite": "/b"}, b"/axy?d", b"/b?d"),
        (
            RouteMatch(prefix="/"),
            {"regex_rewrite": RegexRewrite("^/(\\w+)/(\\w+)", "/\\2/\\1")},
            b"/x/y/z?x/y",
            b"/y/x/z?x/y",
        ),
        (RouteMatch(prefix="/"), {"regex_rewrite": RegexRewrite("o", "0")}, b"/foo?o", b"/f00?o"),
    ],
)
def test_path_rewrites(match: RouteMatch, action: dict[str, Any], path: bytes, expected: bytes) -> None:
    route = forward(match, **action)
    assert route.rewrites is not None
    request = head(path)
    route.rewrites.apply(request, None, True)
    assert request.path == expected
    assert request.get(b"x-envoy-original-path") == path


def test_host_rewrite() -> None:
    request = head(b"/")
    rewrites = forward(RouteMatch(prefix="/"), host_rewrite=HostRewrite("new")).rewrites
    assert rewrites is not None
    rewrites.apply(request, None, True)
    assert request.authority == b"new"
    assert request.get(b"x-envoy-original-host") == b"a.b:80"


def test_nothing_to_rewrite() -> None:
    assert forward(RouteMatch(prefix="/")).rewrites is None


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({}, b"http://a.b:80/x/y?q"),
        ({"https": True}, b"https://a.b/x/y?q"),
        ({"scheme": "https"}, b"https://a.b/x/y?q"),
        ({"host": "new"}, b"http://new/x/y?q"),
        ({"port": 8080}, b"http://a.b:8080/x/y?q"),
        ({"path": "/new"}, b"http://a.b:80/new?q"),
        ({"path": "/new?own"}, b"http://a.b:80/new?own"),
        ({"prefix_rewrite": "/z"}, b"http://a.b:80/z/y?q"),
        ({"strip_query": True}, b"http://a.b:80/x/y"),
    ],
)
def test_locations(action: dict[str, Any], expected: bytes) -> None:
    assert location(RouteMatch(prefix="/x"), b"/x/y?q", **action) == expected


def test_a_port_that_is_not_the_default_stays_with_another_scheme() -> None:
    assert location(RouteMatch(prefix="/"), b"/", b"a:8080", https=True) == b"https://a:8080/"


def test_a_redirect_rewrites_the_path_of_the_request() -> None:
    def seen(keep_original: bool, **action: Any) -> tuple[bytes, bytes | None]:
        request = head(b"/a/b?c")
        route = compile_route(RouteSettings(RouteMatch(prefix="/a"), RedirectAction(**action)), "v")
        assert route.redirect is not None
        route.redirect.location(request, None, keep_original)
        return request.path, request.get(b"x-envoy-original-path")

    assert seen(True, prefix_rewrite="/n", strip_query=True) == (b"/n/b?c", b"/a/b?c")
    assert seen(False, regex_rewrite=RegexRewrite("/a", "/n")) == (b"/n/b?c", None)
    assert seen(True, path="/n") == seen(True, host="h") == (b"/a/b?c", None)
