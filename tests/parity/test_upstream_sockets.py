"""What the sockets of upstream connections are like: keep-alive, source addresses, socket options, several addresses of
one host."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from ports import free_port

from .harness import Proxy, wait_for
from .origin import Origin
from .settings import Config, access_log, address, bootstrap, cluster, endpoint, listener
from .sockets import count_sockets, sockets_to
from .wire import Client, Response, request_bytes
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
T = TypeVar("T")

IP_FREEBIND, IP_BIND_ADDRESS_NO_PORT = 15, 24
TOS = {"level": socket.IPPROTO_IP, "name": socket.IP_TOS, "int_value": 0x20, "state": "STATE_PREBIND"}
OCTETS = {"level": 0, "name": socket.IP_TOS, "buf_value": "QAAAAA==", "description": "as TOS"}
FORMAT = (
    "path=%REQ(:PATH)%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%\tcode=%RESPONSE_CODE%\t"
    "host=%UPSTREAM_HOST%\tremote=%UPSTREAM_REMOTE_ADDRESS%\tlocal=%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%\t"
    "why=%UPSTREAM_TRANSPORT_FAILURE_REASON%\n"
)


def six(proxy: Proxy) -> Origin:
    """An upstream on ::1."""
    if "six" not in proxy.origins:
        proxy.origins["six"] = Origin(socket.create_server(("::1", 0), family=socket.AF_INET6))
    return proxy.origins["six"]


def several(*addresses: tuple[str, int]) -> Config:
    first, *others = addresses
    found = endpoint(first[1], first[0])
    found["endpoint"]["additional_addresses"] = [{"address": address(port, host)} for host, port in others]
    return found


def source(host: str, **more: Any) -> Config:
    return {"source_address": {"address": host, "port_value": 0}, **more}


def extra(host: str, *options: Config) -> Config:
    found: Config = {"address": {"address": host, "port_value": 0}}
    return found | ({"socket_options": {"socket_options": list(options)}} if options else {})


def configure(proxy: Proxy) -> Config:
    port, port6 = proxy.origin().port, six(proxy).port
    dead = free_port()
    full = proxy.full_port()
    clusters = [
        cluster(
            "alive",
            port,
            upstream_connection_options={
                "tcp_keepalive": {"keepalive_probes": 5, "keepalive_time": 77, "keepalive_interval": 11}
            },
        ),
        cluster("alive-default", port, upstream_connection_options={"tcp_keepalive": {}}),
        cluster("usual", port),
        cluster("bound", port, upstream_bind_config=source("127.0.0.2")),
        cluster("bound6", endpoint(port6, "::1"), upstream_bind_config=source("127.0.0.2")),
        cluster("options", port, upstream_bind_config={"socket_options": [TOS | {"int_value": 0x40}]}),
        cluster("free", port, upstream_bind_config=source("203.0.113.7", freebind=True)),
        cluster("octets", port, upstream_bind_config={"socket_options": [OCTETS]}),
        cluster("unbound", port, upstream_bind_config=source("203.0.113.7", freebind=False)),
        cluster("retried", port, upstream_bind_config=source("203.0.113.7", freebind=False)),
        cluster("unfree", port, upstream_bind_config=source("127.0.0.3", freebind=False)),
        cluster("unoption", port, upstream_bind_config={"socket_options": [TOS | {"level": 77}]}),
        cluster(
            "extra", port, upstream_bind_config=source("::1", extra_source_addresses=[extra("127.0.0.4")])
        ),
        cluster(
            "extra-options",
            port,
            upstream_bind_config=source(
                "::1",
                extra_source_addresses=[extra("127.0.0.4", TOS | {"int_value": 0x60})],
                socket_options=[TOS | {"int_value": 0x80}],
            ),
        ),
        cluster(
            "extra-first",
            port,
            upstream_bind_config=source(
                "127.0.0.6",
                extra_source_addresses=[extra("::1")],
                socket_options=[TOS | {"int_value": 0x80}],
            ),
        ),
        cluster(
            "additional",
            port,
            upstream_bind_config=source(
                "::1", additional_source_addresses=[{"address": "127.0.0.5", "port_value": 0}]
            ),
        ),
        cluster(
            "eyes", several(("127.0.0.1", port), ("::1", port6)), upstream_bind_config=source("127.0.0.1")
        ),
        cluster("eyes-dead", several(("127.0.0.1", dead), ("::1", port6)), upstream_bind_config={}),
        cluster("eyes-slow", several(("127.0.0.1", full), ("::1", port6)), upstream_bind_config={}),
        cluster("eyes-none", several(("127.0.0.1", dead), ("::1", dead)), upstream_bind_config={}),
        cluster(
            "eyes-mute",
            several(("127.0.0.1", full), ("127.0.0.2", full)),
            upstream_bind_config={},
            connect_timeout="0.5s",
        ),
        cluster(
            "eyes-order",
            several(("127.0.0.1", dead), ("127.0.0.1", port), ("::1", port6)),
            upstream_bind_config={},
        ),
        cluster(
            "eyes-first",
            several(("127.0.0.1", dead), ("127.0.0.1", port), ("::1", port6)),
            upstream_bind_config={},
            upstream_connection_options={"happy_eyeballs_config": {"first_address_family_version": "V6"}},
        ),
        cluster(
            "eyes-two",
            several(("127.0.0.1", dead), ("127.0.0.1", port), ("::1", port6)),
            upstream_bind_config={},
            upstream_connection_options={
                "happy_eyeballs_config": {
                    "first_address_family_version": "V4",
                    "first_address_family_count": 2,
                }
            },
        ),
        cluster(
            "eyes-many",
            several(*[("127.0.0.1", dead)] * 3, ("127.0.0.1", port), *[("::1", dead)] * 3),
            upstream_bind_config={},
            upstream_connection_options={"happy_eyeballs_config": {"first_address_family_count": 2}},
        ),
    ]
    routes: list[Config] = [
        {"match": {"path": f"/{each['name']}"}, "route": {"cluster": each["name"]}} for each in clusters
    ]
    retried = next(route for route in routes if route["route"]["cluster"] == "retried")
    retried["route"]["retry_policy"] = {"retry_on": "connect-failure"}
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    main = listener("main", proxy.port(), hosts, access_log=[access_log(proxy.log().path, FORMAT)])
    manager = {"upstream_bind_config": source("127.0.0.9", freebind=True, socket_options=[TOS])}
    return bootstrap(proxy.port("admin"), [main], clusters, cluster_manager=manager)


@pytest.fixture
def ask(proxy: Proxy, workers: Workers) -> Iterator[Callable[[str], Seen]]:
    """Ask a cluster in each worker; connections are ended after the test, so that the next one makes its own."""
    clients = workers.new_clients()

    def asked(name: str) -> Seen:
        return Seen(proxy, name, clients)

    yield asked
    for client in clients:
        client.close()
    for origin in (proxy.origin(), six(proxy)):
        origin.hang_up()


def the_same(found: list[T], count: int) -> T:
    """What each worker has, which must be the same."""
    assert len(found) == count, f"there should be one for each worker: {found}"
    assert all(each == found[0] for each in found), found
    return found[0]


class Seen:
    """One request in each worker: the answer, the log, and the socket of its connection to the upstream.

    They must be the same in all; what is counted is a part of the sum.
    """

    def __init__(self, proxy: Proxy, name: str, clients: list[Client]) -> None:
        self.name = name
        self.proxy = proxy
        self.clients = clients
        self.workers = len(clients)
        before = len(self._lines())
        response = the_same([(each.status, each.text) for each in self.ask()], self.workers)
        self.status, self.text = response
        wait_for(lambda: len(self._lines()) >= before + self.workers)
        line = the_same(self._lines()[before:], self.workers)
        self.log = dict(part.split("=", 1) for part in line.split("\t"))

    def _lines(self) -> list[str]:
        return [line for line in self.proxy.log().lines() if f"path=/{self.name}\t" in line]

    def ask(self, query: str = "") -> list[Response]:
        """The same from each worker."""
        request = request_bytes(f"/{self.name}{query}")
        return [client.send(request).read() for client in self.clients]

    def option(self, level: int, name: int) -> int:
        """Of the connection's socket."""
        assert self.proxy.process is not None
        ports = (self.proxy.origin().port, six(self.proxy).port)
        found = [
            one.getsockopt(level, name) for port in ports for one in sockets_to(self.proxy.process.pid, port)
        ]
        return the_same(found, self.workers)

    def peer(self) -> str:
        """Where the upstream saw the connection come from."""
        found = [*self.proxy.origin().sockets.values(), *six(self.proxy).sockets.values()]
        return the_same([connection.getpeername()[0] for connection in found], self.workers)

    def counted(self, *names: str) -> list[float]:
        """Of each worker."""
        return [self.proxy.stat(f"cluster.{self.name}.{name}") / self.workers for name in names]


