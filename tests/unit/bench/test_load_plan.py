"""The schedule of an open loop."""

import select
import socket
from itertools import pairwise

import pytest

from bench.load.plan import WAIT_S, Plan, wait
from tests.support import until

RATE = 100_000.0


def test_moments_are_evenly_spaced_and_given_once() -> None:
    plan = Plan(RATE)
    plan.start()
    moments = until(lambda: list(plan.due()))
    moments += until(lambda: list(plan.due()))
    steps = {later - before for before, later in pairwise(moments)}
    assert steps <= {10_000}
    assert len(moments) > 1


def test_the_first_moment_is_the_start() -> None:
    plan = Plan(0.001)
    plan.start()
    assert len(list(plan.due())) == 1
    assert list(plan.due()) == []


def test_the_wait_goes_to_the_next_moment_and_has_an_end() -> None:
    rare, often = Plan(0.001), Plan(1.0 / (WAIT_S / 2))
    for plan in (rare, often):
        plan.start()
        assert list(plan.due())
    assert rare.wait_s() == WAIT_S
    assert 0.0 <= often.wait_s() <= WAIT_S / 2


@pytest.mark.parametrize("timeout_s", [0.0, 0.0005, 5.0])
def test_a_wait_ends_with_the_first_event(timeout_s: float) -> None:
    left, right = socket.socketpair()
    with left, right, select.epoll() as epoll:
        epoll.register(right, select.EPOLLIN)
        left.send(b"x")
        assert wait(epoll, timeout_s) == [(right.fileno(), select.EPOLLIN)]
