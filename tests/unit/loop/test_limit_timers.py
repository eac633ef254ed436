import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.loop.limit_timers import REPAIRS_PER_CALL, BackdatedLimit, Limit

TIMEOUT_S = 4.0
MANY = 10_000
each_kind = pytest.mark.parametrize("kind", [Limit, BackdatedLimit])


def a_crowd(kind: type[Limit] | type[BackdatedLimit], now: float = 0.0) -> Limit | BackdatedLimit:
    """A limit that ten thousand are under."""
    limit = kind(TIMEOUT_S)
    for id in range(1, MANY + 1):
        limit.touch(id, now)
    return limit


def kept(limit: Limit | BackdatedLimit) -> int:
    """How many entries it has, of whomever."""
    return max(len(limit.last_s), len(limit.heap) if isinstance(limit, BackdatedLimit) else 0)


@each_kind
def test_a_crowd_comes_in_slices_the_oldest_first(kind: type[Limit]) -> None:
    limit = kind(TIMEOUT_S)
    for id in range(1, MANY + 1):
        limit.touch(id, id / MANY)
    gone: list[tuple[int, float]] = []
    while limit.timeout(10.0) == 0.0:
        slice_ = limit.expired(10.0, 64)
        assert 0 < len(slice_) <= 64
        gone += slice_
    assert gone == [(id, id / MANY + TIMEOUT_S) for id in range(1, MANY + 1)]
    assert limit.timeout(10.0) == math.inf and limit.expired(1e9, 1) == []


@each_kind
def test_an_infinite_limit_ends_for_nobody(kind: type[Limit]) -> None:
    limit = kind(math.inf)
    limit.touch(1, 0.0)
    assert limit.timeout(1e9) == math.inf and limit.expired(1e9, 10) == []


@pytest.mark.promise("turn-timers")
@each_kind
def test_touches_and_visits_leave_no_entries_behind(kind: type[Limit]) -> None:
    limit = kind(1e6)
    limit.touch(1, 0.0)
    for id in range(2, MANY):
        limit.touch(1, id * 0.001)
        limit.touch(id, id * 0.001)
        limit.forget(id)
    assert kept(limit) <= 2 + 64


@pytest.mark.promise("turn-timers")
@each_kind
def test_a_crowd_that_left_or_expired_keeps_no_entries(kind: type[Limit]) -> None:
    limit = kind(TIMEOUT_S)
    for id in range(1, MANY + 1):
        limit.touch(id, 0.0 if id % 2 else 1.0)
    for id in range(2, MANY + 1, 2):
        limit.forget(id)
    assert kept(limit) <= MANY + 64
    assert len(limit.expired(4.0, MANY)) == MANY / 2
    assert kept(limit) <= 64


def test_a_renewal_counts_for_those_that_are_known() -> None:
    limit = Limit(TIMEOUT_S)
    limit.touch(1, 0.0)
    limit.touch(2, 0.0)
    limit.renew(1, 1.0)
    limit.renew(3, 1.0)
    assert limit.expired(100.0, 10) == [(2, 4.0), (1, 5.0)]


def test_repairs_are_bounded_a_call_and_one_for_each_id() -> None:
    limit = a_crowd(BackdatedLimit)
    for id in range(1, MANY + 1):
        limit.touch(id, 3.0)
    calls = 0
    while limit.timeout(4.0) == 0.0:
        assert limit.expired(4.0, 64) == []
        calls += 1
    assert calls == MANY / REPAIRS_PER_CALL
    assert limit.timeout(4.0) == 3.0


def test_an_id_forgotten_and_touched_often_wakes_once_in_vain() -> None:
    limit = BackdatedLimit(TIMEOUT_S)
    for count in range(31):
        limit.forget(1)
        limit.touch(1, count * 0.1)
    assert limit.timeout(3.0) == 1.0
    assert limit.expired(4.0, 10) == []
    assert limit.timeout(4.0) == 3.0
    assert limit.expired(7.0, 10) == [(1, 7.0)]


# Against a model: times are multiples of 1/8 s, so that sums are exact.

Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(st.just("touch"), st.integers(1, 6), st.integers(0, 30))
    | st.tuples(st.just("forget"), st.integers(1, 6), st.just(0))
    | st.tuples(st.just("wait"), st.integers(1, 40), st.just(0)),
    max_size=60,
)


@each_kind
@given(script=steps, budget=st.integers(1, 3))
def test_limit_gives_exactly_those_due_and_the_oldest_first(
    kind: type[Limit] | type[BackdatedLimit], script: list[Step], budget: int
) -> None:
    """A time may lie in the past, where the kind allows it, but behind no earlier one of its id."""
    limit, now = kind(TIMEOUT_S), 0.0
    last: dict[int, float] = {}
    newest = dict.fromkeys(range(7), 0.0)
    for what, number, ago in script:
        if what == "touch":
            newest[number] = now if kind is Limit else max(newest[number], now - ago / 8)
            last.pop(number, None)
            last[number] = newest[number]
            limit.touch(number, newest[number])
        elif what == "forget":
            last.pop(number, None)
            limit.forget(number)
        else:
            now += number / 8
            due = [(id, at + TIMEOUT_S) for id, at in last.items() if at + TIMEOUT_S <= now]
            if kind is BackdatedLimit:
                due.sort(key=lambda pair: (pair[1], pair[0]))
            assert limit.expired(now, budget) == due[:budget]
            assert (limit.timeout(now) == 0.0) == (len(due) > budget)
            for id, _ in due[:budget]:
                del last[id]
        assert dict(limit.last_s) == last
