"""Request mirroring: what the copy looks like, and that nothing of it reaches the client."""

from __future__ import annotations

import ipaddress

import pytest

from .harness import Proxy, wait_for
from .origin import Seen, silent, text
from .settings import Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity


def mirror(cluster: str = "shadow", **fields: object) -> Config:
    return {"cluster": cluster, **fields}


def percent(value: int, key: str = "") -> Config:
    return {"default_value": {"numerator": value}, "runtime_key": key}


#: Path → the mirror policies of its route.
POLICIES: dict[str, list[Config]] = {
    "/plain": [mirror()],
    "/kept-host": [mirror(disable_shadow_host_suffix_append=True)],
    "/literal": [mirror(host_rewrite_literal="copy.test:81")],
    "/literal-kept": [mirror(host_rewrite_literal="copy.test", disable_shadow_host_suffix_append=True)],
    "/none": [mirror(runtime_fraction=percent(0))],
    "/all": [mirror(runtime_fraction=percent(100))],
    "/runtime": [mirror(runtime_fraction=percent(0, "mirror.share"))],
    "/traced": [mirror(trace_sampled=False)],
    "/two": [mirror(), mirror("shadow2")],
    "/by-header": [{"cluster_header": "x-mirror"}],
    "/dead": [mirror("dead")],
    "/small": [mirror("small")],
    "/changed": [
        mirror(
            request_headers_mutations=[
                {"append": {"header": {"key": "x-new", "value": "1"}}},
                {
                    "append": {
                        "header": {"key": "x-a", "value": "2"},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }
                },
                {"append": {"header": {"key": "x-b", "value": "%REQ(x-a)%"}}},
                {"remove": "x-gone"},
                {"append": {"header": {"key": "x-secret-1", "value": "1"}}},
                {"remove_on_match": {"key_matcher": {"prefix": "x-secret"}}},
                {"append": {"header": {"key": "x-secret-2", "value": "%REQ(x-secret-1)%%REQ(x-new)%"}}},
            ]
        )
    ],
}


def configure(proxy: Proxy) -> Config:
    routes: list[Config] = [
        {
            "match": {"path_separated_prefix": path},
            "route": {"cluster": "app", "request_mirror_policies": policies},
        }
        for path, policies in POLICIES.items()
    ]
    routes += [
        {
            "match": {"prefix": "/rewritten"},
            "route": {
                "cluster": "app",
                "prefix_rewrite": "/new",
                "host_rewrite_literal": "other.test:8080",
                "request_mirror_policies": [mirror()],
            },
        },
        {"match": {"prefix": "/inherited"}, "route": {"cluster": "app"}},
        {
            "match": {"prefix": "/slow"},
            "route": {"cluster": "app", "timeout": "0.15s", "request_mirror_policies": [mirror()]},
        },
        {
            "match": {"prefix": "/nowhere"},
            "route": {"cluster": "dead", "request_mirror_policies": [mirror()]},
        },
        {"match": {"prefix": "/direct"}, "direct_response": {"status": 200}},
    ]
    hosts = [
        {
            "name": "own",
            "domains": ["own.test"],
            "routes": [
                {
                    "match": {"prefix": "/other"},
                    "route": {"cluster": "app", "request_mirror_policies": [mirror("shadow2")]},
                },
                {"match": {"prefix": "/"}, "route": {"cluster": "app"}},
            ],
            "request_mirror_policies": [mirror()],
        },
        {"name": "all", "domains": ["*"], "routes": routes},
    ]
    inheriting = {"request_mirror_policies": [mirror("shadow2")]}
    listeners = [
        listener("main", proxy.port(), hosts),
        listener("table", proxy.port("table"), hosts, route_config=inheriting),
    ]
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("shadow", proxy.origin("shadow").port),
        cluster("shadow2", proxy.origin("shadow2").port),
        cluster("dead", proxy.port("nobody")),
        cluster(
            "small",
            proxy.origin("small").port,
            circuit_breakers={"thresholds": [{"max_pending_requests": 1, "max_connections": 1}]},
        ),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def mirrored(proxy: Proxy, name: str = "shadow") -> Seen:
    return proxy.origin(name).take().wait()


