"""Routes chosen by query, gRPC, TLS, runtime shares, metadata, URI templates and paths without their parameters."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

_PATH = "type.googleapis.com/envoy.extensions.path."
RE = {"regex": "[0-9]+"}


def template(text: str) -> Config:
    """A match by URI template."""
    config = {"@type": _PATH + "match.uri_template.v3.UriTemplateMatchConfig", "path_template": text}
    return {
        "path_match_policy": {
            "name": "envoy.path.match.uri_template.uri_template_matcher",
            "typed_config": config,
        }
    }


def rewrite(text: str) -> Config:
    """A rewrite by URI template."""
    config = {
        "@type": _PATH + "rewrite.uri_template.v3.UriTemplateRewriteConfig",
        "path_template_rewrite": text,
    }
    return {
        "path_rewrite_policy": {
            "name": "envoy.path.rewrite.uri_template.uri_template_rewriter",
            "typed_config": config,
        }
    }


def share(numerator: int, denominator: str = "HUNDRED", key: str = "") -> Config:
    return {"default_value": {"numerator": numerator, "denominator": denominator}, "runtime_key": key}


def noted(value: Config, **more: object) -> Config:
    return {"dynamic_metadata": [{"filter": "ns", "path": [{"key": "a"}], "value": value, **more}]}


QUERIES: dict[str, list[Config]] = {
    "/exact": [{"name": "a", "string_match": {"exact": "1"}}],
    "/any-case": [{"name": "a", "string_match": {"exact": "Bc", "ignore_case": True}}],
    "/prefix": [{"name": "a", "string_match": {"prefix": "b"}}],
    "/suffix": [{"name": "a", "string_match": {"suffix": "b"}}],
    "/contains": [{"name": "a", "string_match": {"contains": "b"}}],
    "/regex": [{"name": "a", "string_match": {"safe_regex": RE}}],
    "/present": [{"name": "a", "present_match": True}],
    "/absent": [{"name": "a", "present_match": False}],
    "/nothing": [{"name": "a"}],
    "/two": [{"name": "a", "present_match": True}, {"name": "b", "string_match": {"exact": "2"}}],
    "/empty-exact": [{"name": "a", "string_match": {"exact": ""}}],
}

MATCHES: dict[str, Config] = {
    "tls-presented": {"path": "/tls/presented", "tls_context": {"presented": True}},
    "tls-not-presented": {"path": "/tls/not-presented", "tls_context": {"presented": False}},
    "tls-validated": {"path": "/tls/validated", "tls_context": {"validated": True}},
    "tls-not-validated": {"path": "/tls/not-validated", "tls_context": {"validated": False}},
    "tls-none": {"path": "/tls/none", "tls_context": {}},
    "share-all": {"path": "/share/all", "runtime_fraction": share(100)},
    "share-more": {"path": "/share/more", "runtime_fraction": share(200)},
    "share-none": {"path": "/share/none", "runtime_fraction": share(0)},
    "share-half": {"path": "/share/half", "runtime_fraction": share(500_000, "MILLION")},
    "share-key": {"path": "/share/key", "runtime_fraction": share(0, key="routes.all")},
    "noted": {"path": "/noted", **noted({"present_match": True})},
    "noted-not": {"path": "/noted-not", **noted({"present_match": True}, invert=True)},
    "noted-null": {"path": "/noted-null", **noted({"null_match": {}})},
    "noted-absent": {"path": "/noted-absent", **noted({"present_match": False})},
    "connect": {"connect_matcher": {}},
    "template-one": template("/t1/*/end"),
    "template-any": template("/t2/**"),
    "template-names": template("/t3/{a}/{b=x/*}/c"),
    "template-suffix": template("/t4/{rest=**}.m3u8"),
    "template-around": template("/t5/a{b}c/d"),
    "template-star": template("/t6/a*b"),
    "template-dots": template("/t7/a.b(c)+"),
    "template-insensitive": {**template("/T5/x"), "case_sensitive": False},
}

FORWARDED = [
    {"match": {"prefix": "/grpc", "grpc": {}}, "route": {"cluster": "app"}},
    {
        "match": template("/r1/{lang}/{rest=**}"),
        "route": {"cluster": "app", **rewrite("/new/{rest}/{lang}")},
    },
    {"match": template("/r2/**"), "route": {"cluster": "app", **rewrite("/fixed")}},
    {
        "match": template("/r3/{x}"),
        "route": {
            "cluster": "app",
            "regex_rewrite": {"pattern": {"regex": "/r3/"}, "substitution": "/regex-"},
        },
    },
]


COOKIES: dict[str, list[Config]] = {
    "/cookie/exact": [{"name": "a", "string_match": {"exact": "1"}}],
    "/cookie/empty": [{"name": "a", "string_match": {"exact": ""}}],
    "/cookie/prefix": [{"name": "a", "string_match": {"prefix": "b", "ignore_case": True}}],
    "/cookie/regex": [{"name": "a", "string_match": {"safe_regex": RE}}],
    "/cookie/inverted": [{"name": "a", "string_match": {"exact": "1"}, "invert_match": True}],
    "/cookie/two": [
        {"name": "a", "string_match": {"exact": "1"}},
        {"name": "b", "string_match": {"exact": "2"}},
    ],
}


def answer(name: str, match: Config) -> Config:
    return {"name": name, "match": match, "direct_response": {"status": 200, "body": {"inline_string": name}}}


def configure(proxy: Proxy) -> Config:
    routes = [
        answer(path[1:], {"path": path, "query_parameters": queries}) for path, queries in QUERIES.items()
    ]
    routes += [answer(path[1:], {"path": path, "cookies": cookies}) for path, cookies in COOKIES.items()]
    routes += [answer(name, match) for name, match in MATCHES.items()]
    parameters = [
        answer("exact", {"path": "/exact"}),
        answer("prefix", {"prefix": "/prefix/"}),
        answer("separated", {"path_separated_prefix": "/sep"}),
        answer("regex", {"safe_regex": {"regex": "/re/[a-z]+"}}),
        answer("template", template("/t/*")),
        {"match": {"path": "/rewrite"}, "route": {"cluster": "app", "prefix_rewrite": "/new"}},
    ]
    listeners = [
        listener("main", proxy.port(), [{"name": "all", "domains": ["*"], "routes": routes + FORWARDED}]),
        listener(
            "parameters",
            proxy.port("parameters"),
            [{"name": "all", "domains": ["*"], "routes": parameters}],
            route_config={"ignore_path_parameters_in_path_matching": True},
        ),
    ]
    layer = {"name": "static", "static_layer": {"routes.all": {"numerator": 100}}}
    return bootstrap(
        proxy.port("admin"),
        listeners,
        [cluster("app", proxy.origin().port)],
        layered_runtime={"layers": [layer, {"name": "admin", "admin_layer": {}}]},
    )


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        (
            "/exact",
            ["a=1", "b=2&a=1", "a=1&a=2", "a=1&"],
            ["", "a=2", "a=2&a=1", "A=1", "a", "b=1", "a=%31", "%61=1"],
        ),
        ("/any-case", ["a=bc", "a=BC"], ["a=bcd"]),
        ("/prefix", ["a=b", "a=bc"], ["a=cb", "a=B", "a="]),
        ("/suffix", ["a=b", "a=cb"], ["a=bc"]),
        ("/contains", ["a=cbd"], ["a=cd"]),
        ("/regex", ["a=12"], ["a=1x", "a="]),
        ("/present", ["a", "a=", "a=1", "b&a"], ["", "b=a", "A"]),
        ("/absent", ["", "b=1"], ["a", "a=1"]),
        ("/nothing", ["a", "a=1"], ["", "b"]),
        ("/two", ["a&b=2", "b=2&a=1"], ["a&b=1", "b=2"]),
        ("/empty-exact", ["a", "a="], ["", "a=1"]),
    ],
)
def test_query(proxy: Proxy, path: str, good: list[str], bad: list[str]) -> None:
    found = {query: proxy.ask(f"{path}?{query}").status for query in (*good, *bad)}
    assert found == dict.fromkeys(good, 200) | dict.fromkeys(bad, 404)


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        (
            "/cookie/exact",
            ["a=1", "b=2; a=1", "b=2;a=1", 'a="1"', "a=1; a=2", "a=1;", "  a=1", "b\r\ncookie: a=1", "a=1 "],
            ["", "a=2", "a=2; a=1", "A=1", "a", "a= 1", "a =1", "a=1=", "ba=1", 'a="1', "b=2, a=1"],
        ),
        ("/cookie/empty", ["a=", 'a=""'], ["", "b=1", "a=1", "a"]),
        ("/cookie/prefix", ["a=b", "a=BC"], ["a=cb"]),
        ("/cookie/regex", ["a=12"], ["a=1x", "a="]),
        ("/cookie/inverted", ["", "a=2", "b=1", "a=2; a=1"], ["a=1", "a=1; a=2"]),
        ("/cookie/two", ["a=1; b=2", "b=2\r\ncookie: a=1"], ["a=1", "b=2", "a=1; b=3"]),
    ],
)
def test_cookies(proxy: Proxy, path: str, good: list[str], bad: list[str]) -> None:
    found = {
        cookie: proxy.ask(path, headers=f"cookie: {cookie}\r\n" if cookie else "").status
        for cookie in (*good, *bad)
    }
    assert found == dict.fromkeys(good, 200) | dict.fromkeys(bad, 404)


@pytest.mark.parametrize(
    ("target", "headers", "route"),
    [
        ("/grpc/a", "content-type: application/grpc;x=y\r\n", None),
        ("/grpc/a", "content-type: application/grpc-web\r\n", None),
        ("/grpc/a", "content-type: Application/grpc\r\n", None),
        ("/grpc/a", "", None),
        ("/tls/presented", "", None),
        ("/tls/not-presented", "", "tls-not-presented"),
        ("/tls/validated", "", None),
        ("/tls/not-validated", "", "tls-not-validated"),
        ("/tls/none", "", "tls-none"),
        ("/share/all", "", "share-all"),
        ("/share/more", "", "share-more"),
        ("/share/none", "", None),
        ("/share/key", "", "share-key"),
        ("/noted", "", None),
        ("/noted-not", "", "noted-not"),
        ("/noted-null", "", None),
        ("/noted-absent", "", None),
        ("/t1/a/end", "", "template-one"),
        ("/t1/a/end?q=/", "", "template-one"),
        ("/t1/a.b~%20/end", "", "template-one"),
        ("/t1/a/b/end", "", None),
        ("/t1//end", "", None),
        ("/t1/a=b/end", "", "template-one"),
        ("/t1/a*b/end", "", "template-one"),
        ('/t1/a"b/end', "", None),
        ("/t1/a[b/end", "", None),
        ("/t2/", "", "template-any"),
        ("/t2/a/b", "", "template-any"),
        ("/t2", "", None),
        ("/t3/a/x/y/c", "", "template-names"),
        ("/t3/a/y/y/c", "", None),
        ("/t4/a/b.m3u8", "", "template-suffix"),
        ("/t4/a/b.m3u9", "", None),
        ("/t5/abc/d", "", "template-around"),
        ("/t5/ac/d", "", None),
        ("/t6/a*b", "", None),
        ("/t6/aab", "", "template-star"),
        ("/t7/a.b(c)+", "", "template-dots"),
        ("/t7/axb(c)+", "", None),
        ("/T5/x", "", "template-insensitive"),
        ("/t5/x", "", None),
    ],
)
def test_condition(proxy: Proxy, target: str, headers: str, route: str | None) -> None:
    response = proxy.ask(target, headers=headers)
    assert (response.status, response.text) == ((404, "") if route is None else (200, route))


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto"])
def test_grpc(proxy: Proxy, kind: str) -> None:
    assert proxy.ask("/grpc/a", headers=f"content-type: {kind}\r\n").status == 200
    assert proxy.origin().take().target == "/grpc/a"


def test_a_share_of_requests(proxy: Proxy) -> None:
    with proxy.client() as client:
        found = []
        for _ in range(200):
            client.send("GET /share/half HTTP/1.1\r\nhost: a\r\n\r\n")
            found.append(client.read().status)
    assert 60 < found.count(200) < 140, found


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("/r1/de/a/b", "/new/a/b/de"),
        ("/r1/de/a/b?q=1", "/new/a/b/de?q=1"),
        ("/r1/de/", "/new//de"),
        ("/r2/x?q", "/fixed?q"),
        ("/r3/x?q", "/regex-x?q"),
    ],
)
def test_rewrite(proxy: Proxy, target: str, seen: str) -> None:
    assert proxy.ask(target).status == 200
    request = proxy.origin().take()
    assert request.target == seen
    assert request["x-envoy-original-path"] == target


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/exact;v=1", "exact"),
        ("/exact;v=1?q", "exact"),
        ("/exact;v=1/more", None),
        ("/exact;v?x=/a", "exact"),
        ("/exact;", "exact"),
        ("/;/exact", None),
        ("/exact?a;b", "exact"),
        ("/exactly;v", None),
        ("/prefix/x;v", "prefix"),
        ("/prefix;/", "prefix"),
        ("/prefix;v=1/x;w=2", "prefix"),
        ("/sep;v/x", "separated"),
        ("/re;v/abc", "regex"),
        ("/re;v/abc/d", None),
        ("/sep;v", "separated"),
        ("/sep/x;v", "separated"),
        ("/sepx;v", None),
        ("/re/abc;v=1", "regex"),
        ("/re/;abc", None),
        ("/t/a;v=1", "template"),
        ("/t;v=1/a", None),
    ],
)
def test_parameters_of_a_path_do_not_count(proxy: Proxy, target: str, route: str | None) -> None:
    response = proxy.ask(target, "parameters")
    assert (response.status, response.text) == ((404, "") if route is None else (200, route))


def test_parameters_of_a_path_are_kept_by_a_rewrite(proxy: Proxy) -> None:
    proxy.ask("/rewrite;v=1?q", "parameters")
    assert proxy.origin().take().target == "/new;v=1?q"


def test_a_target_without_a_path_has_only_routes_for_connect(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n")
        response = client.read()
    # CONNECT has to be allowed by upgrade_configs before it is routed.
    assert response.status in (403, 404)
