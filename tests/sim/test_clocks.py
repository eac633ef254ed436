"""Every clock of the hub on a clock of the test's own: never early, and late by what epoll rounds up.

What real time makes a matter of luck is exact here: who ends at which millisecond, what a leap of an hour
does, how many lines a rate lets through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from socket import socket
from typing import Any, get_args, get_type_hints

import pytest

from hub.config.settings import IdleStrategy, Settings, Trigger
from hub.config.values import YEAR_S, Kind, Rate
from hub.loop.expiry import Expiry
from hub.loop.timers import Deadline, make_expiry
from hub.session.client import Client
from hub.session.read_gate import OUTBOX, ROOM
from tests.conftest import SEED
from tests.fuzz.examples import QUICK_SEED
from tests.sim.stage import BROWSERS, MUCH, PAIRS, Actor, Stage
from tests.unit.protocol.support import request

KIB = 1024
ROUNDED_S = 0.002
"""epoll_wait(2) counts in milliseconds and rounds up; the calls of a turn take some microseconds."""
LINE = b"x" * 63 + b"\n"
each_trigger = pytest.mark.parametrize("trigger", get_args(Trigger))
each_strategy = pytest.mark.parametrize("strategy", get_args(IdleStrategy))


# Each clock, to the millisecond.


def does_nothing() -> tuple[Stage, Client]:
    stage = Stage(mode="echo", idle_timeout_s=7.5)
    return stage, stage.client(stage.join()[0])


def takes_no_answers() -> tuple[Stage, Client]:
    stage = Stage(mode="echo", idle_timeout_s=300.0)
    [actor] = stage.join(reads=False, into=MUCH)
    client = stage.client(actor)
    actor.send(LINE * 16_384)
    return stage, client


def holds_its_room_up() -> tuple[Stage, Client]:
    """Two of three subscribers take nothing; the third says single lines until it has to wait for them."""
    stage = Stage(max_lag_bytes=64 * KIB)
    talker, stuck, _ = stage.join(3, out=640)
    for actor in stage.actors[1:]:
        actor.reads = False
    client, teller = stage.client(stuck), stage.client(talker)
    while not teller.gate.has(ROOM):
        talker.send(LINE * 10)
        stage.rest()
    return stage, client


def shakes_hands_slowly() -> tuple[Stage, Client]:
    stage = Stage()
    [browser] = stage.arrive(listener=BROWSERS)
    browser.remote.outbox.clear()
    browser.tcp.input.clear()
    browser.send(request()[:-2])
    stage.rest()
    return stage, stage.client(browser)


def answers_no_ping() -> tuple[Stage, Client]:
    stage = Stage()
    return stage, stage.client(stage.join(listener=BROWSERS)[0])


CLOCKS: list[tuple[Callable[[], tuple[Stage, Client]], float, str]] = [
    (does_nothing, 7.5, "idle"),
    (takes_no_answers, 10.0, "slow_consumer"),
    (holds_its_room_up, 10.0, "slow_consumer"),
    (shakes_hands_slowly, 5.0, "handshake_timeout"),
    (answers_no_ping, 40.0, "peer_timeout"),
]


@pytest.mark.promise("turn-time-limits")
@pytest.mark.parametrize(
    ("setting", "limit_s", "reason"), CLOCKS, ids=lambda value: getattr(value, "__name__", "")
)
def test_timer_when_due_closes_its_client_to_the_millisecond(
    setting: Callable[[], tuple[Stage, Client]], limit_s: float, reason: str
) -> None:
    """Nothing else happens meanwhile: a limit that needs traffic to be noticed would not be one."""
    stage, client = setting()
    began = stage.kernel.now
    stage.rest()
    stage.pass_time(limit_s - 2 * ROUNDED_S)
    assert client.close.reason is None
    stage.pass_time(4 * ROUNDED_S)
    assert client.close.reason == reason
    assert client.close.due is not None and client.close.decided is not None
    assert 0 <= client.close.decided - client.close.due <= ROUNDED_S
    assert abs(client.close.due - began - limit_s) <= ROUNDED_S
    assert stage.balances()


@pytest.mark.promise("turn-time-limits")
def test_progress_timer_after_a_few_bytes_starts_anew() -> None:
    stage, client = takes_no_answers()
    [actor] = stage.actors
    stage.rest()
    for _ in range(5):
        stage.pass_time(9.9)
        assert client.close.reason is None
        size = len(actor.got)
        actor.takes(actor.tcp._sndbuf)  # Less, and the kernel says nothing: a third has to be free.
        stage.rest()
        assert len(actor.got) > size
        taken_at = stage.kernel.now
    stage.pass_time(10.1)
    assert client.close.reason == "slow_consumer"
    assert client.close.due == pytest.approx(taken_at + 10.0, abs=ROUNDED_S)


@pytest.mark.promise("turn-time-limits")
def test_progress_timer_once_half_is_taken_is_gone() -> None:
    stage, client = takes_no_answers()
    [actor] = stage.actors
    stage.rest()
    stage.pass_time(9.0)
    actor.reads = True
    stage.rest()
    assert client.id not in stage.hub.timers.progress.last_s
    stage.pass_time(30.0)
    assert client.close.reason is None
    assert client.outbox.is_empty
    assert actor.got == LINE * 16_384


@pytest.mark.promise("limits-stalled-reader")
def test_lag_of_exactly_the_limit_is_allowed_a_line_more_not() -> None:
    stage = Stage(max_lag_bytes=64 * KIB, patience_s=0.0)
    talker, slow, *_ = stage.join(5, out=640)
    slow.reads = False
    client, lines = stage.client(slow), 0
    talker.send(LINE * 10)  # What its kernel takes.
    stage.rest()
    while lines < 64 * KIB // len(LINE):
        talker.send(LINE * 32)
        lines += 32
        stage.rest()
        stage.pass_time(0.01)
    assert client.outbox.lag_bytes == 64 * KIB
    assert client.close.reason is None
    talker.send(LINE)
    stage.rest()
    detail = f"lag={64 * KIB + len(LINE)} limit={64 * KIB}"
    assert (client.close.reason, client.close.detail) == ("slow_consumer", detail)


# A rate, line by line.


@pytest.mark.promise("rate-exact")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_line_rate_lets_through_what_it_says_and_loses_nothing(trigger: str, read: str) -> None:
    """A thousand lines a second against 10/s:20. After ten seconds 120 are through, after 58 all 600."""
    stage = Stage(mode="echo", trigger=trigger, read=read, line_rate=Rate(10, "s", 20))
    [talker] = stage.join(into=MUCH)
    began, said = stage.kernel.now, 0
    for tenth in range(1, 101):
        if said < 600:
            talker.send(b"".join(b"%d\n" % number for number in range(said, said + 100)))
            said += 100
        stage.pass_time(began + tenth / 10 - stage.kernel.now)
        assert abs(talker.got.count(b"\n") - (20 + tenth)) <= 1, tenth
    assert talker.got.count(b"\n") in (119, 120)
    turns = stage.pass_time(50.0)
    assert talker.got == b"".join(b"%d\n" % number for number in range(600))
    assert not stage.hub.counters.closed
    assert len(turns) <= 50 * 2 * 10 + 50  # Two turns for each line.


# Time that leaps.


@pytest.mark.promise("pause-active")
@pytest.mark.promise("pause-silent")
@each_strategy
@pytest.mark.parametrize(("trigger", "leap_s"), [("level", 3.0), ("edge", 3600.0)])
def test_leap_of_the_clock_keeps_senders_and_closes_the_silent(
    trigger: str, leap_s: float, strategy: str
) -> None:
    """A process that was stopped, a machine that slept. More have sent than one wait reports."""
    stage = Stage(
        mode="echo", trigger=trigger, idle_timeout_s=2.0, idle_strategy=strategy, sweep_interval_s=0.5
    )
    actors = stage.join(1350)
    talkers, silent = actors[::6] + actors[1::6] + actors[2::6] + actors[3::6] + actors[4::6], actors[5::6]
    assert len(talkers) > 1024 and len(silent) > 200
    stage.kernel.now += leap_s
    for number, actor in enumerate(talkers):
        actor.send(b"line %d\n" % number)
    turns = stage.rest()
    assert max(turn.counted["closed"] for turn in turns) <= 256
    assert max(turn.count("peek") for turn in turns) <= 256
    assert all(actor.got == b"line %d\n" % number for number, actor in enumerate(talkers))
    assert not any(stage.settled(actor) for actor in talkers)
    gone = sum(stage.settled(actor) for actor in silent)
    assert gone == (0 if strategy == "poll" else len(silent))  # There one that is busy keeps all alive.
    assert stage.balances()


def answers_wait(trigger: str, count: int) -> tuple[Stage, list[Actor]]:
    """So many who take none of their answers, and so are not read."""
    stage = Stage(mode="echo", trigger=trigger, intake={"outbox_bytes": 1000})
    actors = stage.join(count, reads=False, out=640)
    for _ in range(2):
        for actor in actors:
            actor.send(LINE * 50)
        stage.rest()
    assert all(stage.client(actor).gate.has(OUTBOX) for actor in actors)
    return stage, actors


def take(actors: Iterable[Actor]) -> None:
    for actor in actors:
        actor.reads = True


@pytest.mark.promise("pause-active")
@each_trigger
def test_leap_of_the_clock_keeps_clients_that_took_answers(trigger: str) -> None:
    """The same for those that held themselves up: more than one wait reports."""
    stage, actors = answers_wait(trigger, 2500)
    takers, stuck = actors[:2400], actors[2400:]
    stage.kernel.now += 3600.0
    take(reversed(takers))  # Whose time is over first is reported last.
    stage.rest()
    assert stage.hub.counters.closed == {"slow_consumer": len(stuck)}
    assert all(actor.got == LINE * 100 for actor in takers)
    assert stage.balances()


@pytest.mark.promise("pause-active")
@each_trigger
def test_leap_while_others_leave_keeps_clients_that_took(trigger: str) -> None:
    """Whose event is reported is closed while the events of others still wait."""
    stage, takers = answers_wait(trigger, 1980)
    leavers = stage.join(256)
    stage.rest()
    stage.kernel.now += 3600.0
    for leaver in leavers:
        leaver.reset()
    take(reversed(takers))
    stage.rest()
    assert stage.hub.counters.closed == {"peer_reset": len(leavers)}
    assert stage.balances()


@pytest.mark.promise("pause-active")
@each_trigger
def test_leap_between_full_waits_keeps_clients_that_took(trigger: str) -> None:
    stage, takers = answers_wait(trigger, 1100)
    talkers = stage.join(1100)
    for talker in talkers:
        talker.send(LINE)
    stage.turn()
    stage.kernel.now += 3600.0
    for talker in talkers:
        talker.send(LINE)
    take(reversed(takers))
    stage.rest()
    assert not stage.hub.counters.closed
    assert stage.balances()


@pytest.mark.promise("pause-active")
@each_trigger
def test_leap_within_a_turn_keeps_clients_that_took(trigger: str) -> None:
    """What happened since the wait of that turn is known after the next."""
    stage, takers = answers_wait(trigger, 5)
    [talker] = stage.join()
    receive = stage.sockets.receive

    def stand_still(sock: socket, size: int) -> bytes | None:
        stage.sockets.receive = receive  # type: ignore[method-assign]
        stage.kernel.now += 3600.0
        take(takers)
        return receive(sock, size)

    stage.sockets.receive = stand_still  # type: ignore[method-assign]
    talker.send(LINE)
    stage.rest()
    assert not stage.hub.counters.closed
    assert talker.got == LINE and all(taker.got == LINE * 100 for taker in takers)


@pytest.mark.promise("pause-active")
@each_trigger
def test_who_is_silent_goes_though_every_wait_is_full(trigger: str) -> None:
    stage = Stage(mode="echo", trigger=trigger, idle_timeout_s=5.0)
    silent, talkers = stage.join(10), stage.join(1500)
    stage.pass_time(4.9)
    for _ in range(20):
        for talker in talkers:
            talker.send(LINE)
        stage.kernel.now += 0.1
        assert stage.turn().by_fd("recv").total() > 0
        assert stage.hub.poller.round_begins != stage.hub.poller.round_ends
    assert stage.hub.counters.closed == {"idle": len(silent)}


@pytest.mark.promise("pause-silent")
@each_strategy
@pytest.mark.parametrize("leap_s", [61.0, 3600.0])
def test_leap_with_everybody_silent_closes_all_in_slices(leap_s: float, strategy: str) -> None:
    stage = Stage(mode="echo", idle_timeout_s=60.0, idle_strategy=strategy, sweep_interval_s=0.5)
    stage.join(600)
    stage.kernel.now += leap_s
    turns = stage.rest()
    assert [turn.counted["closed"] for turn in turns if turn.counted["closed"]] == [256, 256, 88]
    assert [count for turn in turns if (count := turn.count("peek"))] == [256, 256, 88]
    assert stage.hub.counters.closed == {"idle": 600}


@pytest.mark.promise("turn-crowd")
@pytest.mark.long
@pytest.mark.timeout(300)
@each_strategy
def test_ten_thousand_whose_time_is_over_at_once_take_40_turns(strategy: str) -> None:
    """And each turn somebody else gets its echo (under poll nobody else may say anything)."""
    stage = Stage(
        mode="echo", max_clients=0, idle_timeout_s=60.0, idle_strategy=strategy, sweep_interval_s=0.5
    )
    stage.join(10_000)
    stage.kernel.now += 61.0
    if strategy == "poll":
        stage.turn()
    [talker] = stage.arrive()
    turns = [stage.turn()]
    while len(stage.hub.connections.clients) > 1:
        talker.send(b"hi\n")
        turns.append(stage.turn())
        assert not turns[-1].slept
    assert talker.got == b"hi\n" * (len(turns) - 1)
    assert max(turn.counted["closed"] for turn in turns) <= 256
    assert len(turns) <= 40 + 40  # A sweep looks at 1,000 entries a turn.


# Every duration that a user may type.

DURATIONS: dict[str, Kind] = {
    name: parameter.converter
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    for parameter in getattr(hint, "__metadata__", ())
    if isinstance(parameter.converter, Kind) and parameter.converter.metavar == "TIME"
}
NONSENSE = [
    "", "-1", "-0.01", "-inf", "inf", "Infinity", "nan", "NaN", "1e9", "1e999", "1e-3", "0.001", "0.0001",
    "9" * 15, "9" * 400, "99999999h", "8761h", "0x10", "1_0", "٣", "1s1s", "s", ".", "--5",
]  # fmt: skip


def test_there_are_durations_to_be_set() -> None:
    assert set(DURATIONS) == {name for name in Settings.__annotations__ if name.endswith("_s")}
    assert len(DURATIONS) >= 4


@pytest.mark.promise("turn-durations")
@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("text", NONSENSE)
def test_a_duration_that_makes_no_sense_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what is allowed is the kind's to say, not the error's
        DURATIONS[name].read(text)


def extremes(kind: Kind) -> list[float]:
    """The smallest and the largest that are allowed, and 0 where that is."""
    values: list[float] = []
    for text in ("0", "0.01", "24.9h", "600h", "8760h", "1h"):
        try:
            values.append(float(kind.read(text)))  # type: ignore[arg-type]
        except ValueError:
            continue
    return values


@pytest.mark.promise("turn-durations")
@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("mode", ["chat", "echo"])
@each_strategy
def test_hub_with_an_extreme_duration_does_not_spin(strategy: str, mode: str, name: str) -> None:
    """2^31 ms are 25 days: epoll_wait(2) knows no longer wait. The loop never asks for more than a second."""
    for value in extremes(DURATIONS[name]):
        assert math.isfinite(value) and 0 <= value <= YEAR_S
        given: dict[str, Any] = {"idle_timeout_s": 300.0, name: value}
        stage = Stage(mode=mode, idle_strategy=strategy, **given)
        stage.join(3)
        turns = stage.pass_time(3.0)
        assert min(turn.wait_s for turn in turns) >= 0
        assert max(turn.wait_s for turn in turns) <= 1.0
        assert len(turns) <= 3.0 / 0.01 + 50, (name, value)
        assert sum(turn.wait_s == 0 for turn in turns) <= 20
        stage.stop()
        assert stage.balances()


# The tables of times, against what they mean.


@dataclass
class Visit:
    """A client's activities, and when it has to end: a timeout after the last of each stretch."""

    id: int
    touches: list[float]

    def dues(self, timeout_s: float) -> list[float]:
        """All of them, in order."""
        after = [*self.touches[1:], math.inf]
        return [
            at + timeout_s for at, then in zip(self.touches, after, strict=True) if then >= at + timeout_s
        ]


