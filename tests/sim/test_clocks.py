"""Every clock of the hub on a clock of the test's own: never early, and late by what epoll rounds up.

What real time makes a matter of luck is exact here: who ends at which millisecond, what a leap of an hour
does.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, get_args, get_type_hints

import pytest

from hub.config.settings import IdleStrategy, Settings, Trigger
from hub.config.values import YEAR_S, Kind
from hub.loop.limits import Budgets
from hub.session.client import Client
from hub.session.read_gate import OUTBOX, ROOM
from tests.sim.stage import BROWSERS, MUCH, Actor, Stage
from tests.unit.protocol.support import request

KIB = 1024
ROUNDED_S = 0.002
"""epoll_wait(2) counts in milliseconds and rounds up; the calls of a turn take some microseconds."""
LINE = b"x" * 63 + b"\n"
each_trigger = pytest.mark.parametrize("trigger", get_args(Trigger))
full_waits = pytest.mark.usefixtures("few_events")
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
def test_progress_timer_starts_anew_and_is_gone_at_half() -> None:
    stage, client = takes_no_answers()
    [actor] = stage.actors
    stage.rest()
    for _ in range(3):
        stage.pass_time(9.9)
        assert client.close.reason is None
        size = len(actor.got)
        actor.takes(actor.tcp._sndbuf)  # Less, and the kernel says nothing: a third has to be free.
        stage.rest()
        assert len(actor.got) > size
    stage.pass_time(9.0)
    actor.reads = True
    stage.rest()
    assert client.id not in stage.hub.timers.progress.last_s
    stage.pass_time(30.0)
    assert client.close.reason is None
    assert actor.got == LINE * 16_384


# Time that leaps.


@pytest.fixture
def few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait reports 64 events."""
    monkeypatch.setattr(Stage, "events_per_wait", 64)


@pytest.mark.promise("pause-active")
@pytest.mark.promise("pause-silent")
@full_waits
@each_strategy
@pytest.mark.parametrize(("trigger", "leap_s"), [("level", 3.0), ("edge", 3600.0)])
def test_leap_of_the_clock_keeps_senders_and_closes_the_silent(
    trigger: str, leap_s: float, strategy: str
) -> None:
    """A process that was stopped, a machine that slept. More have sent than one wait reports."""
    stage = Stage(
        mode="echo", trigger=trigger, idle_timeout_s=2.0, idle_strategy=strategy, sweep_interval_s=0.5
    )
    actors = stage.join(84)
    silent = actors[5::6]
    talkers = [actor for actor in actors if actor not in silent]
    assert len(talkers) > Stage.events_per_wait
    stage.kernel.now += leap_s
    for number, actor in enumerate(talkers):
        actor.send(b"line %d\n" % number)
    stage.rest()
    assert all(actor.got == b"line %d\n" % number for number, actor in enumerate(talkers))
    assert not any(stage.settled(actor) for actor in talkers)
    gone = sum(stage.settled(actor) for actor in silent)
    assert gone == (0 if strategy == "poll" else len(silent))  # There one that is busy keeps all alive.
    assert stage.balances()


def answers_wait(trigger: str, count: int, budgets: Budgets | None = None) -> tuple[Stage, list[Actor]]:
    """So many who take none of their answers, and so are not read."""
    stage = Stage(mode="echo", trigger=trigger, intake={"outbox_bytes": 1000}, budgets=budgets)
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
@full_waits
@each_trigger
def test_leap_of_the_clock_keeps_clients_that_took_answers(trigger: str) -> None:
    """The same for those that held themselves up: more than one wait reports."""
    stage, actors = answers_wait(trigger, 156)
    takers, stuck = actors[:150], actors[150:]
    stage.kernel.now += 3600.0
    take(reversed(takers))  # Whose time is over first is reported last.
    stage.rest()
    assert stage.hub.counters.closed == {"slow_consumer": len(stuck)}
    assert all(actor.got == LINE * 100 for actor in takers)
    assert stage.balances()


@pytest.mark.promise("pause-active")
@full_waits
@each_trigger
def test_leap_while_others_leave_keeps_clients_that_took(trigger: str) -> None:
    """Whose event is reported is closed while the events of others still wait."""
    stage, takers = answers_wait(trigger, 124, Budgets(closes=16, rounds=1))
    leavers = stage.join(16)
    stage.rest()
    stage.kernel.now += 3600.0
    for leaver in leavers:
        leaver.reset()
    take(reversed(takers))
    stage.rest()
    assert stage.hub.counters.closed == {"silent": len(leavers)}
    assert stage.balances()


@pytest.mark.promise("pause-active")
@full_waits
@each_trigger
def test_leap_between_full_waits_keeps_clients_that_took(trigger: str) -> None:
    stage, takers = answers_wait(trigger, 69)
    talkers = stage.join(69)
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

    def stand_still() -> None:
        stage.sockets.before_receive = lambda: None
        stage.kernel.now += 3600.0
        take(takers)

    stage.sockets.before_receive = stand_still
    talker.send(LINE)
    stage.rest()
    assert not stage.hub.counters.closed
    assert talker.got == LINE and all(taker.got == LINE * 100 for taker in takers)


@pytest.mark.promise("pause-active")
@full_waits
@each_trigger
def test_who_is_silent_goes_though_every_wait_is_full(trigger: str) -> None:
    stage = Stage(mode="echo", trigger=trigger, idle_timeout_s=5.0)
    silent, talkers = stage.join(10), stage.join(94)
    stage.pass_time(4.9)
    for _ in range(20):
        for talker in talkers:
            talker.send(LINE)
        stage.kernel.now += 0.1
        assert stage.turn().by_fd("recv").total() > 0
        assert stage.hub.poller.round_begins != stage.hub.poller.round_ends
    assert stage.hub.counters.closed == {"idle": len(silent)}


# Every duration that a user may type.

DURATIONS: dict[str, Kind] = {
    name: parameter.converter
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    for parameter in getattr(hint, "__metadata__", ())
    if isinstance(parameter.converter, Kind) and parameter.converter.metavar == "TIME"
}


def extremes(kind: Kind) -> Iterator[float]:
    """The smallest and the largest that are allowed, and 0 where that is."""
    for text in ("0", "0.01", "24.9h", "600h", "8760h", "1h"):
        with suppress(ValueError):
            yield float(kind.read(text))  # type: ignore[arg-type]


@pytest.mark.promise("turn-durations")
@pytest.mark.parametrize("name", DURATIONS)
@each_strategy
def test_hub_with_an_extreme_duration_does_not_spin(strategy: str, name: str) -> None:
    """2^31 ms are 25 days: epoll_wait(2) knows no longer wait. The loop never asks for more than a second."""
    for value in extremes(DURATIONS[name]):
        assert math.isfinite(value) and 0 <= value <= YEAR_S
        given: dict[str, Any] = {"idle_timeout_s": 300.0, name: value}
        stage = Stage(mode="chat", idle_strategy=strategy, **given)
        stage.join(3)
        turns = stage.pass_time(3.0)
        assert min(turn.wait_s for turn in turns) >= 0
        assert max(turn.wait_s for turn in turns) <= 1.0
        assert len(turns) <= 3.0 / 0.01 + 50, (name, value)
        assert sum(turn.wait_s == 0 for turn in turns) <= 20
        stage.stop()
        assert stage.balances()
