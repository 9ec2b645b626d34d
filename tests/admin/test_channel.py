"""What the admin's connections count."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from twistproxy.observe.stats import Snapshot

from .fakes import Client, FakeView


def counted(client: Client) -> dict[str, int]:
    out = Snapshot("figures")
    client.stats.collect(out)
    return {name: value for name, value in {**out.counters, **out.gauges}.items() if value}


def test_a_connection_with_two_requests() -> None:
    client = Client(FakeView())
    client.get("/ready")
    client.get("/nope")
    sent = client.sent
    expected = {
        "http.admin.downstream_cx_total": 1,
        "http.admin.downstream_cx_http1_total": 1,
        "http.admin.downstream_rq_total": 2,
        "http.admin.downstream_rq_http1_total": 2,
        "http.admin.downstream_rq_completed": 2,
        "http.admin.downstream_rq_2xx": 1,
        "http.admin.downstream_rq_4xx": 1,
        "http.admin.downstream_cx_rx_bytes_total": client.received,
        "http.admin.downstream_cx_tx_bytes_total": sent,
        "listener.admin.downstream_cx_total": 1,
        "listener.admin.main_thread.downstream_cx_total": 1,
        "listener.admin.http.admin.downstream_rq_2xx": 1,
        "listener.admin.http.admin.downstream_rq_4xx": 1,
        "listener.admin.http.admin.downstream_rq_completed": 2,
    }
    open_now = {
        "http.admin.downstream_cx_active": 1,
        "http.admin.downstream_cx_http1_active": 1,
        "listener.admin.downstream_cx_active": 1,
        "listener.admin.main_thread.downstream_cx_active": 1,
    }
    assert counted(client) == expected | open_now
    client.protocol.connectionLost(Failure(ConnectionDone()))
    assert counted(client) == expected | {
        "http.admin.downstream_cx_destroy": 1,
        "http.admin.downstream_cx_destroy_remote": 1,
        "listener.admin.downstream_cx_destroy": 1,
    }


def test_a_client_that_leaves_before_its_answer() -> None:
    view = FakeView()
    view.hold()
    client = Client(view)
    client.send("GET", "/stats")
    assert counted(client)["http.admin.downstream_rq_active"] == 1
    client.protocol.connectionLost(Failure(ConnectionDone()))
    found = counted(client)
    assert "http.admin.downstream_rq_active" not in found
    assert "http.admin.downstream_rq_completed" not in found
    assert found["http.admin.downstream_cx_destroy_remote_active_rq"] == 1


def test_what_is_no_http_is_an_error_of_the_protocol() -> None:
    client = Client(FakeView())
    client.protocol.dataReceived(b"nonsense\r\n\r\n")
    reply = client.take()
    assert (reply.status, reply.body, reply.headers["connection"]) == (400, "Bad Request", "close")
    assert counted(client)["http.admin.downstream_cx_protocol_error"] == 1
    client.protocol.connectionLost(Failure(ConnectionDone()))
    assert counted(client)["http.admin.downstream_cx_destroy_local"] == 1


def test_names_of_fields_are_in_lower_case_and_in_envoys_order() -> None:
    client = Client(FakeView())
    client.send("GET", "/ready")
    head = client.transport.value().partition(b"\r\n\r\n")[0].decode()
    names = [line.partition(":")[0] for line in head.split("\r\n")[1:]]
    assert names == [
        "content-type",
        "cache-control",
        "x-content-type-options",
        "date",
        "server",
        "transfer-encoding",
    ]
