"""What the results of health checks do: which hosts get requests, what becomes of connections, hosts that come and go."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy, wait_for
from .health import attempted, counts, flags, flags_become, http_check
from .origin import raw, silent, text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .test_cluster_types import eds_cluster, eds_text, replace
from .test_connect import tcp_port

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

_HEALTHY = "healthy"
_FAILED = "/failed_active_hc"
_LEAVING = "/pending_dynamic_removal"
#: Changes of hosts are used at once, where Envoy would wait up to a second for more of them.
_AT_ONCE = {"update_merge_window": "0s"}

# name: fields of the cluster, of its health check; each has hosts "a" and "b" at first
DISCOVERED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "stays": ({}, {}),
    "returns": ({}, {}),
    "goes": ({"ignore_health_on_host_removal": True}, {}),
    "new": ({}, {}),
    "crowd": ({}, {"timeout": "2s"}),
    "waits": ({"common_lb_config": {**_AT_ONCE, "ignore_new_hosts_until_first_hc": True}}, {"timeout": "2s"}),
    "closes": ({"common_lb_config": {**_AT_ONCE, "close_connections_on_host_set_change": True}}, {}),
    "remains": ({}, {}),
}
FIXED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "two": ({}, {}),
    "drained": ({}, {}),
    # Checked fast until there is traffic, and then no more within the time of a test.
    "told": ({}, {"interval": "60s"}),
    "untold": ({}, {"interval": "60s"}),
}


def origin(proxy: Proxy, name: str, host: str) -> Any:
    return proxy.origin(f"{name}_{host}")


def port(proxy: Proxy, name: str, host: str) -> int:
    found: int = origin(proxy, name, host).port
    return found


def assign(proxy: Proxy, name: str, *hosts: str) -> None:
    """From now on these are the hosts of a discovered cluster."""
    path = proxy.directory / f"{name}.json"
    replace(path, eds_text(name, *[port(proxy, name, host) for host in hosts]))


def configure(proxy: Proxy) -> Config:
    clusters: list[Config] = []
    for name, (fields, checks) in DISCOVERED.items():
        assign(proxy, name, "a", "b")
        made = eds_cluster(name, proxy.directory / f"{name}.json")
        clusters.append(
            made | {"health_checks": [http_check(**checks)], "common_lb_config": _AT_ONCE} | fields
        )
    for name, (fields, checks) in FIXED.items():
        hosts = [port(proxy, name, host) for host in "ab"]
        one = cluster(name, *hosts, health_checks=[http_check(**checks)], common_lb_config=_AT_ONCE, **fields)
        if name == "untold":
            del one["health_checks"]
        clusters.append(one)
    for name in [*DISCOVERED, *FIXED]:
        for host in "abcd":
            origin(proxy, name, host).default = text(host)
    for kind in ("STRICT_DNS", "LOGICAL_DNS"):
        origin(proxy, kind, "a").default = text("a")
        named = endpoint(port(proxy, kind, "a"), "localhost")
        clusters.append(
            cluster(kind, named, type=kind, dns_lookup_family="V4_ONLY", health_checks=[http_check()])
        )
    for name, uneject in (("unejects", True), ("keeps_out", False)):
        detection = {
            "consecutive_5xx": 3,
            "base_ejection_time": "60s",
            "max_ejection_percent": 100,
            "enforcing_success_rate": 0,
            "successful_active_health_check_uneject_host": uneject,
        }
        for host in "ab":
            origin(proxy, name, host).default = text(host)
        clusters.append(
            cluster(
                name,
                *[port(proxy, name, host) for host in "ab"],
                health_checks=[http_check(interval="0.5s")],
                outlier_detection=detection,
                common_lb_config=_AT_ONCE,
            )
        )
    origin(proxy, "slow", "a").default = raw(0.25, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na")
    clusters.append(cluster("slow", port(proxy, "slow", "a"), health_checks=[http_check()]))
    for name, close in (("cut", True), ("uncut", False)):
        tunnel = endpoint(tcp_port(proxy))
        tunnel["endpoint"]["health_check_config"] = {"port_value": port(proxy, name, "health")}
        clusters.append(
            cluster(
                name, tunnel, health_checks=[http_check()], close_connections_on_host_health_failure=close
            )
        )
    routes = [
        {"match": {"prefix": f"/{one['name']}/"}, "route": {"cluster": one["name"]}}
        for one in clusters
        if one["name"] not in ("cut", "uncut")
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    listeners = [listener("main", proxy.port(), hosts)]
    for name in ("cut", "uncut"):
        upgrade = {"upgrade_type": "CONNECT", "connect_config": {}}
        route = {"match": {"connect_matcher": {}}, "route": {"cluster": name, "upgrade_configs": [upgrade]}}
        hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
        listeners.append(listener(name, proxy.port(name), hosts))
    return bootstrap(proxy.port("admin"), listeners, clusters)


def reached(proxy: Proxy, name: str, count: int = 24) -> str:
    """The hosts that answer some requests, each on its own connection, so that every worker has some."""
    return "".join(sorted({proxy.ask(f"/{name}/").text for _ in range(count)}))


def reached_becomes(proxy: Proxy, name: str, wanted: str) -> str:
    wait_for(lambda: reached(proxy, name) == wanted)
    return reached(proxy, name)


def test_nothing_is_used_before_it_is_checked(proxy: Proxy) -> None:
    assert proxy.ask("/slow/").text == "a"
    assert proxy.stat("cluster.slow.lb_healthy_panic") == 0


def test_failed_hosts_get_nothing_unless_too_many_have(proxy: Proxy) -> None:
    assert reached(proxy, "two") == "ab"
    origin(proxy, "two", "a").on("/health", text("", "503 x"))
    assert flags_become(proxy, "two", _FAILED, port(proxy, "two", "a")) == _FAILED
    assert reached_becomes(proxy, "two", "b") == "b"
    assert wait_for(lambda: proxy.stat("cluster.two.membership_healthy") == 1)
    assert proxy.stat("cluster.two.membership_total") == 2
    assert counts(proxy, "two")["healthy"] == 1
    origin(proxy, "two", "b").on("/health", text("", "503 x"))
    assert flags_become(proxy, "two", _FAILED, port(proxy, "two", "b")) == _FAILED
    assert reached_becomes(proxy, "two", "ab") == "ab"
    assert proxy.stat("cluster.two.lb_healthy_panic") > 0
    for host in "ab":
        origin(proxy, "two", host).on("/health", text())
    for host in "ab":
        assert flags_become(proxy, "two", _HEALTHY, port(proxy, "two", host)) == _HEALTHY


def test_connections_of_a_host_that_fails(proxy: Proxy) -> None:
    host = origin(proxy, "drained", "a")
    origin(proxy, "drained", "b").on("/health", text("", "503 x"))
    assert reached_becomes(proxy, "drained", "a") == "a"
    host.forget()
    host.on("/drained/late", raw(0.6, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate"))
    with proxy.client() as client:
        client.send("GET /drained/ HTTP/1.1\r\nhost: a\r\n\r\n").read()
        used = next(seen for seen in iter(host.take, None) if seen.target == "/drained/")
        client.send("GET /drained/late HTTP/1.1\r\nhost: a\r\n\r\n")
        late = next(seen for seen in iter(host.take, None) if seen.target == "/drained/late")
        assert late.connection == used.connection
        host.on("/health", text("", "503 x"))
        assert flags_become(proxy, "drained", _FAILED, host.port) == _FAILED
        assert client.read().text == "late"
        assert late.connection_closed()


def test_a_response_that_asks_for_no_more_requests(proxy: Proxy) -> None:
    answer = text("out", headers="x-envoy-immediate-health-check-fail: true\r\n")
    for host in "ab":
        origin(proxy, "told", host).on("/told/out", answer)
    response = proxy.ask("/told/out")
    assert response.text == "out"
    assert response["x-envoy-immediate-health-check-fail"] == "true"
    wanted = _FAILED + "/excluded_via_immediate_hc_fail"

    def out() -> list[str]:
        return [host for host in "ab" if flags(proxy, "told", port(proxy, "told", host)) == wanted]

    assert wait_for(lambda: len(out()) == 1)
    (gone,) = out()
    left = "ab".replace(gone, "")
    assert reached_becomes(proxy, "told", left) == left
    assert counts(proxy, "told")["passive_failure"] == 1
    assert counts(proxy, "told")["network_failure"] == 0
    assert proxy.stat("cluster.told.membership_excluded") == 1


def test_without_health_checks_it_is_not_listened_to(proxy: Proxy) -> None:
    for host in "ab":
        origin(proxy, "untold", host).on(
            "/untold/out", text("out", headers="x-envoy-immediate-health-check-fail: true\r\n")
        )
    assert proxy.ask("/untold/out")["x-envoy-immediate-health-check-fail"] == "true"
    assert reached(proxy, "untold") == "ab"


def test_a_host_that_is_dropped_stays_while_it_passes(proxy: Proxy) -> None:
    a, b = (port(proxy, "stays", host) for host in "ab")
    assign(proxy, "stays", "a")
    assert flags_become(proxy, "stays", _LEAVING, b) == _LEAVING
    assert flags(proxy, "stays", a) == _HEALTHY
    assert reached(proxy, "stays") == "ab"
    page = proxy.admin_json("/clusters?format=json")
    (hosts,) = (one["host_statuses"] for one in page["cluster_statuses"] if one["name"] == "stays")
    health = {one["address"]["socket_address"]["port_value"]: one["health_status"] for one in hosts}
    assert health[b] == {"eds_health_status": "HEALTHY", "pending_dynamic_removal": True}
    origin(proxy, "stays", "b").on("/health", text("", "503 x"))
    assert flags_become(proxy, "stays", "", b) == ""
    assert reached_becomes(proxy, "stays", "a") == "a"
    assert proxy.stat_becomes("cluster.stays.membership_total", 1)
    assert counts(proxy, "stays")["healthy"] == 1


def test_a_host_that_comes_back(proxy: Proxy) -> None:
    b = port(proxy, "returns", "b")
    assign(proxy, "returns", "a")
    assert flags_become(proxy, "returns", _LEAVING, b) == _LEAVING
    assign(proxy, "returns", "a", "b")
    assert flags_become(proxy, "returns", _HEALTHY, b) == _HEALTHY
    assert counts(proxy, "returns")["failure"] == 0


def test_a_host_that_goes_at_once(proxy: Proxy) -> None:
    assign(proxy, "goes", "a")
    assert flags_become(proxy, "goes", "", port(proxy, "goes", "b")) == ""
    assert reached_becomes(proxy, "goes", "a") == "a"


def test_a_new_host_has_to_pass_first(proxy: Proxy) -> None:
    c = port(proxy, "new", "c")
    origin(proxy, "new", "c").on("/health", text("", "503 x"))
    assign(proxy, "new", "a", "b", "c")
    assert flags_become(proxy, "new", _FAILED, c) == _FAILED
    assert reached(proxy, "new") == "ab"
    origin(proxy, "new", "c").on("/health", text())
    assert flags_become(proxy, "new", _HEALTHY, c) == _HEALTHY
    assert reached_becomes(proxy, "new", "abc") == "abc"


@pytest.mark.parametrize(
    ("name", "wanted", "asked", "excluded"),
    [("crowd", _FAILED, "abcd", 0), ("waits", _FAILED + "/pending_active_hc", "ab", 3)],
)
def test_many_new_hosts(proxy: Proxy, name: str, wanted: str, asked: str, excluded: int) -> None:
    """Those that count although they are not checked yet make the others so few that all are used."""
    new = ("c", "d", "e")
    for host in new:
        origin(proxy, name, host).default = text("abcd"[-1] if host == "e" else host)
        origin(proxy, name, host).on("/health", silent())
    assign(proxy, name, "a", "b", *new)
    assert flags_become(proxy, name, wanted, port(proxy, name, "c")) == wanted
    assert reached_becomes(proxy, name, asked) == asked
    assert proxy.stat(f"cluster.{name}.membership_excluded") == excluded


@pytest.mark.parametrize(("name", "closed"), [("closes", True), ("remains", False)])
def test_connections_when_hosts_come(proxy: Proxy, name: str, closed: bool) -> None:
    hosts = [origin(proxy, name, host) for host in "ab"]
    with proxy.client() as client:
        for _ in range(2):
            client.send(f"GET /{name}/ HTTP/1.1\r\nhost: a\r\n\r\n").read()
        used = [next(seen for seen in iter(host.take, None) if seen.target == f"/{name}/") for host in hosts]
        assign(proxy, name, "a", "b", "c")
        third = port(proxy, name, "c")
        assert flags_become(proxy, name, _HEALTHY, third) == _HEALTHY
        assert [seen.connection_closed(1.0 if closed else 0.2) for seen in used] == [closed, closed]


@pytest.mark.parametrize(("name", "closed"), [("cut", True), ("uncut", False)])
def test_tunnels_to_a_host_that_fails(proxy: Proxy, name: str, closed: bool) -> None:
    assert flags_become(proxy, name, _HEALTHY) == _HEALTHY
    with proxy.client(name) as client:
        assert client.send("CONNECT a.test:80 HTTP/1.1\r\nhost: a.test:80\r\n\r\n").read_head().status == 200
        client.send("abc")
        assert client.read_some() == b"<abc>"
        origin(proxy, name, "health").on("/health", text("", "503 x"))
        assert flags_become(proxy, name, _FAILED) == _FAILED
        if closed:
            assert client.read_some(2.0) == b""
        else:
            client.send("def")
            assert client.read_some() == b"<def>"


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
def test_hosts_that_were_resolved(proxy: Proxy, kind: str) -> None:
    assert flags_become(proxy, kind, _HEALTHY) == _HEALTHY
    assert origin(proxy, kind, "a").take()["host"] == kind
    assert reached(proxy, kind, 4) == "a"
    origin(proxy, kind, "a").on("/health", text("", "503 x"))
    assert flags_become(proxy, kind, _FAILED) == _FAILED


@pytest.mark.parametrize("name", ["unejects", "keeps_out"])
def test_ejected_hosts_that_pass_their_checks(proxy: Proxy, name: str) -> None:
    host = origin(proxy, name, "a")
    host.on(f"/{name}/", text("", "500 x"))
    ejections = f"cluster.{name}.outlier_detection.ejections_enforced_total"

    def ejected() -> bool:
        reached(proxy, name, 4)
        return proxy.stat(ejections) > 0

    assert wait_for(ejected)
    host.on(f"/{name}/", text("a"))
    wanted = _HEALTHY if name == "unejects" else "/failed_outlier_check"
    assert attempted(proxy, name, 4)
    assert flags_become(proxy, name, wanted, host.port) == wanted
    assert proxy.stat(ejections) == 1
