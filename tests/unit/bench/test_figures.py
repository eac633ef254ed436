"""What times come to, on rows short enough to work out by hand."""

import math

import pytest

from bench.figures import Distribution, distribution, quantile


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.1, 1.0), (0.5, 5.0), (0.51, 6.0), (0.99, 10.0), (1.0, 10.0)]
)
def test_a_quantile_is_the_smallest_value_not_exceeded_by_enough(share: float, value: float) -> None:
    assert quantile([float(n) for n in range(1, 11)], share) == value


def test_a_quantile_of_nothing_is_no_number() -> None:
    assert math.isnan(quantile([], 0.5))


def test_the_worst_of_a_second_is_the_median_of_whole_seconds() -> None:
    times = [0.001, 0.009, 0.001, 0.003, 0.002, 0.001, 0.5]
    figures = distribution(times, per_second=2)
    assert figures.worst_of_second_ms == pytest.approx(3.0)
    assert figures.max_ms == 500.0
    assert figures.count == 7


def test_a_run_shorter_than_a_second_has_a_worst_as_well() -> None:
    assert distribution([0.001, 0.004], per_second=500).worst_of_second_ms == pytest.approx(4.0)


def test_an_answer_that_never_came_is_the_worst_of_all() -> None:
    figures = distribution([0.001] * 9 + [math.inf], per_second=10)
    assert figures.max_ms == math.inf
    assert figures.p50_ms == 1.0


def test_figures_travel_as_json() -> None:
    figures = distribution([0.001, 0.002], per_second=2)
    assert Distribution.from_json(figures.as_json()) == figures
