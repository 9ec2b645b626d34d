"""Admin pages: status codes, content types, texts and JSON shapes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener, routes_to
from .wire import Headers, Response, normalised

pytestmark = pytest.mark.parity
TEXT = "text/plain; charset=UTF-8"
ADMIN = "type.googleapis.com/envoy.admin.v3."


def configure(proxy: Proxy) -> Config:
    clusters = [
        cluster("app", proxy.origin().port),
        cluster(
            "limited",
            proxy.origin().port,
            circuit_breakers={
                "thresholds": [
                    {"max_connections": 5, "max_requests": 6},
                    {"priority": "HIGH", "max_retries": 9},
                ]
            },
        ),
        cluster("empty"),
    ]
    hosts = routes_to("app")
    listeners = [listener("main", proxy.port(), hosts), listener("second", proxy.port("second"), hosts)]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def headers(response: Response) -> Headers:
    """The headers, names in lower case, without those that only say how the body is framed."""
    lower = [(name.lower(), value) for name, value in response.headers]
    return [pair for pair in normalised(lower) if pair[0] not in ("transfer-encoding", "content-length")]


def expected_headers(content_type: str) -> Headers:
    return [
        ("cache-control", "no-cache, max-age=0"),
        ("content-type", content_type),
        ("date", "DATE"),
        ("server", "SERVER"),
        ("x-content-type-options", "nosniff"),
    ]


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=UTF-8"),
        ("/help", TEXT),
        ("/ready", TEXT),
        ("/server_info", "application/json"),
        ("/stats", TEXT),
        ("/stats?format=json", "application/json"),
        ("/stats?format=prometheus", TEXT),
        ("/stats/prometheus", TEXT),
        ("/clusters", TEXT),
        ("/clusters?format=json", "application/json"),
        ("/listeners", TEXT),
        ("/listeners?format=json", "application/json"),
        ("/config_dump", "application/json"),
        ("/certs", "application/json"),
        ("/memory", "application/json"),
        ("/stats?format=html", "text/html; charset=UTF-8"),
        ("/stats?format=active-html", "text/html; charset=UTF-8"),
        ("/contention", TEXT),
        ("/hot_restart_version", TEXT),
        ("/init_dump", "application/json"),
        ("/init_dump?mask=listener", "application/json"),
        ("/runtime", "application/json"),
    ],
)
def test_page(proxy: Proxy, path: str, content_type: str) -> None:
    response = proxy.admin(path)
    assert response.status == 200
    assert headers(response) == expected_headers(content_type)
    if content_type == "application/json":
        assert isinstance(json.loads(response.body), dict)


def test_ready(proxy: Proxy) -> None:
    assert proxy.admin("/ready").text == "LIVE\n"
    assert proxy.admin("/ready?x=1").text == "LIVE\n"


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/hot_restart_version", 200, "disabled"),
        ("GET", "/init_dump", 200, "{}\n"),
        ("POST", "/reopen_logs", 200, "OK\n"),
        ("POST", "/cpuprofiler?enable=y", 500, "failure to start the profiler"),
        ("POST", "/cpuprofiler?enable=n", 200, "OK\n"),
        ("POST", "/cpuprofiler?enable=x", 400, "?enable=<y|n>\n"),
        ("POST", "/cpuprofiler", 400, "?enable=<y|n>\n"),
        ("POST", "/heapprofiler?enable=y", 501, "The current build does not support heap profiler"),
        ("GET", "/stats?hidden=only", 200, ""),
        ("GET", "/stats?hidden=nonsense", 400, "usage: /stats?hidden=(include|only|exclude)\n\n"),
        (
            "GET",
            "/stats?hidden=include&filter=app.upstream_rq_total",
            200,
            "cluster.app.upstream_rq_total: 0\n",
        ),
        (
            "GET",
            "/stats?histogram_buckets=nonsense",
            400,
            "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n",
        ),
        ("GET", "/stats?type=nonsense", 400, "invalid &type= param"),
        (
            "GET",
            "/stats/prometheus?histogram_buckets=detailed",
            400,
            "unsupported prometheus histogram bucket mode",
        ),
        ("GET", "/config_dump?name_regex=[", 400, None),
        ("GET", "/config_dump?resource=nonsense", 404, None),
    ],
)
def test_answer(proxy: Proxy, method: str, path: str, status: int, text: str | None) -> None:
    response = proxy.admin(path, method)
    assert response.status == status
    if text is not None:
        assert response.text == text


def test_head(proxy: Proxy) -> None:
    response = proxy.admin("/ready", "HEAD")
    assert (response.status, response.body) == (200, b"")
    assert response["transfer-encoding"] == "chunked"


def test_heads_are_written_as_envoy_writes_them(proxy: Proxy) -> None:
    with proxy.client("admin") as client:
        answer = client.send("GET /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").read()
    assert [name for name, _ in answer.headers] == [
        "content-type",
        "cache-control",
        "x-content-type-options",
        "date",
        "server",
        "connection",
        "transfer-encoding",
    ]


@pytest.mark.parametrize(
    ("request_text", "status", "body"),
    [
        ("BLA\r\n\r\n", 400, "Bad Request"),
        ("GET /ready HTTP/1.1\r\n\r\n", 400, ""),
        ("GET /ready HTTP/1.1\r\nhost: a\r\nx a: b\r\n\r\n", 400, "Bad Request"),
        (
            f"GET /ready HTTP/1.1\r\nhost: a\r\nx: {'a' * 70000}\r\n\r\n",
            431,
            "Request Header Fields Too Large",
        ),
    ],
    ids=["no HTTP", "no host", "no field", "too large"],
)
def test_refused_requests(proxy: Proxy, request_text: str, status: int, body: str) -> None:
    with proxy.client("admin") as client:
        answer = client.send(request_text).read()
        assert (answer.status, answer.text, answer["connection"]) == (status, body, "close")
        assert answer["server"] and answer["date"]
        assert client.ended()


def test_a_request_for_the_server_as_a_whole(proxy: Proxy) -> None:
    with proxy.client("admin") as client:
        for _ in range(2):
            answer = client.send("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").read()
            assert (answer.status, answer["content-length"]) == (404, "0")


def test_http_10_is_refused(proxy: Proxy) -> None:
    with proxy.client("admin") as client:
        assert client.send("GET /ready HTTP/1.0\r\n\r\n").read().status == 426


def test_admin_keeps_connections(proxy: Proxy) -> None:
    with proxy.client("admin") as client:
        for _ in range(3):
            assert client.send("GET /ready HTTP/1.1\r\nhost: a\r\n\r\n").read().text == "LIVE\n"


def test_home_lists_the_pages(proxy: Proxy) -> None:
    page = proxy.admin("/").text
    pages = ("certs", "clusters", "config_dump", "listeners", "memory", "ready", "server_info", "stats")
    commands = ("drain_listeners", "healthcheck/fail", "healthcheck/ok", "logging", "quitquitquit")
    for name in (*pages, *commands, "reset_counters"):
        assert name in page, name


@pytest.mark.parametrize(
    "path",
    [
        "/logging",
        "/cpuprofiler",
        "/heapprofiler",
        "/reopen_logs",
        "/runtime_modify",
        "/healthcheck/fail",
        "/healthcheck/ok",
        "/reset_counters",
        "/drain_listeners",
        "/quitquitquit",
    ],
)
def test_get_on_a_command(proxy: Proxy, path: str) -> None:
    response = proxy.admin(path)
    assert (response.status, response.text.strip()) == (405, "Method GET not allowed, POST required.")
    assert headers(response) == expected_headers(TEXT)
    assert proxy.admin("/ready").status == 200


@pytest.mark.parametrize("path", ["/nonsense", "/stat", "/ready/x", "/healthcheck", "/healthcheck/x"])
def test_unknown_page(proxy: Proxy, path: str) -> None:
    response = proxy.admin(path)
    assert response.status == 404
    assert response.text.startswith("invalid path. admin commands are:\n  /: Admin home page\n")
    assert "\n  /quitquitquit (POST): exit the server\n" in response.text
    assert "\n  /ready: print server state, return 200 if LIVE, otherwise return 503\n" in response.text
    assert headers(response) == expected_headers(TEXT)


def test_server_info(proxy: Proxy) -> None:
    page = proxy.admin_json("/server_info")
    assert page["state"] == "LIVE"
    assert re.fullmatch(r"\d+s", page["uptime_current_epoch"])
    assert re.fullmatch(r"\d+s", page["uptime_all_epochs"])
    assert page["hot_restart_version"] == "disabled"
    assert {"version", "command_line_options", "node"} <= set(page)
    assert "/" in page["version"]
    options = page["command_line_options"]
    assert options["concurrency"] == 1
    assert options["config_path"].endswith("config.yaml")
    assert (options["mode"], options["drain_time"]) == ("Serve", "600s")
    assert (page["node"]["id"], page["node"]["cluster"]) == ("parity-node", "parity-cluster")


def host_lines(text: str, address: str) -> dict[str, str]:
    """The `name::value` pairs of one host in the text of /clusters."""
    start = f"app::{address}::"
    lines = [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]
    return dict(line.split("::", 1) for line in lines)


def test_clusters_text(proxy: Proxy) -> None:
    proxy.ask("/x")
    text = proxy.admin("/clusters").text
    lines = [line for line in text.splitlines() if not re.match(r"\w+::\d", line)]
    for name, limits in {
        "app": (1024, 1024, 1024, 3, 1024, 1024, 1024, 3),
        "limited": (5, 1024, 6, 3, 1024, 1024, 1024, 9),
    }.items():
        kinds = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
        assert [line for line in lines if line.startswith(f"{name}::")] == [
            f"{name}::observability_name::{name}",
            *(f"{name}::default_priority::{kind}::{limit}" for kind, limit in zip(kinds, limits[:4])),
            *(f"{name}::high_priority::{kind}::{limit}" for kind, limit in zip(kinds, limits[4:])),
            f"{name}::added_via_api::false",
        ]


def test_hosts_text(proxy: Proxy) -> None:
    before = host_lines(proxy.admin("/clusters").text, proxy.origin().address)
    proxy.ask("/x")
    after = host_lines(proxy.admin("/clusters").text, proxy.origin().address)
    assert int(after.pop("rq_total")) - int(before.pop("rq_total")) == 1
    assert int(after.pop("rq_success")) - int(before.pop("rq_success")) == 1
    for name in ("cx_total", "cx_active"):
        assert int(after.pop(name)) >= 1
    assert after == {
        "cx_connect_fail": "0",
        "rq_active": "0",
        "rq_error": "0",
        "rq_pending_active": "0",
        "rq_timeout": "0",
        "hostname": "",
        "health_flags": "healthy",
        "weight": "1",
        "region": "",
        "zone": "",
        "sub_zone": "",
        "canary": "false",
        "priority": "0",
        "success_rate": "-1",
        "local_origin_success_rate": "-1",
    }


def test_clusters_json(proxy: Proxy) -> None:
    page = proxy.admin_json("/clusters?format=json")
    found = {each["name"]: each for each in page["cluster_statuses"]}
    assert set(found) == {"app", "limited", "empty"}
    assert found["empty"].get("host_statuses", []) == []
    assert found["limited"]["circuit_breakers"]["thresholds"] == [
        {"max_connections": 5, "max_pending_requests": 1024, "max_requests": 6, "max_retries": 3},
        {
            "priority": "HIGH",
            "max_connections": 1024,
            "max_pending_requests": 1024,
            "max_requests": 1024,
            "max_retries": 9,
        },
    ]
    assert found["app"]["observability_name"] == "app"
    assert "added_via_api" not in found["app"]
    [host] = found["app"]["host_statuses"]
    assert host["address"] == {"socket_address": {"address": "127.0.0.1", "port_value": proxy.origin().port}}
    assert host["health_status"] == {"eds_health_status": "HEALTHY"}
    assert (host["weight"], host["locality"]) == (1, {})
    stats: dict[str, Any] = {each["name"]: each for each in host["stats"]}
    assert set(stats) == {
        *("cx_connect_fail", "cx_total", "rq_error", "rq_success", "rq_timeout", "rq_total"),
        *("cx_active", "rq_active", "rq_pending_active"),
    }
    assert stats["cx_active"]["type"] == stats["rq_active"]["type"] == "GAUGE"
    assert "type" not in stats["rq_total"]
    assert "value" not in stats["rq_error"]
    assert int(stats["rq_total"]["value"]) >= 1


def test_listeners(proxy: Proxy) -> None:
    ports = {"main": proxy.port(), "second": proxy.port("second")}
    text = proxy.admin("/listeners").text
    assert sorted(text.splitlines()) == [f"{name}::127.0.0.1:{port}" for name, port in ports.items()]
    page = proxy.admin_json("/listeners?format=json")
    statuses = sorted(page["listener_statuses"], key=lambda each: str(each["name"]))
    assert statuses == [
        {"name": name, "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
        for name, port in ports.items()
    ]


def sections(proxy: Proxy, path: str = "/config_dump") -> dict[str, Any]:
    return {each["@type"].removeprefix(ADMIN): each for each in proxy.admin_json(path)["configs"]}


def test_config_dump_sections(proxy: Proxy) -> None:
    found = [each["@type"].removeprefix(ADMIN) for each in proxy.admin_json("/config_dump")["configs"]]
    assert found == [
        "BootstrapConfigDump",
        "ClustersConfigDump",
        "ListenersConfigDump",
        "ScopedRoutesConfigDump",
        "RoutesConfigDump",
        "SecretsConfigDump",
    ]


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3,9})?Z")


def test_config_dump(proxy: Proxy) -> None:
    found = sections(proxy)
    start = found["BootstrapConfigDump"]["bootstrap"]
    assert start["node"]["id"] == "parity-node"
    assert [each["name"] for each in start["static_resources"]["clusters"]] == ["app", "limited", "empty"]
    assert start["admin"]["address"]["socket_address"]["port_value"] == proxy.port("admin")
    assert TIME.fullmatch(found["BootstrapConfigDump"]["last_updated"])
    clusters = found["ClustersConfigDump"]["static_clusters"]
    assert sorted(each["cluster"]["name"] for each in clusters) == ["app", "empty", "limited"]
    assert {each["cluster"]["@type"] for each in clusters} == {
        "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    }
    listeners = found["ListenersConfigDump"]["static_listeners"]
    assert sorted(each["listener"]["name"] for each in listeners) == ["main", "second"]
    assert listeners[0]["listener"]["@type"] == "type.googleapis.com/envoy.config.listener.v3.Listener"
    routes = found["RoutesConfigDump"]["static_route_configs"]
    assert sorted(each["route_config"]["name"] for each in routes) == ["main_routes", "second_routes"]
    assert routes[0]["route_config"]["virtual_hosts"] == routes_to("app")
    for each in [*clusters, *listeners, *routes]:
        assert TIME.fullmatch(each["last_updated"])


def test_config_dump_of_a_resource(proxy: Proxy) -> None:
    page = proxy.admin_json("/config_dump?resource=static_clusters")
    assert sorted(each["cluster"]["name"] for each in page["configs"]) == ["app", "empty", "limited"]
    response = proxy.admin("/config_dump?resource=nonsense")
    assert (response.status, response.text.strip()) == (404, "nonsense not found in config dump")


def test_config_dump_with_endpoints(proxy: Proxy) -> None:
    found = sections(proxy, "/config_dump?include_eds")
    configs = found["EndpointsConfigDump"]["static_endpoint_configs"]
    names = sorted(each["endpoint_config"]["cluster_name"] for each in configs)
    assert names == ["app", "empty", "limited"]


def test_certs(proxy: Proxy) -> None:
    assert proxy.admin_json("/certs") == {"certificates": []}


def test_memory(proxy: Proxy) -> None:
    page = proxy.admin_json("/memory")
    names = ("allocated", "heap_size", "pageheap_free", "pageheap_unmapped")
    assert set(page) == {*names, "total_physical_bytes", "total_thread_cache"}
    assert all(re.fullmatch(r"\d+", value) for value in page.values())
    assert int(page["allocated"]) > 0
