"""Statistics as statsd lines."""

from __future__ import annotations

import pytest

from twistproxy.admin.merge import Totals
from twistproxy.admin.stats_config import PLAIN, StatsConfig
from twistproxy.admin.statsd import Flush, Latch, datagrams, lines
from twistproxy.model.statistics import StatMatch, StatsdSettings, StatsSettings
from twistproxy.primitives.string_match import Prefix


def totals(counters: dict[str, int], gauges: dict[str, int], histogram: dict[int, int]) -> Totals:
    return Totals(counters, gauges, {"h": histogram}, used={*counters, *gauges, "h"})


def test_counters_and_times_since_the_last_flush() -> None:
    latch = Latch()
    assert latch.take(totals({"a": 3}, {"g": 1}, {5: 2}), PLAIN) == Flush(
        [("a", 3)], [("g", 1)], [("h", 5, 2)]
    )
    assert latch.take(totals({"a": 5}, {"g": 0}, {5: 3, 7: 1}), PLAIN) == Flush(
        [("a", 2)], [("g", 0)], [("h", 5, 1), ("h", 7, 1)]
    )
    assert latch.take(totals({"a": 5}, {"g": 0}, {5: 3, 7: 1}), PLAIN) == Flush([("a", 0)], [("g", 0)], [])


def test_a_counter_that_was_reset_begins_anew() -> None:
    latch = Latch()
    latch.take(totals({"a": 30}, {}, {}), PLAIN)
    assert latch.take(totals({"a": 4}, {}, {}), PLAIN).counters == [("a", 4)]


def test_only_what_is_used_and_shown() -> None:
    config = StatsConfig(StatsSettings(shown=StatMatch((Prefix("a"),), inverted=True)))
    found = Totals({"a": 1, "b": 2, "c": 0}, {"ag": 1, "bg": 0}, {"ah": {1: 1}}, used={"a", "b", "ag", "ah"})
    assert Latch().take(found, config) == Flush([("b", 2)], [], [])


FLUSH = Flush(
    [("cluster.x.upstream_rq_200", 4)],
    [("server.live", 1)],
    [("http.in.downstream_rq_time", 12, 1), ("h", 3, 4)],
)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            StatsdSettings("p"),
            [
                "p.http.in.downstream_rq_time:12|ms",
                "p.h:3|ms|@0.25",
                "p.cluster.x.upstream_rq_200:4|c",
                "p.server.live:1|g",
            ],
        ),
        (
            StatsdSettings("envoy", "dog"),
            [
                "envoy.http.downstream_rq_time:12|ms|#envoy.http_conn_manager_prefix:in",
                "envoy.h:3|ms|@0.25",
                "envoy.cluster.upstream_rq:4|c|#envoy.cluster_name:x,envoy.response_code:200",
                "envoy.server.live:1|g",
            ],
        ),
        (
            StatsdSettings("envoy", "graphite"),
            [
                "envoy.http.downstream_rq_time;envoy.http_conn_manager_prefix=in:12|ms",
                "envoy.h:3|ms|@0.25",
                "envoy.cluster.upstream_rq;envoy.cluster_name=x;envoy.response_code=200:4|c",
                "envoy.server.live:1|g",
            ],
        ),
    ],
)
def test_lines(settings: StatsdSettings, expected: list[str]) -> None:
    assert list(lines(FLUSH, settings, PLAIN)) == expected


def test_names_cannot_end_their_part() -> None:
    flush = Flush([("cluster.a:b|c.x", 1)])
    assert list(lines(flush, StatsdSettings("p"), PLAIN)) == ["p.cluster.a_b_c.x:1|c"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, [b"aaa", b"bb", b"c"]),
        (6, [b"aaa\nbb", b"c"]),
        (5, [b"aaa", b"bb\nc"]),
        (8, [b"aaa\nbb\nc"]),
        (2, [b"aaa", b"bb", b"c"]),
    ],
)
def test_datagrams(size: int, expected: list[bytes]) -> None:
    assert list(datagrams(["aaa", "bb", "c"], size)) == expected
