"""The histogram of the load, against exact quantiles."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import quantile
from bench.load.histogram import Histogram

TIMES_NS = st.lists(st.integers(0, 1 << 50), min_size=1, max_size=200)
SHARES = st.sampled_from([0.5, 0.9, 0.99, 0.999, 1.0])


def filled(times_ns: list[int]) -> Histogram:
    histogram = Histogram()
    for time_ns in times_ns:
        histogram.record(time_ns)
    return histogram


@given(TIMES_NS, SHARES)
def test_a_quantile_is_kept_to_a_hundredth(times_ns: list[int], share: float) -> None:
    exact = quantile(sorted(times_ns), share)
    assert filled(times_ns).quantile_ns(share) == pytest.approx(exact, rel=0.01)


@given(TIMES_NS)
def test_every_time_is_counted_once(times_ns: list[int]) -> None:
    histogram = filled(times_ns)
    assert histogram.count() == len(times_ns)
    histogram.clear()
    assert histogram.count() == 0


def test_nothing_has_no_quantiles() -> None:
    assert math.isnan(Histogram().quantile_ns(0.5))
    assert Histogram().latency() is None


def test_a_negative_time_counts_as_none() -> None:
    """A reply may be read in the turn before the moment that a slow send was stamped with."""
    assert filled([-5]).quantile_ns(1.0) == 0


def test_latency_has_milliseconds() -> None:
    latency = filled([1_000_000] * 99 + [2_000_000_000]).latency()
    assert latency is not None and latency.count == 100
    assert latency.p50_ms == latency.p99_ms == pytest.approx(1.0, rel=0.01)
    assert latency.p999_ms == latency.max_ms == pytest.approx(2000.0, rel=0.01)
