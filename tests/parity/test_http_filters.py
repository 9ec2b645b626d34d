"""Chains of HTTP filters: their order, what routes say about them, and header_mutation, set_metadata and buffer."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy
from .origin import raw
from .settings import ROUTER, Config, access_log, bootstrap, cluster, listener
from .wire import Headers

pytestmark = pytest.mark.parity

TYPES = "type.googleapis.com/envoy.extensions.filters.http."
FILTER_CONFIG = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
FORMAT = (
    "path=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tdetails=%RESPONSE_CODE_DETAILS%\tmeta=%DYNAMIC_METADATA(a)%\n"
)


def mutation(name: str, text: str, **more: Any) -> Config:
    return {"append": {"header": {"key": name, "value": text}, **more}}


def mutations(per_route: bool = False, **fields: Any) -> Config:
    """A header_mutation's settings; further fields of it after `_`."""
    own = {key[1:]: fields.pop(key) for key in list(fields) if key.startswith("_")}
    kind = "HeaderMutationPerRoute" if per_route else "HeaderMutation"
    return {"@type": f"{TYPES}header_mutation.v3.{kind}", "mutations": fields, **own}


def marks(word: str, per_route: bool = False, **own: Any) -> Config:
    """A header_mutation that adds `word` to x-mark in both directions."""
    add = [mutation("x-mark", word)]
    return mutations(per_route, request_mutations=add, response_mutations=add, **own)


def named(name: str, config: Config, **more: Any) -> Config:
    return {"name": name, "typed_config": config, **more}


def buffer(size: int) -> Config:
    return {"@type": f"{TYPES}buffer.v3.Buffer", "max_request_bytes": size}


def metadata(*values: Config, **more: Any) -> Config:
    return {"@type": f"{TYPES}set_metadata.v3.Config", "metadata": list(values), **more}


def wrapped(config: Config | None = None, **more: Any) -> Config:
    return {"@type": FILTER_CONFIG, **({"config": config} if config else {}), **more}


def route(prefix: str, **more: Any) -> Config:
    return {"match": {"prefix": prefix}, "route": {"cluster": "app"}, **more}


def said(**configs: Config) -> Config:
    return {"typed_per_filter_config": configs}


MARKING_ROUTES = [
    route("/one_off", **said(first=wrapped(disabled=True))),
    route("/more", **said(first=marks("route", True))),
    route("/wrapped", **said(first=wrapped(marks("route", True)))),
    route("/off_enabled", **said(off=wrapped(marks("enabled", True)))),
    route("/off_by_settings", **said(off=marks("enabled", True))),
    route("/nobody", **said(nobody=marks("nobody", True), nothing=wrapped(disabled=True))),
    route("/other_type", **said(first={"@type": f"{TYPES}cors.v3.CorsPolicy"})),
    route("/both", **said(first=wrapped(disabled=True), last=wrapped(disabled=True))),
    {
        "match": {"prefix": "/weighted"},
        "route": {
            "weighted_clusters": {
                "clusters": [
                    {
                        "name": "app",
                        "weight": 1,
                        **said(first=marks("cluster", True), last=wrapped(disabled=True)),
                    }
                ]
            }
        },
        **said(first=marks("route", True)),
    },
    {"match": {"prefix": "/direct"}, "direct_response": {"status": 200}},
    route("/"),
]

MUTATIONS = mutations(
    request_mutations=[
        mutation("x-new", "is %REQ(x-b)%"),
        {"remove": "x-b"},
        mutation("x-a", "over", append_action="OVERWRITE_IF_EXISTS_OR_ADD"),
        mutation("x-late", "gone"),
        {"remove": "x-late"},
        mutation("x-absent", "added", append_action="ADD_IF_ABSENT"),
        mutation("x-never", "no", append_action="OVERWRITE_IF_EXISTS"),
        {"remove_on_match": {"key_matcher": {"prefix": "x-drop"}}},
        mutation("x-drop-later", "stays"),
        mutation("x-empty", ""),
    ],
    response_mutations=[
        mutation("x-code", "%RESPONSE_CODE%"),
        {"remove": "x-origin"},
        {"remove_on_match": {"key_matcher": {"contains": "secret"}}},
    ],
    query_parameter_mutations=[
        {"append": {"record": {"key": "c", "value": "9"}}},
        {"append": {"record": {"key": "a", "value": "new"}, "action": "OVERWRITE_IF_EXISTS_OR_ADD"}},
        {"append": {"record": {"key": "b", "value": "not"}, "action": "ADD_IF_ABSENT"}},
        {"append": {"record": {"key": "z", "value": "not"}, "action": "OVERWRITE_IF_EXISTS"}},
        {"remove": "d"},
    ],
)

