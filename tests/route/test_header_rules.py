"""Compiled header rules."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.header_rules import HeaderRules, HeaderToAdd, RuleLevel
from twistproxy.route.header_rules import HeaderEdits, OuterRules


def request(*items: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(b"GET", b"/p", b"host", list(items), dict(items))


def edits(*levels: HeaderRules, most_specific_wins: bool = False) -> HeaderEdits | None:
    """For requests; levels: route, virtual host, route configuration."""
    route, virtual_host, everywhere = (
        RuleLevel(request=level) for level in (*levels, *[HeaderRules()] * 2)[:3]
    )
    return OuterRules(everywhere, virtual_host, most_specific_wins).compile(route)[0]


def applied(rules: HeaderEdits | None, head: RequestHead) -> list[tuple[bytes, bytes]]:
    assert rules is not None
    rules.apply_to_request(head, SimpleNamespace(head=head, response=None))
    assert head.index == dict(head.items)
    return head.items


def plain(name: str, value: str) -> HeaderRules:
    return HeaderRules((HeaderToAdd(name, value),))


def test_nothing_to_do_is_none() -> None:
    assert edits(HeaderRules(), HeaderRules()) is None
    assert edits(plain("x", "")) is None


def test_order_of_levels() -> None:
    levels = (plain("x", "route"), plain("x", "host"), plain("x", "all"))
    assert applied(edits(*levels), request()) == [(b"x", b"route"), (b"x", b"host"), (b"x", b"all")]
    inward = applied(edits(*levels, most_specific_wins=True), request())
    assert inward == [(b"x", b"all"), (b"x", b"host"), (b"x", b"route")]


def test_an_outer_level_removes_what_an_inner_one_added() -> None:
    levels = (plain("x", "route"), HeaderRules(remove=("x",)), plain("y", "all"))
    assert applied(edits(*levels), request((b"x", b"client"))) == [(b"y", b"all")]


@pytest.mark.parametrize(
    ("action", "there", "absent"),
    [
        ("APPEND_IF_EXISTS_OR_ADD", [b"a", b"b", b"new"], [b"new"]),
        ("ADD_IF_ABSENT", [b"a", b"b"], [b"new"]),
        ("OVERWRITE_IF_EXISTS_OR_ADD", [b"new"], [b"new"]),
        ("OVERWRITE_IF_EXISTS", [b"new"], []),
    ],
)
def test_actions(action: str, there: list[bytes], absent: list[bytes]) -> None:
    rules = edits(HeaderRules((HeaderToAdd("x", "new", action),)))
    assert [value for _, value in applied(rules, request((b"x", b"a"), (b"x", b"b")))] == there
    assert [value for _, value in applied(rules, request())] == absent


def test_operators_see_what_the_level_before_left() -> None:
    inner = HeaderRules((HeaderToAdd("x", "1"), HeaderToAdd("y", "%REQ(x)%")))
    outer = HeaderRules((HeaderToAdd("z", "<%REQ(x)%>"),))
    assert applied(edits(inner, outer), request()) == [(b"x", b"1"), (b"z", b"<1>")]


def test_appending_to_a_header_of_which_there_is_one() -> None:
    assert applied(edits(plain("via", "b")), request((b"via", b"a"))) == [(b"via", b"a,b")]
    assert applied(edits(plain("via", "b")), request()) == [(b"via", b"b")]


def test_no_line_breaks_from_operators() -> None:
    rules = edits(plain("x", "%REQ(y)%"))
    assert applied(rules, request((b"y", b"a\r\nb\0")))[-1] == (b"x", b"ab")


def test_weighted_cluster_comes_first() -> None:
    cluster = RuleLevel(request=HeaderRules((HeaderToAdd("x", "%REQ(:AUTHORITY)%"),)))
    route = RuleLevel(request=plain("x", "%REQ(:AUTHORITY)%"))
    for wins in (False, True):
        rules = OuterRules(most_specific_wins=wins).compile(route, cluster, b"new")[0]
        head = request()
        assert applied(rules, head) == [(b"x", b"host"), (b"x", b"new")]
        assert head.authority == b"new"


def test_responses() -> None:
    level = RuleLevel(
        response=HeaderRules(
            (
                HeaderToAdd("x", "%RESP(y)%%RESPONSE_CODE%"),
                HeaderToAdd("connection", "close"),
            ),
            ("z",),
        )
    )
    rules = OuterRules().compile(level)[1]
    assert rules is not None
    stream: Any = SimpleNamespace(head=request(), response=None)
    head = ResponseHead(201, [(b"y", b"a"), (b"z", b"b")])
    rules.apply_to_response(head, stream)
    assert head.items == [(b"y", b"a"), (b"x", b"a201")]
    assert stream.response is None
