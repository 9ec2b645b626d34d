"""Which route a request takes."""

from __future__ import annotations

import pytest

from twistproxy.http.message import RequestHead
from twistproxy.model.route import (
    ClusterAction,
    RouteConfiguration,
    RouteMatch,
    RouteSettings,
    VirtualHostSettings,
)
from twistproxy.route.table import RouteTable


def head(authority: bytes, path: bytes = b"/") -> RequestHead:
    return RequestHead(b"GET", path, authority, [], {})


def hosts(*domains: str, ignore_port: bool = False) -> RouteTable:
    return RouteTable(
        RouteConfiguration(
            "r",
            tuple(
                VirtualHostSettings(
                    domain, (domain,), (RouteSettings(RouteMatch(prefix="/"), ClusterAction(domain)),)
                )
                for domain in domains
            ),
            ignore_port,
        )
    )


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"foo.com", "foo.com"),
        (b"FOO.com", "foo.com"),
        (b"a.foo.com", "*.foo.com"),
        (b"a.bar.foo.com", "*.bar.foo.com"),
        (b".foo.com", "*"),
        (b"foo.org", "foo.*"),
        (b"foo.", "*"),
        (b"foo.com:80", "foo.*"),
        (b"other", "*"),
    ],
)
def test_virtual_hosts(authority: bytes, expected: str) -> None:
    table = hosts("*", "foo.*", "*.foo.com", "*.bar.foo.com", "foo.com")
    for _ in range(2):
        route = table.pick(head(authority), None)
        assert route is not None and route.cluster == expected


def test_no_virtual_host_and_ports_that_do_not_count() -> None:
    assert hosts("a").pick(head(b"b"), None) is None
    assert hosts("a").pick(head(b"a:80"), None) is None
    assert hosts("a", ignore_port=True).pick(head(b"a:80"), None) is not None


def test_names_that_are_made_up_do_not_pile_up() -> None:
    table = hosts("*")
    for number in range(10000):
        table.pick(head(b"host%d" % number), None)
    assert len(table._remembered) <= 4096


@pytest.mark.parametrize(
    ("match", "good", "bad"),
    [
        (RouteMatch(prefix="/a"), (b"/a", b"/ab", b"/a/b?c"), (b"/", b"/A", b"/b?/a")),
        (RouteMatch(prefix="/a", case_sensitive=False), (b"/A", b"/aB"), (b"/b",)),
        (RouteMatch(prefix="/"), (b"/", b"/x"), (b"*", b"")),
        (RouteMatch(path="/a"), (b"/a", b"/a?b"), (b"/a/", b"/A")),
        (RouteMatch(path="/a", case_sensitive=False), (b"/A?b",), (b"/ab",)),
        (RouteMatch(regex="/a+"), (b"/a", b"/aaa?b"), (b"/ab", b"/")),
        (RouteMatch(path_separated_prefix="/a"), (b"/a", b"/a/b", b"/a?b"), (b"/ab",)),
        (RouteMatch(path_separated_prefix="/a", case_sensitive=False), (b"/A/b",), (b"/AB",)),
    ],
)
def test_matches(match: RouteMatch, good: tuple[bytes, ...], bad: tuple[bytes, ...]) -> None:
    host = VirtualHostSettings("v", ("*",), (RouteSettings(match, ClusterAction("a")),))
    table = RouteTable(RouteConfiguration("r", (host,)))
    assert [path for path in good if table.pick(head(b"x", path), None) is None] == []
    assert [path for path in bad if table.pick(head(b"x", path), None) is not None] == []


def test_the_first_route_that_matches_is_taken() -> None:
    routes = (
        RouteSettings(RouteMatch(prefix="/a/b"), ClusterAction("one")),
        RouteSettings(RouteMatch(prefix="/a"), ClusterAction("two")),
        RouteSettings(RouteMatch(prefix="/"), ClusterAction("three")),
    )
    table = RouteTable(RouteConfiguration("r", (VirtualHostSettings("v", ("*",), routes),)))
    picked = [table.pick(head(b"x", path), None) for path in (b"/a/b", b"/a/c", b"/z")]
    assert [route.cluster for route in picked if route] == ["one", "two", "three"]
