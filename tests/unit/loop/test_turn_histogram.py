"""Times of turns: what is counted, how exactly, and what it costs."""

from __future__ import annotations

import gc
import random

import pytest

from hub.loop.turn_histogram import TurnHistogram
from tests.loop.support import SteppedHub


def told(*turns_s: float) -> TurnHistogram:
    """After one interval with these turns."""
    times = TurnHistogram()
    for turn_s in turns_s:
        times.add(turn_s)
    times.close_interval()
    return times


def test_an_interval_without_a_turn_tells_nothing() -> None:
    times = told()
    assert (times.busy_s, times.p99_s, times.max_s) == (0.0, 0.0, 0.0)


def test_one_turn_is_the_longest_and_the_p99_exactly() -> None:
    times = told(0.0123)
    assert (times.p99_s, times.max_s) == (0.0123, 0.0123)


def test_one_long_turn_of_a_hundred_is_the_maximum_not_the_p99() -> None:
    times = told(*[0.001] * 99, 0.5)
    assert 0.001 <= times.p99_s <= 0.001126
    assert times.max_s == 0.5
    assert told(*[0.001] * 98, 0.5, 0.5).p99_s == 0.5


def test_each_interval_is_told_by_itself_and_busy_time_adds_up() -> None:
    times = told(0.5, 0.25)
    times.add(0.125)
    assert times.max_s == 0.5
    times.close_interval()
    assert (times.p99_s, times.max_s, times.busy_s) == (0.125, 0.125, 0.875)


@pytest.mark.parametrize("turn_s", [0.0, 1e-7, 1e-6, 15e-6, 16e-6, 17e-6, 1.0, 86_400.0, 1e9])
def test_any_length_has_its_place(turn_s: float) -> None:
    assert told(turn_s, turn_s).p99_s == turn_s


def test_the_p99_is_at_most_an_eighth_more_than_it_was() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(300):
        turns = sorted(dice.lognormvariate(-8, 2) for _ in range(dice.randrange(1, 400)))
        exact = turns[len(turns) - 1 - len(turns) // 100]
        assert exact <= told(*turns).p99_s + 1e-12 <= exact * 1.126 + 1.1e-6


def test_a_turn_leaves_nothing_to_the_garbage_collector() -> None:
    times = TurnHistogram()
    times.add(0.5)
    gc.collect()
    gc.disable()
    before = gc.get_count()[0]
    for number in range(1000):
        times.add(number * 1e-5)
    grown = gc.get_count()[0] - before
    gc.enable()
    assert grown < 10


# In the loop.


def test_busy_is_the_time_between_two_waits() -> None:
    with SteppedHub() as hub:
        hub.turns()
        times, before_s = hub.hub.turn_times, hub.hub.turn_times.busy_s
        wait = hub.poller.wait

        def wait_seven(timeout_s: float | None) -> object:
            hub.now_s += 7.0
            return wait(timeout_s)

        hub.poller.wait = wait_seven  # type: ignore[method-assign, assignment]
        hub.turns()
        hub.now_s += 0.25  # Between the return of one wait and the next.
        hub.turns()
        hub.poller.wait = wait  # type: ignore[method-assign]
        assert times.busy_s - before_s == pytest.approx(0.25)


def test_the_time_before_the_first_turn_is_not_busy() -> None:
    with SteppedHub() as hub:
        hub.now_s += 60
        hub.turns(2)
        assert hub.hub.turn_times.busy_s == 0.0


def test_a_publication_tells_of_the_turns_since_the_last() -> None:
    with SteppedHub() as hub:
        hub.turns()
        for turn_s in (1.5, 1.125):
            hub.now_s += turn_s
            hub.turns()
        assert [made.loop.turn_max_ms for made in hub.summaries[-2:]] == [1500.0, 1125.0]
