"""Filter state: what sets it, what it can be made of, and who looks at it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .harness import Proxy
from .origin import text
from .settings import FILE_LOG, ROUTER, Config, bootstrap, cluster, listener
from .test_original_dst import HEADER, original

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
SET = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config"
ON_CONNECTION = "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config"
INPUT = "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.FilterStateInput"
GATE = "type.googleapis.com/envoy.extensions.internal_redirect.filter_state.v3.FilterStateConfig"
ROUTE = "type.googleapis.com/envoy.config.route.v3.Route"
DESTINATION = "envoy.network.transport_socket.original_dst_address"
LOCAL = "envoy.filters.listener.original_dst.local_ip"
SERVER = "envoy.network.upstream_server_name"
OK = {"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}


def value(key: str, form: str = "%REQ(x-v)%", factory: str = "envoy.string", **more: Any) -> Config:
    text_format = {"text_format_source": {"inline_string": form}, **more.pop("format", {})}
    own = {} if factory == key else {"factory_key": factory}
    return {"object_key": key, "format_string": text_format, **own, **more}


def setting(*values: Config, **more: Any) -> Config:
    return {"@type": SET, "on_request_headers": list(values), **more}


def leaves(*values: Config, **more: Any) -> Config:
    """What a route says."""
    return {"typed_per_filter_config": {"state": setting(*values, **more)}}


def on_connection(*values: Config, field: str = "on_new_connection") -> Config:
    return {"name": "state", "typed_config": {"@type": ON_CONNECTION, field: list(values)}}


def told(**forms: str) -> Config:
    """Response headers that say what the state is; each value in brackets, so that an empty one can be seen."""
    return {
        "response_headers_to_add": [
            {"header": {"key": f"x-{name}", "value": f"[{form}]"}} for name, form in forms.items()
        ]
    }


def state(key: str, how: str = "PLAIN") -> str:
    return f"%FILTER_STATE({key}:{how})%"


FORMS = {
    "plain": state("k"),
    "typed": "%FILTER_STATE(k)%",
    "ip": state("k", "FIELD:ip"),
    "port": state("k", "FIELD:port"),
    "cut": "%FILTER_STATE(k:TYPED):3%",
    "short": "%FILTER_STATE(k:PLAIN):3%",
}

#: Factory and text → the forms above, all but trailing "" of them; () for no object.
OBJECTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("envoy.string", "abcd"): ("abcd", '"abcd"', "", "", '"ab', "abc"),
    ("envoy.string", ""): ("", '""', "", "", '""'),
    ("envoy.string", 'say "it"'): ('say "it"', '"say \\"it\\""', "", "", '"sa', "say"),
    ("envoy.hashable_string", "abcd"): ("abcd", '"abcd"', "", "", '"ab', "abc"),
    ("envoy.upstream.dynamic_host", "a"): ("a", '"a"', "", "", '"a"', "a"),
    ("envoy.network.network_namespace", "a"): ("a", "", "", "", "", "a"),
    ("envoy.network.upstream_server_name", "a"): ("a", "", "", "", "", "a"),
    ("envoy.network.upstream_subject_alt_names", "a , b"): ("a , b", "", "", "", "", "a ,"),
    ("envoy.network.application_protocols", "h2"): (),
    ("envoy.tcp_proxy.cluster", "a"): ("a", "", "", "", "", "a"),
    ("envoy.tcp_proxy.disable_tunneling", "true"): ("true", "true", "", "", "tru", "tru"),
    ("envoy.tcp_proxy.disable_tunneling", "TRUE"): ("false", "false", "", "", "fal", "fal"),
    ("envoy.router.debug_config", "false"): (),
    **{("envoy.bool", one): ("true", "true", "", "", "tru", "tru") for one in ("TRUE", "t", "Yes", "y", "1")},
    **{("envoy.bool", one): ("false", "false", "", "", "fal", "fal") for one in ("f", "NO", "n", "0")},
    **{("envoy.bool", one): () for one in ("", "on", "2")},
    ("envoy.ratelimit.hits_addend", "+042"): ("42", "42", "", "", "42", "42"),
    ("envoy.ratelimit.hits_addend", "4294967295"): ("4294967295", "4294967295", "", "", "429", "429"),
    **{("envoy.ratelimit.hits_addend", one): () for one in ("4294967296", "-0", "5.0", "")},
    ("envoy.upstream.dynamic_port", "65536"): ("65536", "65536", "", "", "655", "655"),
    ("envoy.tcp_proxy.per_connection_idle_timeout_ms", "07"): ("7", '"7"', "", "", '"7"', "7"),
    ("envoy.tcp_proxy.per_connection_idle_timeout_ms", "18446744073709551616"): (),
    ("envoy.network.ip", "1.2.3.4"): ("1.2.3.4:0", "", "", "", "", "1.2"),
    ("envoy.network.ip", "2001:DB8:0::1"): ("[2001:db8::1]:0", "", "", "", "", "[20"),
    ("envoy.network.ip", "::FFFF:1.2.3.4"): ("[::ffff:1.2.3.4]:0", "", "", "", "", "[::"),
    **{("envoy.network.ip", one): () for one in ("1.2.3.4:80", "[::1]", "1.2.3", "01.2.3.4", "a", "")},
    (DESTINATION, "1.2.3.4:80"): ("1.2.3.4:80", "", "1.2.3.4", "80", "", "1.2"),
    (LOCAL, "[2001:DB8::1]:080"): ("[2001:db8::1]:80", "", "2001:db8::1", "80", "", "[20"),
    **{(DESTINATION, one): () for one in ("1.2.3.4", "1.2.3.4:65536", "localhost:80", "")},
}
FACTORIES = sorted({factory for factory, _ in OBJECTS})

#: Address ranges of a route → addresses that are in them.
ADDRESSES = ("10.0.0.1", "11.0.0.1", "2001:db8::1", "none")
TEN = {"address_prefix": "10.0.0.0", "prefix_len": 8}
RANGES: dict[str, tuple[Config, tuple[str, ...]]] = {
    "one": ({"ranges": [TEN]}, ADDRESSES[:1]),
    "not": ({"ranges": [TEN], "invert_match": True}, ADDRESSES[1:3]),
    "nothing": ({"ranges": []}, ()),
    "anything": ({"ranges": [], "invert_match": True}, ADDRESSES[:3]),
    "no-length": ({"ranges": [{"address_prefix": "10.0.0.0"}]}, ADDRESSES[:2]),
    "two": ({"ranges": [{"address_prefix": "2001:db8::", "prefix_len": 32}, TEN]}, ADDRESSES[::2]),
}
HASHES = ("envoy.hashable_string", "envoy.string", DESTINATION, "envoy.network.ip")
#: How the state is shared with upstreams: factory (which is the key, too, if it is well-known), sharing.
SHARING = {
    "private": ("envoy.hashable_string", "NONE"),
    "once": ("envoy.hashable_string", "ONCE"),
    "transitive": ("envoy.hashable_string", "TRANSITIVE"),
    "server": (SERVER, "NONE"),
    "address": (DESTINATION, "ONCE"),
    "string": ("envoy.string", "ONCE"),
}


def routes(proxy: Proxy) -> list[Config]:
    found: list[Config] = [
        {"match": {"path": f"/object/{one}"}, **OK, **leaves(value("k", factory=one)), **told(**FORMS)}
        for one in FACTORIES
    ]
    found += [
        {
            "match": {"path": f"/in/{name}", "filter_state": [{"key": "ip", "address_match": ranges}]},
            **OK,
            **told(route=name),
        }
        for name, (ranges, _) in RANGES.items()
    ]
    two = [{"key": key, "string_match": {"prefix": key}} for key in "ab"]
    found += [
        {"match": {"path": "/text", "filter_state": two}, **OK, **told(route="text")},
        {
            "match": {
                "path": "/text",
                "filter_state": [{"key": "ip", "string_match": {"exact": "10.0.0.1:0"}}],
            },
            **OK,
            **told(route="ip"),
        },
        {"match": {"path": "/levels"}, **OK, **leaves(value("levels", f"{state('levels')} route"))},
        {"match": {"path": "/again"}, **OK, **leaves(value("first", "again", read_only=True))},
        {
            "match": {"path": "/connection"},
            **OK,
            **leaves(value("from", "request"), value("of", f"{state('from')} {state('to')}")),
            **told(of=state("of"), to=state("to"), nothing=state("nothing"), data=state("data")),
        },
        {
            "match": {"path": "/once"},
            "route": {"cluster": "app", "internal_redirect_policy": {}},
            **leaves(value("only", "here")),
        },
        {
            "match": {"path": "/there", "filter_state": [{"key": "only", "string_match": {"exact": "here"}}]},
            **OK,
            **told(route="kept"),
        },
        {"match": {"path": "/there"}, **OK, **told(route="forgotten", only=state("only"))},
        {
            "match": {"path": "/retry"},
            "route": {"cluster": "app", "retry_policy": {"retry_on": "5xx", "num_retries": 1}},
            "request_headers_to_add": [{"header": {"key": "x-state", "value": state("first")}}],
        },
    ]
    for factory in ("bool", "string"):
        for absent in (True, False):
            gate = {"@type": GATE, "redirect_enabled_key": "gate", "redirect_if_absent": absent}
            policy = {"predicates": [{"name": "gate", "typed_config": gate}]}
            found.append(
                {
                    "match": {"path": f"/gate/{factory}/{absent}"},
                    "route": {"cluster": "app", "internal_redirect_policy": policy},
                    **leaves(value("gate", factory=f"envoy.{factory}")),
                }
            )
    copied = {"cluster": "app", "request_mirror_policies": [{"cluster": "copies"}]}
    found.append({"match": {"path": "/copied"}, "route": copied, **leaves(value(DESTINATION, factory=LOCAL))})
    for name in ("destination", "other"):
        leave = leaves(value(DESTINATION, factory=DESTINATION if name == "destination" else LOCAL))
        found.append({"match": {"path": f"/{name}"}, "route": {"cluster": "header"}, **leave})
    wrong = leaves(value(DESTINATION, factory="envoy.string"))
    found.append({"match": {"path": "/wrong"}, "route": {"cluster": "header"}, **wrong})
    for plan in ({}, {"retry_policy": {"retry_on": "5xx"}}):
        debug = leaves(value("envoy.router.debug_config", factory="envoy.router.debug_config"))
        path = "/debug/retry" if plan else "/debug"
        found.append({"match": {"path": path}, "route": {"cluster": "app", **plan}, **debug})
    for factory in HASHES:
        by_state = {"cluster": "ring", "hash_policy": [{"filter_state": {"key": "h"}}]}
        path = f"/hash/{factory}"
        found.append({"match": {"path": path}, "route": by_state, **leaves(value("h", factory=factory))})
    by_header = {"cluster": "ring", "hash_policy": [{"header": {"header_name": "x-v"}}]}
    found.append({"match": {"path": "/hash/header"}, "route": by_header})
    for name, (factory, sharing) in SHARING.items():
        key = factory if factory in (SERVER, DESTINATION) else "k"
        leave = leaves(value(key, factory=factory, shared_with_upstream=sharing))
        plain, typed = f"%UPSTREAM_FILTER_STATE({key}:PLAIN)%", f"%UPSTREAM_FILTER_STATE({key})%"
        own = {"cluster": f"{name}-pools"}
        found.append(
            {"match": {"path": f"/pool/{name}"}, "route": own, **leave, **told(plain=plain, typed=typed)}
        )
    return [*found, {"match": {"prefix": "/"}, **OK, **told(route="rest", first=state("first"))}]


def tree() -> Config:
    """A virtual host whose routes are found by the state of the connection."""

    def leads(name: str) -> Config:
        route = {"@type": ROUTE, "match": {"prefix": "/"}, **OK, **told(route=name)}
        return {"action": {"name": name, "typed_config": route}}

    def look(key: str, field: str = "") -> Config:
        config = {"@type": INPUT, "key": key}
        return {"name": "state", "typed_config": {**config, "field": field} if field else config}

    def single(key: str, wanted: str, field: str = "") -> Config:
        return {"single_predicate": {"input": look(key, field), "value_match": {"prefix": wanted}}}

    inner = {
        "matchers": [
            {"predicate": single("from", "x"), "on_match": leads("x")},
            {"predicate": single("none", "x"), "on_match": leads("none")},
            {"predicate": single("local", "127.0.0.1", "no"), "on_match": leads("no")},
            {
                "predicate": {
                    "and_matcher": {
                        "predicate": [
                            single("from", "connection"),
                            single("from", "connection", "ip"),  # text has no fields
                            single("local", "127.0.0.1", "ip"),
                        ]
                    }
                },
                "on_match": leads("list"),
            },
        ]
    }
    matcher = {
        "matcher_tree": {
            "input": look("to"),
            "prefix_match_map": {
                "map": {"127.0.0.": {"matcher": {"matcher_list": inner}}, "127.": leads("map")}
            },
        },
        "on_no_match": leads("otherwise"),
    }
    return {"name": "tree", "domains": ["tree.test"], "matcher": matcher}


def configure(proxy: Proxy) -> Config:
    own = setting(
        value("first", "first", read_only=True),
        value("levels", "filter"),
        value("ip", "%REQ(x-ip)%", "envoy.network.ip"),
        value("a", "%REQ(x-a)%"),
        value("b", "%REQ(x-b)%"),
        value("missing", "%REQ(x-none)%", skip_if_empty=True),
        value("empty", "%REQ(x-none)%", format={"omit_empty_values": True}),
        value("skipped", "%REQ(x-none)%", format={"omit_empty_values": True}, skip_if_empty=True),
        value("number", "42", "envoy.ratelimit.hits_addend"),
        value("truth", "yes", "envoy.bool"),
        {
            "object_key": "json",
            "factory_key": "envoy.string",
            "format_string": {"json_format": {"a": "%PROTOCOL%"}},
        },
        value("early", "%RESPONSE_CODE%|%RESP(a)%|%UPSTREAM_HOST%"),
        clear_route_cache=True,
    )
    filters = [
        {"name": "state", "typed_config": own},
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    hosts = [
        {
            "name": "all",
            "domains": ["*"],
            "routes": routes(proxy),
            **leaves(value("levels", f"{state('levels')} host")),
        },
        tree(),
    ]
    keys = "first levels missing empty skipped json early none"
    form = {
        **{key: state(key) for key in keys.split()},
        **{f"typed-{key}": f"%FILTER_STATE({key})%" for key in ("first", "number", "truth", "ip")},
        "cut": "%FILTER_STATE(first):2%",
        "cut-plain": "%FILTER_STATE(first:PLAIN):2%",
        "within": "%FILTER_STATE(first)% %FILTER_STATE(none)%",
        "path": "%REQ(:PATH)%",
    }
    log = {"@type": FILE_LOG, "path": str(proxy.log().path), "log_format": {"json_format": form}}
    main = listener(
        "main",
        proxy.port(),
        hosts,
        http_filters=filters,
        access_log=[{"name": "log", "typed_config": log}],
        route_config=leaves(value("levels", f"{state('levels')} all")),
    )
    main["filter_chains"][0]["filters"][:0] = [
        on_connection(value("data", state("from")), field="on_downstream_data"),
        on_connection(
            value("from", "connection"),
            value("to", "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"),
            value("local", "%DOWNSTREAM_LOCAL_ADDRESS%", LOCAL),
            value("nothing", "%REQ(:PATH)%|%RESPONSE_CODE%|%BYTES_RECEIVED%|%ROUTE_NAME%"),
        ),
    ]
    ring = [proxy.origin(name).port for name in "abcdef"]
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("ring", *ring, lb_policy="RING_HASH"),
        original("header", {"use_http_header": True}),
        original("copies"),
        *[cluster(f"{name}-pools", proxy.origin(f"pool-{name}").port) for name in SHARING],
    ]
    return bootstrap(proxy.port("admin"), [main], clusters)


def shown(proxy: Proxy, path: str, *headers: str) -> dict[str, str]:
    """What the answer says of the state, by the names of `told`."""
    response = proxy.ask(path, headers="".join(f"{line}\r\n" for line in headers))
    assert response.status == 200
    return {
        name[2:]: found[1:-1]
        for name, found in response.headers
        if name.startswith("x-") and found[:1] == "["
    }


@pytest.mark.parametrize(
    ("factory", "given"), OBJECTS, ids=[f"{factory[6:]}-{given}" for factory, given in OBJECTS]
)
def test_object(proxy: Proxy, factory: str, given: str) -> None:
    found = shown(proxy, f"/object/{factory}", f"x-v: {given}")
    expected = [*OBJECTS[factory, given], *[""] * len(FORMS)]
    assert found == dict(zip(FORMS, expected))


def test_without_a_value_the_text_is_a_dash(proxy: Proxy) -> None:
    assert shown(proxy, "/object/envoy.string")["plain"] == "-"
    assert shown(proxy, "/object/envoy.bool")["plain"] == ""


def test_in_a_log(proxy: Proxy) -> None:
    proxy.ask("/log", headers="x-ip: 10.0.0.1\r\n")
    assert json.loads(proxy.log().line('"/log"')) == {
        "first": "first",
        "levels": "filter all host",
        "missing": "-",
        "empty": "",
        "skipped": None,
        "json": '{"a":"HTTP/1.1"}\n',
        "early": "0|-|-",
        "none": None,
        "typed-first": "first",
        "typed-number": 42,
        "typed-truth": True,
        "typed-ip": None,
        "cut": "first",
        "cut-plain": "fi",
        "within": '"first" -',
        "path": "/log",
    }


def test_all_levels_act(proxy: Proxy) -> None:
    proxy.ask("/levels")
    assert '"filter all host route"' in proxy.log().line('"/levels"')


def test_read_only_changes_nothing(proxy: Proxy) -> None:
    proxy.ask("/again")
    assert json.loads(proxy.log().line('"/again"'))["first"] == "again"


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("ip", ADDRESSES)
def test_address_match(proxy: Proxy, name: str, ip: str) -> None:
    found = shown(proxy, f"/in/{name}", f"x-ip: {ip}")["route"]
    assert found == (name if ip in RANGES[name][1] else "rest")


@pytest.mark.parametrize(
    ("headers", "route"),
    [
        (("x-a: a1", "x-b: b"), "text"),
        (("x-a: a1",), "rest"),
        (("x-a: b", "x-b: b"), "rest"),
        (("x-ip: 10.0.0.1",), "ip"),
        ((), "rest"),
    ],
)
def test_string_match(proxy: Proxy, headers: tuple[str, ...], route: str) -> None:
    assert shown(proxy, "/text", *headers)["route"] == route


def test_of_a_connection(proxy: Proxy) -> None:
    """It is there for each of its requests, and a request's filters cannot change it."""
    expected = {"of": "connection 127.0.0.1", "to": "127.0.0.1", "nothing": "-|0|0|-", "data": "connection"}
    with proxy.client() as client:
        for _ in range(2):
            client.send("GET /connection HTTP/1.1\r\nhost: a\r\n\r\n")
            response = client.read()
            assert {name: response[f"x-{name}"] for name in expected} == {
                name: f"[{text}]" for name, text in expected.items()
            }


