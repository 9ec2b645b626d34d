from __future__ import annotations

from types import SimpleNamespace

from twistproxy.primitives.byte_meter import ByteMeter


def test_only_what_passes_meanwhile_is_counted() -> None:
    connection = SimpleNamespace(bytes_received=100, bytes_sent=50)
    meter = ByteMeter(connection, 90)
    connection.bytes_received += 7
    connection.bytes_sent += 3
    assert (meter.received, meter.sent) == (17, 3)
    meter.add_fields([(b"a", b"bc")])
    assert meter.header_received == 6
    meter.stop()
    connection.bytes_received += 1000
    assert (meter.received, meter.sent) == (17, 3)


def test_attempts_add_up() -> None:
    connection = SimpleNamespace(bytes_received=0, bytes_sent=0)
    first = ByteMeter(connection, 0)
    first.header_sent = 2
    connection.bytes_sent = 10
    first.stop()
    second = ByteMeter(connection, 0)
    second.follow(first)
    connection.bytes_sent = 15
    assert (second.sent, second.header_sent) == (15, 2)
