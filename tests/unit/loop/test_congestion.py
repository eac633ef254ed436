"""The congestion record: what it knows of those that lag, those that move, and those that wait."""

from collections.abc import Callable
from math import inf

import pytest

from hub.loop.congestion import Congestion, last_sign
from hub.loop.limits import Limits
from hub.rooms.outbox import Outbox
from tests.unit.support import a_client, a_room

LIMITS = Limits(lag_bytes=1000)
NOW_S = 100.0


def a_record(*, waits_for_all: bool = False) -> Congestion:
    return Congestion(a_room(), LIMITS, 4.0, NOW_S, waits_for_all=waits_for_all)


def an_outbox(id: int, refused_at: float, took_at: float = 0.0) -> Outbox:
    outbox = a_client(id).outbox
    outbox.refused(refused_at)
    outbox.took_at = took_at
    return outbox


def test_last_sign_is_the_first_refusal_until_a_byte_is_taken() -> None:
    outbox = an_outbox(1, NOW_S)
    outbox.refused(NOW_S + 1)
    assert last_sign(outbox) == NOW_S
    outbox.advance((), 0, NOW_S + 2)
    assert last_sign(outbox) == NOW_S
    outbox.advance((), 1, NOW_S + 3)
    assert last_sign(outbox) == NOW_S + 3


def test_last_sign_is_not_moved_by_a_gap() -> None:
    room, client = a_room(), a_client(1)
    room.join(client.outbox)
    room.append(b"missed", sender=9)
    room.log.seal()
    client.outbox.refused(NOW_S)
    client.outbox.skip()
    assert client.outbox.losses.skipped_lines == 1
    assert last_sign(client.outbox) == NOW_S


def test_subscriber_is_alive_for_two_seconds_after_its_sign() -> None:
    record = a_record()
    record.fell_behind(an_outbox(1, NOW_S), NOW_S, is_near=False)
    record.fell_behind(an_outbox(2, NOW_S - 2), NOW_S, is_near=True)
    assert record.alive == {1}
    record.forget_silent(NOW_S + 1.9)
    assert record.alive == {1} and record.silent_at(NOW_S) == NOW_S + LIMITS.alive_s
    record.gave_sign(1, NOW_S + 1.9)
    record.forget_silent(NOW_S + 3.8)
    assert record.alive == {1}
    record.forget_silent(NOW_S + 3.9)
    assert record.alive == set() and record.silent_at(NOW_S + 4) == inf
    record.gave_sign(2, NOW_S + 4)
    assert record.alive == {2}


@pytest.mark.parametrize("waits_for_all", [True, False])
def test_subscriber_stays_near_until_it_has_caught_up(waits_for_all: bool) -> None:
    """Under --slow wait the room waits for all of these, silent ones too."""
    record, outbox = a_record(waits_for_all=waits_for_all), an_outbox(1, NOW_S - 60)
    record.fell_behind(outbox, NOW_S, is_near=False)
    assert record.waited_for == set()
    for is_near in (True, False):
        record.fell_behind(outbox, NOW_S, is_near=is_near)
        assert record.near == {1} and record.waited_for == ({1} if waits_for_all else set())
    record.caught_up(1)
    assert not (record.near or record.lagging or record.alive or record.waited_for)


def test_time_for_progress_runs_only_while_a_sender_waits() -> None:
    record, outbox, sender = a_record(), an_outbox(1, NOW_S), a_client(2)
    record.fell_behind(outbox, NOW_S, is_near=False)
    assert record.stuck_at == record.stuck_after(outbox) == inf
    record.pause(sender, NOW_S + 5)
    assert record.stuck_at == record.stuck_after(outbox) == NOW_S + 5 + LIMITS.progress_s
    record.pause(a_client(3), NOW_S + 6)
    assert record.since == NOW_S + 5
    record.resume(sender)
    assert record.since == NOW_S + 5
    record.resume(record.paused[3])
    assert record.since == record.stuck_at == record.stuck_after(outbox) == inf


def test_each_change_asks_for_a_look_and_going_on_does_not() -> None:
    record, outbox, sender = a_record(), an_outbox(1, NOW_S), a_client(2)
    changes: list[tuple[Callable[[], None], bool]] = [
        (lambda: record.fell_behind(outbox, NOW_S, is_near=False), True),
        (lambda: record.fell_behind(outbox, NOW_S, is_near=True), True),
        (lambda: record.fell_behind(outbox, NOW_S + 1, is_near=True), False),
        (lambda: record.pause(sender, NOW_S), True),
        (lambda: record.caught_up(1), True),
    ]
    for change, asks in changes:
        record.is_stale = False
        change()
        assert record.is_stale is asks