def test_tree(proxy: Proxy) -> None:
    response = proxy.ask("/", host="tree.test")
    assert response["x-route"] == "[list]"


def test_a_redirect_forgets_it(proxy: Proxy) -> None:
    """What is known then picks the route that the redirect leads to, and then it is picked anew."""
    proxy.origin().on("/once", text("", "302 Found", "location: http://a/there\r\n"))
    assert shown(proxy, "/once") == {"route": "forgotten", "only": ""}


@pytest.mark.parametrize(
    ("path", "given", "followed"),
    [
        ("bool/True", "true", True),
        ("bool/False", "true", True),
        ("bool/True", "false", False),
        ("bool/False", "false", False),
        ("bool/True", "nothing", True),
        ("bool/False", "nothing", False),
        ("string/True", "true", False),
        ("string/False", "true", False),
    ],
)
def test_whether_a_redirect_is_followed(proxy: Proxy, path: str, given: str, followed: bool) -> None:
    proxy.origin().on(f"/gate/{path}", text("", "302 Found", "location: http://a/there\r\n"))
    response = proxy.ask(f"/gate/{path}", headers=f"x-v: {given}\r\n")
    assert response.status == (200 if followed else 302)


def test_a_copy_has_none(proxy: Proxy) -> None:
    none = proxy.stat("cluster.copies.upstream_cx_none_healthy")
    there = f"127.0.0.1:{proxy.origin('a').port}"
    assert proxy.ask("/copied", headers=f"x-v: {there}\r\n").status == 200
    assert proxy.stat_becomes("cluster.copies.upstream_cx_none_healthy", none + 1)


