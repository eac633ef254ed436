import math
import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.config.settings import IdleStrategy
from hub.loop.expiry import EVENT, Expiry, Never
from hub.loop.timers import EXAMINED_PER_CALL, REPAIRS_PER_CALL, Deadline, Poll, Sweep, make_expiry

TIMEOUT_S = 4.0
INTERVAL_S = 1.0
LATEST_S = {"poll": 0.0, "sweep": INTERVAL_S, "deadline": 0.0}
MANY = 10_000

STRATEGIES: list[IdleStrategy] = ["poll", "sweep", "deadline"]
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def make(strategy: IdleStrategy, timeout_s: float = TIMEOUT_S) -> Expiry:
    return make_expiry(strategy, timeout_s, INTERVAL_S)


def turns(
    expiry: Expiry, start_s: float, until_s: float, budget: int = 100
) -> Iterator[tuple[int, float, float]]:
    """What a loop does that wakes exactly when told: (id, due, decided) of everyone who expires."""
    now = start_s
    while (wait_s := expiry.timeout(now)) is not None and now + wait_s <= until_s:
        now = now + wait_s
        for id, due in expiry.expired(now, budget):
            yield id, due, now


def footprint_bytes(expiry: Expiry) -> int:
    """How much it holds, whatever it holds it in."""
    return len(pickle.dumps(expiry))


# What all strategies promise


