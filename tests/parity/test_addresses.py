"""Listeners and endpoints on IPv6 and Unix sockets, default filter chains, one port for all addresses."""

from __future__ import annotations

import socket

import pytest

from .harness import Proxy
from .origin import Origin
from .settings import Config, access_log, address, bootstrap, cluster, endpoint, listener
from .wire import Client

pytestmark = pytest.mark.parity
FORMAT = "%REQ(:PATH)%|%UPSTREAM_HOST%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_ADDRESS%\n"


def upstream_path(proxy: Proxy) -> str:
    """A Unix socket's path; short, because the kernel takes no more than 107 bytes."""
    return str(proxy.directory / "up.sock")


def configure(proxy: Proxy) -> Config:
    six = socket.create_server(("::1", 0), family=socket.AF_INET6)
    proxy.origins["six"] = Origin(six)
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(upstream_path(proxy))
    unix.listen(16)
    proxy.origins["unix"] = Origin(unix)
    clusters = [
        cluster("six", endpoint(proxy.origin("six").port, "::1")),
        cluster("unix", {"endpoint": {"address": {"pipe": {"path": upstream_path(proxy)}}}}),
        cluster("app", proxy.origin().port),
    ]
    routes = [
        {"match": {"prefix": "/six"}, "route": {"cluster": "six"}},
        {"match": {"prefix": "/unix"}, "route": {"cluster": "unix"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "app"}},
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    log = [access_log(proxy.log().path, FORMAT)]
    main = listener("main", proxy.port(), hosts, access_log=log)
    default = listener("default", proxy.port("default"), hosts, access_log=log)
    default["default_filter_chain"] = default.pop("filter_chains")[0]
    on_six = listener("on_six", 0, hosts, access_log=log) | {"address": address(proxy.port("on_six"), "::1")}
    every = listener("every", 0, hosts, access_log=log) | {"address": address(proxy.port("every"), "0.0.0.0")}
    return bootstrap(proxy.port("admin"), [main, default, on_six, every], clusters)


def test_upstream_on_ipv6(proxy: Proxy) -> None:
    assert proxy.ask("/six").status == 200
    assert proxy.log().line("/six|").split("|")[1] == f"[::1]:{proxy.origin('six').port}"


def test_upstream_on_a_unix_socket(proxy: Proxy) -> None:
    assert proxy.ask("/unix").status == 200
    assert proxy.origin("unix").take()["host"] == "app.test"
    assert proxy.log().line("/unix|").split("|")[1] == upstream_path(proxy)
    assert f"unix::{upstream_path(proxy)}::rq_total::1" in proxy.admin("/clusters").text


def test_default_filter_chain(proxy: Proxy) -> None:
    assert proxy.ask("/default", "default").status == 200


def test_listener_on_ipv6(proxy: Proxy) -> None:
    with Client(proxy.port("on_six"), address="::1") as client:
        assert client.send("GET /on-six HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
    assert proxy.log().line("/on-six|").split("|")[2:] == ["::1", f"[::1]:{proxy.port('on_six')}"]
    assert f"on_six::[::1]:{proxy.port('on_six')}" in proxy.admin("/listeners").text


def test_listener_on_every_address(proxy: Proxy) -> None:
    assert proxy.ask("/every", "every").status == 200
    assert proxy.log().line("/every|").split("|")[2:] == ["127.0.0.1", f"127.0.0.1:{proxy.port('every')}"]
    assert f"every::0.0.0.0:{proxy.port('every')}" in proxy.admin("/listeners").text


def test_names_of_the_statistics(proxy: Proxy) -> None:
    names = {name.rsplit(".", 1)[0] for name in proxy.stats("^listener.*downstream_cx_total$")}
    assert {each for each in names if "worker" not in each and "admin" not in each} == {
        f"listener.127.0.0.1_{proxy.port()}",
        f"listener.127.0.0.1_{proxy.port('default')}",
        f"listener.[__1]_{proxy.port('on_six')}",
        f"listener.0.0.0.0_{proxy.port('every')}",
    }
