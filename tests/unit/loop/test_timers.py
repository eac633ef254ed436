import math
import sys
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.config.settings import IdleStrategy
from hub.loop.timers import EXAMINED_PER_CALL, Deadline, Expiry, Poll, Sweep, make_expiry
from hub.session.timed import Timed, after

TIMEOUT_S = 4.0
WARN_AFTER_S = 2.5
INTERVAL_S = 1.0
LATEST_S = {"poll": 0.0, "sweep": INTERVAL_S, "deadline": 0.0}
MANY = 10_000

STRATEGIES: list[IdleStrategy] = ["poll", "sweep", "deadline"]
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
each_that_warns = pytest.mark.parametrize("strategy", ["sweep", "deadline"])


class Crowd:
    """A strategy, and the clients that it was told of, by id."""

    def __init__(self, expiry: Expiry) -> None:
        self.expiry = expiry
        self.known: dict[int, Timed] = {}

    def touch(self, id: int, now: float) -> None:
        self.expiry.touch(self.known.setdefault(id, Timed(id, now)), now)

    def touch_many(self, now: float) -> None:
        for id in range(1, MANY + 1):
            self.touch(id, now)

    def forget(self, id: int) -> None:
        self.expiry.forget(self.known[id])

    def kept(self) -> list[int]:
        """The ids in the list, in its order."""
        timed, end, ids = self.expiry.clients.first, self.expiry.clients.end, []
        while timed is not end:
            ids.append(timed.id)
            timed = after(timed)
        return ids

    def turns(self, now: float, until_s: float) -> Iterator[tuple[int, float, float]]:
        """What a loop does that wakes exactly when told: (id, due, decided) of everyone who expires."""
        while (now := now + self.expiry.timeout(now)) <= until_s:
            for id, due in self.expiry.expired(now, 100):
                yield id, due, now


def a_crowd(strategy: IdleStrategy, timeout_s: float = TIMEOUT_S, *, warn_after_s: float = math.inf) -> Crowd:
    return Crowd(make_expiry(strategy, timeout_s, INTERVAL_S, warn_after_s))


def calls_until_done(expiry: Expiry, now: float) -> int:
    """How many calls it takes that have nobody to expire."""
    calls = 0
    while expiry.timeout(now) == 0.0:
        assert expiry.expired(now, 64) == []
        calls += 1
    return calls


# What all strategies promise.


@each_strategy
def test_an_idle_client_expires_in_time_and_once(strategy: IdleStrategy) -> None:
    crowd = a_crowd(strategy)
    assert crowd.expiry.timeout(5.0) == math.inf
    crowd.touch(7, 10.0)
    [(id, due, decided)] = crowd.turns(10.0, 100.0)
    assert (id, due) == (7, 14.0)
    assert due <= decided <= due + LATEST_S[strategy]
    assert crowd.expiry.timeout(100.0) == math.inf
    assert crowd.expiry.expired(1000.0, 10) == []


@each_strategy
def test_ten_thousand_equal_deadlines_come_in_slices_at_once(strategy: IdleStrategy) -> None:
    crowd = a_crowd(strategy)
    crowd.touch_many(0.0)
    gone: list[tuple[int, float]] = []
    calls = 0
    while crowd.expiry.timeout(TIMEOUT_S) == 0.0:
        slice_ = crowd.expiry.expired(TIMEOUT_S, 64)
        assert 0 < len(slice_) <= 64
        gone += slice_
        calls += 1
    assert sorted(gone) == [(id, TIMEOUT_S) for id in range(1, MANY + 1)]
    assert calls == math.ceil(MANY / 64)
    assert crowd.expiry.timeout(TIMEOUT_S) == math.inf


@each_strategy
def test_an_id_active_between_two_slices_is_not_expired_early(strategy: IdleStrategy) -> None:
    crowd = a_crowd(strategy)
    for id in range(1, 101):
        crowd.touch(id, 0.0)
    gone = {id for id, _ in crowd.expiry.expired(4.5, 50)}
    saved, left, *_ = (id for id in range(1, 101) if id not in gone)
    crowd.touch(saved, 4.6)
    crowd.forget(left)
    rest = crowd.expiry.expired(4.7, 100)
    assert sorted([*gone, saved, left, *(id for id, _ in rest)]) == list(range(1, 101))
    assert {due for _, due in rest} == {TIMEOUT_S}
    assert [(id, due) for id, due, _ in crowd.turns(4.7, 100.0)] == [(saved, 4.6 + TIMEOUT_S)]


