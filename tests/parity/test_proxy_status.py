"""The Proxy-Status header of answers that something went wrong for."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import raw, silent, text
from .settings import Config, access_log, bootstrap, cluster, listener, protocol_options, read

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - match: {path: "/direct"}
    direct_response: {status: 503}
  - match: {prefix: "/dead"}
    route: {cluster: dead}
  - match: {prefix: "/none"}
    route: {cluster: none}
  - match: {prefix: "/unknown"}
    route: {cluster_header: x-cluster}
  - match: {prefix: "/slow"}
    route: {cluster: app, timeout: 0.05s}
  - match: {prefix: "/idle"}
    route: {cluster: app, timeout: 0s, idle_timeout: 0.05s}
  - match: {prefix: "/full"}
    route: {cluster: full}
  - match: {prefix: "/tried"}
    route: {cluster: dead, retry_policy: {retry_on: connect-failure, num_retries: 1}}
  - match: {prefix: "/x"}
    route: {cluster: app}
"""
OPTIONS: dict[str, Config] = {
    "main": {"proxy_status_config": {}},
    "recommended": {"proxy_status_config": {"use_node_id": True, "set_recommended_response_code": True}},
    "bare": {"proxy_status_config": {"literal_proxy_name": "lit", "remove_details": True}},
    "no_flags": {"proxy_status_config": {"remove_response_flags": True}},
    "named": {
        "proxy_status_config": {"remove_connection_termination_details": True},
        "server_name": "srv",
    },
    "limited": {"proxy_status_config": {}, "request_timeout": "0.05s"},
    "off": {},
}


def configure(proxy: Proxy) -> Config:
    log = [access_log(proxy.log().path, "%REQ(:PATH)%|%RESPONSE_CODE%\n")]
    listeners = [
        listener(name, proxy.port(name), read(VIRTUAL_HOSTS), access_log=log, **fields)
        for name, fields in OPTIONS.items()
    ]
    overloaded = {"thresholds": [{"max_connections": 0, "max_pending_requests": 0}]}
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("dead", 1),
        cluster("none"),
        cluster(
            "full",
            proxy.origin().port,
            circuit_breakers=overloaded,
            typed_extension_protocol_options=protocol_options(),
        ),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


REFUSED = "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
ENDED = "upstream_reset_before_response_started{connection_termination}"
BROKEN = "upstream_reset_before_response_started{protocol_error}"


def status_of(proxy: Proxy, path: str, name: str = "main", headers: str = "") -> tuple[int, str | None]:
    """The answer's status and its Proxy-Status, in which the server is called SERVER."""
    response = proxy.ask(path, name, headers=headers)
    value = response["proxy-status"]
    if value is not None:
        for server in ("envoy;", "twistproxy;"):
            value = value.replace(server, "SERVER;")
    return response.status, value


@pytest.mark.parametrize(
    ("path", "status", "error", "details"),
    [
        ("/dead", 503, "connection_refused", REFUSED + "; UF"),
        ("/none", 503, "destination_unavailable", "no_healthy_upstream; UH"),
        ("/nowhere", 404, "destination_not_found", "route_not_found; NR"),
        ("/slow", 504, "http_response_timeout", "response_timeout; UT"),
        ("/idle", 504, "http_response_timeout", "stream_idle_timeout; SI"),
        ("/full", 503, "connection_limit_reached", "upstream_reset_before_response_started{overflow}; UO"),
        ("/tried", 503, "connection_refused", REFUSED + "; URX,UF"),
        ("/x/broken", 502, "http_protocol_error", None),
        ("/x/ended", 503, "connection_terminated", ENDED + "; UC"),
        ("/unknown", 503, "destination_unavailable", "cluster_not_found; NC"),
    ],
)
def test_what_went_wrong(proxy: Proxy, path: str, status: int, error: str, details: str | None) -> None:
    origin = proxy.origin()
    for silence in ("/slow", "/idle"):
        origin.on(silence, silent(0.3))
    origin.on("/x/broken", raw("nonsense\r\n\r\n", then="close"))
    origin.on("/x/ended", raw("", then="close"))
    found, value = status_of(proxy, path, headers="x-cluster: nobody\r\n")
    expected = f"SERVER; error={error}; details="
    assert found == status and value is not None
    if details is None:
        assert value.startswith(expected)
    else:
        assert value == f'{expected}"{details}"'


@pytest.mark.parametrize("path", ["/direct", "/x/fine", "/x/failed"])
def test_nothing_went_wrong_here(proxy: Proxy, path: str) -> None:
    proxy.origin().on("/x/failed", text(status="503 Sorry", headers="proxy-status: up; error=dns_error\r\n"))
    expected = "up; error=dns_error" if path == "/x/failed" else None
    assert proxy.ask(path)["proxy-status"] == expected


@pytest.mark.parametrize(
    ("name", "path", "status", "value"),
    [
        ("recommended", "/dead", 502, f'parity-node; error=connection_refused; details="{REFUSED}; UF"'),
        (
            "recommended",
            "/nowhere",
            500,
            'parity-node; error=destination_not_found; details="route_not_found; NR"',
        ),
        (
            "recommended",
            "/none",
            503,
            'parity-node; error=destination_unavailable; details="no_healthy_upstream; UH"',
        ),
        (
            "recommended",
            "/slow",
            504,
            'parity-node; error=http_response_timeout; details="response_timeout; UT"',
        ),
        ("bare", "/dead", 503, "lit; error=connection_refused"),
        ("no_flags", "/none", 503, 'SERVER; error=destination_unavailable; details="no_healthy_upstream"'),
        ("named", "/none", 503, 'srv; error=destination_unavailable; details="no_healthy_upstream; UH"'),
        ("off", "/none", 503, None),
    ],
)
def test_options(proxy: Proxy, name: str, path: str, status: int, value: str | None) -> None:
    proxy.origin().on("/slow", silent(0.3))
    assert status_of(proxy, path, name) == (status, value)


def test_recommended_status_is_logged(proxy: Proxy) -> None:
    proxy.ask("/dead?recommended", "recommended")
    assert proxy.log().line("?recommended") == "/dead?recommended|502"


def test_slow_requests_have_none(proxy: Proxy) -> None:
    with proxy.client("limited") as client:
        client.send("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\na")
        response = client.read()
    assert response.status == 408
    assert response["proxy-status"] is None


@pytest.mark.parametrize("request_line", ["BAD", "GET /#x HTTP/1.1\r\nhost: a", "GET / HTTP/1.0\r\nhost: a"])
def test_bad_requests_have_none(proxy: Proxy, request_line: str) -> None:
    with proxy.client() as client:
        response = client.send(request_line + "\r\n\r\n").read()
        assert response.status >= 400 and response["proxy-status"] is None
