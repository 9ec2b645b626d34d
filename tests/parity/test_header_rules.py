"""Header rules of route configurations, virtual hosts and routes: in which order they act, and on which messages."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .harness import Proxy
from .origin import Exchange, raw, text
from .settings import Config, bootstrap, cluster, endpoint, listener, read

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = r"""
- name: all
  domains: ["*"]
  metadata: {filter_metadata: {v.h: {k: of the host}}}
  request_headers_to_add:
  - {header: {key: x-level, value: host}}
  - {header: {key: x-last, value: host}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  request_headers_to_remove: [x-gone-host, x-of-route]
  response_headers_to_add:
  - {header: {key: x-level, value: host}}
  response_headers_to_remove: [x-gone-host]
  routes:
  - match: {prefix: "/levels"}
    route: {cluster: app}
    request_headers_to_add:
    - {header: {key: X-Level, value: route}}
    - {header: {key: x-last, value: route}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: x-of-route, value: route}}
    request_headers_to_remove: [X-Gone-Route]
    response_headers_to_add:
    - {header: {key: x-level, value: route}}
    response_headers_to_remove: [x-gone-route]
  - match: {prefix: "/weighted"}
    route:
      weighted_clusters:
        clusters:
        - name: app
          weight: 1
          host_rewrite_literal: cluster.test
          request_headers_to_add:
          - {header: {key: x-level, value: cluster}}
          - {header: {key: x-last, value: cluster}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
          - {header: {key: x-saw-cluster, value: "%REQ(:AUTHORITY)%"}}
          request_headers_to_remove: [x-gone-cluster]
          response_headers_to_add:
          - {header: {key: x-level, value: cluster}}
          - {header: {key: x-cluster, value: "%UPSTREAM_CLUSTER%"}}
          response_headers_to_remove: [x-gone-cluster]
    request_headers_to_add:
    - {header: {key: x-level, value: route}}
    - {header: {key: x-last, value: route}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: x-saw-route, value: "%REQ(:AUTHORITY)%"}}
    response_headers_to_add:
    - {header: {key: x-level, value: route}}
  - match: {prefix: "/actions"}
    route: {cluster: app}
    request_headers_to_remove: [x-removed]
    request_headers_to_add:
    - {header: {key: x-append, value: new}}
    - {header: {key: x-old-append, value: new}, append: true}
    - {header: {key: x-old-overwrite, value: new}, append: false}
    - {header: {key: x-overwrite, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: x-if-absent, value: new}, append_action: ADD_IF_ABSENT}
    - {header: {key: x-if-exists, value: new}, append_action: OVERWRITE_IF_EXISTS}
    - {header: {key: x-removed, value: new}, append_action: ADD_IF_ABSENT}
    - {header: {key: x-twice, value: "1"}, append_action: ADD_IF_ABSENT}
    - {header: {key: x-twice, value: "2"}, append_action: ADD_IF_ABSENT}
    - {header: {key: x-mixed, value: added}}
    - {header: {key: x-mixed, value: over}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: x-saw, value: "%REQ(x-mixed)%"}}
    - {header: {key: x-saw-removed, value: "%REQ(x-removed)%"}}
  - match: {prefix: "/empty"}
    route: {cluster: app}
    request_headers_to_add:
    - {header: {key: x-none, value: ""}}
    - {header: {key: x-kept, value: ""}, keep_empty_value: true}
    - {header: {key: x-no-value, value: "%REQ(nothing)%"}}
    - {header: {key: x-no-value-kept, value: "%REQ(nothing)%"}, keep_empty_value: true}
    - {header: {key: x-part, value: "<%REQ(nothing)%>%%"}}
    - {header: {key: x-overwrite, value: "%REQ(nothing)%"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - match: {prefix: "/single"}
    route: {cluster: app}
    request_headers_to_add:
    - {header: {key: accept, value: b/c}}
    - {header: {key: x-forwarded-for, value: 9.9.9.9}}
    - {header: {key: via, value: me}}
    - {header: {key: cookie, value: b=2}}
    - {header: {key: x-other, value: "2"}}
    - {header: {key: user-agent, value: mine}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    response_headers_to_add:
    - {header: {key: cache-control, value: private}}
    - {header: {key: set-cookie, value: b=2}}
    - {header: {key: vary, value: accept}}
  - match: {prefix: "/own"}
    route: {cluster: app, timeout: 7s}
    request_headers_to_remove: [x-request-id, x-forwarded-proto]
    request_headers_to_add:
    - {header: {key: x-timeout, value: "%REQ(x-envoy-expected-rq-timeout-ms)%"}}
    - {header: {key: x-envoy-expected-rq-timeout-ms, value: "1"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    response_headers_to_remove: [server, date]
    response_headers_to_add:
    - {header: {key: connection, value: close}}
    - {header: {key: x-time, value: "%RESP(x-envoy-upstream-service-time)%"}}
    - {header: {key: x-envoy-upstream-service-time, value: mine}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - match: {prefix: "/unframed"}
    route: {cluster: app}
    request_headers_to_remove: [content-length]
    response_headers_to_remove: [content-length, x-envoy-upstream-service-time]
  - match: {prefix: "/operators"}
    name: the-route
    route: {cluster: app}
    request_headers_to_add:
    - header: {key: x-request, value: "%PROTOCOL%|%REQ(:METHOD)%|%REQ(:PATH)%|%REQ(:AUTHORITY)%|%ROUTE_NAME%|\
        %UPSTREAM_CLUSTER%|%UPSTREAM_HOST%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%BYTES_RECEIVED%|%RESP(x-a)%|\
        %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}
    - {header: {key: x-cut, value: "%REQ(x-long):3%"}}
    - {header: {key: x-start, value: "%START_TIME(%s)%"}}
    response_headers_to_add:
    - header: {key: x-response, value: "%REQ(:PATH)%|%ROUTE_NAME%|%UPSTREAM_CLUSTER%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|\
        %BYTES_RECEIVED%|%RESP(x-a)%|%RESPONSE_CODE_DETAILS%"}
    - {header: {key: x-host, value: "%UPSTREAM_HOST%"}}
    - {header: {key: x-address, value: "%UPSTREAM_REMOTE_ADDRESS%"}}
  - match: {prefix: "/metadata"}
    route: {cluster: named}
    metadata: {filter_metadata: {a.b: {s: text, n: 5, b: true, l: [1, x], o: {k: v}, z: null}}}
    request_headers_to_add:
    - {header: {key: x-host, value: "<%UPSTREAM_METADATA(e.m:k)%>"}}
    - {header: {key: x-route, value: "<%METADATA(ROUTE:a.b:s)%>"}}
    response_headers_to_add:
    - {header: {key: x-s, value: "%METADATA(ROUTE:a.b:s)%"}}
    - {header: {key: x-n, value: "%METADATA(ROUTE:a.b:n)%"}}
    - {header: {key: x-b, value: "%METADATA(ROUTE:a.b:b)%"}}
    - {header: {key: x-l, value: "%METADATA(ROUTE:a.b:l)%"}}
    - {header: {key: x-k, value: "%METADATA(ROUTE:a.b:o:k)%"}}
    - {header: {key: x-z, value: "<%METADATA(ROUTE:a.b:z)%>"}}
    - {header: {key: x-all, value: "%METADATA(ROUTE:a.b)%"}}
    - {header: {key: x-none, value: "<%METADATA(ROUTE:nope:z)%>"}}
    - {header: {key: x-virtual-host, value: "%METADATA(VIRTUAL_HOST:v.h:k)%"}}
    - {header: {key: x-host, value: "%UPSTREAM_METADATA(e.m:k)%|%METADATA(UPSTREAM_HOST:e.m:k)%"}}
    - {header: {key: x-old, value: '<%UPSTREAM_METADATA(["e.m", "k"])%|%DYNAMIC_METADATA(["e.m"])%>'}}
    - {header: {key: x-state, value: "<%PER_REQUEST_STATE(x)%>"}}
  - match: {prefix: "/retried"}
    route:
      cluster: two
      auto_host_rewrite: true
      append_x_forwarded_host: true
      retry_policy: {retry_on: 5xx, num_retries: 1, retry_back_off: {base_interval: 0.001s}}
    request_headers_to_add: [{header: {key: x-attempt, value: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"}}]
    response_headers_to_add: [{header: {key: x-attempt, value: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"}}]
  - match: {prefix: "/upgrade"}
    route: {cluster: app, upgrade_configs: [{upgrade_type: tunnel}]}
    request_headers_to_add: [{header: {key: x-upgrade, value: "%REQ(upgrade)%"}}]
    response_headers_to_add: [{header: {key: x-upgrade, value: "%RESPONSE_CODE% %RESP(upgrade)%"}}]
  - match: {path: "/local/created"}
    direct_response: {status: 201, body: {inline_string: "made"}}
    response_headers_to_remove: [location, server, date, content-type, content-length]
    response_headers_to_add: &local
    - {header: {key: x-local, value: "%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESP(location)%|%RESP(content-type)%"}}
  - match: {path: "/local/typed"}
    direct_response: {status: 200, body: {inline_string: "{}"}}
    response_headers_to_add: [{header: {key: content-type, value: application/json}}]
  - match: {path: "/local/typed-without-body"}
    direct_response: {status: 200}
    response_headers_to_add: [{header: {key: content-type, value: application/json}}]
  - match: {path: "/local/redirect"}
    redirect: {path_redirect: "/x"}
    response_headers_to_add: *local
  - match: {path: "/local/moved"}
    redirect: {path_redirect: "/x"}
    response_headers_to_add:
    - {header: {key: location, value: "/mine"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - match: {path: "/local/dead"}
    route: {cluster: dead}
    response_headers_to_add: *local
  - match: {path: "/local/empty"}
    route: {cluster: empty}
    response_headers_to_add: *local
  - match: {path: "/local/unknown"}
    route: {cluster: nowhere}
    response_headers_to_add: *local
  - match: {path: "/local/slow"}
    route: {cluster: app, timeout: 0.03s}
    response_headers_to_add: *local
"""

OUTER: dict[str, Any] = {
    "validate_clusters": False,
    "request_headers_to_add": [
        {"header": {"key": "x-level", "value": "all"}},
        {
            "header": {"key": "x-last", "value": "all"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        },
    ],
    "response_headers_to_add": [{"header": {"key": "x-level", "value": "all"}}],
    "response_headers_to_remove": ["x-gone-all"],
}


def configure(proxy: Proxy) -> Config:
    inward = OUTER | {"most_specific_header_mutations_wins": True}
    paths = ("/levels", "/weighted")
    routes = [one for one in read(VIRTUAL_HOSTS)[0]["routes"] if one["match"].get("prefix") in paths]
    inner = [read(VIRTUAL_HOSTS)[0] | {"routes": routes}]
    listeners = [
        listener("main", proxy.port(), VIRTUAL_HOSTS, route_config=OUTER),
        listener("inward", proxy.port("inward"), inner, route_config=inward),
    ]
    first, second = endpoint(proxy.origin().port), endpoint(proxy.origin("other").port)
    first["endpoint"]["hostname"], second["endpoint"]["hostname"] = "one.test", "two.test"
    named = {**first, "metadata": {"filter_metadata": {"e.m": {"k": "of the endpoint"}}}}
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("dead", 1),
        cluster("empty"),
        cluster("named", named),
        cluster("two", first, second),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


STANDARD = ("x-forwarded-proto", "x-request-id", "x-envoy-expected-rq-timeout-ms", "x-level", "x-last")


def sent_up(proxy: Proxy, path: str, name: str = "main", **request: Any) -> list[tuple[str, str]]:
    """The headers beginning with x- that arrive upstream, without those of every request."""
    proxy.ask(path, name, **request)
    found = proxy.origin().take().headers
    return sorted(pair for pair in found if pair[0].startswith("x-") and pair[0] not in STANDARD)


def values(headers: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in headers if key == name]


@pytest.mark.parametrize(
    ("name", "levels", "rest"),
    [
        ("main", ["route", "host", "all"], [("x-last", "all")]),
        ("inward", ["all", "host", "route"], [("x-last", "route"), ("x-of-route", "route")]),
    ],
)
def test_levels(proxy: Proxy, name: str, levels: list[str], rest: list[tuple[str, str]]) -> None:
    up = "x-gone-route: 1\r\nx-gone-host: 1\r\nx-gone-all: 1\r\nx-of-route: 1\r\n"
    down = "x-gone-route: 1\r\nx-gone-host: 1\r\nx-gone-all: 1\r\nx-stays: 1\r\n"
    proxy.origin().on("/levels", text(headers=down))
    response = proxy.ask("/levels", name, headers=up)
    seen = proxy.origin().take().headers
    assert values(seen, "x-level") == levels
    found = [pair for pair in seen if pair[0] in ("x-last", "x-of-route") or pair[0].startswith("x-gone")]
    assert sorted(found) == sorted([*rest, ("x-gone-all", "1")])
    assert values(response.headers, "x-level") == levels
    assert [pair for pair in response.headers if pair[0].startswith(("x-gone", "x-stays"))] == [
        ("x-stays", "1")
    ]


@pytest.mark.parametrize(
    ("name", "levels", "last"),
    [
        ("main", ["cluster", "route", "host", "all"], "all"),
        ("inward", ["cluster", "all", "host", "route"], "route"),
    ],
)
def test_weighted_cluster(proxy: Proxy, name: str, levels: list[str], last: str) -> None:
    """Its rules always come first, then its host, then those of the other levels."""
    proxy.origin().on("/weighted", text(headers="x-gone-cluster: 1\r\n"))
    response = proxy.ask("/weighted", name, host="app.test", headers="x-gone-cluster: 1\r\n")
    seen = proxy.origin().take()
    assert values(seen.headers, "x-level") == levels
    assert (seen["x-last"], seen["x-gone-cluster"]) == (last, None)
    assert (seen["host"], seen["x-envoy-original-host"]) == ("cluster.test", None)
    assert (seen["x-saw-cluster"], seen["x-saw-route"]) == ("app.test", "cluster.test")
    assert values(response.headers, "x-level") == levels
    assert (response["x-cluster"], response["x-gone-cluster"]) == ("app", None)


@pytest.mark.parametrize(
    ("headers", "arrives"),
    [
        (
            "",
            {
                "x-append": ["new"],
                "x-old-append": ["new"],
                "x-old-overwrite": ["new"],
                "x-overwrite": ["new"],
                "x-if-absent": ["new"],
                "x-if-exists": [],
                "x-removed": ["new"],
                "x-twice": ["1", "2"],
                "x-mixed": ["over", "added"],
                "x-saw": [],
                "x-saw-removed": [],
            },
        ),
        (
            "x-append: a\r\nx-old-append: a\r\nx-old-overwrite: a\r\nx-overwrite: a\r\nX-Overwrite: b\r\n"
            "x-if-absent: a\r\nx-if-exists: a\r\nx-if-exists: b\r\nx-removed: a\r\nx-twice: a\r\nx-mixed: a\r\n",
            {
                "x-append": ["a", "new"],
                "x-old-append": ["a", "new"],
                "x-old-overwrite": ["new"],
                "x-overwrite": ["new"],
                "x-if-absent": ["a"],
                "x-if-exists": ["new"],
                "x-removed": ["new"],
                "x-twice": ["a"],
                "x-mixed": ["over", "added"],
                "x-saw": ["a"],
                "x-saw-removed": [],
            },
        ),
        (
            "x-if-absent:\r\nx-if-exists:\r\n",
            {"x-if-absent": [""], "x-if-exists": ["new"], "x-overwrite": ["new"]},
        ),
    ],
)
def test_append_actions(proxy: Proxy, headers: str, arrives: dict[str, list[str]]) -> None:
    proxy.ask("/actions", headers=headers)
    seen = proxy.origin().take().headers
    assert {name: values(seen, name) for name in arrives} == arrives


def test_empty_values(proxy: Proxy) -> None:
    found = sent_up(proxy, "/empty", headers="x-overwrite: old\r\n")
    assert found == [
        ("x-kept", ""),
        ("x-no-value-kept", ""),
        ("x-overwrite", "old"),
        ("x-part", "<>%"),
    ]


def test_headers_of_which_there_is_one(proxy: Proxy) -> None:
    """A value added to one of those is joined to it; to others, and to cookies, it is a field of its own."""
    lines = "accept: a/b\r\nx-forwarded-for: 1.1.1.1\r\nvia: a\r\ncookie: a=1\r\nx-other: 1\r\nuser-agent: theirs\r\n"
    answer = text(headers="cache-control: no-cache\r\nset-cookie: a=1\r\nvary: origin\r\n")
    proxy.origin().on("/single", answer)
    response = proxy.ask("/single", headers=lines)
    seen = proxy.origin().take().headers
    expected = {
        "accept": ["a/b,b/c"],
        "x-forwarded-for": ["1.1.1.1,9.9.9.9"],
        "via": ["a,me"],
        "cookie": ["a=1", "b=2"],
        "x-other": ["1", "2"],
        "user-agent": ["mine"],
    }
    assert {name: values(seen, name) for name in expected} == expected
    back = {"cache-control": ["no-cache,private"], "set-cookie": ["a=1", "b=2"], "vary": ["origin,accept"]}
    assert {name: values(response.headers, name) for name in back} == back


def test_headers_that_the_proxy_sets(proxy: Proxy) -> None:
    """Rules act after the router's headers and before those of the connection manager; `connection` is its own."""
    response = proxy.ask("/own")
    seen = proxy.origin().take()
    assert (seen["x-request-id"], seen["x-forwarded-proto"]) == (None, None)
    assert (seen["x-timeout"], seen["x-envoy-expected-rq-timeout-ms"]) == ("7000", "1")
    assert re.fullmatch(r"\d+", response["x-time"] or "")
    assert response["x-envoy-upstream-service-time"] == "mine"
    assert [pair for pair in response.normal if pair[0] in ("server", "date", "connection")] == [
        ("date", "DATE"),
        ("server", "SERVER"),
    ]


def test_removed_framing(proxy: Proxy) -> None:
    """Without content-length the message is chunked."""
    response = proxy.ask("/unframed", method="POST", body=b"12345")
    seen = proxy.origin().take().wait()
    assert (seen["content-length"], seen["transfer-encoding"], seen.body) == (None, "chunked", b"12345")
    assert response["content-length"] is None
    assert response["transfer-encoding"] == "chunked"
    assert response["x-envoy-upstream-service-time"] is None
    assert response.text == "hello"


def test_operators_in_requests(proxy: Proxy) -> None:
    proxy.ask("/operators?a=1", host="a.test:8", headers="x-long: 12345\r\n")
    seen = proxy.origin().take()
    assert seen["x-request"] == "HTTP/1.1|GET|/operators?a=1|a.test:8|the-route|app||0|-|0||127.0.0.1"
    assert seen["x-cut"] == "123"
    assert re.fullmatch(r"\d{10}", seen["x-start"] or "")


def test_operators_in_responses(proxy: Proxy) -> None:
    proxy.origin().on("/operators", text(headers="x-a: up\r\n"))
    response = proxy.ask("/operators", method="POST", body=b"12345")
    assert response["x-response"] == "/operators|the-route|app|200|-|5|up|via_upstream"
    host = f"127.0.0.1:{proxy.origin().port}"
    assert (response["x-host"], response["x-address"]) == (host, host)


LEVELS = [("x-level", "host"), ("x-level", "all")]


def own_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in headers if pair[0] not in ("date", "server", "connection")]


@pytest.mark.parametrize(
    ("path", "status", "headers"),
    [
        (
            "/local/created",
            201,
            [("x-local", "0|-||"), *LEVELS, ("content-length", "4"), ("content-type", "text/plain")],
        ),
        (
            "/local/redirect",
            301,
            [
                ("location", "http://app.test/x"),
                ("x-local", "0|-|http://app.test/x|"),
                *LEVELS,
                ("content-length", "0"),
            ],
        ),
        (
            "/local/dead",
            503,
            [("x-local", "0|UF||"), *LEVELS, ("content-length", "98"), ("content-type", "text/plain")],
        ),
        (
            "/local/empty",
            503,
            [("x-local", "0|UH||"), *LEVELS, ("content-length", "19"), ("content-type", "text/plain")],
        ),
        ("/local/unknown", 503, [("x-local", "0|NC||"), *LEVELS, ("content-length", "0")]),
        (
            "/local/slow",
            504,
            [("x-local", "0|UT||"), *LEVELS, ("content-length", "24"), ("content-type", "text/plain")],
        ),
        (
            "/local/typed",
            200,
            [("content-type", "application/json"), *LEVELS, ("content-length", "2")],
        ),
        ("/local/typed-without-body", 200, [*LEVELS, ("content-length", "0")]),
        ("/local/moved", 301, [("location", "/mine"), *LEVELS, ("content-length", "0")]),
        ("/no-such-route", 404, [("content-length", "0")]),
    ],
)
def test_own_answers(proxy: Proxy, path: str, status: int, headers: list[tuple[str, str]]) -> None:
    """The rules of a route act on all that we answer for it, before content-length, server and date are set."""
    if path == "/local/slow":
        proxy.origin().on(path, lambda exchange: exchange.wait_closed(2.0))
    response = proxy.ask(path)
    assert response.status == status
    assert own_headers(response.headers) == headers
    assert {"date", "server"} <= {name for name, _ in response.headers}


def test_metadata(proxy: Proxy) -> None:
    response = proxy.ask("/metadata")
    seen = proxy.origin().take()
    assert (seen["x-host"], seen["x-route"]) == ("<>", "<text>")  # no host is chosen yet
    assert [pair for pair in response.headers if pair[0].startswith("x-") and pair[0] not in OURS] == [
        ("x-s", "text"),
        ("x-n", "5"),
        ("x-b", "true"),
        ("x-l", '[1,"x"]'),
        ("x-k", "v"),
        ("x-z", "<>"),
        ("x-all", '{"b":true,"l":[1,"x"],"n":5,"o":{"k":"v"},"s":"text","z":null}'),
        ("x-none", "<>"),
        ("x-virtual-host", "of the host"),
        ("x-host", "of the endpoint|of the endpoint"),
        ("x-old", "<of the endpoint|>"),
        ("x-state", "<>"),
    ]


OURS = ("x-level", "x-envoy-upstream-service-time")


def test_retried_request(proxy: Proxy) -> None:
    """Requests are changed once, but their host is the name of each attempt's; responses that are retried are not."""
    answers = [
        raw("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"),
        raw("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ]
    asked = []

    def answer(exchange: Exchange) -> None:
        asked.append(exchange.seen)
        answers[len(asked) - 1](exchange)

    for name in ("app", "other"):
        proxy.origin(name).on("/retried", answer)
    response = proxy.ask("/retried", host="a.test")
    first, second = asked
    assert {first["host"], second["host"]} == {"one.test", "two.test"}
    assert (first["x-envoy-original-host"], second["x-envoy-original-host"]) == ("a.test", first["host"])
    assert (first["x-forwarded-host"], second["x-forwarded-host"]) == ("a.test", f"a.test,{first['host']}")
    assert [values(seen.headers, "x-attempt") for seen in asked] == [["1"], ["1"]]
    assert (values(response.headers, "x-attempt"), values(response.headers, "x-level")) == (
        ["2"],
        ["host", "all"],
    )


def test_upgrade(proxy: Proxy) -> None:
    switching = raw("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: tunnel\r\n\r\n")
    proxy.origin().on("/upgrade", switching)
    with proxy.client() as client:
        client.send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: tunnel\r\n\r\n")
        response = client.read_head()
    assert proxy.origin().take()["x-upgrade"] == "tunnel"
    assert (response.status, response["x-upgrade"], response["connection"]) == (101, "101 tunnel", "upgrade")