def differences(request: Seen, copy: Seen) -> dict[str, list[str]]:
    """Headers that the copy has otherwise than the request, with what it has."""
    names = {name for name, _ in request.headers + copy.headers}
    values = {
        name: ([v for n, v in request.headers if n == name], [v for n, v in copy.headers if n == name])
        for name in names
    }
    return {name: theirs for name, (ours, theirs) in values.items() if ours != theirs}


def the_change(host: str | None, own: str, **more: list[str]) -> dict[str, list[str]]:
    found = {"x-envoy-internal": ["true"], "x-forwarded-for": [own], **more}
    return found if host is None else {"host": [host], **found}


HEADERS = "x-mirror: shadow\r\nx-mirror: shadow2\r\nx-a: 1\r\nx-b: 1\r\nx-gone: 1\r\nx-secret: 1\r\n"


@pytest.mark.parametrize(
    ("path", "host", "more"),
    [
        ("/plain", "app.test-shadow", {}),
        ("/kept-host", None, {}),
        ("/literal", "copy.test:81", {}),
        ("/literal-kept", "copy.test", {}),
        ("/all", "app.test-shadow", {}),
        ("/traced", "app.test-shadow", {}),
        ("/two", "app.test-shadow", {}),
        ("/by-header", "app.test-shadow", {}),
        ("/rewritten?a=b", "other.test-shadow:8080", {}),
        (
            "/changed",
            "app.test-shadow",
            {
                "x-a": ["2"],
                "x-b": ["1", "2"],
                "x-new": ["1"],
                "x-gone": [],
                "x-secret": [],
                "x-secret-2": ["1"],
            },
        ),
    ],
)
def test_the_copy(proxy: Proxy, path: str, host: str | None, more: dict[str, list[str]]) -> None:
    assert proxy.ask(path, headers=HEADERS).status == 200
    request, copy = proxy.origin().take(), mirrored(proxy)
    own = copy["x-forwarded-for"] or ""
    ipaddress.ip_address(own)
    assert differences(request, copy) == the_change(host, own, **more)
    assert (copy.method, copy.target, copy.version) == (request.method, request.target, request.version)


def test_forwarded_for_grows(proxy: Proxy) -> None:
    proxy.ask("/plain", headers="x-forwarded-for: 1.2.3.4\r\n")
    forwarded = mirrored(proxy)["x-forwarded-for"] or ""
    assert forwarded.startswith("1.2.3.4,")
    assert forwarded.count(",") == 1


def test_two_mirrors(proxy: Proxy) -> None:
    proxy.ask("/two?first")
    assert {mirrored(proxy).target, mirrored(proxy, "shadow2").target} == {"/two?first"}


@pytest.mark.parametrize("path", ["/none", "/runtime", "/inherited", "/direct", "/missing"])
def test_no_copy(proxy: Proxy, path: str) -> None:
    proxy.ask(path)
    assert proxy.origin("shadow").nothing(0.05)


def test_a_header_that_names_no_cluster(proxy: Proxy) -> None:
    assert proxy.ask("/by-header", headers="x-mirror: nobody\r\n").status == 200
    assert proxy.ask("/by-header").status == 200
    assert proxy.origin("shadow").nothing(0.05)


@pytest.mark.parametrize(
    ("listener_name", "host", "path", "mirrors"),
    [
        ("main", "own.test", "/", ["shadow"]),
        ("main", "own.test", "/other", ["shadow2"]),
        ("main", "else.test", "/inherited", []),
        ("table", "own.test", "/", ["shadow"]),
        ("table", "own.test", "/other", ["shadow2"]),
        ("table", "else.test", "/inherited", ["shadow2"]),
    ],
)
def test_the_innermost_policies_count(
    proxy: Proxy, listener_name: str, host: str, path: str, mirrors: list[str]
) -> None:
    proxy.ask(path, listener_name, host=host)
    names = ("shadow", "shadow2")
    wait_for(lambda: any(not proxy.origin(name).queue.empty() for name in names), 0.05)
    assert [name for name in names if not proxy.origin(name).nothing(0.01)] == mirrors


def test_content(proxy: Proxy) -> None:
    body = bytes(range(256)) * 300
    assert proxy.ask("/plain", method="POST", body=body).status == 200
    assert mirrored(proxy).body == body