def a_day_of(count: int, rng: Random, timeout_s: float) -> list[Visit]:
    """Clients that say something every few minutes, some of them seldom."""
    visits = []
    for id in range(1, count + 1):
        pace = timeout_s * rng.choice([0.3, 1.0, 4.0])
        at, touches = rng.uniform(0, 86_400), list[float]()
        while at < 86_400 and len(touches) < 20:
            touches.append(round(at, 3))
            at += rng.expovariate(1 / pace)
        visits.append(Visit(id, touches))
    return visits


def run_a_day(expiry: Expiry, visits: list[Visit]) -> list[tuple[int, float, float]]:
    """Clients that ended, when that was due and when it was seen, if the loop sleeps as it is told to."""
    events = sorted((at, visit.id) for visit in visits for at in visit.touches)
    seen: list[tuple[int, float, float]] = []
    now = 0.0
    for at, id in [*events, (200_000.0, 0)]:
        while (wait_s := expiry.timeout(now)) is not None and now + wait_s <= at:
            now += wait_s
            seen += [(gone, due, now) for gone, due in expiry.expired(now, 256)]
        now = at
        if id:
            expiry.touch(id, now)
    return seen


def a_day_is_as_an_oracle_says(strategy: IdleStrategy, count: int, seed: int) -> int:
    print(f"seed {seed}")
    visits = a_day_of(count, Random(seed), 300.0)
    seen = run_a_day(make_expiry(strategy, 300.0, 5.0), visits)
    if strategy == "deadline":
        expected = sorted((visit.id, due) for visit in visits for due in visit.dues(300.0))
        assert sorted((id, due) for id, due, _ in seen) == expected
        assert all(0 <= now - due <= 1e-6 for _, due, now in seen)
        return len(seen)
    last = {visit.id: visit.touches for visit in visits}
    for id, due, now in seen:
        assert due - 300.0 in (pytest.approx(at) for at in last[id])
        assert 0 <= now - due <= 5.0 + 1e-6
        assert not [at for at in last[id] if due - 300.0 + 1e-6 < at < now]
    assert {id for id, _, _ in seen} == set(last)
    return len(seen)


