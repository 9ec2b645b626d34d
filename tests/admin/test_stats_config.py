"""Names, tags and buckets as configured."""

from __future__ import annotations

import pytest

from twistproxy.admin.stats_config import PLAIN, StatsConfig
from twistproxy.model.statistics import BucketRule, StatMatch, StatsSettings, TagRule
from twistproxy.observe.histogram import DEFAULT_BOUNDS
from twistproxy.primitives.string_match import Contains, Prefix


@pytest.mark.parametrize(
    ("matching", "shown"),
    [
        (None, ["ax", "bx", "c"]),
        (StatMatch((Prefix("a"), Prefix("b"))), ["ax", "bx"]),
        (StatMatch((Prefix("a"), Prefix("b")), inverted=True), ["c"]),
        (StatMatch(()), []),
        (StatMatch((), inverted=True), ["ax", "bx", "c"]),
    ],
)
def test_what_is_shown(matching: StatMatch | None, shown: list[str]) -> None:
    config = StatsConfig(StatsSettings(shown=matching))
    for _ in range(2):
        assert [name for name in ("ax", "bx", "c") if config.shows(name)] == shown


def test_the_first_rule_for_buckets_counts() -> None:
    config = StatsConfig(
        StatsSettings(buckets=(BucketRule(Prefix("http"), (1, 2)), BucketRule(Contains("t"), (3,))))
    )
    assert (config.bounds("http.x"), config.bounds("t"), config.bounds("x")) == ((1, 2), (3,), DEFAULT_BOUNDS)


NAME = "cluster.app.upstream_rq_200"


@pytest.mark.parametrize(
    ("settings", "name", "tags"),
    [
        (StatsSettings(), "cluster.upstream_rq", {"envoy.cluster_name": "app", "envoy.response_code": "200"}),
        (StatsSettings(default_tags=False), NAME, {}),
        (
            StatsSettings(default_tags=False, tags=(TagRule("envoy.cluster_name"), TagRule("a", "b"))),
            "cluster.upstream_rq_200",
            {"envoy.cluster_name": "app", "a": "b"},
        ),
        (
            StatsSettings(default_tags=False, tags=(TagRule("way", pattern=r"((up|down)stream_)"),)),
            "cluster.app.rq_200",
            {"way": "up"},
        ),
        (
            StatsSettings(
                default_tags=False,
                tags=(TagRule("way", pattern=r"(upstream)"), TagRule("n", pattern="x(y)?")),
            ),
            "cluster.app._rq_200",
            {"way": "upstream"},
        ),
    ],
)
def test_tags(settings: StatsSettings, name: str, tags: dict[str, str]) -> None:
    found = StatsConfig(settings).extract(NAME)
    assert (found.name, dict(found.tags)) == (name, tags)
    assert PLAIN.extract("x").tags == ()
