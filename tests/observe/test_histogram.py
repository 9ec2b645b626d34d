"""Histograms.  The expected figures are Envoy 1.40's for the same values."""

import pytest

from twistproxy.observe.histogram import (
    Bucket,
    Histogram,
    approximate_sum,
    buckets,
    cumulative,
    disjoint,
    lower_end,
    quantiles,
    total,
    width,
)

#: What Envoy had recorded in http.ingress.downstream_rq_time.
SEEN = {0: 5, 1: 5, 2: 1, 41: 1, 43: 1, 47: 1}


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        (0, 0),
        (1, 1),
        (99, 99),
        (100, 100),
        (109, 100),
        (110, 110),
        (999, 990),
        (2599, 2500),
        (123456, 120000),
    ],
)
def test_a_value_keeps_two_leading_digits(value: int, bucket: int) -> None:
    assert lower_end(value) == bucket


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        (0, 0),
        (1, 0.1),
        (9, 0.1),
        (10, 1),
        (43, 1),
        (99, 1),
        (100, 10),
        (990, 10),
        (1000, 100),
        (120000, 10000),
    ],
)
def test_a_bucket_is_at_most_a_tenth_of_its_lower_end_wide(bucket: int, expected: float) -> None:
    assert width(bucket) == expected


def test_recording_counts_by_bucket() -> None:
    histogram = Histogram()
    for value in (1, 1, 0, 2510, 2590, 105):
        histogram.record(value)
    assert histogram.counts == {1: 2, 0: 1, 2500: 2, 100: 1}
    assert histogram.snapshot() == {"1": 2, "0": 1, "2500": 2, "100": 1}
    assert total(histogram.counts) == 6


def test_quantiles_lie_within_their_bucket_as_envoys_do() -> None:
    expected = [0, 0, 1.0333333333333334, 2.05, 43.5, 47.5, 47.5, 47.5, 47.5, 47.5]
    assert quantiles(SEEN) == expected


def test_quantiles_of_one_bucket() -> None:
    assert quantiles({1: 1}) == [1.05] * 10
    assert quantiles({1: 14}, (0, 0.25, 0.5, 0.75, 0.9, 1)) == [
        1.0066666666666666,
        1.0266666666666666,
        1.0466666666666666,
        1.0733333333333333,
        1.0866666666666667,
        1.0933333333333333,
    ]


def test_a_quantile_that_falls_on_a_value_is_that_value_in_spite_of_rounding() -> None:
    # 0.07 * 100 is 7.000000000000001
    assert quantiles(dict.fromkeys(range(100), 1), (0.07,)) == [6.05]


def test_nothing_recorded_has_no_quantiles() -> None:
    assert quantiles({}) == []
    assert quantiles({3: 0}) == []


def test_a_bound_includes_the_bucket_that_starts_there() -> None:
    assert cumulative(SEEN, (0.5, 1, 5, 25, 50, 100)) == [5, 10, 11, 11, 14, 14]
    assert disjoint(SEEN, (0.5, 1, 5, 25, 50, 100)) == [5, 5, 1, 0, 3, 0]
    assert cumulative({250: 1}, (100, 250)) == [0, 1]


def test_the_sum_takes_harmonic_middles_of_the_buckets() -> None:
    assert approximate_sum({19: 1}) == pytest.approx(19.487179487179485)
    assert approximate_sum(SEEN) == pytest.approx(139.76984134518303)
    assert approximate_sum({0: 7}) == 0


def test_buckets_are_listed_from_the_lowest() -> None:
    assert buckets({43: 2, 1: 1, 5: 0}) == [Bucket(1, 0.1, 1), Bucket(43, 1, 2)]
