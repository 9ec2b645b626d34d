"""Faults through the whole data plane, in memory."""

from __future__ import annotations

from typing import Any

from twistproxy.model.http_filters import FaultSettings, HttpFilterSettings, RuntimeFraction
from twistproxy.testing.data_plane import DataPlane, manager

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ALL, NONE = RuntimeFraction(100), RuntimeFraction(0)


def plane(**more: Any) -> DataPlane:
    """Requests wait 100 ms."""
    settings = {"delay_share": ALL, "delay_ms": 100, "delay_key": "ms", "status_key": "status"}
    settings |= {"abort_share": NONE, "abort_status": 0, **more}
    return DataPlane(manager(filters=(HttpFilterSettings("f", FaultSettings(**settings)),)))


def active(plane: DataPlane) -> int:
    found: int = plane.runtime.snapshot()["gauges"]["http.ingress.fault.active_faults"]
    return found


def test_a_delay() -> None:
    made = plane()
    client = made.client()
    client.receive(GET)
    made.clock.advance(0.09)
    assert made.connector.attempts == [] and active(made) == 1
    made.clock.advance(0.02)
    made.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    assert active(made) == 0
    made.finish()


def test_a_client_that_leaves_takes_its_delay_along() -> None:
    made = plane()
    client = made.client()
    client.receive(GET)
    client.lose()
    assert active(made) == 0
    made.clock.advance(1)
    assert made.connector.attempts == []
    made.finish()


def test_an_abort_after_a_delay() -> None:
    made = plane(abort_share=ALL, abort_status=418)
    client = made.client()
    client.receive(GET)
    made.clock.advance(0.2)
    assert client.take().startswith(b"HTTP/1.1 418")
    assert made.log == ["GET /x 418 DI,FI fault_filter_abort 0 18"]
    assert active(made) == 0
    made.finish()


def test_the_runtime_decides_on_time_and_status() -> None:
    made = plane(abort_share=RuntimeFraction(0, 100, "aborts"), abort_status=418)
    made.runtime.set_runtime({"ms": 0, "aborts": 100, "status": 503})
    client = made.client()
    client.receive(GET)
    assert client.take().startswith(b"HTTP/1.1 503")
    made.finish()


def test_names_of_counters_from_requests_do_not_pile_up() -> None:
    made = plane(delay_share=NONE, abort_share=ALL, abort_status=503)
    client = made.client()
    for number in range(1500):
        client.receive(
            GET.replace(b"\r\n\r\n", b"\r\nx-envoy-downstream-service-cluster: c%d\r\n\r\n" % number)
        )
    names = [name for name in made.runtime.snapshot()["counters"] if ".fault.c" in name]
    assert 900 < len(names) <= 1000
    assert made.counter("http.ingress.fault.aborts_injected") == 1500
    made.finish()


def test_an_abort_with_a_grpc_status() -> None:
    made = plane(delay_share=None, abort_share=ALL, abort_status=0, abort_grpc=5)
    client = made.client()
    client.receive(GET[:-2] + b"Content-Type: application/grpc\r\n\r\n")
    answer = client.take()
    assert answer.startswith(b"HTTP/1.1 200") and b"grpc-status: 5\r\n" in answer
    client.receive(GET)
    assert b"grpc" not in client.take()
    made.finish()
