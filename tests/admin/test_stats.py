"""/stats: selection, text and JSON.  Expected texts are what Envoy 1.40 printed for the same figures."""

import json

import pytest

from twistproxy.admin.answer import PageError
from twistproxy.admin.merge import Totals
from twistproxy.admin.stats_select import parse_stats_query, select
from twistproxy.admin.stats_text import stats_json, stats_text

TOTALS = Totals(
    counters={"b.count": 3, "a.zero": 0},
    gauges={"a.gauge": 2},
    histograms={"h.time": {0: 5, 1: 5, 2: 1, 41: 1, 43: 1, 47: 1}, "h.none": {}},
    text={"t.version": "v1"},
    used={"b.count", "a.gauge", "h.time"},
)
SUMMARY = (
    "P0(nan,0) P25(nan,0) P50(nan,1.0333333333333334) P75(nan,2.05) P90(nan,43.5) P95(nan,47.5) P99(nan,47.5)"
    " P99.5(nan,47.5) P99.9(nan,47.5) P100(nan,47.5)"
)


def text(**query: str) -> str:
    wanted = parse_stats_query(query)
    return stats_text(select(TOTALS, wanted), wanted.buckets)


def as_json(**query: str) -> object:
    wanted = parse_stats_query(query)
    return json.loads(stats_json(select(TOTALS, wanted), wanted.buckets))


def test_texts_then_numbers_then_histograms() -> None:
    assert text() == (
        f't.version: "v1"\na.gauge: 2\na.zero: 0\nb.count: 3\nh.none: No recorded values\nh.time: {SUMMARY}\n'
    )


def test_used_only() -> None:
    assert text(usedonly="") == f't.version: "v1"\na.gauge: 2\nb.count: 3\nh.time: {SUMMARY}\n'


def test_filter_searches_and_can_be_inverted() -> None:
    assert text(filter="^a\\.") == "a.gauge: 2\na.zero: 0\n"
    assert text(filter="(?i)A\\.G|COUNT") == "a.gauge: 2\nb.count: 3\n"
    assert text(filter="^[at]|h\\.", invert_filter="") == "b.count: 3\n"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Counters", "a.zero: 0\nb.count: 3\n"),
        ("Gauges", "a.gauge: 2\n"),
        ("TextReadouts", 't.version: "v1"\n'),
        ("Histograms", f"h.none: No recorded values\nh.time: {SUMMARY}\n"),
    ],
)
def test_types(kind: str, expected: str) -> None:
    assert text(type=kind) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"type": "counters"}, "invalid &type= param"),
        ({"filter": "("}, "Invalid re2 regex: missing ): ("),
        (
            {"histogram_buckets": "x"},
            "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n",
        ),
    ],
)
def test_refusals(query: dict[str, str], message: str) -> None:
    with pytest.raises(PageError) as caught:
        parse_stats_query(query)
    assert (caught.value.answer.status, caught.value.answer.body) == (400, message)


def test_histogram_buckets_as_text() -> None:
    rest = "B100(0,{0}) B250(0,{0}) B500(0,{0}) B1000(0,{0}) B2500(0,{0}) B5000(0,{0}) B10000(0,{0}) "
    rest += "B30000(0,{0}) B60000(0,{0}) B300000(0,{0}) B600000(0,{0}) B1.8e+06(0,{0}) B3.6e+06(0,{0})\n"
    assert text(filter="h.time", histogram_buckets="cumulative") == (
        "h.time: B0.5(0,5) B1(0,10) B5(0,11) B10(0,11) B25(0,11) B50(0,14) " + rest.format(14)
    )
    assert text(filter="h.time", histogram_buckets="disjoint") == (
        "h.time: B0.5(0,5) B1(0,5) B5(0,1) B10(0,0) B25(0,0) B50(0,3) " + rest.format(0)
    )
    assert text(filter="h.time", histogram_buckets="detailed") == (
        "h.time:\n  totals=0,0:5, 1,0.1:5, 2,0.1:1, 41,1:1, 43,1:1, 47,1:1\n  intervals=\n"
        f"  summary={SUMMARY}\n"
    )
    assert text(filter="h.time", histogram_buckets="none") == f"h.time: {SUMMARY}\n"


def test_json() -> None:
    values = [0, 0, 1.0333333333333334, 2.05, 43.5, 47.5, 47.5, 47.5, 47.5, 47.5]
    assert as_json() == {
        "stats": [
            {"name": "t.version", "value": "v1"},
            {"name": "a.gauge", "value": 2},
            {"name": "a.zero", "value": 0},
            {"name": "b.count", "value": 3},
            {
                "histograms": {
                    "supported_quantiles": [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100],
                    "computed_quantiles": [
                        {"name": "h.none", "values": [{"cumulative": None, "interval": None}] * 10},
                        {"name": "h.time", "values": [{"cumulative": v, "interval": None} for v in values]},
                    ],
                }
            },
        ]
    }


def test_json_without_histograms_has_no_place_for_them() -> None:
    wanted = parse_stats_query({"filter": "b.count"})
    assert stats_json(select(TOTALS, wanted)) == '{"stats":[{"name":"b.count","value":3}]}'


def test_json_buckets() -> None:
    (entry,) = as_json(filter="h.time", histogram_buckets="cumulative")["stats"]  # type: ignore[index]
    (histogram,) = entry["histograms"]
    assert histogram["name"] == "h.time"
    assert histogram["buckets"][:2] == [
        {"upper_bound": 0.5, "interval": 0, "cumulative": 5},
        {"upper_bound": 1, "interval": 0, "cumulative": 10},
    ]
    assert len(histogram["buckets"]) == 19
    (entry,) = as_json(filter="h.time", histogram_buckets="detailed")["stats"]  # type: ignore[index]
    (details,) = entry["histograms"]["details"]
    assert details["totals"][1] == {"lower_bound": 1, "width": 0.1, "count": 5}
    assert details["percentiles"][3] == {"cumulative": 2.05, "interval": None}