def test_a_retry_does_not(proxy: Proxy) -> None:
    origin = proxy.origin()
    origin.forget()
    origin.on("/retry", text("", "503 No"))
    assert proxy.ask("/retry").status == 503
    assert [dict(origin.take().headers)["x-state"] for _ in range(2)] == ["first"] * 2


@pytest.mark.parametrize("path", ["/destination", "/other"])
def test_destination(proxy: Proxy, path: str) -> None:
    a, b = (f"127.0.0.1:{proxy.origin(name).port}" for name in "ab")
    for name in "ab":
        proxy.origin(name).on(path, text(name))
    header = f"{HEADER}: {b}\r\n"
    assert proxy.ask(path, headers=f"x-v: {a}\r\n{header}").text == "a"
    assert proxy.ask(path, headers=f"x-v: nowhere\r\n{header}").text == "b"
    assert proxy.ask(path, headers="x-v: nowhere\r\n").status == 503


def test_another_object_is_no_destination(proxy: Proxy) -> None:
    a, b = (f"127.0.0.1:{proxy.origin(name).port}" for name in "ab")
    proxy.origin("b").on("/wrong", text("b"))
    assert proxy.ask("/wrong", headers=f"x-v: {a}\r\n{HEADER}: {b}\r\n").text == "b"


