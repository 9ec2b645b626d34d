"""Histograms of whole numbers, and what Envoy prints of them.

Envoy keeps its histograms with circllhist: a value falls into a bucket named by its two leading decimal
digits, so that every bucket is at most a tenth as wide as its lower end (1 is [1, 1.1), 43 is [43, 44), 2500
is [2500, 2600)). Workers count by that lower end, `{lower end: how often}`; the reports below are computed
in the master only. See https://www.envoyproxy.io/docs/envoy/latest/operations/admin (/stats) for the texts
and https://github.com/openhistogram/libcircllhist for the estimates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

#: How often each bucket was hit: lower end of the bucket -> count.
Counts = Mapping[int, int]

#: The quantiles that Envoy reports.
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0)

#: Upper bounds that Envoy uses unless stats_config says otherwise.
DEFAULT_BOUNDS = (
    *(0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0),
    *(30000.0, 60000.0, 300000.0, 600000.0, 1800000.0, 3600000.0),
)


def lower_end(value: int) -> int:
    """The bucket that `value` (0 or more) falls into: the value cut to its two leading digits."""
    if value < 100:
        return value
    scale = 1
    while value >= 100:
        value //= 10
        scale *= 10
    return value * scale


def width(bucket: int) -> float:
    """How wide the bucket with this lower end is."""
    if bucket == 0:
        return 0.0
    scale = 1
    while bucket // scale >= 100:
        scale *= 10
    return float(scale) if bucket >= 10 else 0.1


class Histogram:
    """One worker's counts of one quantity.  `counts` may be read and merged at any time."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def record(self, value: int) -> None:
        """Count one value, 0 or more (milliseconds, mostly)."""
        if value >= 100:
            value = lower_end(value)
        counts = self.counts
        counts[value] = counts.get(value, 0) + 1

    def snapshot(self) -> dict[str, int]:
        """The counts as JSON can carry them."""
        return {str(value): count for value, count in self.counts.items()}


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket that was hit: lower end, width and how often."""

    lower: int
    width: float
    count: int


def buckets(counts: Counts) -> list[Bucket]:
    """All buckets that were hit, lowest first."""
    return [Bucket(value, width(value), count) for value, count in sorted(counts.items()) if count]


def total(counts: Counts) -> int:
    """How many values were recorded."""
    return sum(counts.values())


def approximate_sum(counts: Counts) -> float:
    """The sum of the recorded values, each taken as its bucket's harmonic middle (circllhist's choice)."""
    result = 0.0
    for bucket in buckets(counts):
        if bucket.lower:
            low, high = float(bucket.lower), bucket.lower + bucket.width
            result += bucket.count * (low * high / ((low + high) / 2))
    return result


def cumulative(counts: Counts, bounds: Sequence[float] = DEFAULT_BOUNDS) -> list[int]:
    """For each bound (rising), how many values were at most that.  A bucket counts by its lower end."""
    known = buckets(counts)
    result, reached, index = [], 0, 0
    for bound in bounds:
        while index < len(known) and known[index].lower <= bound:
            reached += known[index].count
            index += 1
        result.append(reached)
    return result


def disjoint(counts: Counts, bounds: Sequence[float] = DEFAULT_BOUNDS) -> list[int]:
    """For each bound, how many values were at most that and above the bound before."""
    sums = cumulative(counts, bounds)
    return [here - before for here, before in zip(sums, [0, *sums])]


def quantiles(counts: Counts, wanted: Sequence[float] = QUANTILES) -> list[float]:
    """The values below which the wanted shares (rising, 0 to 1) of all values lie; [] if nothing was counted.

    The k-th of n values in one bucket is taken to lie at k / (n + 1) of its width.
    """
    known = buckets(counts)
    if not known:
        return []
    number = total(counts)
    result = []
    index, below = 0, 0
    for share in wanted:
        # 1e-9: 0.995 * 200 is 199.00000000000003 in floating point, and means the 199th value.
        rank = max(1, ceil(share * number - 1e-9))
        while below + known[index].count < rank:
            below += known[index].count
            index += 1
        bucket = known[index]
        result.append(bucket.lower + (rank - below) / (bucket.count + 1) * bucket.width)
    return result
