"""What a virtual host and a route configuration say beyond domains: TLS, ports, statistics, limits."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .origin import silent, text
from .settings import Config, access_log, answering, bootstrap, cluster, listener

pytestmark = pytest.mark.parity


def tls_host(kind: str) -> Config:
    return answering(kind, f"{kind}.test", f"{kind}.test:80", f"{kind}.test:8080") | {
        "require_tls": kind.upper()
    }


COUNTED: list[Config] = [
    {
        "name": "v.h",
        "domains": ["*"],
        "virtual_clusters": [
            {
                "name": "users",
                "headers": [
                    {"name": ":path", "string_match": {"safe_regex": {"regex": "/users/.*"}}},
                    {"name": ":method", "string_match": {"exact": "GET"}},
                ],
            },
            {"name": "slow", "headers": [{"name": ":path", "string_match": {"prefix": "/slow"}}]},
            {"name": "late", "headers": [{"name": "x-late", "present_match": True}]},
        ],
        "routes": [
            {"match": {"prefix": "/direct"}, "direct_response": {"status": 200}},
            {
                "match": {"prefix": "/slow"},
                "stat_prefix": "slow",
                "route": {"cluster": "app", "timeout": "0.03s"},
            },
            {"match": {"prefix": "/dead"}, "stat_prefix": "dead", "route": {"cluster": "dead"}},
            {"match": {"prefix": "/none"}, "stat_prefix": "none", "route": {"cluster_header": "x-none"}},
            {"match": {"prefix": "/stat"}, "stat_prefix": "stat", "direct_response": {"status": 200}},
            {"match": {"prefix": "/empty"}, "route": {"cluster": "empty"}},
            {
                "match": {"prefix": "/"},
                "stat_prefix": "a.route",
                "route": {"cluster": "app"},
                "request_headers_to_remove": ["x-late"],
            },
        ],
    },
    answering("plain", "plain.test"),
]


def configure(proxy: Proxy) -> Config:
    log = access_log(
        proxy.log().path, "%REQ(:PATH)%|%VIRTUAL_CLUSTER_NAME%|%ROUTE_NAME%|%RESPONSE_CODE_DETAILS%\n"
    )
    tls = [tls_host("all"), tls_host("external_only"), tls_host("none")]
    listeners = [
        listener("tls", proxy.port("tls"), tls, access_log=[log]),
        listener(
            "inside",
            proxy.port("inside"),
            tls,
            internal_address_config={"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]},
        ),
        listener(
            "ports",
            proxy.port("ports"),
            [
                answering("exact", "a.test"),
                answering("v6", "[::1]"),
                answering("suffix", "*.b.test"),
                answering("port", "c.test:80"),
            ],
            route_config={"ignore_port_in_host_matching": True},
        ),
        listener(
            "header",
            proxy.port("header"),
            [answering("a", "a.test"), answering("b", "b.test"), answering("rest", "*")],
            route_config={"vhost_header": "X-Host"},
        ),
        listener(
            "header-default",
            proxy.port("header-default"),
            [answering("rest", "*")],
            route_config={"vhost_header": "x-host"},
        ),
        listener(
            "body",
            proxy.port("body"),
            [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "direct_response": {"status": 200, "body": {"inline_string": "x" * 5000}},
                        }
                    ],
                }
            ],
            route_config={"max_direct_response_body_size_bytes": 5000},
        ),
        listener(
            "internal",
            proxy.port("internal"),
            [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {
                                "prefix": "/",
                                "headers": [{"name": "x-inside", "present_match": True}],
                            },
                            "direct_response": {"status": 200},
                        },
                        {"match": {"prefix": "/"}, "route": {"cluster": "app"}},
                    ],
                }
            ],
            use_remote_address=True,
            route_config={"internal_only_headers": ["X-Inside", "x-other"]},
        ),
        listener("counted", proxy.port("counted"), COUNTED, access_log=[log]),
    ]
    dead = cluster("dead", proxy.port("nobody"))
    return bootstrap(
        proxy.port("admin"), listeners, [cluster("app", proxy.origin().port), dead, cluster("empty")]
    )


@pytest.mark.parametrize(
    ("host", "headers", "location"),
    ids=range(11),
    argvalues=[
        ("all.test", "", "https://all.test/p?q=1"),
        ("all.test:80", "", "https://all.test:80/p?q=1"),
        ("all.test:8080", "", "https://all.test:8080/p?q=1"),
        ("All.Test", "", "https://All.Test/p?q=1"),
        ("all.test", "x-forwarded-proto: https\r\n", None),
        ("all.test", "x-forwarded-proto: http\r\n", "https://all.test/p?q=1"),
        ("all.test", "x-envoy-internal: true\r\n", "https://all.test/p?q=1"),
        ("external_only.test", "", "https://external_only.test/p?q=1"),
        ("external_only.test", "x-forwarded-proto: https\r\n", None),
        ("external_only.test", "x-envoy-internal: true\r\n", "https://external_only.test/p?q=1"),
        ("none.test", "", None),
    ],
)
def test_require_tls(proxy: Proxy, host: str, headers: str, location: str | None) -> None:
    response = proxy.ask("/p?q=1", "tls", host=host, headers=headers)
    assert response.status == (200 if location is None else 301)
    assert response["location"] == location


@pytest.mark.parametrize(("host", "status"), [("all.test", 301), ("external_only.test", 200)])
def test_require_tls_of_an_internal_request(proxy: Proxy, host: str, status: int) -> None:
    response = proxy.ask("/", "inside", host=host, headers="x-forwarded-for: 10.1.1.1\r\n")
    assert response.status == status


def test_a_redirect_to_tls_in_log_and_statistics(proxy: Proxy) -> None:
    names = ("http.tls.rq_direct_response", "http.tls.rq_redirect", "http.tls.no_route", "http.tls.rq_total")
    before = [proxy.stat(name) for name in names]
    assert proxy.ask("/?tls-logged", "tls", host="all.test").status == 301
    assert [proxy.stat(name) for name in names] == [before[0] + 1, before[1], before[2], before[3] + 1]
    assert proxy.log().line("/?tls-logged") == "/?tls-logged|-|-|direct_response"


@pytest.mark.parametrize(
    ("host", "chosen"),
    [
        ("a.test", "exact"),
        ("a.test:1", "exact"),
        ("A.test:8080", "exact"),
        ("a.test:", "exact"),
        ("[::1]", "v6"),
        ("[::1]:80", "v6"),
        ("x.b.test:9", "suffix"),
        ("c.test:80", None),
        ("c.test", None),
    ],
)
def test_ports_ignored(proxy: Proxy, host: str, chosen: str | None) -> None:
    response = proxy.ask("/", "ports", host=host)
    assert (response.status, response.text) == ((404, "") if chosen is None else (200, chosen))


@pytest.mark.parametrize(
    ("headers", "chosen"),
    [
        ("", ""),
        ("x-host: b.test\r\n", "b"),
        ("x-host: B.TEST\r\n", "b"),
        ("x-host: c.test\r\n", "rest"),
        ("x-host:\r\n", "rest"),
        ("x-host: b.test\r\nx-host: a.test\r\n", "b"),
        ("x-host: b.test:80\r\n", "rest"),
    ],
)
def test_virtual_host_by_a_header(proxy: Proxy, headers: str, chosen: str) -> None:
    assert proxy.ask("/", "header", host="a.test", headers=headers).text == chosen


def test_no_header_for_the_only_virtual_host(proxy: Proxy) -> None:
    assert proxy.ask("/", "header-default").text == "rest"


def test_size_of_a_direct_response(proxy: Proxy) -> None:
    assert len(proxy.ask("/", "body").text) == 5000


def test_internal_only_headers(proxy: Proxy) -> None:
    proxy.ask("/", "internal", headers="x-inside: 1\r\nx-other: 2\r\nx-third: 3\r\n")
    seen = proxy.origin().take()
    assert (seen["x-inside"], seen["x-other"], seen["x-third"]) == (None, None, "3")


def test_internal_only_headers_of_an_internal_request_are_kept(proxy: Proxy) -> None:
    # Without use_remote_address nothing is at the edge.
    assert proxy.ask("/direct", "counted", headers="x-inside: 1\r\n").status == 200


VIRTUAL = "vhost.v.h.vcluster."
ROUTE = "vhost.v.h.route."


def counted(proxy: Proxy) -> dict[str, int]:
    """What is not 0 of the virtual host's statistics."""
    return {name: value for name, value in proxy.stats("^vhost%5C.").items() if value}


