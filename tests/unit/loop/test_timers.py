import math
import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.config.settings import IdleStrategy
from hub.loop.timers import EXAMINED_PER_CALL, REPAIRS_PER_CALL, Deadline, Expiry, Poll, Sweep, make_expiry

TIMEOUT_S = 4.0
INTERVAL_S = 1.0
LATEST_S = {"poll": 0.0, "sweep": INTERVAL_S, "deadline": 0.0}
MANY = 10_000

STRATEGIES: list[IdleStrategy] = ["poll", "sweep", "deadline"]
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def make(strategy: IdleStrategy, timeout_s: float = TIMEOUT_S) -> Expiry:
    return make_expiry(strategy, timeout_s, INTERVAL_S)


def turns(expiry: Expiry, now: float, until_s: float) -> Iterator[tuple[int, float, float]]:
    """What a loop does that wakes exactly when told: (id, due, decided) of everyone who expires."""
    while (now := now + expiry.timeout(now)) <= until_s:
        for id, due in expiry.expired(now, 100):
            yield id, due, now


def touch_many(expiry: Expiry, now: float) -> None:
    for id in range(1, MANY + 1):
        expiry.touch(id, now)


def calls_until_done(expiry: Expiry, now: float) -> int:
    """How many calls it takes that have nobody to expire."""
    calls = 0
    while expiry.timeout(now) == 0.0:
        assert expiry.expired(now, 64) == []
        calls += 1
    return calls


def footprint_bytes(expiry: Expiry) -> int:
    """How much it holds, whatever it holds it in."""
    return len(pickle.dumps(expiry))


# What all strategies promise.


