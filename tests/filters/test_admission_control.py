"""Admission control through the whole data plane, in memory."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.filters.admission_control import AdmissionControlFilter, RequestWindow
from twistproxy.model.guards import AdmissionControlSettings, RuntimeFlag, RuntimeNumber
from twistproxy.model.http_filters import HttpFilterSettings
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.data_plane import DataPlane, manager

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BAD = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"
ALL = RuntimeNumber(100.0)


def settings(**more: Any) -> AdmissionControlSettings:
    """After one failure nothing passes."""
    given = {"http_success": ((200, 300),), "grpc_success": frozenset((0,))}
    given |= {"aggression": RuntimeNumber(1e6, "a"), "max_rejection": ALL, **more}
    return AdmissionControlSettings(**given)


def plane(**more: Any) -> DataPlane:
    return DataPlane(manager(filters=(HttpFilterSettings("f", settings(**more)),)))


def ask(made: DataPlane, answer: bytes) -> bytes:
    """The status line of one request, which the upstream answers so if it gets it."""
    client = made.client()
    client.receive(GET)
    given: bytes = client.take()
    if not given:
        made.upstream.receive(answer)
        given = client.take()
    client.lose()
    return given.partition(b"\r\n")[0]


def test_a_failure_and_its_end() -> None:
    made = plane(window=2)
    assert ask(made, BAD) == b"HTTP/1.1 500 Internal Server Error"
    assert ask(made, OK) == b"HTTP/1.1 503 Service Unavailable"
    made.clock.advance(2.0)
    assert ask(made, OK) == b"HTTP/1.1 200 OK"
    counters = made.runtime.snapshot()["counters"]
    names = ("rq_rejected", "rq_success", "rq_failure")
    assert [counters[f"http.ingress.admission_control.{name}"] for name in names] == [1, 1, 1]
    made.finish()


def test_explained() -> None:
    made = plane(window=2)
    question = {"path": "/x", "host": "a"}
    assert "goes to" in made.runtime.explain(question)["summary"]
    ask(made, BAD)
    for _ in range(2):
        assert "denied_by_admission_control" in made.runtime.explain(question)["summary"]
    made.clock.advance(2.0)
    assert "goes to" in made.runtime.explain(question)["summary"]
    assert made.counter("http.ingress.admission_control.rq_rejected") == 0
    made.finish()


def test_off_by_the_runtime() -> None:
    made = plane(enabled=RuntimeFlag(True, "on"))
    made.runtime.set_runtime({"on": False})
    ask(made, BAD)
    assert ask(made, OK) == b"HTTP/1.1 200 OK"
    made.finish()


def test_window() -> None:
    clock = FakeClock()
    window = RequestWindow(3, clock.monotonic)
    for success in (True, False, True):
        window.record(success)
        clock.advance(0.6)
    assert (window.requests, window.successes, window.average()) == (3, 2, 1)
    clock.advance(1.2)  # the first two were counted together 3 s ago
    window.refresh()
    assert (window.requests, window.successes) == (1, 1)


@pytest.mark.parametrize(
    ("requests", "successes", "more", "expected"),
    [
        (100, 95, {"sr_threshold": RuntimeNumber(95.0)}, 0.0),
        (100, 90, {"sr_threshold": RuntimeNumber(90.0)}, 0.0),
        (99, 0, {"aggression": RuntimeNumber(1.0)}, 0.99),
        (99, 0, {"aggression": RuntimeNumber(1.0), "max_rejection": RuntimeNumber(80.0)}, 0.8),
        (99, 19, {"aggression": RuntimeNumber(1.0)}, 0.8),
        (99, 0, {"aggression": RuntimeNumber(2.0)}, 0.99**0.5),
        (99, 0, {"aggression": RuntimeNumber(0.1)}, 0.99),
    ],
)
def test_probability(requests: int, successes: int, more: dict[str, Any], expected: float) -> None:
    made = plane(**{"sr_threshold": ALL, **more})
    found = made.runtime._listeners["main"].manager.chain.filters[0]
    assert isinstance(found, AdmissionControlFilter)
    for number in range(requests):
        found._window.record(number < successes)
    assert found.probability() == pytest.approx(expected)
