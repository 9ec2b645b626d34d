"""Hosts that hang, drip, reset or go away, seen by many clients at once: who gets what, and what is left behind.

What single malformed answers come to is in `test_upstream_faults.py`, and the race for idle connections in
`test_idle_race.py` and `tests/integration/test_upstream_fault_restarts.py`."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from ports import free_port

from .harness import Proxy, wait_for
from .origin import Exchange, Origin, raw, silent, text
from .settings import Config, access_log, bootstrap, cluster, listener
from .sockets import sockets_to
from .wire import Client, Ended

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

FORMAT = "path=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%\n"
CLIENTS = 12
AGAIN = {"retry_on": "connect-failure", "num_retries": 3}


def configure(proxy: Proxy) -> Config:
    dead = [free_port(), free_port()]
    alive = [proxy.origin("half0").port, proxy.origin("half1").port]
    proxy.ports["coming"] = free_port()
    budget = {"budget_percent": {"value": 20}, "min_retry_concurrency": 1}
    clusters = [
        cluster("one", proxy.origin("one").port),
        cluster("half", *dead, *alive, circuit_breakers={"thresholds": [{"max_retries": 1024}]}),
        cluster("coming", proxy.ports["coming"]),
        cluster(
            "storm", proxy.origin("storm").port, circuit_breakers={"thresholds": [{"retry_budget": budget}]}
        ),
        cluster("mute", proxy.full_port(), connect_timeout="0.25s"),
    ]
    routes: list[Config] = [
        {"match": {"prefix": "/slow"}, "route": {"cluster": "one", "timeout": "0.3s"}},
        {"match": {"prefix": "/half/again"}, "route": {"cluster": "half", "retry_policy": AGAIN}},
        {"match": {"prefix": "/half"}, "route": {"cluster": "half"}},
        {"match": {"prefix": "/coming"}, "route": {"cluster": "coming"}},
        {
            "match": {"prefix": "/storm"},
            "route": {
                "cluster": "storm",
                "retry_policy": {
                    "retry_on": "5xx",
                    "num_retries": 10,
                    "retry_back_off": {"base_interval": "0.001s"},
                },
            },
        },
        {
            "match": {"prefix": "/mute/again"},
            "route": {"cluster": "mute", "retry_policy": AGAIN | {"num_retries": 1}},
        },
        {"match": {"prefix": "/mute"}, "route": {"cluster": "mute"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "one"}},
    ]
    routes[1]["route"]["retry_policy"] |= {
        "retry_host_predicate": [PREVIOUS_HOSTS],
        "host_selection_retry_max_attempts": 20,
    }
    hosts: list[Config] = [
        {"name": "all", "domains": ["*"], "routes": routes, "include_request_attempt_count": True}
    ]
    main = listener("main", proxy.port(), hosts, access_log=[access_log(proxy.log().path, FORMAT)])
    return bootstrap(proxy.port("admin"), [main], clusters)


PREVIOUS_HOSTS = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}


@pytest.fixture(autouse=True)
def nothing_left_behind(proxy: Proxy) -> Iterator[None]:
    """After each test no socket leads to an upstream but those of idle connections, and what counts says so."""
    yield
    assert proxy.process is not None
    process_id = proxy.process.pid
    assert wait_for(lambda: not any(proxy.stats("upstream_rq_(pending_)?active$").values()))
    for origin in proxy.origins.values():
        origin.hang_up()
    assert wait_for(lambda: not any(proxy.stats("upstream_cx_active$").values()))
    ports = [origin.port for origin in proxy.origins.values()]
    assert wait_for(lambda: not any(any(sockets_to(process_id, port)) for port in ports))


def at_once(proxy: Proxy, path: str, count: int = CLIENTS, each: int = 1) -> Counter[int | str]:
    """Ask from so many clients at once, each so often on its connection; what they got."""
    found: Counter[int | str] = Counter()

    def ask(number: int) -> None:
        client = proxy.client()
        for turn in range(each):
            try:
                client.send(f"GET {path}?{number}-{turn} HTTP/1.1\r\nhost: a\r\n\r\n")
                found[client.read().status] += 1
            except Ended:
                found["ended"] += 1
                return
        client.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return found


def flags(proxy: Proxy, path: str, count: int) -> Counter[str]:
    """The flags of the requests for a path that were logged, so many at least."""

    def lines() -> list[str]:
        return [line for line in proxy.log().lines() if line.startswith(f"path={path}?")]

    wait_for(lambda: len(lines()) >= count)
    return Counter(line.split("\t")[2].removeprefix("flags=") for line in lines())


def test_hosts_that_take_connections_and_never_answer(proxy: Proxy) -> None:
    proxy.origin("one").default = silent()
    assert at_once(proxy, "/slow/silent") == {504: CLIENTS}
    assert flags(proxy, "/slow/silent", CLIENTS) == {"UT": CLIENTS}
    assert proxy.stat_becomes("cluster.one.upstream_cx_active", 0)
    assert proxy.stat("cluster.one.upstream_rq_timeout") == CLIENTS


def test_hosts_that_never_take_a_connection(proxy: Proxy) -> None:
    """The time limit is kept with each attempt."""
    started = time.monotonic()
    assert at_once(proxy, "/mute") == {503: CLIENTS}
    assert 0.25 <= time.monotonic() - started < 3
    assert flags(proxy, "/mute", CLIENTS) == {"UF": CLIENTS}
    # The first to time out fails all requests of its worker.
    assert proxy.stat_becomes("cluster.mute.upstream_cx_connect_timeout", CLIENTS)
    started = time.monotonic()
    assert at_once(proxy, "/mute/again", 1) == {503: 1}
    assert 0.5 <= time.monotonic() - started < 3
    assert flags(proxy, "/mute/again", 1) == {"URX,UF": 1}


def drip(exchange: Exchange) -> None:
    exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
    for _ in range(8):
        exchange.send("x")
        time.sleep(0.06)


def test_hosts_that_answer_byte_by_byte(proxy: Proxy) -> None:
    """Each goes on as it comes; with a time limit the answer breaks off."""
    proxy.origin("one").default = drip
    with proxy.client() as client:
        client.send("GET /drip HTTP/1.1\r\nhost: a\r\n\r\n").read_head()
        started = time.monotonic()
        pieces = 0
        while len(client.buffer) < 8:
            assert client.read_some()
            pieces += 1
        assert pieces >= 5
        assert time.monotonic() - started > 0.3
    assert at_once(proxy, "/drip") == {200: CLIENTS}
    assert at_once(proxy, "/slow/drip") == {"ended": CLIENTS}
    assert flags(proxy, "/slow/drip", CLIENTS) == {"UT": CLIENTS}


def test_hosts_that_reset_after_the_head(proxy: Proxy) -> None:
    proxy.origin("one").default = raw("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nxx", then="reset")
    assert at_once(proxy, "/reset") == {"ended": CLIENTS}
    assert flags(proxy, "/reset", CLIENTS) == {"UPE": CLIENTS}


def test_hosts_that_answer_garbage(proxy: Proxy) -> None:
    proxy.origin("one").default = raw(b"\x16\x03\x01\x02\x00garbage\r\n\r\n")
    assert at_once(proxy, "/garbage") == {502: CLIENTS}
    assert flags(proxy, "/garbage", CLIENTS) == {"UPE": CLIENTS}
    proxy.origin("one").default = text()
    assert at_once(proxy, "/good") == {200: CLIENTS}


def test_half_of_the_hosts_are_gone(proxy: Proxy) -> None:
    found = at_once(proxy, "/half", CLIENTS, 8)
    assert set(found) == {200, 503}
    assert sum(found.values()) == CLIENTS * 8
    assert found[200] in range(CLIENTS * 8 // 3, CLIENTS * 8 * 2 // 3)
    assert set(flags(proxy, "/half", CLIENTS * 8)) == {"-", "UF"}


def test_and_nobody_notices_where_that_is_retried(proxy: Proxy) -> None:
    assert at_once(proxy, "/half/again", CLIENTS, 8) == {200: CLIENTS * 8}
    assert set(flags(proxy, "/half/again", CLIENTS * 8)) == {"-"}


def test_all_hosts_are_gone_and_back(proxy: Proxy) -> None:
    assert at_once(proxy, "/coming", CLIENTS, 3) == {503: CLIENTS * 3}
    assert wait_for(lambda: proxy.stat("cluster.coming.upstream_cx_active") == 0)
    proxy.origins["coming"] = origin = Origin(socket.create_server(("127.0.0.1", proxy.ports["coming"])))
    assert at_once(proxy, "/coming", CLIENTS, 3) == {200: CLIENTS * 3}
    origin.stop()
    proxy.origins.pop("coming")
    assert wait_for(lambda: proxy.stat("cluster.coming.upstream_cx_active") == 0)
    assert at_once(proxy, "/coming") == {503: CLIENTS}
    # One that fails later would take requests that come then with it.
    assert wait_for(lambda: proxy.stat("cluster.coming.upstream_cx_active") == 0)
    proxy.origins["coming"] = Origin(socket.create_server(("127.0.0.1", proxy.ports["coming"])))
    assert at_once(proxy, "/coming") == {200: CLIENTS}


class Storm:
    """An answer that is always 503, and how many retries it was asked for at the same moment, at most."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.retries = self.most = 0

    def __call__(self, exchange: Exchange) -> None:
        again = exchange.seen["x-envoy-attempt-count"] != "1"
        self.count(again)
        time.sleep(0.02)
        self.count(-again)
        exchange.send("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")

    def count(self, change: int) -> None:
        with self.lock:
            self.retries += change
            self.most = max(self.most, self.retries)