def test_chunked_content_with_trailers(proxy: Proxy) -> None:
    with proxy.client() as client:
        head = b"POST /plain HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        client.send(head, b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n")
        assert client.read().status == 200
    assert mirrored(proxy).body == b"abcde"


def test_content_is_sent_while_it_comes(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("POST /plain HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello")
        copy = proxy.origin("shadow").take()
        assert not copy.whole
        client.send("world")
        assert client.read().status == 200
        assert copy.wait().body == b"helloworld"


def test_a_request_that_is_cut_off(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("POST /plain HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello")
        copy = proxy.origin("shadow").take()
    assert copy.connection_closed()
    assert not copy.whole


def test_the_clients_answer_is_the_upstreams(proxy: Proxy) -> None:
    proxy.origin("shadow").on("/plain", text("from the mirror", "500 No", "x-mirror: 1\r\n"))
    response = proxy.ask("/plain")
    assert (response.status, response.text, response["x-mirror"]) == (200, "hello", None)
    mirrored(proxy)


def test_a_mirror_that_does_not_answer(proxy: Proxy) -> None:
    """It has the route's time, and the client knows nothing of it."""
    proxy.origin("shadow").on("/slow", silent())
    before = proxy.stats("^cluster%5C.shadow%5C.")
    assert proxy.ask("/slow").status == 200
    copy = mirrored(proxy)
    assert copy["x-envoy-expected-rq-timeout-ms"] == "150"
    assert copy.connection_closed()
    assert proxy.stat_becomes(
        "cluster.shadow.upstream_rq_timeout", before["cluster.shadow.upstream_rq_timeout"] + 1
    )
    assert proxy.stat("cluster.shadow.internal.upstream_rq_504") >= 1


def test_a_mirror_that_reads_nothing_holds_up_nobody(proxy: Proxy) -> None:
    """Envoy lets a mirror pause the client; twistproxy gives the copy up at the buffer limit."""
    if proxy.engine == "envoy":
        return
    proxy.origin("shadow").on("/plain", silent())
    body = b"x" * 9_000_000
    assert proxy.ask("/plain", method="POST", body=body).status == 200
    assert proxy.origin().take().wait().body == body
    assert proxy.stat_becomes("cluster.shadow.retry_or_shadow_abandoned", 1)
    assert proxy.stat("cluster.shadow.upstream_cx_destroy_local_with_active_rq") >= 1


def test_a_dead_mirror(proxy: Proxy) -> None:
    assert proxy.ask("/dead").status == 200
    assert proxy.stat_becomes("cluster.dead.internal.upstream_rq_503", 1)


def test_a_dead_upstream(proxy: Proxy) -> None:
    assert proxy.ask("/nowhere").status == 503
    assert mirrored(proxy).target == "/nowhere"


def test_circuit_breakers_of_the_mirror(proxy: Proxy) -> None:
    """What it may not have it does not get; it waits for nobody."""
    proxy.origin("small").on("/small", silent())
    for _ in range(4):
        assert proxy.ask("/small").status == 200
    assert proxy.stat_becomes("cluster.small.upstream_rq_pending_overflow", 2)
    assert proxy.stat("cluster.small.internal.upstream_rq_503") == 2


def test_statistics(proxy: Proxy) -> None:
    """Copies are internal requests of their cluster."""
    names = ["upstream_rq_total", "upstream_rq_200", "internal.upstream_rq_200", "internal.upstream_rq_2xx"]
    names += ["internal.upstream_rq_completed", "upstream_rq_completed"]
    before = proxy.stats("^cluster%5C.shadow%5C.")
    own = proxy.stat("http.async-client.rq_total")
    for _ in range(3):
        proxy.ask("/plain")
        mirrored(proxy)

    def growth() -> set[int]:
        after = proxy.stats("^cluster%5C.shadow%5C.")
        return {after[f"cluster.shadow.{name}"] - before.get(f"cluster.shadow.{name}", 0) for name in names}

    assert wait_for(lambda: growth() == {3})
    assert not proxy.stats("^cluster%5C.shadow%5C.external")
    assert proxy.stat("http.async-client.rq_total") == own + 3
