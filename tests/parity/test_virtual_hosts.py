"""Choosing the virtual host: exact, suffix, prefix and catch-all domains, ports, case."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity


def answering(name: str, *domains: str) -> Config:
    """A virtual host that answers everything with its own name."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": name}}}
    return {"name": name, "domains": list(domains), "routes": [route]}


def configure(proxy: Proxy) -> Config:
    hosts = [
        answering("rest", "*"),
        answering("suffix-short", "*.test"),
        answering("suffix-long", "*.app.test"),
        answering("suffix-dash", "*-api.test"),
        answering("prefix-short", "app.*"),
        answering("prefix-long", "app.eu.*"),
        answering("prefix-dash", "web-*"),
        answering("exact", "app.test", "Second.Test"),
        answering("port", "app.test:8080", "[::1]:81"),
        answering("suffix-port", "*.ports.test:99"),
        answering("v6", "[::1]"),
        answering("empty-routes-host", "unused.example"),
    ]
    strict = [answering("only", "only.test"), {"name": "none", "domains": ["none.test"]}]
    listeners = [
        listener("main", proxy.port(), hosts),
        listener("strict", proxy.port("strict"), strict),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


HOSTS = [
    ("app.test", "exact"),
    ("APP.TEST", "exact"),
    ("second.test", "exact"),
    ("app.test:8080", "port"),
    ("APP.test:8080", "port"),
    ("app.test:80", "prefix-short"),
    ("app.test.", "prefix-short"),
    ("x.test", "suffix-short"),
    ("x.app.test", "suffix-long"),
    ("x.y.app.test", "suffix-long"),
    ("X.App.Test", "suffix-long"),
    (".app.test", "suffix-short"),
    ("x-api.test", "suffix-dash"),
    ("-api.test", "suffix-short"),
    (".test", "rest"),
    ("test", "rest"),
    ("app.example", "prefix-short"),
    ("APP.example", "prefix-short"),
    ("app.eu.example", "prefix-long"),
    ("app.", "rest"),
    ("app.eu.", "prefix-short"),
    ("web-1", "prefix-dash"),
    ("web-", "rest"),
    ("web", "rest"),
    ("app.eu.test", "suffix-short"),
    ("x.test:8080", "rest"),
    ("x.ports.test:99", "suffix-port"),
    ("x.ports.test", "suffix-short"),
    ("[::1]", "v6"),
    ("[::1]:81", "port"),
    ("[::1]:82", "rest"),
    ("127.0.0.1", "rest"),
    ("127.0.0.1:80", "rest"),
    ("appxtest", "rest"),
    ("*", "rest"),
    ("*.test", "suffix-short"),
]


@pytest.mark.parametrize(("host", "chosen"), HOSTS)
def test_chosen(proxy: Proxy, host: str, chosen: str) -> None:
    assert proxy.ask("/", host=host).text == chosen


@pytest.mark.parametrize(("host", "status"), [("only.test", 200), ("only.test:1", 404), ("other.test", 404)])
def test_without_a_catch_all(proxy: Proxy, host: str, status: int) -> None:
    response = proxy.ask("/", "strict", host=host)
    assert (response.status, response.text) == (status, "only" if status == 200 else "")


def test_virtual_host_without_routes(proxy: Proxy) -> None:
    assert proxy.ask("/", "strict", host="none.test").status == 404


def test_host_of_an_absolute_target_is_taken(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("GET http://app.test/ HTTP/1.1\r\nhost: x.test\r\n\r\n")
        assert client.read().text == "exact"
