"""ORIGINAL_DST clusters: a request goes to where its metadata, its header or its connection says."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy, wait_for
from .origin import Exchange
from .settings import ROUTER, Config, bootstrap, listener
from .test_subset_requests import SET_METADATA

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
ORIGINAL_DST = "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"
NAMES = "abc"
HEADER = "x-envoy-original-dst-host"
BY_HEADER = {"use_http_header": True}
FAILING = "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
KEY = {"key": "dst", "path": [{"key": "at"}, {"key": "host"}]}


def original(name: str, how: Config | None = None, **fields: Any) -> Config:
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "0.5s",
        "cleanup_interval": "60s",
        "original_dst_lb_config": how or {},
        **fields,
    }


def leaving(value: Any) -> Config:
    one = {"metadata_namespace": "dst", "value": {"at": {"host": value}}}
    return {"typed_per_filter_config": {"leaving": {"@type": SET_METADATA, "metadata": [one]}}}


def configure(proxy: Proxy) -> Config:
    a, b = (f"127.0.0.1:{proxy.origin(name).port}" for name in "ab")
    clusters = [
        original("plain"),
        original("header", BY_HEADER),
        original("named", {"use_http_header": True, "http_header_name": "X-Dst"}),
        original("port", {"use_http_header": True, "upstream_port_override": proxy.origin("a").port}),
        original("metadata", {"use_http_header": True, "metadata_key": KEY}),
        original("brief", BY_HEADER, cleanup_interval="0.1s"),
        original("again", BY_HEADER),
        original(
            "ejecting", BY_HEADER, outlier_detection={"consecutive_5xx": 3, "max_ejection_percent": 100}
        ),
    ]
    routes: list[Config] = [
        {"match": {"path_separated_prefix": f"/{one['name']}"}, "route": {"cluster": one["name"]}}
        for one in clusters
    ]
    for name, value in {
        "text": b,
        "list": [b, a],
        "invalid": "nonsense",
        "number": 5,
        "empty-list": [],
    }.items():
        routes.append({"match": {"path": f"/{name}"}, "route": {"cluster": "metadata"}, **leaving(value)})
    retrying = {"cluster": "header", "retry_policy": {"retry_on": "5xx", "num_retries": 2}}
    routes += [
        {"match": {"path": "/retry"}, "route": retrying},
        {"match": {"path": "/auto"}, "route": {"cluster": "header", "auto_host_rewrite": True}},
        {
            "match": {"path": "/mirror"},
            "route": {"cluster": "header", "request_mirror_policies": [{"cluster": "again"}]},
        },
    ]
    virtual_host = {
        "name": "all",
        "domains": ["*"],
        "routes": routes,
        "response_headers_to_add": [{"header": {"key": "x-host", "value": "%UPSTREAM_REMOTE_ADDRESS%"}}],
    }
    unused = [{"metadata_namespace": "unused", "value": {}}]
    filters = [
        {"name": "leaving", "typed_config": {"@type": SET_METADATA, "metadata": unused}},
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    main = listener("main", proxy.port(), [virtual_host], http_filters=filters)
    # Nothing is redirected here, and so it has nothing to say.
    main["listener_filters"] = [{"name": "original_dst", "typed_config": {"@type": ORIGINAL_DST}}]
    return bootstrap(proxy.port("admin"), [main], clusters)


def reached(proxy: Proxy, path: str, *headers: str) -> str:
    """The host's name, its address if it has none, "" for no host, "-" for one that does not answer."""
    names = {f"127.0.0.1:{proxy.origin(name).port}": name for name in NAMES}
    lines = "".join(f"{line}\r\n" for line in headers)
    with proxy.client() as client:
        client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n{lines}\r\n")
        response = client.read()
    if response.status != 200:
        assert response.status == 503
        return "" if response.body == b"no healthy upstream" else "-"
    address = str(response["x-host"])
    return names.get(address, address)


def last(exchange: Exchange) -> None:
    exchange.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    exchange.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("127.0.0.1:{a}", "a"),
        ("   127.0.0.1:{b}  ", "b"),
        ("127.0.0.1:+{a}", "a"),
        ("127.0.0.1:0{a}", "a"),
        ("[::ffff:127.0.0.1]:{a}", "[::ffff:127.0.0.1]:{a}"),
        ("127.0.0.1:0", "-"),
        ("[::1]:1", "-"),
        ("localhost:{a}", ""),
        ("127.0.0.1", ""),
        ("127.0.0.1:", ""),
        ("127.0.0.1:65536", ""),
        ("127.0.0.1:-1", ""),
        ("127.0.0.1:{a} x", ""),
        ("127.0.0.1:{a},127.0.0.1:{b}", ""),
        ("0127.0.0.1:{a}", ""),
        ("127.1:{a}", ""),
        ("::1:{a}", ""),
        ("[::1]", ""),
        ("[::1%lo]:{a}", ""),
        ("", ""),
    ],
)
def test_the_header(proxy: Proxy, value: str, expected: str) -> None:
    ports = {name: proxy.origin(name).port for name in NAMES}
    invalid = proxy.stat("cluster.header.original_dst_host_invalid")
    nobody = proxy.stat("cluster.header.upstream_cx_none_healthy")
    assert reached(proxy, "/header", f"{HEADER}: {value.format(**ports)}") == expected.format(**ports)
    assert proxy.stat("cluster.header.original_dst_host_invalid") == invalid + (not expected)
    assert proxy.stat("cluster.header.upstream_cx_none_healthy") == nobody + (not expected)


def test_of_several_headers_the_first_counts(proxy: Proxy) -> None:
    fields = [f"{HEADER}: 127.0.0.1:{proxy.origin(name).port}" for name in "bc"]
    assert reached(proxy, "/header", *fields) == "b"
    assert reached(proxy, "/header", f"{HEADER}: no", *fields) == ""