@pytest.mark.parametrize(
    ("name", "expected"), [("alive", [1, 77, 11, 5]), ("alive-default", [1]), ("usual", [0])]
)
def test_keepalive(ask: Callable[[str], Seen], name: str, expected: list[int]) -> None:
    seen = ask(name)
    assert seen.status == 200
    found = [seen.option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
        found.append(seen.option(socket.IPPROTO_TCP, option))
    assert found[: len(expected)] == expected


@pytest.mark.parametrize(
    ("name", "source", "tos", "free"),
    [
        ("usual", "127.0.0.9", 0x20, 1),  # the bootstrap's own
        ("bound", "127.0.0.2", 0x20, 1),  # its options stay those of the bootstrap
        ("options", "127.0.0.1", 0x40, 1),  # its source is the kernel's
        ("octets", "127.0.0.1", 0x40, 1),
        ("unfree", "127.0.0.3", 0x20, 0),
        ("extra", "127.0.0.4", 0x20, 1),
        ("extra-options", "127.0.0.4", 0x60, 1),
        ("extra-first", "127.0.0.6", 0x80, 1),
        ("additional", "127.0.0.5", 0x20, 1),
    ],
)
def test_bound(ask: Callable[[str], Seen], name: str, source: str, tos: int, free: int) -> None:
    seen = ask(name)
    assert (seen.status, seen.peer(), seen.log["local"]) == (200, source, source)
    assert seen.option(socket.IPPROTO_IP, socket.IP_TOS) == tos
    assert seen.option(socket.IPPROTO_IP, IP_FREEBIND) == free
    assert seen.option(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT) == (source != "127.0.0.1")


FAILED = "upstream connect error or disconnect/reset before headers. reset reason: local connection failure"


@pytest.mark.parametrize(
    ("name", "why", "binding"),
    [
        ("bound6", "failed_to_bind_to_127.0.0.2:0:_Invalid_argument", 1),
        ("unbound", "failed_to_bind_to_203.0.113.7:0:_Cannot_assign_requested_address", 1),
        ("unoption", "", 0),
    ],
)
def test_not_bound(ask: Callable[[str], Seen], name: str, why: str, binding: int) -> None:
    seen = ask(name)
    assert (seen.status, seen.text) == (503, FAILED)
    reason = "local_connection_failure|" + why if why else "local_connection_failure"
    assert seen.log == {
        "path": f"/{name}",
        "flags": "UF",
        "details": f"upstream_reset_before_response_started{{{reason}}}",
        "code": "503",
        "host": seen.log["host"],
        "remote": "-",
        "local": "-",
        "why": why or "-",
    }
    names = ("bind_errors", "upstream_cx_connect_fail", "upstream_cx_destroy_local", "upstream_cx_total")
    assert seen.counted(*names) == [binding, 1, 1, 1]
    assert seen.counted("upstream_rq_pending_failure_eject", "upstream_cx_active") == [1, 0]


def test_bound_to_what_has_no_way_there(ask: Callable[[str], Seen]) -> None:
    """To an address that is not ours (IP_FREEBIND)."""
    seen = ask("free")
    assert seen.status == 503
    port = seen.proxy.origin().port
    why = f"immediate_connect_error:_Network_is_unreachable|remote_address:127.0.0.1:{port}"
    assert seen.log["why"] == why
    assert seen.log["details"] == f"upstream_reset_before_response_started{{remote_connection_failure|{why}}}"
    assert seen.counted("bind_errors", "upstream_cx_connect_fail", "upstream_cx_destroy_remote") == [0, 1, 1]


def test_a_bind_error_is_retried_as_a_failed_connection(proxy: Proxy) -> None:
    assert proxy.ask("/retried").status == 503
    assert proxy.stat("cluster.retried.bind_errors") == 2
    assert proxy.stat("cluster.retried.upstream_rq_retry") == 1
    assert proxy.log().fields("path=/retried\t")["flags"] == "URX,UF"


@pytest.mark.parametrize(
    ("name", "family", "tried"),
    [
        ("eyes", 4, 1),
        ("eyes-dead", 6, 2),
        ("eyes-slow", 6, 2),
        ("eyes-order", 6, 2),  # the families alternate
        ("eyes-first", 6, 1),
        ("eyes-two", 4, 2),
        ("eyes-many", 4, 5),  # two of the first family, one of the other, and again
    ],
)
def test_several_addresses(ask: Callable[[str], Seen], name: str, family: int, tried: int) -> None:
    seen = ask(name)
    port = seen.proxy.origin().port if family == 4 else six(seen.proxy).port
    remote = f"127.0.0.1:{port}" if family == 4 else f"[::1]:{port}"
    assert (seen.status, seen.log["remote"]) == (200, remote)
    assert seen.log["host"] == seen.log["host"].replace(
        "[::1]", "127.0.0.1"
    )  # it keeps the name of its first one
    assert seen.counted("upstream_cx_total", "upstream_cx_http1_total") == [tried, 1]
    assert seen.counted("upstream_cx_connect_fail", "upstream_cx_active") == [0, 1]
    assert the_same([each.status for each in seen.ask("?again")], seen.workers) == 200
    assert seen.counted("upstream_cx_total") == [tried]


def test_none_of_several_addresses_answers(ask: Callable[[str], Seen]) -> None:
    seen = ask("eyes-none")
    assert (seen.status, seen.log["flags"]) == (503, "UF")
    assert seen.log["why"] == "delayed_connect_error:_Connection_refused"
    names = ("upstream_cx_total", "upstream_cx_connect_fail", "upstream_cx_destroy_remote")
    assert seen.counted(*names) == [2, 1, 1]


def test_time_is_over_for_several_addresses(ask: Callable[[str], Seen]) -> None:
    started = time.monotonic()
    seen = ask("eyes-mute")
    assert time.monotonic() - started < 4
    assert seen.log["details"] == "upstream_reset_before_response_started{connection_timeout}"
    names = ("upstream_cx_total", "upstream_cx_connect_timeout", "upstream_cx_destroy_local")
    assert seen.counted(*names) == [2, 1, 1]


def test_no_socket_is_left_behind(proxy: Proxy) -> None:
    """Of attempts that failed, or that came too late."""
    assert proxy.process is not None
    process_id = proxy.process.pid
    before = count_sockets(process_id)
    for name in ("eyes-mute", "eyes-none", "unbound", "free"):
        assert proxy.ask(f"/{name}?left").status == 503
    assert wait_for(lambda: count_sockets(process_id) <= before)
