"""The overload manager: what is done while a resource is short.  The resources are files that the tests write."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .harness import Proxy, wait_for
from .origin import silent
from .settings import Config, access_log, bootstrap, cluster, listener, routes_to
from .wire import Ended

pytestmark = pytest.mark.parity

CONCURRENCY = (1, 2)

INJECTED = (
    "type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig"
)
HEAP = "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig"
TIMERS = "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig"
FORMAT = "path=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%\n"
ACTIONS = (
    "stop_accepting_requests",
    "disable_http_keepalive",
    "reject_incoming_connections",
    "stop_accepting_connections",
    "shrink_heap",
)
POINTS = (
    "http_connection_manager_decode_headers",
    "http1_server_abort_dispatch",
    "tcp_listener_accept",
    "hcm_ondata_creating_codec",
    "http_downstream_filter_check",
)
#: From 0.5 on, fully from 0.9 on.
SCALED = {"scaling_threshold": 0.5, "saturation_threshold": 0.9}


def configure(proxy: Proxy) -> Config:
    monitors: list[Config] = [
        {"name": "heap", "typed_config": {"@type": HEAP, "max_heap_size_bytes": 3000000}},
        {"name": "huge", "typed_config": {"@type": HEAP, "max_heap_size_bytes": 1 << 50}},
    ]
    for name in (*ACTIONS, *POINTS, "reduce_timeouts"):
        write(proxy, name, "0")
        path = str(proxy.directory / name)
        monitors.append({"name": name, "typed_config": {"@type": INJECTED, "filename": path}})
    timers = [
        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "0.1s"},
        {"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_scale": {"value": 1}},
        {"timer": "HTTP_DOWNSTREAM_CONNECTION_MAX", "min_timeout": "0.1s"},
    ]
    manager = {
        "refresh_interval": "0.02s",
        "resource_monitors": monitors,
        "actions": [
            *(
                {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": name, "scaled": SCALED}]}
                for name in ACTIONS
            ),
            {
                "name": "envoy.overload_actions.reduce_timeouts",
                "triggers": [{"name": "reduce_timeouts", "scaled": SCALED}],
                "typed_config": {"@type": TIMERS, "timer_scale_factors": timers},
            },
        ],
        "loadshed_points": [
            {
                "name": f"envoy.load_shed_points.{name}",
                "triggers": [{"name": name, "threshold": {"value": 0.9}}],
            }
            for name in POINTS
        ],
    }
    return bootstrap(
        proxy.port("admin"),
        [
            listener(
                name,
                proxy.port(name),
                routes_to("app"),
                access_log=[access_log(proxy.log(name).path, FORMAT)],
                **more,
            )
            | {"bypass_overload_manager": name == "free"}
            for name, more in LISTENERS.items()
        ],
        [cluster("app", proxy.origin().port)],
        overload_manager=manager,
    )


LISTENERS: dict[str, Config] = {
    "main": {},
    "free": {"common_http_protocol_options": {"idle_timeout": "10s"}},
    "draining": {"drain_timeout": "0.2s"},
    "marked": {"append_local_overload": True},
    "idle": {"common_http_protocol_options": {"idle_timeout": "10s"}, "drain_timeout": "0.1s"},
    "stream_idle": {"stream_idle_timeout": "10s"},
    "duration": {"common_http_protocol_options": {"max_connection_duration": "10s"}, "drain_timeout": "0.1s"},
}


def write(proxy: Proxy, name: str, text: str) -> None:
    part = proxy.directory / f"{name}.part"
    part.write_text(text)
    os.replace(part, proxy.directory / name)


@contextmanager
def pressure(proxy: Proxy, name: str, value: float = 0.95, scale: int = 100) -> Iterator[None]:
    """The resource of this name is as short as this, and what depends on it is active."""
    stem = f"overload.envoy.{'load_shed_points' if name in POINTS else 'overload_actions'}.{name}"
    write(proxy, name, str(value))
    try:
        assert proxy.stat_becomes(f"{stem}.scale_percent", scale)
        yield
    finally:
        write(proxy, name, "0")
        assert proxy.stat_becomes(f"{stem}.scale_percent", 0)


def refused(proxy: Proxy, name: str = "main") -> bool:
    """Whether a new connection is closed without an answer."""
    try:
        proxy.ask("/refused", name)
    except (Ended, OSError):
        return True
    return False


def test_statistics(proxy: Proxy) -> None:
    found = proxy.stats("^overload%5C.")
    names = {name.removeprefix("overload.") for name in found}
    expected = {
        f"envoy.overload_actions.{name}.{what}"
        for name in (*ACTIONS, "reduce_timeouts")
        for what in ("active", "scale_percent")
    }
    expected |= {
        f"envoy.load_shed_points.{name}.{what}"
        for name in POINTS
        for what in ("scale_percent", "shed_load_count")
    }
    for name in (*ACTIONS, *POINTS, "reduce_timeouts", "heap", "huge"):
        expected |= {f"{name}.{what}" for what in ("pressure", "failed_updates", "skipped_updates")}
    expected.add("envoy.overload_actions.shrink_heap.shrink_count")
    assert names == expected
    assert wait_for(lambda: proxy.stat("overload.heap.pressure") > 100)
    assert proxy.stat("overload.huge.pressure") == 0
    assert "overload.refresh_interval_delay" in proxy.admin("/stats").text


def test_requests_are_refused(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.send("GET /before HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
        before = proxy.stat("http.main.downstream_rq_overload_close")
        with pressure(proxy, "stop_accepting_requests"):
            assert proxy.stat("overload.envoy.overload_actions.stop_accepting_requests.active") == 1
            assert proxy.stat("overload.stop_accepting_requests.pressure") == 95
            answers = [client.send("GET /on HTTP/1.1\r\nhost: a\r\n\r\n").read() for _ in range(2)]
            answers += [proxy.ask("/new") for _ in range(6)]
            for response in answers:
                assert (response.status, response.text) == (503, "envoy overloaded")
                assert response.normal == [
                    ("content-length", "16"),
                    ("content-type", "text/plain"),
                    ("date", "DATE"),
                    ("server", "SERVER"),
                ]
            assert proxy.ask("/marked", "marked")["x-envoy-local-overloaded"] == "true"
            with proxy.client() as other:
                assert other.send("GET /no_host?1 HTTP/1.1\r\n\r\n").read().status == 503
            with proxy.client() as other:
                assert (
                    other.send(
                        "POST /expect HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n"
                    )
                    .read()
                    .status
                    == 503
                )
        assert client.send("GET /after HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
    assert proxy.stat("http.main.downstream_rq_overload_close") == before + 10
    fields = proxy.log().fields("/no_host")
    assert (fields["flags"], fields["details"]) == ("-", "overload")
    assert proxy.ask("/unmarked", "marked")["x-envoy-local-overloaded"] is None


def test_grpc_is_refused_in_its_own_way(proxy: Proxy) -> None:
    with pressure(proxy, "stop_accepting_requests"):
        response = proxy.ask("/grpc", headers="content-type: application/grpc\r\n")
    assert (response.status, response["grpc-status"], response["grpc-message"]) == (
        200,
        "14",
        "envoy overloaded",
    )


def test_a_share_of_requests(proxy: Proxy) -> None:
    with pressure(proxy, "stop_accepting_requests", 0.7, 50):
        assert proxy.stat("overload.envoy.overload_actions.stop_accepting_requests.active") == 0
        with proxy.client() as client:
            found = {client.send("GET /some HTTP/1.1\r\nhost: a\r\n\r\n").read().status for _ in range(40)}
    assert found == {200, 503}


def test_keepalive(proxy: Proxy) -> None:
    before = proxy.stats("^http.draining.downstream_cx_(overload|drain)")
    with proxy.client("draining") as client:
        assert client.send("GET /keep HTTP/1.1\r\nhost: a\r\n\r\n").read()["connection"] is None
        with pressure(proxy, "disable_http_keepalive"):
            response = client.send("GET /keep HTTP/1.1\r\nhost: a\r\n\r\n").read()
            assert (response.status, response["connection"]) == (200, "close")
            assert client.ended()
            response = proxy.ask("/keep", "draining", headers="connection: close\r\n")
    after = proxy.stats("^http.draining.downstream_cx_(overload|drain)")
    assert {name.rpartition(".")[2]: after[name] - before[name] for name in after} == {
        "downstream_cx_overload_disable_keepalive": 2,
        "downstream_cx_drain_close": 2,
    }


@pytest.mark.parametrize("name", ["reject_incoming_connections", "tcp_listener_accept"])
def test_connections_are_refused(proxy: Proxy, name: str) -> None:
    address = f"listener.127.0.0.1_{proxy.port()}"
    before = (
        proxy.stat(f"{address}.downstream_cx_overload_reject"),
        proxy.stat(f"{address}.downstream_cx_total"),
    )
    with proxy.client() as client:
        assert client.send("GET /keep HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
        with pressure(proxy, name):
            assert all(refused(proxy) for _ in range(6))
            assert client.send("GET /keep HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
    assert proxy.stat(f"{address}.downstream_cx_overload_reject") == before[0] + 6
    assert proxy.stat(f"{address}.downstream_cx_total") == before[1] + 1
    assert not refused(proxy)


def test_connections_wait(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.send("GET /keep HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
        with pressure(proxy, "stop_accepting_connections"):
            waiting = [proxy.client(timeout=5.0) for _ in range(4)]
            for one in waiting:
                one.send("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
            assert proxy.origin().take().target == "/keep"
            assert proxy.origin().nothing()
            assert client.send("GET /keep HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
        for one in waiting:
            assert one.read().status == 200
            one.close()


@pytest.mark.parametrize(
    ("point", "status", "text", "details", "flags"),
    [
        ("http_connection_manager_decode_headers", 503, "envoy overloaded", "overload", "-"),
        ("http1_server_abort_dispatch", 500, "Internal Server Error", "overload", "DPE"),
        ("http_downstream_filter_check", 503, "envoy overloaded", "overload", "-"),
    ],
)
def test_load_shed_points(proxy: Proxy, point: str, status: int, text: str, details: str, flags: str) -> None:
    counter = f"overload.envoy.load_shed_points.{point}.shed_load_count"
    before = proxy.stat(counter)
    with pressure(proxy, point):
        response = proxy.ask(f"/shed/{point}")
        assert (response.status, response.text) == (status, text)
    fields = proxy.log().fields("path=-" if "abort" in point else f"/shed/{point}")
    assert (fields["flags"], fields["details"]) == (flags, details)
    assert proxy.stat(counter) == before + 1


def test_no_codec(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.send("GET /keep HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
        with pressure(proxy, "hcm_ondata_creating_codec"):
            assert refused(proxy)
            assert client.send("GET /keep HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
            with socket.create_connection(("127.0.0.1", proxy.port())) as quiet:
                quiet.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    quiet.recv(1)


def test_idle_connections_end_sooner(proxy: Proxy) -> None:
    with proxy.client("idle") as client:
        assert client.send("GET /keep HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
        with pressure(proxy, "reduce_timeouts"):
            assert client.ended()
    assert proxy.stat("http.idle.downstream_cx_idle_timeout") == 1


def test_old_connections_end_sooner(proxy: Proxy) -> None:
    with proxy.client("duration") as client:
        assert client.send("GET /keep HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200
        with pressure(proxy, "reduce_timeouts"):
            assert client.ended()
    assert proxy.stat("http.duration.downstream_cx_max_duration_reached") == 1


def test_silent_streams_end_sooner(proxy: Proxy) -> None:

    proxy.origin().on("/silent", silent())
    with proxy.client("stream_idle") as client:
        client.send("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n")
        proxy.origin().take()
        with pressure(proxy, "reduce_timeouts"):
            response = client.read()
            assert (response.status, response.text) == (504, "stream timeout")


def test_a_listener_that_it_does_not_concern(proxy: Proxy) -> None:
    """`bypass_overload_manager`"""
    for name in (
        *ACTIONS[:4],
        "http1_server_abort_dispatch",
        "tcp_listener_accept",
        "hcm_ondata_creating_codec",
    ):
        with proxy.client("free") as client, pressure(proxy, name):
            answer = client.send(f"GET /{name} HTTP/1.1\r\nhost: a\r\n\r\n").read()
            assert (answer.status, answer["connection"]) == (200, None), name
            assert proxy.ask("/free", "free").status == 200, name