METADATA = metadata(
    {"metadata_namespace": "a", "value": {"x": 1, "list": [1], "deep": {"p": 1}}},
    {"metadata_namespace": "a", "value": {"x": 2}},
    {
        "metadata_namespace": "a",
        "value": {"y": True, "list": [2], "deep": {"q": 2}},
        "allow_overwrite": True,
    },
)


def configure(proxy: Proxy) -> Config:
    router = {"name": "router", "typed_config": {"@type": ROUTER}}
    origin = proxy.origin().port

    def one(
        name: str, routes: list[Config], *filters: Config, host: Config | None = None, **more: Any
    ) -> Config:
        hosts = [{"name": "all", "domains": ["*"], "routes": routes, **(host or {})}]
        return listener(
            name,
            proxy.port(name),
            hosts,
            http_filters=[*filters, router],
            access_log=[access_log(proxy.log(name).path, FORMAT)],
            **more,
        )

    levels = [
        route("/route", **said(m=marks("route", True))),
        route("/outer"),
    ]
    outer = {
        "host": said(m=marks("host", True)),
        "route_config": said(m=marks("config", True)),
    }
    buffers = [
        route("/off", **said(b={"@type": f"{TYPES}buffer.v3.BufferPerRoute", "disabled": True})),
        route(
            "/small",
            **said(b={"@type": f"{TYPES}buffer.v3.BufferPerRoute", "buffer": {"max_request_bytes": 3}}),
        ),
        route("/"),
    ]
    listeners = [
        one(
            "marking",
            MARKING_ROUTES,
            named("first", marks("first")),
            named("off", marks("off"), disabled=True),
            named("last", marks("last")),
        ),
        one("levels", levels, named("m", marks("own")), **outer),
        one("specific", levels, named("m", marks("own", _most_specific_header_mutations_wins=True)), **outer),
        one("mutating", [route("/")], named("m", MUTATIONS)),
        one("metadata", [route("/")], named("s", METADATA)),
        one(
            "old_metadata",
            [route("/")],
            named("s", metadata(metadata_namespace="a", value={"x": 1})),
            named("t", metadata(metadata_namespace="a", value={"y": 1})),
        ),
        one("buffering", buffers, named("b", buffer(10))),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", origin)])


def marked(proxy: Proxy, path: str, name: str = "marking") -> tuple[list[str], list[str]]:
    """The marks that the request and the response of a path got, in their order."""
    response = proxy.ask(path, name)
    assert response.status == 200
    sent = [] if path == "/direct" else proxy.origin().take().headers
    return marks_in(sent), marks_in(response.headers)


def marks_in(headers: Headers) -> list[str]:
    return [value for key, value in headers if key == "x-mark"]


@pytest.mark.parametrize(
    ("path", "request_marks", "response_marks"),
    [
        ("/", "first last", "last first"),
        ("/one_off", "last", "last"),
        ("/more", "first route last", "last first route"),
        ("/wrapped", "first route last", "last first route"),
        ("/off_enabled", "first off enabled last", "last off enabled first"),
        ("/off_by_settings", "first off enabled last", "last off enabled first"),
        ("/nobody", "first last", "last first"),
        ("/other_type", "first last", "last first"),
        ("/both", "", ""),
        ("/weighted", "first cluster route", "first cluster route"),
        ("/direct", "", "last first"),
    ],
)
def test_what_routes_say_about_filters(
    proxy: Proxy, path: str, request_marks: str, response_marks: str
) -> None:
    assert marked(proxy, path) == (request_marks.split(), response_marks.split())


def test_no_route_has_the_chain_of_the_manager(proxy: Proxy) -> None:
    with proxy.client("marking") as client:
        answer = client.send("GET /x#y HTTP/1.1\r\nhost: a\r\n\r\n").read()
    assert answer.status == 400
    assert marks_in(answer.headers) == ["last", "first"]


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("levels", "/route", "own route host config"),
        ("levels", "/outer", "own host config"),
        ("specific", "/route", "own config host route"),
        ("specific", "/outer", "own config host"),
    ],
)
def test_mutations_of_all_levels_act(proxy: Proxy, name: str, path: str, expected: str) -> None:
    assert marked(proxy, path, name) == (expected.split(), expected.split())