@pytest.mark.promise("turn-time-limits")
@pytest.mark.parametrize("strategy", ["deadline", "sweep"])
def test_a_day_of_300_clients_ends_as_an_oracle_says(strategy: IdleStrategy) -> None:
    assert a_day_is_as_an_oracle_says(strategy, 300, QUICK_SEED) > 300


@pytest.mark.promise("turn-time-limits")
@pytest.mark.long
@pytest.mark.parametrize("strategy", ["deadline", "sweep"])
def test_a_day_of_ten_thousand_clients_ends_as_an_oracle_says(
    strategy: IdleStrategy, record_property: Callable[[str, object], None]
) -> None:
    ended = a_day_is_as_an_oracle_says(strategy, 10_000, SEED)
    record_property(
        f"endings in 24 simulated hours of 10,000 clients ({strategy})", f"{ended}, all as the oracle says"
    )


def heaps_are_small(stage: Stage) -> bool:
    """At most twice the live entries and 64, in every table of times that is a heap."""
    heaps = [timer for timer in stage.hub.timers.all if isinstance(timer, Deadline)]
    assert heaps
    return all(len(timer.heap) <= 2 * len(timer.last_s) + 64 for timer in heaps)


@pytest.mark.promise("turn-timers")
@pytest.mark.parametrize("mode", ["echo", "broadcast"])
def test_heaps_after_a_million_lines_of_one_client_are_small(mode: str) -> None:
    stage = Stage(mode=mode, idle_timeout_s=60.0)
    [talker] = stage.join(into=MUCH)
    talker.send(b"\n" * 998_000)
    stage.rest()
    stage.pass_time(0.1)
    for _ in range(2000):
        talker.send(b"\n")
        stage.turn()
        assert heaps_are_small(stage)
    assert stage.hub.counters.lines_in == 1_000_000
    assert [len(timer.heap) for timer in stage.hub.timers.all if isinstance(timer, Deadline)].count(1) <= 3


@pytest.mark.promise("turn-timers")
def test_heaps_after_five_hundred_visits_are_small() -> None:
    stage = Stage(mode="chat", announce=0, idle_timeout_s=60.0, idle_warning_s=10.0)
    stage.join()
    for _ in range(50):
        for actor in stage.join(10):
            actor.close()
        stage.rest()
        assert heaps_are_small(stage)
    assert len(stage.hub.connections.by_fd) == 1
