"""Request mirroring: what the copy looks like, and that nothing of it reaches the client."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .origin import raw, silent, text
from .settings import Config, bootstrap, cluster, listener, protocol_options
from .wire import Client, request_bytes

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
            ]
        )
    ],
}


def configure(proxy: Proxy) -> Config:
    routes = [
        {
            "match": {"prefix": path + "-"},
            "route": {"cluster": "app", "timeout": "0.3s", "request_mirror_policies": each},
        }
        if path == "/dead"
        else {
            "match": {"path_separated_prefix": path},
            "route": {"cluster": "app", "request_mirror_policies": each},
        }
        for path, each in POLICIES.items()
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
            circuit_breakers={
                "thresholds": [{"max_requests": 1, "max_pending_requests": 1, "max_connections": 1}]
            },
        ),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def seen(proxy, o):
    import time
    time.sleep(0.08)
    return not proxy.origin(o).queue.empty()


def test_print(proxy: Proxy) -> None:
    for path in [*POLICIES, "/rewritten", "/inherited"]:
        client = proxy.ask(
            path, headers="x-mirror: shadow\r\nx-mirror: shadow2\r\nx-a: 1\r\nx-b: 1\r\nx-gone: 1\r\n"
        )
        print(path, client.status)
        for o in ("app", "shadow", "shadow2"):
            if seen(proxy, o):
                x = proxy.origin(o).take()
                print("   ", o, x.target, [h for h in x.normal])
    for path in ["/", "/other"]:
        for l in ("main", "table"):
            client = proxy.ask(path, name=l, host="own.test")
            print("own", path, l, [o for o in ("app", "shadow", "shadow2") if seen(proxy, o)])
            [proxy.origin(o).forget() for o in ("app", "shadow", "shadow2")]
    for path in ["/inherited"]:
        for l in ("main", "table"):
            client = proxy.ask(path, name=l, host="x.test")
            print(
                "other", path, l, [o for o in ("app", "shadow", "shadow2") if seen(proxy, o)]
            )
            [proxy.origin(o).forget() for o in ("app", "shadow", "shadow2")]
    r = proxy.ask("/nowhere")
    print(r.status, not seen(proxy, 'shadow'))
    [proxy.origin(o).forget() for o in ("app", "shadow", "shadow2")]
    r = proxy.ask("/plain", method="POST", headers="x: y\r\n", body=b"hello")
    print(r.status, proxy.origin("shadow").take().wait())
    proxy.origin("shadow").on("/slow", silent())
    print(proxy.ask("/slow").status)
    import time

    time.sleep(0.3)
    proxy.ask("/dead-1")
    time.sleep(0.3)
    for n, v in sorted(proxy.stats("cluster%5C.(shadow|dead)%5C.").items()):
        if v:
            print(n, v)
    for n, v in sorted(proxy.stats("async").items()):
        if v and "async" in n:
            print(n, v)
    # streaming
    with proxy.client() as c:
        c.send("POST /plain HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello")
        wait_for(lambda: not proxy.origin("shadow").queue.empty(), 1)
        print("streamed", proxy.origin("shadow").queue.qsize())
        s = proxy.origin("shadow").take()
        print(s)
    print("gone", s.connection_closed(1))
    assert 0