def changed(proxy: Proxy, before: dict[str, int]) -> dict[str, int]:
    return {
        name: value - before.get(name, 0)
        for name, value in counted(proxy).items()
        if value != before.get(name, 0)
    }


def responses(prefix: str, status: int, **more: int) -> dict[str, int]:
    return {
        f"{prefix}.upstream_rq_{status // 100}xx": 1,
        f"{prefix}.upstream_rq_{status}": 1,
        f"{prefix}.upstream_rq_completed": 1,
    } | {f"{prefix}.{name}": value for name, value in more.items()}


def test_virtual_cluster_and_route_are_counted(proxy: Proxy) -> None:
    proxy.origin().on("/users/1", text(status=201))
    before = counted(proxy)
    assert proxy.ask("/users/1?vc-users", "counted").status == 201
    assert proxy.log().line("vc-users").split("|")[1] == "users"
    assert changed(proxy, before) == responses(VIRTUAL + "users", 201, upstream_rq_total=1) | responses(
        ROUTE + "a.route", 201, upstream_rq_total=1
    )


def test_requests_of_no_virtual_cluster_are_others(proxy: Proxy) -> None:
    before = counted(proxy)
    assert (
        proxy.ask("/users/1?vc-other", "counted", method="POST", headers="content-length: 0\r\n").status
        == 200
    )
    assert proxy.log().line("vc-other").split("|")[1] == "-"
    assert changed(proxy, before) == responses(VIRTUAL + "other", 200, upstream_rq_total=1) | responses(
        ROUTE + "a.route", 200, upstream_rq_total=1
    )


