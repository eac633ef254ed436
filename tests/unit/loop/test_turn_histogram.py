"""Times of turns: what is counted, how exactly, and what it costs."""

import gc
import random
from collections.abc import Sequence

import pytest

from hub.loop.turn_histogram import TurnHistogram
from hub.net.poller import Poller
from tests.loop.support import SteppedHub


def told(*turns_s: float) -> TurnHistogram:
    """After one interval with these turns."""
    times = TurnHistogram()
    for turn_s in turns_s:
        times.add(turn_s)
    times.close_interval()
    return times


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
    times.close_interval()
    assert (times.p99_s, times.max_s, times.busy_s) == (0.0, 0.0, 0.875)


@pytest.mark.parametrize("turn_s", [0.0, 1e-7, 1e-6, 15e-6, 16e-6, 17e-6, 1.0, 86_400.0, 1e9])
def test_any_length_has_its_place(turn_s: float) -> None:
    assert told(turn_s, turn_s).p99_s == turn_s


def test_the_p99_is_at_most_an_eighth_more_than_it_was() -> None:
    dice = random.Random(5)
    for _ in range(100):
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


class Slow(Poller):
    """Once it knows the hub, each of its waits takes 7 s."""

    hub: SteppedHub | None = None

    def wait(self, timeout_s: float) -> Sequence[tuple[int, int]]:
        if self.hub is not None:
            self.hub.now_s += 7.0
        return super().wait(timeout_s)


def test_busy_is_the_time_between_two_waits_and_published() -> None:
    poller = Slow("level")
    with SteppedHub(poller=poller) as hub:
        hub.now_s += 60  # Before the first turn.
        hub.turns(2)
        times = hub.hub.turn_times
        assert times.busy_s == 0.0
        poller.hub = hub
        for turn_s in (0.25, 1.5):
            hub.turns()
            hub.now_s += turn_s  # Between the return of one wait and the next.
        hub.turns()
        poller.hub = None
        assert times.busy_s == pytest.approx(1.75)
        assert [made.loop.turn_max_ms for made in hub.summaries[-2:]] == [250.0, 1500.0]
