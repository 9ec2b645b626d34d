"""Routes chosen by the `matcher` of a virtual host: lists and maps of the generic matching API."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

_TYPE = "type.googleapis.com/"


def header(name: str) -> Config:
    config = {"@type": _TYPE + "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": name}
    return {"name": "input", "typed_config": config}


def is_(name: str, **value: object) -> Config:
    """A header is this."""
    return {"single_predicate": {"input": header(name), "value_match": value}}


def answer(name: str, **match: object) -> Config:
    return {
        "name": name,
        "match": match or {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": name}},
    }


def to(*routes: Config) -> Config:
    """Take one of these routes."""
    if len(routes) == 1:
        config = {"@type": _TYPE + "envoy.config.route.v3.Route", **routes[0]}
    else:
        config = {"@type": _TYPE + "envoy.config.route.v3.RouteList", "routes": list(routes)}
    return {"action": {"name": "route", "typed_config": config}}


def when(*pairs: tuple[Config, Config], otherwise: Config | None = None) -> Config:
    """The first of several (predicate, what to do)."""
    matchers = [{"predicate": predicate, "on_match": then} for predicate, then in pairs]
    found: Config = {"matcher_list": {"matchers": matchers}}
    return found if otherwise is None else found | {"on_no_match": otherwise}


def by_map(kind: str, name: str, otherwise: Config | None = None, **entries: Config) -> Config:
    found: Config = {"matcher_tree": {"input": header(name), kind: {"map": entries}}}
    return found if otherwise is None else found | {"on_no_match": otherwise}


LISTS = when(
    (is_("x-a", exact="1"), to(answer("exact"))),
    (is_("x-a", exact="B", ignore_case=True), to(answer("any-case"))),
    (is_("x-a", prefix="pre"), to(answer("prefix"))),
    (is_("x-a", suffix="fix"), to(answer("suffix"))),
    (is_("x-a", contains="tai"), to(answer("contains"))),
    (is_("x-a", safe_regex={"google_re2": {}, "regex": "[0-9]+x"}), to(answer("regex"))),
    (is_(":method", exact="PUT"), to(answer("method"))),
    (is_(":path", prefix="/by-path"), to(answer("path"))),
    (is_(":authority", exact="by-host"), to(answer("host"))),
    ({"and_matcher": {"predicate": [is_("x-b", exact="1"), is_("x-c", exact="2")]}}, to(answer("and"))),
    ({"or_matcher": {"predicate": [is_("x-d", exact="1"), is_("x-d", exact="2")]}}, to(answer("or"))),
    (
        is_("x-e", exact="list"),
        to(
            answer("list-one", path="/one"),
            answer("list-two", prefix="/two"),
            answer("list-three", path="/two"),
        ),
    ),
    (is_("x-e", exact="list-of-none"), to(answer("none", path="/none"))),
    (is_("x-e", exact="nested"), {"matcher": when((is_("x-f", exact="1"), to(answer("nested"))))}),
    (is_("x-e", prefix="nest"), to(answer("after-nested"))),
    (
        is_("x-e", exact="inner"),
        {
            "matcher": when(
                (is_("x-f", exact="1"), to(answer("inner"))), otherwise=to(answer("inner-otherwise"))
            )
        },
    ),
    ({"not_matcher": is_("x-g", exact="stay")}, to(answer("not"))),
    otherwise=to(answer("otherwise")),
)


def configure(proxy: Proxy) -> Config:
    maps = by_map(
        "exact_match_map",
        "x-kind",
        to(answer("otherwise")),
        a=to(answer("a")),
        b={"matcher": by_map("exact_match_map", "x-more", c=to(answer("b-c")))},
    )
    prefixes = by_map(
        "prefix_match_map",
        ":path",
        None,
        **{
            "/": to(answer("root")),
            "/api": to(answer("api")),
            "/api/v2": {"matcher": by_map("exact_match_map", "x-kind", a=to(answer("v2-a")))},
            "/path": to(answer("never", path="/elsewhere")),
        },
    )
    counted = {
        "request_headers_to_add": [{"header": {"key": "x-level", "value": "host"}}],
        "virtual_clusters": [{"name": "vc", "headers": [{"name": ":path", "string_match": {"prefix": "/"}}]}],
    }
    forwarded = {
        "on_no_match": to({"match": {"prefix": "/"}, "route": {"cluster": "app", "prefix_rewrite": "/new/"}})
    }
    hosts = [
        {"name": "lists", "domains": ["lists", "by-host"], "matcher": LISTS},
        {"name": "maps", "domains": ["maps"], "matcher": maps},
        {"name": "prefixes", "domains": ["prefixes"], "matcher": prefixes},
        {"name": "forwarded", "domains": ["forwarded"], "matcher": forwarded, **counted},
        {"name": "tls", "domains": ["tls"], "matcher": forwarded, "require_tls": "ALL"},
        {"name": "nothing", "domains": ["nothing"], "matcher": when((is_("x", exact="1"), to(answer("x"))))},
    ]
    return bootstrap(
        proxy.port("admin"), [listener("main", proxy.port(), hosts)], [cluster("app", proxy.origin().port)]
    )


CASES = [
    ("lists", "/", "x-a: 1\r\n", "exact"),
    ("lists", "/", "x-a: b\r\n", "any-case"),
    ("lists", "/", "x-a: prefer\r\n", "prefix"),
    ("lists", "/", "x-a: suffix\r\n", "suffix"),
    ("lists", "/", "x-a: contains\r\n", "contains"),
    ("lists", "/", "x-a: 12x\r\n", "regex"),
    ("lists", "/", "x-a: 12xy\r\n", "not"),
    ("lists", "/", "x-a: 1\r\nx-a: 2\r\n", "not"),
    ("lists", "/", "x-a: pre\r\nx-a: 2\r\n", "prefix"),
    ("lists", "/by-path/x", "", "path"),
    ("by-host", "/", "", "host"),
    ("lists", "/", "x-b: 1\r\nx-c: 2\r\n", "and"),
    ("lists", "/", "x-b: 1\r\n", "not"),
    ("lists", "/", "x-d: 2\r\n", "or"),
    ("lists", "/one", "x-e: list\r\n", "list-one"),
    ("lists", "/two", "x-e: list\r\n", "list-two"),
    ("lists", "/three", "x-e: list\r\n", None),
    ("lists", "/", "x-e: list-of-none\r\n", None),
    ("lists", "/", "x-e: nested\r\nx-f: 1\r\n", "nested"),
    ("lists", "/", "x-e: nested\r\n", "after-nested"),
    ("lists", "/", "x-e: inner\r\nx-f: 1\r\n", "inner"),
    ("lists", "/", "x-e: inner\r\n", "inner-otherwise"),
    ("lists", "/", "", "not"),
    ("lists", "/", "x-g: stay\r\n", "otherwise"),
    ("maps", "/", "x-kind: a\r\n", "a"),
    ("maps", "/", "x-kind: A\r\n", "otherwise"),
    ("maps", "/", "", "otherwise"),
    ("maps", "/", "x-kind: b\r\nx-more: c\r\n", "b-c"),
    ("maps", "/", "x-kind: b\r\n", "otherwise"),
    ("prefixes", "/x", "", "root"),
    ("prefixes", "/apis", "", "api"),
    ("prefixes", "/api/v2", "x-kind: a\r\n", "v2-a"),
    ("prefixes", "/api/v2", "", "api"),
    ("prefixes", "/path", "", None),
    ("nothing", "/", "", None),
    ("nothing", "/", "x: 1\r\n", "x"),
]


@pytest.mark.parametrize(("host", "target", "headers", "route"), CASES, ids=range(len(CASES)))
def test_route(proxy: Proxy, host: str, target: str, headers: str, route: str | None) -> None:
    response = proxy.ask(target, host=host, headers=headers)
    assert (response.status, response.text) == ((404, "") if route is None else (200, route))


def test_method(proxy: Proxy) -> None:
    assert proxy.ask("/", host="lists", method="PUT", headers="content-length: 0\r\n").text == "method"


def test_routes_in_a_tree_are_as_others(proxy: Proxy) -> None:
    before = proxy.stat("vhost.forwarded.vcluster.vc.upstream_rq_200")
    assert proxy.ask("/x", host="forwarded").status == 200
    seen = proxy.origin().take()
    assert (seen.target, seen["x-level"]) == ("/new/x", "host")
    assert proxy.stat("vhost.forwarded.vcluster.vc.upstream_rq_200") == before + 1


def test_require_tls(proxy: Proxy) -> None:
    assert proxy.ask("/x", host="tls").status == 301