def test_without_a_header_there_is_nowhere_to_go(proxy: Proxy) -> None:
    """The connection was not redirected."""
    invalid = proxy.stat("cluster.header.original_dst_host_invalid")
    assert reached(proxy, "/header") == ""
    assert reached(proxy, "/plain", f"{HEADER}: 127.0.0.1:{proxy.origin('a').port}") == ""
    assert proxy.stat("cluster.header.original_dst_host_invalid") == invalid


def test_a_header_of_another_name(proxy: Proxy) -> None:
    there = f"127.0.0.1:{proxy.origin('c').port}"
    assert reached(proxy, "/named", f"x-dst: {there}") == "c"
    assert reached(proxy, "/named", f"{HEADER}: {there}") == ""


def test_the_port_may_be_another(proxy: Proxy) -> None:
    assert reached(proxy, "/port", f"{HEADER}: 127.0.0.1:1") == "a"
    # In Envoy another worker would add it once more until it has heard of it.
    assert proxy.stat_becomes("cluster.port.membership_total", 1)
    assert reached(proxy, "/port", f"{HEADER}: 127.0.0.1:{proxy.origin('b').port}") == "a"
    assert proxy.stat_becomes("cluster.port.membership_total", 1)


@pytest.mark.parametrize(
    ("path", "alone", "with_header", "invalid"),
    [
        ("/text", "b", "b", 0),
        ("/list", "b", "b", 0),
        ("/invalid", "", "c", 2),
        ("/number", "", "c", 0),
        ("/empty-list", "", "c", 0),
        ("/metadata", "", "c", 0),
    ],
)
def test_metadata(proxy: Proxy, path: str, alone: str, with_header: str, invalid: int) -> None:
    name = "cluster.metadata.original_dst_host_invalid"
    before = proxy.stat(name)
    assert reached(proxy, path) == alone
    assert reached(proxy, path, f"{HEADER}: 127.0.0.1:{proxy.origin('c').port}") == with_header
    assert proxy.stat(name) == before + invalid


def test_a_retry_goes_to_the_same_host(proxy: Proxy) -> None:
    proxy.origin("a").forget()
    proxy.origin("a").on("/retry", lambda exchange: exchange.send(FAILING))
    with proxy.client() as client:
        there = f"127.0.0.1:{proxy.origin('a').port}"
        client.send(f"GET /retry HTTP/1.1\r\nhost: a\r\n{HEADER}: {there}\r\n\r\n")
        assert client.read().status == 500
    assert [proxy.origin("a").take().target for _ in range(3)] == ["/retry"] * 3


def test_what_a_host_is_called(proxy: Proxy) -> None:
    origin = proxy.origin("a")
    origin.forget()
    there = f"127.0.0.1:{origin.port}"
    assert reached(proxy, "/auto", f"{HEADER}: {there}") == "a"
    assert origin.take()["host"] == f"header{there}"


def test_a_copy_goes_by_the_header_too(proxy: Proxy) -> None:
    there = f"127.0.0.1:{proxy.origin('b').port}"
    assert reached(proxy, "/mirror", f"{HEADER}: {there}") == "b"
    assert proxy.stat_becomes("cluster.again.upstream_rq_total", 1)
    assert proxy.stat_becomes("cluster.again.membership_total", 1)


def test_hosts_go_when_nobody_uses_them(proxy: Proxy) -> None:
    """A kept connection is a use.  All workers know the hosts that one of them has met."""
    total = "cluster.brief.membership_total"
    before = proxy.stat("cluster.brief.membership_change")
    for name in NAMES:
        proxy.origin(name).on("/brief/close", last)
    for name in NAMES:
        for _ in range(4):
            there = f"{HEADER}: 127.0.0.1:{proxy.origin(name).port}"
            assert reached(proxy, "/brief/close", there) == name
    there = f"{HEADER}: 127.0.0.1:{proxy.origin('a').port}"
    # Once is enough, unless Envoy is just forgetting the host that a worker has chosen.
    assert wait_for(lambda: reached(proxy, "/brief", there) == "a" and proxy.stat_becomes(total, 1, 0.7), 6)
    assert 1 <= proxy.stat("cluster.brief.upstream_cx_active") <= proxy.concurrency
    assert proxy.stat("cluster.brief.membership_change") >= before + 4
    assert not wait_for(lambda: proxy.stat(total) != 1, 0.4)
    page = proxy.admin_json("/clusters?format=json")["cluster_statuses"]
    [found] = [one["host_statuses"] for one in page if one["name"] == "brief"]
    assert [one["hostname"] for one in found] == [f"brief127.0.0.1:{proxy.origin('a').port}"]


def test_health_does_not_count(proxy: Proxy) -> None:
    """A host is ejected once for all workers, and asked all the same: there is no other to go to."""
    origin = proxy.origin("b")
    there = f"{HEADER}: 127.0.0.1:{origin.port}"
    assert reached(proxy, "/ejecting", there) == "b"
    assert proxy.stat_becomes("cluster.ejecting.membership_healthy", 1)
    origin.on("/ejecting/bad", lambda exchange: exchange.send(FAILING))
    for _ in range(5):
        with proxy.client() as client:
            client.send(f"GET /ejecting/bad HTTP/1.1\r\nhost: a\r\n{there}\r\n\r\n")
            assert client.read().status == 500
    assert proxy.stat_becomes("cluster.ejecting.outlier_detection.ejections_active", 1)
    assert proxy.stat_becomes("cluster.ejecting.membership_healthy", 0)
    assert reached(proxy, "/ejecting", there) == "b"
