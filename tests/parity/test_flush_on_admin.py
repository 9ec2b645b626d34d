"""`stats_flush_on_admin`: an interval ends, and sinks are told, when somebody asks for statistics."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from .harness import Proxy, wait_for
from .settings import Config, bootstrap, cluster, listener, routes_to
from .statsd_peer import StatsdPeer
from .test_stats_config import PEERS, sink

pytestmark = pytest.mark.parity
TOTAL = "http.main.downstream_rq_total"
FILTER = "filter=^http.main.downstream_rq_time$"


def configure(proxy: Proxy) -> Config:
    return bootstrap(
        proxy.port("admin"),
        [listener("main", proxy.port(), routes_to("app"))],
        [cluster("app", proxy.origin().port)],
        stats_flush_on_admin=True,
        stats_sinks=[sink("statsd", "on_admin")],
    )


def pages(proxy: Proxy, query: str) -> list[str]:
    """Three flushes with one request before.  Envoy's histograms are those of the flush before, as workers are asked for
    them while the page is written; so the second or the first one has the interval of that request, if the workers are
    given the time to answer."""
    proxy.ask("/x")
    found = []
    for _ in range(3):
        time.sleep(0.1)
        found.append(proxy.admin(f"/stats{query}&{FILTER}").text)
    return found


def test_intervals(proxy: Proxy) -> None:
    found = [re.findall(r"P[\d.]+\(([^,]+),([^)]+)\)", text) for text in pages(proxy, "?")]
    assert [interval for interval, _ in found[-1]] == ["nan"] * 10
    assert all(cumulative != "nan" for _, cumulative in found[-1])
    [shown] = [each for each in found if each and each[0][0] != "nan"]
    assert all(interval == cumulative for interval, cumulative in shown)


def test_intervals_in_buckets(proxy: Proxy) -> None:
    """The last bucket."""
    last = [text.rpartition("(")[2].split(",")[0] for text in pages(proxy, "?histogram_buckets=cumulative")]
    assert sorted(last) == ["0", "0", "1"]


def test_intervals_in_detail(proxy: Proxy) -> None:
    lines = [text.rstrip().split("\n")[2] for text in pages(proxy, "?histogram_buckets=detailed")]
    assert lines[-1] == "  intervals="
    [shown] = [line for line in lines if line != "  intervals="]
    assert re.fullmatch(r"  intervals=\d+,[\d.]+:1", shown)


def in_json(text: str) -> dict[str, Any]:
    [histograms] = [each["histograms"] for each in json.loads(text)["stats"] if "histograms" in each]
    found = (
        histograms
        if isinstance(histograms, list)
        else histograms.get("details") or histograms["computed_quantiles"]
    )
    return dict(found[0])


def test_intervals_in_json(proxy: Proxy) -> None:
    buckets = [in_json(text)["buckets"] for text in pages(proxy, "?format=json&histogram_buckets=disjoint")]
    assert sorted(sum(bucket["interval"] for bucket in one) for one in buckets) == [0, 0, 1]
    details = [in_json(text) for text in pages(proxy, "?format=json&histogram_buckets=detailed")]
    assert sorted(len(one["intervals"]) for one in details) == [0, 0, 1]
    assert sorted(one["percentiles"][0]["interval"] is None for one in details) == [False, True, True]
    values = [in_json(text)["values"][0] for text in pages(proxy, "?format=json")]
    assert sorted(value["interval"] is None for value in values) == [False, True, True]


def test_summaries_are_those_of_the_interval(proxy: Proxy) -> None:
    texts = pages(proxy, "/prometheus?histogram_buckets=summary")
    counts = [float(count) for text in texts for count in re.findall(r"_count\{[^}]*\} (\S+)", text)]
    assert sorted(counts) == [0, 0, 1]


def test_sinks_are_told(proxy: Proxy) -> None:
    peer: StatsdPeer = PEERS["on_admin"]
    proxy.admin("/stats")
    assert wait_for(lambda: "envoy.server.live:1|g" in peer.lines())
    peer.datagrams.clear()
    before = proxy.stat(TOTAL)
    for _ in range(7):
        proxy.ask("/x")
    assert proxy.stat(TOTAL) == before + 7
    # On a busy machine the flush that the first question began ends after some of the requests.
    assert wait_for(lambda: sum(told(peer)) == 7)
    peer.datagrams.clear()
    proxy.ask("/x")
    assert not wait_for(lambda: told(peer), 0.1)
    peer.stop()


def told(peer: StatsdPeer) -> list[int]:
    """By how much the count of requests grew, each time that the sink was told so."""
    return [int(count) for line in peer.lines() for count in re.findall(rf"^envoy\.{TOTAL}:(\d+)\|c", line)]
