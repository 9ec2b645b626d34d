"""Operators of access log formats that tell how often a route was looked up, and how long it took."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .origin import raw
from .settings import Config, access_log, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["a"]
  routes:
  - {match: {prefix: "/direct"}, direct_response: {status: 299}}
  - {match: {prefix: "/follow"}, route: {cluster: app, internal_redirect_policy: {}}}
  - {match: {prefix: "/again"}, route: {cluster: app, retry_policy: {retry_on: 5xx, num_retries: 1}}}
  - {match: {prefix: "/up"}, route: {cluster: app}}
"""
FORMAT = "%REQ(:PATH)% %RESPONSE_CODE% %ROUTE_RESOLUTION_COUNT% %ROUTE_RESOLUTION_TIME_US%\n"


def configure(proxy: Proxy) -> Config:
    log = access_log(proxy.log().path, FORMAT)
    main = listener("main", proxy.port(), VIRTUAL_HOSTS, access_log=[log])
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


@pytest.mark.parametrize(
    ("path", "headers", "status", "count"),
    [
        ("/up", "", 200, 1),
        ("/direct", "", 299, 1),
        ("/none", "", 404, 1),
        ("/again", "", 503, 1),
    ],
)
def test_count(proxy: Proxy, path: str, headers: str, status: int, count: int) -> None:
    proxy.origin().on("/again", raw("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"))
    before = len(proxy.log().lines())
    with proxy.client() as client:
        client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n")
        assert client.read().status == status
    (line,) = wait_for(lambda: proxy.log().lines()[before:])
    assert line.split()[1:3] == [str(status), str(count)]
    assert 0 <= int(line.split()[3]) < 100_000


def test_a_redirect_that_is_followed(proxy: Proxy) -> None:
    proxy.origin().on(
        "/follow", raw("HTTP/1.1 302 X\r\nlocation: http://a/up?1\r\ncontent-length: 0\r\n\r\n")
    )
    assert proxy.ask("/follow", headers="", host="a").status == 200
    assert wait_for(lambda: len([line for line in proxy.log().lines() if "/up?1" in line]) == 2)
    found = [line.split()[1:3] for line in proxy.log().lines() if "/up?1" in line]
    assert found == [["302", "2"], ["200", "1"]]