@each_strategy
def test_an_idle_client_expires_in_time_and_once(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    expiry.touch(7, 10.0)
    [(id, due, decided)] = turns(expiry, 10.0, 100.0)
    assert (id, due) == (7, 14.0)
    assert due <= decided <= due + LATEST_S[strategy]
    assert expiry.timeout(100.0) is None
    assert expiry.expired(1000.0, 10) == []


@each_strategy
def test_nobody_expires_before_the_timeout(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    expiry.touch(1, 0.0)
    just_before_s = math.nextafter(TIMEOUT_S, 0.0)
    assert expiry.expired(just_before_s, 10) == []
    wait_s = expiry.timeout(just_before_s)
    assert wait_s is not None and wait_s > 0.0


@each_strategy
def test_an_active_client_lives_on(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    for second in range(100):
        expiry.touch(1, float(second))
        assert list(turns(expiry, float(second), second + 0.99)) == []
    [(_, due, _)] = turns(expiry, 99.0, 200.0)
    assert due == 99.0 + TIMEOUT_S


@each_strategy
def test_nobody_registered_means_nothing_to_wait_for(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    assert expiry.timeout(5.0) is None
    assert expiry.expired(5.0, 10) == []
    expiry.forget(1)
    expiry.touch(1, 5.0)
    expiry.forget(1)
    assert expiry.timeout(6.0) is None
    assert expiry.expired(100.0, 10) == []


@each_strategy
def test_a_forgotten_id_that_comes_back_has_a_whole_timeout(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    expiry.touch(1, 0.0)
    expiry.forget(1)
    expiry.touch(1, 3.0)
    [(id, due, decided)] = turns(expiry, 3.0, 100.0)
    assert (id, due) == (1, 7.0)
    assert decided <= due + LATEST_S[strategy]


@each_strategy
def test_an_expired_id_may_be_touched_again(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    expiry.touch(1, 0.0)
    assert [due for _, due, _ in turns(expiry, 0.0, 50.0)] == [4.0]
    expiry.touch(1, 50.0)
    assert [due for _, due, _ in turns(expiry, 50.0, 100.0)] == [54.0]


@each_strategy
def test_ten_thousand_equal_deadlines_come_in_slices_at_once(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    for id in range(1, MANY + 1):
        expiry.touch(id, 0.0)
    gone: list[tuple[int, float]] = []
    calls = 0
    while expiry.timeout(TIMEOUT_S) == 0.0:
        slice_ = expiry.expired(TIMEOUT_S, 64)
        assert 0 < len(slice_) <= 64
        gone += slice_
        calls += 1
    assert sorted(gone) == [(id, TIMEOUT_S) for id in range(1, MANY + 1)]
    assert calls == math.ceil(MANY / 64)
    assert expiry.timeout(TIMEOUT_S) is None


@each_strategy
def test_an_id_active_between_two_slices_is_not_expired_early(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    for id in range(1, 101):
        expiry.touch(id, 0.0)
    gone = {id for id, _ in expiry.expired(4.5, 50)}
    saved = next(id for id in range(1, 101) if id not in gone)
    left = next(id for id in range(1, 101) if id not in gone and id != saved)
    expiry.touch(saved, 4.6)
    expiry.forget(left)
    rest = expiry.expired(4.7, 100)
    assert sorted([*gone, saved, left, *(id for id, _ in rest)]) == list(range(1, 101))
    assert {due for _, due in rest} == {TIMEOUT_S}
    assert [(id, due) for id, due, _ in turns(expiry, 4.7, 100.0)] == [(saved, 4.6 + TIMEOUT_S)]


@pytest.mark.promise("turn-timers")
@each_strategy
def test_a_million_touches_of_one_client_keep_it_small(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    for count in range(1_000_000):
        expiry.touch(1, count * 0.001)
        if count % 100 == 0:
            assert expiry.expired(count * 0.001, 10) == []
    assert footprint_bytes(expiry) < 500


@each_strategy
def test_a_hundred_thousand_visits_leave_nothing_behind(strategy: IdleStrategy) -> None:
    expiry = make(strategy, 1e6)
    expiry.touch(1, 0.0)
    for id in range(2, 100_000):
        expiry.touch(id, id * 0.001)
        expiry.forget(id)
    assert footprint_bytes(expiry) < 5000


@pytest.mark.promise("turn-durations")
@each_strategy
@pytest.mark.parametrize("start_s", [0.0, 86_400.0 * 3650])
@pytest.mark.parametrize("timeout_s", [1e-3, 1e9])
def test_tiny_and_huge_timeouts_are_kept(strategy: IdleStrategy, timeout_s: float, start_s: float) -> None:
    expiry = make(strategy, timeout_s)
    expiry.touch(1, start_s)
    wait_s = expiry.timeout(start_s)
    assert (
        wait_s is not None and 0.0 < wait_s <= max(timeout_s, INTERVAL_S) * 1.001
    )  # a float ten years up is coarse
    due = start_s + timeout_s
    assert expiry.expired(math.nextafter(due, -math.inf), 10) == []
    assert expiry.expired(due + INTERVAL_S, 10) == [(1, due)]


@pytest.mark.promise("turn-durations")
@each_strategy
def test_a_late_loop_is_never_told_to_wait_a_negative_time(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    expiry.touch(1, 0.0)
    assert expiry.timeout(1000.0) == 0.0
    assert expiry.expired(1000.0, 10) == [(1, TIMEOUT_S)]


@each_strategy
def test_an_event_registers_nobody(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    expiry.touch(EVENT, 1.0)
    expiry.touch(EVENT, 2.0)
    assert expiry.timeout(3.0) is None
    assert expiry.expired(100.0, 10) == []


@each_strategy
def test_events_restart_the_clock_just_where_they_count(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    expiry.touch(1, 0.0)
    expiry.touch(EVENT, 3.0)
    [(id, due, _)] = turns(expiry, 3.0, 100.0)
    assert (id, due) == (1, 7.0 if expiry.counts_events else 4.0)


def test_a_timeout_of_zero_switches_expiry_off() -> None:
    for strategy in STRATEGIES:
        expiry = make_expiry(strategy, 0.0, INTERVAL_S)
        assert isinstance(expiry, Never)
        expiry.touch(1, 0.0)
        expiry.touch(EVENT, 0.0)
        assert expiry.timeout(1e9) is None
        assert expiry.expired(1e9, 10) == []
        expiry.forget(1)


def test_each_strategy_has_its_name_and_only_poll_counts_events() -> None:
    made = {strategy: make(strategy) for strategy in STRATEGIES}
    assert {name: type(expiry) for name, expiry in made.items()} == {
        "poll": Poll,
        "sweep": Sweep,
        "deadline": Deadline,
    }
    assert [name for name, expiry in made.items() if expiry.counts_events] == ["poll"]


# Against a naive oracle: times are multiples of 1/8 s, so that sums are exact

Step = tuple[str, int]
steps = st.lists(
    st.tuples(st.just("touch"), st.integers(0, 6))
    | st.tuples(st.just("forget"), st.integers(1, 6))
    | st.tuples(st.just("wait"), st.integers(1, 40))
    | st.tuples(st.just("late"), st.integers(1, 80)),
    max_size=60,
)


class Oracle:
    """The definitions, looked up anew for everyone each time."""

    def __init__(self, strategy: IdleStrategy) -> None:
        self.strategy = strategy
        self.last: dict[int, float] = {}
        self.last_event = 0.0

    def touch(self, id: int, now: float) -> None:
        self.last_event = now
        if id != EVENT:
            self.last[id] = now

    def due(self, id: int) -> float:
        last = self.last_event if self.strategy == "poll" else self.last[id]
        return last + TIMEOUT_S

    def check(self, gone: list[tuple[int, float]], now: float) -> None:
        """Everyone in `gone` was due, with the right due; nobody else is later than the strategy may be."""
        assert gone == [(id, self.due(id)) for id, _ in gone]
        assert all(due <= now for _, due in gone)
        for id, _ in gone:
            del self.last[id]
        assert all(now < self.due(id) + LATEST_S[self.strategy] for id in self.last)


def advance(expiry: Expiry, oracle: Oracle, now: float, until_s: float) -> None:
    """Turns on time up to `until_s`, each checked."""
    while (wait_s := expiry.timeout(now)) is not None and now + wait_s <= until_s:
        now += wait_s
        oracle.check(expiry.expired(now, 100), now)


@each_strategy
@settings(max_examples=300)
@given(script=steps)
def test_it_agrees_with_a_naive_oracle_after_every_step(strategy: IdleStrategy, script: list[Step]) -> None:
    expiry, oracle, now = make(strategy), Oracle(strategy), 0.0
    for what, number in script:
        if what == "touch":
            oracle.touch(number, now)
            expiry.touch(number, now)
        elif what == "forget":
            oracle.last.pop(number, None)
            expiry.forget(number)
        else:
            if what == "wait":
                advance(expiry, oracle, now, now + number / 8)
            now += number / 8
            oracle.check(expiry.expired(now, 100), now)
        assert (expiry.timeout(now) is None) == (not oracle.last)


@given(script=steps, budget=st.integers(1, 3))
def test_deadline_gives_exactly_those_due_and_the_oldest_first(script: list[Step], budget: int) -> None:
    expiry, oracle, now = make("deadline"), Oracle("deadline"), 0.0
    for what, number in script:
        if what == "touch":
            oracle.touch(number, now)
            expiry.touch(number, now)
        elif what == "forget":
            oracle.last.pop(number, None)
            expiry.forget(number)
        else:
            now += number / 8
            due = sorted((oracle.due(id), id) for id in oracle.last if oracle.due(id) <= now)
            assert expiry.expired(now, budget) == [(id, at) for at, id in due[:budget]]
            assert (expiry.timeout(now) == 0.0) == (len(due) > budget)
            for _, id in due[:budget]:
                del oracle.last[id]


# What each is for


def test_one_busy_client_keeps_all_alive_under_poll_only() -> None:
    survivors: dict[str, set[int]] = {}
    for strategy in STRATEGIES:
        expiry = make(strategy)
        alive = {1, 2}
        expiry.touch(1, 0.0)
        for second in range(20):
            expiry.touch(2, float(second))
            alive -= {id for id, _, _ in turns(expiry, float(second), second + 0.9)}
        survivors[strategy] = alive
    assert survivors == {"poll": {1, 2}, "sweep": {2}, "deadline": {2}}


def test_under_poll_all_are_due_together_whenever_active() -> None:
    expiry = Poll(4.0)
    for id in (1, 2, 3):
        expiry.touch(id, float(id))
    assert expiry.timeout(3.0) == 4.0
    assert sorted(expiry.expired(7.5, 10)) == [(1, 7.0), (2, 7.0), (3, 7.0)]


def test_a_verdict_of_poll_stands_and_spares_newcomers() -> None:
    expiry = Poll(4.0)
    for id in (1, 2, 3):
        expiry.touch(id, 0.0)
    first = expiry.expired(4.0, 1)
    expiry.touch(EVENT, 5.0)
    expiry.touch(4, 5.0)
    assert expiry.timeout(5.0) == 0.0
    assert sorted(first + expiry.expired(5.0, 10)) == [(1, 4.0), (2, 4.0), (3, 4.0)]
    assert expiry.timeout(5.0) == 4.0
    assert expiry.expired(9.0, 10) == [(4, 9.0)]


def test_sweeps_come_one_interval_apart_from_the_first_touch() -> None:
    expiry = Sweep(100.0, 5.0)
    expiry.touch(1, 10.0)
    expiry.touch(2, 12.0)
    assert expiry.timeout(12.0) == 3.0
    assert expiry.expired(15.5, 10) == []
    assert expiry.timeout(15.5) == 5.0


def test_sweeping_starts_afresh_when_the_table_was_empty() -> None:
    expiry = Sweep(100.0, 5.0)
    expiry.touch(1, 0.0)
    expiry.forget(1)
    expiry.touch(2, 1000.0)
    assert expiry.timeout(1000.0) == 5.0


def test_a_sweep_expires_nobody_between_two_intervals() -> None:
    expiry = Sweep(4.0, 3.0)
    expiry.touch(1, 0.0)
    assert expiry.expired(3.0, 10) == []
    assert expiry.expired(5.9, 10) == []
    assert expiry.expired(6.0, 10) == [(1, 4.0)]


def test_a_sweep_looks_at_a_bounded_number_in_one_call() -> None:
    expiry = Sweep(100.0, 1.0)
    for id in range(1, MANY + 1):
        expiry.touch(id, 0.0)
    calls = 0
    while expiry.timeout(1.0) == 0.0:
        assert expiry.expired(1.0, 64) == []
        calls += 1
    assert calls == MANY / EXAMINED_PER_CALL
    assert expiry.timeout(1.0) == 1.0


def test_a_sweep_goes_on_over_a_table_that_changes_under_it() -> None:
    expiry = Sweep(4.0, 4.0)
    for id in range(1, MANY + 1):
        expiry.touch(id, 0.0)
    gone = {id for id, _ in expiry.expired(4.0, MANY)}
    waiting = sorted(set(range(1, MANY + 1)) - gone)
    for id in waiting[::3]:
        expiry.forget(id)
    for id in waiting[1::3]:
        expiry.touch(id, 4.0)
    for id in range(MANY + 1, 2 * MANY):
        expiry.touch(id, 4.0)
    rest: set[int] = set()
    while expiry.timeout(4.0) == 0.0:
        rest |= {id for id, _ in expiry.expired(4.0, MANY)}
    assert rest == set(waiting[2::3])
    assert expiry.timeout(4.0) == 4.0


def test_a_sweep_whose_table_empties_under_it_is_over() -> None:
    expiry = Sweep(4.0, 1.0)
    for id in range(1, 3001):
        expiry.touch(id, 0.0)
    expiry.expired(1.0, 10)
    assert expiry.timeout(1.0) == 0.0
    for id in range(1, 3001):
        expiry.forget(id)
    assert expiry.timeout(1.0) is None
    expiry.touch(3001, 2.0)
    assert expiry.timeout(2.0) == 1.0


def test_deadline_repairs_are_bounded_a_call_and_one_for_each_id() -> None:
    expiry = Deadline(4.0)
    for moment in (0.0, 3.0):
        for id in range(1, MANY + 1):
            expiry.touch(id, moment)
    calls = 0
    while expiry.timeout(4.0) == 0.0:
        assert expiry.expired(4.0, 64) == []
        calls += 1
    assert calls == MANY / REPAIRS_PER_CALL
    assert expiry.timeout(4.0) == 3.0


def test_a_crowd_that_leaves_takes_its_deadlines_with_it() -> None:
    expiry = Deadline(1e6)
    for id in range(1, MANY + 1):
        expiry.touch(id, float(id))
    for id in range(1, MANY):
        expiry.forget(id)
    assert footprint_bytes(expiry) < 5000
    assert expiry.expired(MANY + 1e6, 10) == [(MANY, MANY + 1e6)]


def test_a_crowd_that_expires_keeps_no_entries_of_forgotten_ids() -> None:
    expiry = Deadline(4.0)
    for id in range(1, MANY + 1):
        expiry.touch(id, 0.0 if id % 2 else 1.0)
    for id in range(2, MANY + 1, 2):
        expiry.forget(id)
    assert len(expiry.expired(4.0, MANY)) == MANY / 2
    assert footprint_bytes(expiry) < 5000


def test_an_id_forgotten_and_touched_often_wakes_once_in_vain() -> None:
    expiry = Deadline(4.0)
    for count in range(30):
        expiry.touch(1, count * 0.1)
        expiry.forget(1)
    expiry.touch(1, 3.0)
    assert expiry.timeout(3.0) == 1.0
    assert expiry.expired(4.0, 10) == []
    assert expiry.timeout(4.0) == 3.0
    assert expiry.expired(7.0, 10) == [(1, 7.0)]
