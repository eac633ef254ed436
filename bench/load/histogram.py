"""A histogram of times with a fixed relative error, as HdrHistogram has it (Gil Tene).

Buckets are linear within each power of two, 128 of them, so that a value is kept to 0.8 %, whether it is a
microsecond or a minute. The package hdrhistogram of PyPI was looked at: no types, and it needs setuptools and
pbr at run time, for what is 30 lines here.
"""

import math

from bench.load.result import Latency

SUB_BITS = 7
_BUCKETS = (64 - SUB_BITS + 1) << SUB_BITS
_MS = 1e-6


class Histogram:
    """Times in nanoseconds."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS

    def record(self, time_ns: int) -> None:
        """Count one time; 0.2 us of CPU. A negative one counts as 0."""
        shift = time_ns.bit_length() - SUB_BITS - 1
        if shift < 0:
            shift = 0
            if time_ns < 0:
                time_ns = 0
        self.counts[(shift << SUB_BITS) + (time_ns >> shift)] += 1

    def clear(self) -> None:
        """Forget all; in place, as loops hold `record`."""
        self.counts[:] = [0] * _BUCKETS

    def count(self) -> int:
        """How many times were recorded."""
        return sum(self.counts)

    def quantile_ns(self, share: float) -> float:
        """The nearest-rank quantile, as the middle of its bucket. NaN of nothing."""
        left = max(1, math.ceil(share * self.count()))
        for index, count in enumerate(self.counts):
            left -= count
            if left <= 0:
                return _middle_ns(index)
        return math.nan

    def latency(self) -> Latency | None:
        """The quantiles that a report shows; None of nothing."""
        count = self.count()
        if not count:
            return None
        p50, p90, p99, p999, most = (_MS * self.quantile_ns(share) for share in (0.5, 0.9, 0.99, 0.999, 1.0))
        return Latency(count=count, p50_ms=p50, p90_ms=p90, p99_ms=p99, p999_ms=p999, max_ms=most)


def _middle_ns(index: int) -> float:
    shift = max(0, (index >> SUB_BITS) - 1)
    low = (index - (shift << SUB_BITS)) << shift
    return low + ((1 << shift) - 1) / 2