@pytest.mark.parametrize("path", ["/debug", "/debug/retry"])
def test_debug_config(proxy: Proxy, path: str) -> None:
    response = proxy.ask(path, headers="x-v: true\r\n")
    assert (response.status, response["x-envoy-not-forwarded"]) == (204, "true")
    assert proxy.ask(path, headers="x-v: false\r\n").status == 200


def chosen(proxy: Proxy, path: str, given: str) -> str:
    for name in "abcdef":
        proxy.origin(name).on(path, text(name))
    return proxy.ask(path, headers=f"x-v: {given}\r\n").text


@pytest.mark.parametrize("factory", HASHES, ids=lambda factory: factory[6:])
def test_hash_policy(proxy: Proxy, factory: str) -> None:
    """What can be hashed is, as a header with the same text would be."""
    values = [f"10.0.0.{number}" for number in range(6)]
    if factory == DESTINATION:
        values = [f"{one}:80" for one in values]
    by_state = [chosen(proxy, f"/hash/{factory}", one) for one in values * 2]
    by_header = [chosen(proxy, "/hash/header", one) for one in values * 2]
    assert (by_state == by_header) == (factory in ("envoy.hashable_string", DESTINATION))


@pytest.mark.parametrize(
    ("name", "apart", "plain", "typed"),
    [
        ("private", False, "", ""),
        ("once", True, "own", '"own"'),
        ("transitive", True, "own", '"own"'),
        ("server", True, "", ""),
        ("address", True, "own", ""),
        ("string", False, "first", '"first"'),
    ],
)
def test_sharing(proxy: Proxy, name: str, apart: bool, plain: str, typed: str) -> None:
    """Requests with other objects have other connections."""
    origin = proxy.origin(f"pool-{name}")
    values = ["1.1.1.1:1", "2.2.2.2:2"] * 2
    with proxy.client() as client:
        for given in values:
            client.send(f"GET /pool/{name} HTTP/1.1\r\nhost: a\r\nx-v: {given}\r\n\r\n")
            response = client.read()
            known = {"own": given, "first": values[0]}
            expected = [plain, typed]
            for word, meant in known.items():
                expected = [one.replace(word, meant) for one in expected]
            assert [response["x-plain"], response["x-typed"]] == [f"[{one}]" for one in expected]
    connections = [origin.take().connection for _ in values]
    assert connections[:2] == connections[2:]
    assert (connections[0] != connections[1]) == apart