def test_mutations(proxy: Proxy) -> None:
    answer = "HTTP/1.1 201 Created\r\ncontent-length: 0\r\nx-origin: 1\r\nx-my-secret: 2\r\n\r\n"
    proxy.origin().on("/m", raw(answer))
    headers = "x-a: 1\r\nx-b: 2\r\nx-a: 3\r\nx-drop-1: 4\r\nx-drop-2: 5\r\n"
    response = proxy.ask("/m?g=1&a=1&b=2&a=3&d=4&d&e&c=1&g=0", "mutating", headers=headers)
    request = proxy.origin().take()
    own = [(name, value) for name, value in request.headers if name in X_NAMES]
    assert own == [("x-new", "is 2"), ("x-a", "over"), ("x-absent", "added"), ("x-drop-later", "stays")]
    assert request.target == "/m?a=new&b=2&c=1&c=9&e=&g=1&g=0"
    assert response.status == 201
    assert (response["x-code"], response["x-origin"], response["x-my-secret"]) == ("201", None, None)


X_NAMES = (
    "x-new",
    "x-a",
    "x-b",
    "x-late",
    "x-absent",
    "x-never",
    "x-drop-1",
    "x-drop-2",
    "x-drop-later",
    "x-empty",
)


def test_metadata(proxy: Proxy) -> None:
    proxy.ask("/meta", "metadata")
    expected = '{"deep":{"p":1,"q":2},"list":[1,2],"x":1,"y":true}'
    assert proxy.log("metadata").fields("/meta")["meta"] == expected
    assert proxy.stat("http.metadata.set_metadata.overwrite_denied") == 1


def test_the_old_form_of_metadata(proxy: Proxy) -> None:
    proxy.ask("/meta", "old_metadata")
    assert proxy.log("old_metadata").fields("/meta")["meta"] == '{"x":1,"y":1}'


POST = "POST {} HTTP/1.1\r\nhost: a\r\n{}\r\n\r\n"
LENGTH, CHUNKED = "content-length: {}", "transfer-encoding: chunked"


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/", 10, 200), ("/", 11, 413), ("/off", 20, 200), ("/small", 3, 200), ("/small", 4, 413)],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_buffered_requests(proxy: Proxy, path: str, size: int, status: int, chunked: bool) -> None:
    word = f"{path}?{size}{chunked}"
    head = POST.format(word, CHUNKED if chunked else LENGTH.format(size))
    body = "x" * size
    with proxy.client("buffering") as client:
        answer = client.send(head + (f"{size:x}\r\n{body}\r\n0\r\n\r\n" if chunked else body)).read()
    assert answer.status == status
    fields = proxy.log("buffering").fields(word)
    if status == 413:
        assert answer.text == "Payload Too Large" and proxy.origin().nothing()
        assert fields["details"] == "request_payload_too_large"
    else:
        request = proxy.origin().take()
        assert request.body == body.encode()
        expected = None if chunked and path == "/off" else str(size)
        assert request["content-length"] == expected


def test_nothing_goes_on_before_the_request_is_complete(proxy: Proxy) -> None:
    with proxy.client("buffering") as client:
        client.send(POST.format("/wait", LENGTH.format(6)) + "abc")
        assert proxy.origin().nothing()
        assert client.send("def").read().status == 200
    assert proxy.origin().take().body == b"abcdef"


def test_statistics_of_what_was_too_large(proxy: Proxy) -> None:
    assert proxy.stat("http.buffering.downstream_rq_too_large") == 4