@pytest.mark.promise("turn-timers")
@each_strategy
def test_many_touches_of_one_client_keep_one_entry(strategy: IdleStrategy) -> None:
    crowd = a_crowd(strategy)
    for count in range(100_000):
        crowd.touch(1, count * 0.001)
        if count % 100 == 0:
            assert crowd.expiry.expired(count * 0.001, 10) == []
    assert crowd.kept() == [1]


@pytest.mark.promise("turn-timers")
@each_strategy
def test_clients_that_left_are_held_by_nobody(strategy: IdleStrategy) -> None:
    """Reference counts alone free them: nothing waits for the garbage collector."""
    crowd = a_crowd(strategy)
    crowd.touch_many(0.0)
    for id in range(1, MANY, 2):
        crowd.forget(id)
    assert len(crowd.kept()) == MANY / 2
    assert len(crowd.expiry.expired(TIMEOUT_S, 100)) == 100
    assert len(crowd.kept()) == MANY / 2 - 100
    still = set(crowd.kept())
    left = [timed for id, timed in crowd.known.items() if id not in still]
    crowd.known.clear()
    assert not [timed for timed in left if timed.earlier or timed.later]
    assert {sys.getrefcount(timed) for timed in left} == {sys.getrefcount(Timed(1, 0.0)) + 2}


@each_strategy
def test_forgetting_a_client_that_is_not_known_does_nothing(strategy: IdleStrategy) -> None:
    crowd, stranger = a_crowd(strategy), Timed(9, 0.0)
    crowd.expiry.forget(stranger)
    crowd.touch(1, 0.0)
    crowd.expiry.forget(stranger)
    crowd.forget(1)
    crowd.forget(1)
    assert crowd.kept() == [] and crowd.expiry.timeout(0.0) == math.inf


@pytest.mark.promise("turn-durations")
@each_strategy
@pytest.mark.parametrize("start_s", [0.0, 86_400.0 * 3650])
@pytest.mark.parametrize("timeout_s", [1e-3, 4.0, 1e9])
def test_tiny_and_huge_timeouts_are_kept(strategy: IdleStrategy, timeout_s: float, start_s: float) -> None:
    crowd = a_crowd(strategy, timeout_s)
    expiry = crowd.expiry
    crowd.touch(1, start_s)
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
    crowd = a_crowd(strategy, 0.0)
    crowd.touch_many(0.0)
    assert crowd.expiry.timeout(1e9) == math.inf
    assert crowd.expiry.expired(1e9, 10) == [] and crowd.expiry.warned(1e9, 10) == []
    for id in range(1, MANY + 1):
        crowd.forget(id)
    assert crowd.kept() == []


# A million clients. Work is counted, not timed: whom a call hands out, and how much memory it takes.