def test_a_storm_of_retries_is_held_by_the_budget(proxy: Proxy) -> None:
    """All workers together: a fifth of what is active may be retries, so four of what twenty clients ask at once."""
    storm = proxy.origin("storm").default = Storm()
    asked = 20 * 10
    assert at_once(proxy, "/storm", 20, 10) == {503: asked}
    retries = proxy.stat("cluster.storm.upstream_rq_retry")
    assert proxy.stat("cluster.storm.upstream_rq_total") == asked + retries
    # Two workers may decide on the last place at the very same moment.
    assert 2 <= storm.most <= 4 + (proxy.concurrency - 1)
    # Each would be retried ten times.  Where fewer than ten are active, because the clients are slow, one may be a retry.
    assert 0 < retries < asked
    assert proxy.stat("cluster.storm.upstream_rq_retry_overflow") > asked / 2


def test_clients_that_leave_while_they_wait(proxy: Proxy) -> None:
    proxy.origin("one").default = silent()
    clients: list[Client] = []
    for number in range(CLIENTS):
        clients.append(proxy.client().send(f"GET /left?{number} HTTP/1.1\r\nhost: a\r\n\r\n"))
    assert proxy.stat_becomes("cluster.one.upstream_rq_active", CLIENTS)
    for client in clients:
        client.reset()
    assert proxy.stat_becomes("cluster.one.upstream_cx_active", 0)
    assert flags(proxy, "/left", CLIENTS) == {"DC": CLIENTS}