def test_a_virtual_cluster_is_of_the_request_as_it_came(proxy: Proxy) -> None:
    assert proxy.ask("/x?vc-late", "counted", headers="x-late: 1\r\n").status == 200
    assert proxy.log().line("vc-late").split("|")[1] == "late"


def test_timeouts_are_counted(proxy: Proxy) -> None:
    proxy.origin().on("/slow", silent())
    before = counted(proxy)
    assert proxy.ask("/slow?vc", "counted").status == 504
    assert changed(proxy, before) == responses(
        VIRTUAL + "slow", 504, upstream_rq_timeout=1, upstream_rq_total=1
    ) | responses(ROUTE + "slow", 504, upstream_rq_timeout=1, upstream_rq_total=1)


def test_a_dead_upstream_is_counted(proxy: Proxy) -> None:
    before = counted(proxy)
    assert proxy.ask("/dead", "counted").status == 503
    assert changed(proxy, before) == responses(VIRTUAL + "other", 503) | responses(ROUTE + "dead", 503)


def test_what_reaches_no_upstream(proxy: Proxy) -> None:
    before = counted(proxy)
    assert proxy.ask("/empty?vc-empty", "counted").status == 503
    assert changed(proxy, before) == responses(VIRTUAL + "other", 503)
    before = counted(proxy)
    assert proxy.ask("/direct?vc-direct", "counted").status == 200
    assert proxy.ask("/stat", "counted").status == 200
    assert proxy.ask("/none?vc-none", "counted").status == 503
    assert proxy.log().line("vc-direct").split("|")[1] == "-"
    assert proxy.log().line("vc-none").split("|")[1] == "-"
    assert changed(proxy, before) == {}


def test_names_of_all_that_is_counted(proxy: Proxy) -> None:
    kinds = (
        "upstream_rq_retry",
        "upstream_rq_retry_limit_exceeded",
        "upstream_rq_retry_overflow",
        "upstream_rq_retry_success",
        "upstream_rq_timeout",
        "upstream_rq_total",
    )
    fixed = set(kinds)
    names = {name for name in proxy.stats("^vhost%5C.") if name.rpartition(".")[2] in fixed}
    assert names == {
        f"{prefix}.{kind}"
        for kind in kinds
        for prefix in (
            *(VIRTUAL + name for name in ("users", "slow", "late", "other")),
            *(ROUTE + name for name in ("slow", "dead", "none", "stat", "a.route")),
        )
    }


def test_times_are_recorded(proxy: Proxy) -> None:
    assert proxy.ask("/users/2", "counted").status == 200

    def known() -> set[str]:
        page = proxy.admin_json("/stats?format=json&histogram_buckets=detailed&filter=^vhost")
        details = [one["histograms"].get("details", []) for one in page["stats"] if "histograms" in one]
        return {one["name"] for group in details for one in group}

    assert wait_for(lambda: VIRTUAL + "users.upstream_rq_time" in known(), 7.0)
