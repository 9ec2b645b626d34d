"""What follows from a host's health flags."""

from __future__ import annotations

import pytest

from twistproxy.model import health
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health_check import CheckTarget
from twistproxy.primitives.board import Board
from twistproxy.upstream.host import Host

ADDRESS = TcpAddress("10.0.0.1", 80)

CASES = [
    ("UNKNOWN", 0, "healthy", ["healthy"]),
    ("HEALTHY", health.PENDING_DYNAMIC_REMOVAL, "healthy", ["pending_dynamic_removal"]),
    ("UNHEALTHY", 0, "", ["failed_eds_health"]),
    ("TIMEOUT", 0, "", ["failed_eds_health"]),
    ("DRAINING", 0, "excluded", ["eds_status_draining"]),
    ("DEGRADED", 0, "degraded", ["degraded_eds_health"]),
    ("DEGRADED", health.FAILED_ACTIVE_HC, "", ["failed_active_hc", "degraded_eds_health"]),
    ("UNKNOWN", health.FAILED_OUTLIER_CHECK, "", ["failed_outlier_check"]),
    ("UNKNOWN", health.DEGRADED_ACTIVE_HC, "degraded", ["degraded_active_hc"]),
    (
        "UNKNOWN",
        health.FAILED_ACTIVE_HC | health.PENDING_ACTIVE_HC | health.ACTIVE_HC_TIMEOUT,
        "excluded",
        ["failed_active_hc", "pending_active_hc", "active_hc_timeout"],
    ),
]


@pytest.mark.parametrize(("eds", "flags", "expected", "names"), CASES)
def test_health(eds: str, flags: int, expected: str, names: list[str]) -> None:
    host = Host(Endpoint(ADDRESS, health=eds, flags=flags))
    found = [what for what in ("healthy", "degraded", "excluded") if getattr(host, what)]
    assert " ".join(found) == expected
    assert host.describe()["health"] == names


def test_flags_and_time_travel_with_the_endpoint() -> None:
    endpoint = Endpoint(ADDRESS, flags=health.FAILED_OUTLIER_CHECK, since=12.25, check=CheckTarget(None, 81))
    assert Endpoint.from_json(endpoint.to_json()) == endpoint
    assert "f" not in Endpoint(ADDRESS).to_json()


def test_workers_know_of_each_others_requests() -> None:
    board = Board(2)
    board.use_columns(2)
    row = board.host_rows.start
    one, two = Host(Endpoint(ADDRESS)), Host(Endpoint(ADDRESS))
    one.begin_request()
    one.share_load(board.line(row, 0))
    two.share_load(board.line(row, 1))
    two.begin_request()
    two.begin_request()
    one.begin_request()
    one.end_request()
    assert (one.stats.rq_active, one.active()) == (1, 3)
    assert (two.stats.rq_active, two.active()) == (2, 3)
    one.share_load(None)
    one.end_request()  # in a row that may be another host's by now
    assert (one.active(), two.active()) == (0, 3)