@each_strategy
def test_an_idle_client_expires_in_time_and_once(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    assert expiry.timeout(5.0) == math.inf
    expiry.touch(7, 10.0)
    [(id, due, decided)] = turns(expiry, 10.0, 100.0)
    assert (id, due) == (7, 14.0)
    assert due <= decided <= due + LATEST_S[strategy]
    assert expiry.timeout(100.0) == math.inf
    assert expiry.expired(1000.0, 10) == []


@each_strategy
def test_ten_thousand_equal_deadlines_come_in_slices_at_once(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    touch_many(expiry, 0.0)
    gone: list[tuple[int, float]] = []
    calls = 0
    while expiry.timeout(TIMEOUT_S) == 0.0:
        slice_ = expiry.expired(TIMEOUT_S, 64)
        assert 0 < len(slice_) <= 64
        gone += slice_
        calls += 1
    assert sorted(gone) == [(id, TIMEOUT_S) for id in range(1, MANY + 1)]
    assert calls == math.ceil(MANY / 64)
    assert expiry.timeout(TIMEOUT_S) == math.inf


@each_strategy
def test_an_id_active_between_two_slices_is_not_expired_early(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    for id in range(1, 101):
        expiry.touch(id, 0.0)
    gone = {id for id, _ in expiry.expired(4.5, 50)}
    saved, left, *_ = (id for id in range(1, 101) if id not in gone)
    expiry.touch(saved, 4.6)
    expiry.forget(left)
    rest = expiry.expired(4.7, 100)
    assert sorted([*gone, saved, left, *(id for id, _ in rest)]) == list(range(1, 101))
    assert {due for _, due in rest} == {TIMEOUT_S}
    assert [(id, due) for id, due, _ in turns(expiry, 4.7, 100.0)] == [(saved, 4.6 + TIMEOUT_S)]


@pytest.mark.promise("turn-timers")
@each_strategy
def test_many_touches_of_one_client_keep_it_small(strategy: IdleStrategy) -> None:
    expiry = make(strategy)
    for count in range(100_000):
        expiry.touch(1, count * 0.001)
        if count % 100 == 0:
            assert expiry.expired(count * 0.001, 10) == []
    assert footprint_bytes(expiry) < 500


@each_strategy
def test_many_visits_leave_nothing_behind(strategy: IdleStrategy) -> None:
    expiry = make(strategy, 1e6)
    expiry.touch(1, 0.0)
    for id in range(2, MANY):
        expiry.touch(id, id * 0.001)
        expiry.forget(id)
    assert footprint_bytes(expiry) < 5000


@pytest.mark.promise("turn-durations")
@each_strategy
@pytest.mark.parametrize("start_s", [0.0, 86_400.0 * 3650])
@pytest.mark.parametrize("timeout_s", [1e-3, 4.0, 1e9])
def test_tiny_and_huge_timeouts_are_kept(strategy: IdleStrategy, timeout_s: float, start_s: float) -> None:
    expiry = make(strategy, timeout_s)
    expiry.touch(1, start_s)
    assert (
        0.0 < expiry.timeout(start_s) <= max(timeout_s, INTERVAL_S) * 1.001
    )  # Ten years up floats are coarse.
    due = start_s + timeout_s
    just_before_s = math.nextafter(due, -math.inf)
    assert expiry.expired(just_before_s, 10) == []
    assert expiry.timeout(due + 1000.0) == 0.0, "a late loop never waits a negative time"
    assert expiry.expired(due + 1000.0, 10) == [(1, due)]


@each_strategy
def test_a_timeout_of_zero_switches_expiry_off(strategy: IdleStrategy) -> None:
    expiry = make(strategy, 0.0)
    touch_many(expiry, 0.0)
    assert expiry.timeout(1e9) == math.inf
    assert expiry.expired(1e9, 10) == []
    for id in range(1, MANY + 1):
        expiry.forget(id)
    assert footprint_bytes(expiry) < 5000


# Against a naive oracle: times are multiples of 1/8 s, so that sums are exact.

Step = tuple[str, int]
steps = st.lists(
    st.tuples(st.just("touch"), st.integers(1, 6))
    | st.tuples(st.just("event"), st.just(0))
    | st.tuples(st.just("forget"), st.integers(1, 6))
    | st.tuples(st.just("wait"), st.integers(1, 40))
    | st.tuples(st.just("late"), st.integers(1, 80)),
    max_size=60,
)


class Oracle:
    """The definitions, looked up anew for everyone each time, and the strategy that has to agree."""

    def __init__(self, strategy: IdleStrategy) -> None:
        self.expiry, self.latest_s = make(strategy), LATEST_S[strategy]
        self.last: dict[int, float] = {}
        self.last_event = self.now = 0.0

    def do(self, what: str, id: int) -> None:
        """A step in which no time passes."""
        if what == "forget":
            self.last.pop(id, None)
            self.expiry.forget(id)
            return
        self.last_event = self.now
        if what == "touch":
            self.last[id] = self.now
            self.expiry.touch(id, self.now)
        elif isinstance(self.expiry, Poll):
            self.expiry.last_event_s = self.now

    def due(self, id: int) -> float:
        return (self.last_event if isinstance(self.expiry, Poll) else self.last[id]) + TIMEOUT_S

    def check(self) -> None:
        """Everyone that expires was due, with the right due; nobody else is later than they may be."""
        gone = self.expiry.expired(self.now, 100)
        assert gone == [(id, self.due(id)) for id, _ in gone]
        assert all(due <= self.now for _, due in gone)
        for id, _ in gone:
            del self.last[id]
        assert all(self.now < self.due(id) + self.latest_s for id in self.last)


@each_strategy
@settings(max_examples=200)
@given(script=steps)
def test_it_agrees_with_a_naive_oracle_after_every_step(strategy: IdleStrategy, script: list[Step]) -> None:
    oracle = Oracle(strategy)
    for what, number in script:
        if what not in ("wait", "late"):
            oracle.do(what, number)
            continue
        until_s = oracle.now + number / 8
        while what == "wait" and (wakes_s := oracle.now + oracle.expiry.timeout(oracle.now)) <= until_s:
            oracle.now = wakes_s
            oracle.check()
        oracle.now = until_s
        oracle.check()
        assert (oracle.expiry.timeout(oracle.now) == math.inf) == (not oracle.last)


@given(script=steps, budget=st.integers(1, 3))
def test_deadline_gives_exactly_those_due_and_the_oldest_first(script: list[Step], budget: int) -> None:
    oracle = Oracle("deadline")
    for what, number in script:
        if what not in ("wait", "late"):
            oracle.do(what, number)
            continue
        oracle.now += number / 8
        due = sorted((oracle.due(id), id) for id in oracle.last if oracle.due(id) <= oracle.now)
        assert oracle.expiry.expired(oracle.now, budget) == [(id, at) for at, id in due[:budget]]
        assert (oracle.expiry.timeout(oracle.now) == 0.0) == (len(due) > budget)
        for _, id in due[:budget]:
            del oracle.last[id]


# What each is for.


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


def test_a_verdict_of_poll_stands_and_spares_newcomers() -> None:
    expiry = Poll(4.0)
    for id in (1, 2, 3):
        expiry.touch(id, 0.0)
    first = expiry.expired(4.0, 1)
    expiry.touch(4, 5.0)
    assert expiry.timeout(5.0) == 0.0
    assert sorted(first + expiry.expired(5.0, 10)) == [(1, 4.0), (2, 4.0), (3, 4.0)]
    assert expiry.timeout(5.0) == 4.0
    assert expiry.expired(9.0, 10) == [(4, 9.0)]


def test_sweeps_come_one_interval_apart_from_the_first_touch() -> None:
    expiry = Sweep(4.0, 3.0)
    expiry.touch(1, 10.0)
    expiry.touch(2, 11.0)
    assert expiry.timeout(11.0) == 2.0
    assert expiry.expired(13.5, 10) == []
    assert expiry.timeout(13.5) == 3.0
    assert expiry.expired(16.4, 10) == []
    assert sorted(expiry.expired(16.5, 10)) == [(1, 14.0), (2, 15.0)]


def test_a_sweep_looks_at_a_bounded_number_in_one_call() -> None:
    expiry = Sweep(100.0, 1.0)
    touch_many(expiry, 0.0)
    assert calls_until_done(expiry, 1.0) == MANY / EXAMINED_PER_CALL
    assert expiry.timeout(1.0) == 1.0


def test_a_sweep_goes_on_over_a_table_that_changes_under_it() -> None:
    expiry = Sweep(4.0, 4.0)
    touch_many(expiry, 0.0)
    gone = {id for id, _ in expiry.expired(4.0, MANY)}
    waiting = sorted(set(range(1, MANY + 1)) - gone)
    for id in waiting[::3]:
        expiry.forget(id)
    for id in [*waiting[1::3], *range(MANY + 1, 2 * MANY)]:
        expiry.touch(id, 4.0)
    rest: set[int] = set()
    while expiry.timeout(4.0) == 0.0:
        rest |= {id for id, _ in expiry.expired(4.0, MANY)}
    assert rest == set(waiting[2::3])
    assert expiry.timeout(4.0) == 4.0


def test_a_sweep_whose_table_empties_under_it_is_over() -> None:
    expiry = Sweep(4.0, 1.0)
    touch_many(expiry, 0.0)
    expiry.expired(1.0, 10)
    assert expiry.timeout(1.0) == 0.0
    for id in range(1, MANY + 1):
        expiry.forget(id)
    assert expiry.timeout(1.0) == math.inf
    expiry.touch(1, 2.0)
    assert expiry.timeout(2.0) == 1.0


def test_deadline_repairs_are_bounded_a_call_and_one_for_each_id() -> None:
    expiry = Deadline(4.0)
    touch_many(expiry, 0.0)
    touch_many(expiry, 3.0)
    assert calls_until_done(expiry, 4.0) == MANY / REPAIRS_PER_CALL
    assert expiry.timeout(4.0) == 3.0


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
    for count in range(31):
        expiry.forget(1)
        expiry.touch(1, count * 0.1)
    assert expiry.timeout(3.0) == 1.0
    assert expiry.expired(4.0, 10) == []
    assert expiry.timeout(4.0) == 3.0
    assert expiry.expired(7.0, 10) == [(1, 7.0)]