def peak_bytes(call: Callable[[], object]) -> int:
    """The most memory that a call held at any time."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.promise("turn-timers")
@each_strategy
def test_a_million_clients_are_never_worked_on_at_once(strategy: IdleStrategy) -> None:
    """No call copies or grows a table, and however large its budget, a walk looks at its thousand only."""
    expiry, now = make_expiry(strategy, TIMEOUT_S, INTERVAL_S, WARN_AFTER_S), 0.5 + TIMEOUT_S
    slices: list[list[tuple[int, float]]] = []
    clients = [Timed(id, 0.0) for id in range(1_000_000)]
    for timed in clients:
        expiry.touch(timed, 0.0)
    assert peak_bytes(lambda: [expiry.touch(timed, 0.5) for timed in clients[500_000:500_010]]) < 10_000
    assert peak_bytes(lambda: [expiry.forget(timed) for timed in clients[700_000:700_010]]) < 10_000
    for _ in range(3):
        assert peak_bytes(lambda: slices.append(expiry.expired(now, 100))) < 50_000
    assert [len(slice_) for slice_ in slices] == [100, 100, 100]
    most = 1_000_000 if strategy != "deadline" else EXAMINED_PER_CALL
    assert len(expiry.expired(now, most)) == EXAMINED_PER_CALL
    assert peak_bytes(lambda: expiry.warned(now, 100)) < 50_000


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
        self.crowd, self.latest_s = a_crowd(strategy, warn_after_s=WARN_AFTER_S), LATEST_S[strategy]
        self.expiry, self.warns = self.crowd.expiry, strategy != "poll"
        self.last: dict[int, float] = {}
        """In the order of these times."""
        self.warned: set[int] = set()
        """Those that were warned since they were last active."""
        self.last_event = self.now = 0.0

    def do(self, what: str, id: int) -> None:
        """A step in which no time passes."""
        if what == "forget":
            if self.last.pop(id, None) is not None:
                self.crowd.forget(id)
            return
        self.last_event = self.now
        if what == "touch":
            self.last.pop(id, None)
            self.last[id] = self.now
            self.warned.discard(id)
            self.crowd.touch(id, self.now)
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
        self.check_warnings(self.expiry.warned(self.now, 100))

    def check_warnings(self, warned: list[int]) -> None:
        """The same of those that are warned, each once after an activity."""
        assert self.warned.isdisjoint(warned) and len(set(warned)) == len(warned)
        assert all(self.last[id] + WARN_AFTER_S <= self.now for id in warned)
        assert self.warns or not warned
        self.warned.update(warned)
        for id in self.last.keys() - self.warned if self.warns else ():
            assert self.now < self.last[id] + WARN_AFTER_S + self.latest_s


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
        assert sorted(oracle.crowd.kept()) == sorted(oracle.last)


@given(script=steps, budget=st.integers(1, 3))
def test_deadline_gives_exactly_those_due_and_the_oldest_first(script: list[Step], budget: int) -> None:
    oracle = Oracle("deadline")
    for what, number in script:
        if what not in ("wait", "late"):
            oracle.do(what, number)
            continue
        oracle.now += number / 8
        due = [(id, oracle.due(id)) for id in oracle.last if oracle.due(id) <= oracle.now]
        assert oracle.expiry.expired(oracle.now, budget) == due[:budget]
        for id, _ in due[:budget]:
            del oracle.last[id]
        late_s = oracle.now - WARN_AFTER_S
        to_warn = [id for id, at in oracle.last.items() if at <= late_s and id not in oracle.warned]
        assert oracle.expiry.warned(oracle.now, budget) == to_warn[:budget]
        oracle.warned.update(to_warn[:budget])
        has_work = len(due) > budget or len(to_warn) > budget
        assert (oracle.expiry.timeout(oracle.now) == 0.0) == has_work


# What each is for.


def test_one_busy_client_keeps_all_alive_under_poll_only() -> None:
    survivors: dict[str, set[int]] = {}
    for strategy in STRATEGIES:
        crowd = a_crowd(strategy)
        alive = {1, 2}
        crowd.touch(1, 0.0)
        for second in range(20):
            crowd.touch(2, float(second))
            alive -= {id for id, _, _ in crowd.turns(float(second), second + 0.9)}
        survivors[strategy] = alive
    assert survivors == {"poll": {1, 2}, "sweep": {2}, "deadline": {2}}


def test_a_verdict_of_poll_stands_and_spares_newcomers() -> None:
    crowd = Crowd(Poll(4.0))
    for id in (1, 2, 3):
        crowd.touch(id, 0.0)
    first = crowd.expiry.expired(4.0, 1)
    crowd.touch(4, 5.0)
    assert crowd.expiry.timeout(5.0) == 0.0
    assert sorted(first + crowd.expiry.expired(5.0, 10)) == [(1, 4.0), (2, 4.0), (3, 4.0)]
    assert crowd.expiry.timeout(5.0) == 4.0
    assert crowd.expiry.expired(9.0, 10) == [(4, 9.0)]


def test_sweeps_come_one_interval_apart_from_the_first_touch() -> None:
    crowd = Crowd(Sweep(4.0, 3.0))
    crowd.touch(1, 10.0)
    crowd.touch(2, 11.0)
    assert crowd.expiry.timeout(11.0) == 2.0
    assert crowd.expiry.expired(13.5, 10) == []
    assert crowd.expiry.timeout(13.5) == 3.0
    assert crowd.expiry.expired(16.4, 10) == []
    assert sorted(crowd.expiry.expired(16.5, 10)) == [(1, 14.0), (2, 15.0)]


def test_a_sweep_looks_at_a_bounded_number_in_one_call() -> None:
    crowd = Crowd(Sweep(100.0, 1.0))
    crowd.touch_many(0.0)
    assert calls_until_done(crowd.expiry, 1.0) == MANY / EXAMINED_PER_CALL
    assert crowd.expiry.timeout(1.0) == 1.0


def test_a_sweep_goes_on_over_a_list_that_changes_under_it() -> None:
    crowd = Crowd(Sweep(4.0, 4.0))
    crowd.touch_many(0.0)
    gone = {id for id, _ in crowd.expiry.expired(4.0, MANY)}
    waiting = sorted(set(range(1, MANY + 1)) - gone)
    for id in waiting[::3]:
        crowd.forget(id)
    for id in [*waiting[1::3], *range(MANY + 1, 2 * MANY)]:
        crowd.touch(id, 4.0)
    rest: set[int] = set()
    while crowd.expiry.timeout(4.0) == 0.0:
        rest |= {id for id, _ in crowd.expiry.expired(4.0, MANY)}
    assert rest == set(waiting[2::3])
    assert crowd.expiry.timeout(4.0) == 4.0


def test_a_sweep_whose_list_empties_under_it_is_over() -> None:
    crowd = Crowd(Sweep(4.0, 1.0))
    crowd.touch_many(0.0)
    crowd.expiry.expired(1.0, 10)
    assert crowd.expiry.timeout(1.0) == 0.0
    for id in range(1, MANY + 1):
        crowd.forget(id)
    assert crowd.expiry.timeout(1.0) == math.inf
    crowd.touch(1, 2.0)
    assert crowd.expiry.timeout(2.0) == 1.0


def test_a_client_busy_until_it_left_wakes_nobody_in_vain() -> None:
    crowd = Crowd(Deadline(4.0))
    for count in range(31):
        crowd.touch(1, count * 0.1)
        crowd.touch(2, count * 0.1)
    crowd.forget(1)
    assert crowd.expiry.timeout(3.0) == 4.0
    assert crowd.expiry.expired(7.0, 10) == [(2, 7.0)]


# The warning.


@each_that_warns
def test_warnings_come_in_slices_and_each_client_has_one(strategy: IdleStrategy) -> None:
    crowd = a_crowd(strategy, warn_after_s=WARN_AFTER_S)
    for id in range(1, 11):
        crowd.touch(id, 0.0)
    slices = []
    while crowd.expiry.timeout(3.0) == 0.0:
        assert crowd.expiry.expired(3.0, 4) == []
        slices.append(crowd.expiry.warned(3.0, 4))
    assert [id for slice_ in slices for id in slice_] == list(range(1, 11))
    assert max(map(len, slices)) == 4
    assert len(crowd.expiry.expired(5.0, 100)) == 10 and crowd.expiry.warned(5.0, 100) == []


@each_that_warns
def test_a_client_active_after_its_warning_is_warned_anew(strategy: IdleStrategy) -> None:
    crowd = a_crowd(strategy, warn_after_s=WARN_AFTER_S)
    warned_at: list[tuple[float, list[int]]] = []
    for id in (1, 2, 3):
        crowd.touch(id, 0.0)
    for now in (3.0, 3.5, 6.0):
        assert {id for id, _ in crowd.expiry.expired(now, 10)} == ({2, 3} if now == 6.0 else set())
        warned_at.append((now, crowd.expiry.warned(now, 10)))
        if now == 3.0:
            crowd.touch(1, now)
    assert warned_at == [(3.0, [1, 2, 3]), (3.5, []), (6.0, [1])]


@each_that_warns
def test_the_client_warned_last_may_leave(strategy: IdleStrategy) -> None:
    crowd = a_crowd(strategy, warn_after_s=WARN_AFTER_S)
    for id in range(4):
        crowd.touch(id, id / 8)
    assert crowd.expiry.expired(2.625, 10) == [] and crowd.expiry.warned(2.625, 10) == [0, 1]
    crowd.forget(1)
    assert crowd.expiry.expired(3.75, 10) == [] and crowd.expiry.warned(3.75, 10) == [2, 3]
