"""Adaptive concurrency through the whole data plane, in memory."""

from __future__ import annotations

from twistproxy.model.guards import AdaptiveConcurrencySettings, GradientSettings, RuntimeFlag
from twistproxy.model.http_filters import HttpFilterSettings
from twistproxy.testing.data_plane import DataPlane, manager

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GRADIENT = GradientSettings(1.0, rtt_interval=60.0, rtt_requests=3, min_limit=1, jitter=0.0)


def plane() -> DataPlane:
    settings = AdaptiveConcurrencySettings(GRADIENT, RuntimeFlag(True, "on"), 429)
    return DataPlane(manager(filters=(HttpFilterSettings("f", settings),)))


def gauge(made: DataPlane, name: str) -> int:
    prefix = "http.ingress.adaptive_concurrency.gradient_controller."
    found: int = made.runtime.snapshot()["gauges"][prefix + name]
    return found


def test_one_at_a_time() -> None:
    made = plane()
    first, second = made.client(), made.client()
    first.receive(GET)
    second.receive(GET)
    assert second.take().startswith(b"HTTP/1.1 429 ")
    assert made.log == ["GET /x 429 - reached_concurrency_limit 0 25"]
    assert made.counter("http.ingress.adaptive_concurrency.gradient_controller.rq_blocked") == 1
    made.upstream.receive(OK[:-1])
    second.receive(GET)  # the first has not got all yet
    assert second.take().startswith(b"HTTP/1.1 429 ")
    made.upstream.receive(OK[-1:])
    second.receive(GET)
    assert second.take() == b""
    second.lose()
    for _ in range(2):
        assert gauge(made, "min_rtt_calculation_active") == 1  # who left is no sample
        first.receive(GET)
        made.upstream.receive(OK)
    assert gauge(made, "min_rtt_calculation_active") == 0
    made.reload(manager())
    made.finish(drains=1)


def test_a_reload_of_the_listener_keeps_what_was_measured() -> None:
    made = plane()
    client = made.client()
    for _ in range(3):
        client.receive(GET)
        made.clock.advance(0.05)
        made.upstream.receive(OK)
    assert gauge(made, "min_rtt_msecs") == 50
    settings = made.bootstrap.listeners[0].filter_chain.http_manager
    made.reload(manager(filters=settings.filters, server_name=b"other"))
    assert gauge(made, "min_rtt_msecs") == 50
    made.reload(manager())
    made.finish(drains=2)


def test_explained() -> None:
    made = plane()
    question = {"path": "/x", "host": "a"}
    assert "goes to" in made.runtime.explain(question)["summary"]
    client = made.client()
    client.receive(GET)
    assert "reached_concurrency_limit" in made.runtime.explain(question)["summary"]
    client.lose()
    assert "goes to" in made.runtime.explain(question)["summary"]
    made.reload(manager())
    made.finish(drains=1)
