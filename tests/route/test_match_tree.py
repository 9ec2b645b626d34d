"""Match trees: which routes a request is led to, and what is told about it."""

from __future__ import annotations

from twistproxy.http.message import RequestHead
from twistproxy.model.route import (
    ClusterAction,
    MatchLeaf,
    MatchList,
    MatchMap,
    MatchNode,
    RouteConfiguration,
    RouteMatch,
    RouteSettings,
    VirtualHostSettings,
)
from twistproxy.primitives.string_match import Exact, Prefix
from twistproxy.route.conditions import AllOf, AnyOf, HeaderInput, InputMatches, Not
from twistproxy.route.table import RouteTable

X_IS_1 = InputMatches(HeaderInput("X"), Exact("1"))


def leaf(name: str, prefix: str = "/") -> MatchLeaf:
    return MatchLeaf((RouteSettings(RouteMatch(prefix=prefix), ClusterAction(name)),))


def found(tree: MatchNode, path: str = "/", *values: bytes) -> tuple[str | None, list[str]]:
    """The cluster and what was told; `values`: of the header x."""
    table = RouteTable(RouteConfiguration("r", (VirtualHostSettings("v", ("*",), (), matcher=tree),)))
    items = [(b"x", value) for value in values]
    head = RequestHead(b"GET", path.encode(), b"a", items, dict(items))
    told = table.consider(head, None)
    picked = table.pick(head, None)
    assert picked is told.route
    return (None if picked is None else picked.cluster), told.decisions


def test_a_list_takes_the_first_branch_that_leads_to_routes() -> None:
    inner = MatchList(((InputMatches(HeaderInput(":path"), Prefix("/in")), leaf("inner")),))
    tree = MatchList(((X_IS_1, inner), (Not(X_IS_1), leaf("not"))), leaf("otherwise"))
    assert found(tree, "/in", b"1") == (
        "inner",
        ["header 'x' is exactly '1': yes", "header ':path' starts with '/in': yes"],
    )
    assert found(tree, "/out", b"1")[0] == "otherwise"
    assert found(tree, "/")[0] == "not"
    assert found(MatchList(()))[0] is None


def test_routes_of_the_branch_that_is_taken_are_all_there_is() -> None:
    assert found(MatchList(((X_IS_1, leaf("a", "/a")),), leaf("b")), "/b", b"1")[0] is None


def test_values_of_several_fields_are_one() -> None:
    assert (
        found(MatchList(((InputMatches(HeaderInput("x"), Exact("1,2")), leaf("a")),)), "/", b"1", b"2")[0]
        == "a"
    )


def test_maps() -> None:
    exact = MatchMap(HeaderInput("X"), True, (("a", leaf("a")), ("b", MatchList(()))), leaf("otherwise"))
    assert [found(exact, "/", value)[0] for value in (b"a", b"b", b"ab", b"")] == [
        "a",
        "otherwise",
        "otherwise",
        "otherwise",
    ]
    assert found(exact)[0] == "otherwise"
    longest = MatchMap(
        HeaderInput("x"),
        False,
        (("a", leaf("a")), ("ab", MatchList(((Not(X_IS_1), leaf("ab")),))), ("abc", MatchList(()))),
    )
    assert [found(longest, "/", value)[0] for value in (b"a", b"ax", b"abx", b"abcd", b"b")] == [
        "a",
        "a",
        "ab",
        "ab",
        None,
    ]


def test_words_of_predicates() -> None:
    both = AllOf((X_IS_1, Not(AnyOf((X_IS_1, InputMatches(HeaderInput("y"), Exact("2")))))))
    assert both.describe() == (
        "(header 'x' is exactly '1' and not (header 'x' is exactly '1' or header 'y' is exactly '2'))"
    )
