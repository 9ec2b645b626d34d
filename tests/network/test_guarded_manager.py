"""The overload manager's word in the data plane, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from twistproxy.model.overload import (
    DISABLE_KEEPALIVE,
    REDUCE_TIMEOUTS,
    REJECT_CONNECTIONS,
    SHED_CODEC,
    SHED_DISPATCH,
    SHED_ROUTER,
    STOP_REQUESTS,
    OverloadSettings,
    ReducedTimeouts,
    ScaledTimer,
    Triggered,
)
from twistproxy.network.guarded_manager import GuardedManager
from twistproxy.testing.data_plane import DataPlane, manager

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def plane(*names: str, timeouts: ReducedTimeouts = ReducedTimeouts(), **more: Any) -> DataPlane:  # noqa: B008
    made = DataPlane(manager(**more))
    what = tuple(Triggered(name, ()) for name in names)
    made.bootstrap = replace(made.bootstrap, overload=OverloadSettings((), what, what, timeouts))
    made.runtime.apply(made.bootstrap)
    return made


def finish(made: DataPlane) -> None:
    made.finish(drains=1)


def test_requests_pass_until_they_do_not() -> None:
    made = plane(STOP_REQUESTS)
    client = made.client()
    client.receive(GET)
    made.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    made.runtime.set_overload({STOP_REQUESTS: 1.0})
    client.receive(GET)
    assert client.take().startswith(b"HTTP/1.1 503 ")
    assert made.log[-1] == "GET /x 503 - overload 0 16"
    assert made.counter("http.ingress.downstream_rq_overload_close") == 1
    made.runtime.set_overload({})
    client.receive(GET)
    made.upstream.receive(OK)
    assert client.take().endswith(b"ok")
    finish(made)


def test_explained_with_the_name_of_the_action() -> None:
    made = plane(STOP_REQUESTS, SHED_ROUTER)
    made.runtime.set_overload({STOP_REQUESTS: 1.0})
    found = made.runtime.explain({"path": "/x", "host": "a"})
    assert found["summary"].endswith(f"(overload: {STOP_REQUESTS}).")
    made.runtime.set_overload({SHED_ROUTER: 1.0})
    found = made.runtime.explain({"path": "/x", "host": "a"})
    assert found["reply"]["overload"] == [SHED_ROUTER]
    assert made.counter(f"overload.{SHED_ROUTER}.shed_load_count") == 0
    finish(made)


def test_connections_end_with_their_response() -> None:
    made = plane(DISABLE_KEEPALIVE)
    client = made.client()
    made.runtime.set_overload({DISABLE_KEEPALIVE: 1.0})
    client.receive(GET)
    made.upstream.receive(OK)
    assert b"connection: close\r\n" in client.take()
    assert client.closing
    finish(made)


def test_a_connection_that_is_refused_is_closed() -> None:
    made = plane(REJECT_CONNECTIONS)
    made.runtime.set_overload({REJECT_CONNECTIONS: 1.0})
    client = made.client()
    assert client.closing
    client.receive(GET)
    assert client.take() == b""
    assert made.counter("listener.127.0.0.1:10000.downstream_cx_overload_reject") == 1
    assert made.runtime.active_connections() == 0
    client.lose()
    finish(made)


def test_dispatch_ends_in_the_middle() -> None:
    made = plane(SHED_DISPATCH)
    idle, asking, answered = made.client(), made.client(), made.client()
    asking.receive(b"POST /ask HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
    answered.receive(b"POST /had HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
    made.upstream.receive(OK[:-1])
    made.runtime.set_overload({SHED_DISPATCH: 1.0})
    for client in (idle, asking, answered):
        client.receive(b"GET ")
    assert idle.take().startswith(b"HTTP/1.1 500 ")
    assert asking.take().startswith(b"HTTP/1.1 500 ")
    assert answered.take().endswith(b"\r\n\r\no") and answered.aborted
    assert made.counter("http.ingress.downstream_rq_overload_close") == 3
    assert sorted(made.log) == [
        "- - 500 DPE overload 0 21",
        "POST /ask 500 DPE overload 2 21",
        "POST /had 200 OM overload 2 1",
    ]
    idle.receive(GET)  # nothing more is read
    assert made.counter(f"overload.{SHED_DISPATCH}.shed_load_count") == 3
    finish(made)


def test_no_codec_for_new_connections() -> None:
    made = plane(SHED_CODEC)
    made.runtime.set_overload({SHED_CODEC: 1.0})
    client = made.client()
    assert not client.closing
    client.receive(GET)
    assert client.closing and client.take() == b""
    finish(made)


TIMERS = ReducedTimeouts(ScaledTimer(seconds=2.0), ScaledTimer(share=0.1), ScaledTimer(seconds=1.0))


@pytest.mark.parametrize(("value", "after"), [(0.0, 10.0), (0.5, 6.0), (1.0, 2.0)])
def test_idle_connections(value: float, after: float) -> None:
    made = plane(REDUCE_TIMEOUTS, timeouts=TIMERS, idle_timeout=10.0)
    early = made.client()
    made.runtime.set_overload({REDUCE_TIMEOUTS: value})
    late = made.client()
    made.clock.advance(after - 0.1)
    assert not early.closing and not late.closing
    made.clock.advance(0.2)
    assert early.closing and late.closing
    finish(made)


def test_back_to_normal() -> None:
    made = plane(REDUCE_TIMEOUTS, timeouts=TIMERS, idle_timeout=10.0)
    client = made.client()
    made.runtime.set_overload({REDUCE_TIMEOUTS: 1.0})
    made.clock.advance(1.0)
    made.runtime.set_overload({})
    made.clock.advance(8.9)
    assert not client.closing
    made.clock.advance(0.2)
    assert client.closing
    finish(made)


def test_silent_streams() -> None:
    made = plane(REDUCE_TIMEOUTS, timeouts=TIMERS, stream_idle_timeout=10.0)
    early, late = made.client(), made.client()
    early.receive(GET)
    made.clock.advance(3.0)
    made.runtime.set_overload({REDUCE_TIMEOUTS: 1.0})
    late.receive(GET)
    made.clock.advance(0.01)
    assert early.take().startswith(b"HTTP/1.1 504 ")
    assert late.take() == b""
    made.clock.advance(1.1)
    assert late.take().startswith(b"HTTP/1.1 504 ")
    finish(made)


def test_without_an_overload_manager_there_is_nothing_of_it() -> None:
    made = DataPlane()
    listener = made.runtime._listeners["main"]
    assert listener.gate is None and listener.manager.closed is None
    assert not isinstance(listener.manager, GuardedManager)
    made.finish()
