"""Routes found by an index are the routes that trying each in order finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.header_match import HeaderMatcher
from twistproxy.http.message import RequestHead
from twistproxy.model.route import (
    ClusterAction,
    RouteConfiguration,
    RouteMatch,
    RouteSettings,
    VirtualHostSettings,
)
from twistproxy.primitives.string_match import Exact
from twistproxy.route import path_index
from twistproxy.route.path_index import FEW
from twistproxy.route.table import RouteTable

_TEXTS = st.text("aAb/;", max_size=5).map(lambda text: "/" + text)
_CONDITIONS = st.sampled_from([(), (), (HeaderMatcher("x-a", Exact("1")),), (HeaderMatcher("x-a"),)])
_MATCHES = st.one_of(
    st.builds(
        RouteMatch,
        prefix=st.one_of(_TEXTS, st.just("")),
        case_sensitive=st.booleans(),
        conditions=_CONDITIONS,
    ),
    st.builds(
        lambda path, case, conditions: RouteMatch(path=path, case_sensitive=case, conditions=conditions),
        _TEXTS,
        st.booleans(),
        _CONDITIONS,
    ),
    st.builds(
        lambda path, case: RouteMatch(path_separated_prefix=path.rstrip("/") or "/a", case_sensitive=case),
        _TEXTS,
        st.booleans(),
    ),
    st.sampled_from(
        [
            RouteMatch(regex="/a+"),
            RouteMatch(regex=".*/b"),
            RouteMatch(template="/a/*"),
            RouteMatch(template="/{x=**}/b"),
            RouteMatch(connect=True),
        ]
    ),
)


def table(matches: list[RouteMatch], ignore_parameters: bool = False) -> RouteTable:
    routes = tuple(RouteSettings(match, ClusterAction(str(at))) for at, match in enumerate(matches))
    hosts = (VirtualHostSettings("v", ("*",), routes),)
    return RouteTable(RouteConfiguration("r", hosts, ignore_path_parameters=ignore_parameters))


@given(
    st.lists(_MATCHES, max_size=25),
    st.lists(st.tuples(_TEXTS, st.sampled_from(["", "1", "2"])), min_size=1, max_size=10),
    st.booleans(),
)
def test_pick_is_the_first_considered_that_does_not_fail(
    matches: list[RouteMatch], requests: list[tuple[str, str]], ignore_parameters: bool
) -> None:
    routes = table(matches, ignore_parameters)
    heads = [
        RequestHead(b"GET", path.encode(), b"a", [(b"x-a", value.encode())] if value else [], {})
        for path, value in requests
    ]
    for head in heads:
        head.index.update(head.items)
    heads.append(RequestHead(b"CONNECT", b"", b"a:1", [], {}))
    for head in heads:
        found = routes.consider(head, None)
        assert routes.pick(head, None) is found.route
        failed = [one.failed for one in found.considered]
        assert all(failed[:-1])
        if found.route is None:
            assert len(failed) == len(matches) and all(failed)
        else:
            assert failed[-1] is None
            assert found.route.cluster == str(len(failed) - 1)


def test_many_paths_and_prefixes_are_not_tried_one_by_one() -> None:
    kinds = ("prefix", "path", "path_separated_prefix", "regex")
    for number in (FEW + 1, 10_000):
        for kind in kinds:
            for case_sensitive in (True, False):
                matches = [
                    RouteMatch(**{kind: f"/service-{at:05}", "case_sensitive": case_sensitive})  # type: ignore[arg-type]
                    for at in range(number)
                ]
                if kind == "regex" and number > FEW + 1:
                    continue  # takes seconds to compile, and is the same
                index = table(matches).search(b"a")[0].index  # type: ignore[union-attr]
                for at in (0, number // 2, number - 1):
                    assert [entry.order for entry in index.indexed(b"/service-%05d" % at)] == [at]
                assert index.indexed(b"/other") == []
                assert index._others == []


def test_regular_expressions_too_many_for_one_automaton_are_tried_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matches = [RouteMatch(regex=f"/{at}.{{1,500}}x.*y") for at in range(FEW)] + [RouteMatch(regex="/[a-z]+")]
    head = RequestHead(b"GET", b"/abc", b"a", [], {})
    for memory in (1, 100_000, 64 * 1024 * 1024):
        monkeypatch.setattr(path_index, "_MEMORY", memory)
        route = table(matches).pick(head, None)
        assert route is not None and route.cluster == str(FEW)


def test_a_path_that_is_no_text_matches_what_takes_any_byte() -> None:
    matches = [
        RouteMatch(regex="/x"),
        RouteMatch(regex=r"/\C+"),
        *(RouteMatch(path="/b") for _ in range(FEW)),
    ]
    for path, wanted in ((b"/x", "0"), (b"/\xff", "1"), (b"/\xc3\xa9", "1")):
        route = table(matches).pick(RequestHead(b"GET", path, b"a", [], {}), None)
        assert route is not None and route.cluster == wanted


def test_others_are_tried_only_before_what_the_index_finds() -> None:
    regexes = [RouteMatch(template=f"/never{at}") for at in range(FEW)]
    head = RequestHead(b"GET", b"/a", b"a", [], {})
    for matches, wanted in (
        ([RouteMatch(path="/a"), *regexes], "0"),
        ([*regexes, RouteMatch(prefix="/a")], str(FEW)),
        ([*regexes, RouteMatch(template="/*"), RouteMatch(path="/a")], str(FEW)),
        ([*regexes, RouteMatch(path="/b"), RouteMatch(template="/a")], str(FEW + 1)),
    ):
        route = table(matches).pick(head, None)
        assert route is not None and route.cluster == wanted


def test_the_order_of_the_configuration_decides_between_kinds_of_paths() -> None:
    filler = [RouteMatch(path=f"/filler{at}") for at in range(FEW)]
    kinds = [
        RouteMatch(prefix="/A", case_sensitive=False),
        RouteMatch(path="/a"),
        RouteMatch(prefix="/"),
        RouteMatch(path_separated_prefix="/a"),
        RouteMatch(path="/A", case_sensitive=False),
        RouteMatch(regex="/a"),
    ]
    head = RequestHead(b"GET", b"/a", b"a", [], {})
    for turn in range(len(kinds)):
        turned = kinds[turn:] + kinds[:turn]
        route = table([*filler, *turned]).pick(head, None)
        assert route is not None and route.cluster == str(FEW)
