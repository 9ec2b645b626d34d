"""An upstream that ends a kept connection just as the next request goes out on it: Envoy answers 503, twistproxy asks
once more where that does no harm."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from .harness import Proxy
from .origin import Answer, Exchange, raw, text
from .settings import Config, access_log, bootstrap, cluster, listener, routes_to
from .wire import Client, Response, request_bytes
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
FORMAT = "id=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\n"


def configure(proxy: Proxy) -> Config:
    log = access_log(proxy.log().path, FORMAT)
    main = listener("main", proxy.port(), routes_to("app"), access_log=[log])
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


def closing(times: int, end: str = "close", *pieces: str) -> Answer:
    """End the connection so often instead of answering, then answer."""
    count = itertools.count(1)

    def answer(exchange: Exchange) -> None:
        (raw(*pieces, then=end) if next(count) <= times else text("late"))(exchange)

    return answer


def ask(client: Client, target: str, method: str = "GET", body: bytes = b"") -> Response:
    return client.send(request_bytes(target, method, body=body)).read(method)


@pytest.fixture
def warm(proxy: Proxy, workers: Workers) -> Iterator[list[Client]]:
    """A client of each worker, which all have a kept connection in their pools."""
    clients = workers.new_clients()
    for client in clients:
        assert ask(client, "/warm").status == 200
        proxy.origin().take()
    yield clients
    for client in clients:
        client.close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_asked_once_more(proxy: Proxy, warm: list[Client], method: str, end: str) -> None:
    counter = "cluster.app.upstream_rq_idle_race_retry"
    before = proxy.stat(counter)
    for number, client in enumerate(warm, 1):
        word = f"?{method}-{end}-{number}"
        proxy.origin().on("/race", closing(1, end))
        response = ask(client, f"/race{word}", method)
        first = proxy.origin().take()
        if proxy.engine == "envoy":
            assert response.status == 503
            assert proxy.log().fields(f"{word}\t")["flags"] == "UC"
            assert proxy.origin().nothing(0.02)
        else:
            assert response.status == 200
            assert proxy.log().fields(f"{word}\t")["flags"] == "-"
            second = proxy.origin().take()
            assert first.connection != second.connection
            assert first.headers == second.headers
            assert proxy.stat(counter) == before + number
    assert proxy.stat("cluster.app.upstream_rq_retry") == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_what_may_change_something_is_not_asked_again(proxy: Proxy, warm: list[Client], method: str) -> None:
    proxy.origin().on("/race", closing(1))
    assert ask(warm[0], f"/race?{method}", method).status == 503
    assert proxy.log().fields(f"?{method}\t")["flags"] == "UC"
    proxy.origin().take()
    assert proxy.origin().nothing(0.02)


def test_nor_is_what_has_content(proxy: Proxy, warm: list[Client]) -> None:
    proxy.origin().on("/race", closing(1))
    assert ask(warm[0], "/race?content", body=b"abc").status == 503
    proxy.origin().take()
    assert proxy.origin().nothing(0.02)


def test_a_new_connection_that_ends_is_no_race(proxy: Proxy, warm: list[Client]) -> None:
    """Even if another worker has kept connections."""
    proxy.origin().on("/race", closing(2))
    assert ask(warm[0], "/race?twice").status == 503
    while not proxy.origin().queue.empty():
        proxy.origin().take()
    proxy.origin().on("/race", closing(1))
    assert ask(warm[0], "/race?fresh").status == 503  # the pool is empty now
    proxy.origin().take()
    assert proxy.origin().nothing(0.02)


def test_an_answer_that_had_begun(proxy: Proxy, warm: list[Client]) -> None:
    proxy.origin().on("/race", closing(1, "close", "HTTP/1.1 20"))
    assert ask(warm[0], "/race?begun").status == 502
    proxy.origin().take()
    assert proxy.origin().nothing(0.02)
