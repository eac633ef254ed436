"""The five rules of flow control, each as a function of what the congestion record knows."""

import pytest

from hub.loop.congestion import Congestion
from hub.loop.flow_control import (
    are_most_catching_up,
    holds,
    is_outbox_full,
    is_over,
    is_patience_spent_on_few,
    is_somebody_waited_for,
    is_stuck,
    most_lag,
)
from hub.loop.limits import Limits
from tests.unit.support import a_client, a_room

LIMITS = Limits(lag_bytes=1000)
NOW_S = 100.0
WRITE_ONLY = 99
"""The id of a sender that is no subscriber."""


def a_record(
    subscribers: int, lagging: int = 0, *, alive: int = 0, majority: bool = False, waits_for_all: bool = False
) -> Congestion:
    """Of a room with subscribers 1, 2, 3, ...; the first ones lag, and of those the first ones are alive."""
    room = a_room()
    for id in range(1, subscribers + 1):
        room.join(a_client(id).outbox)
    record = Congestion(room, LIMITS, 4.0, NOW_S, waits_for_all=waits_for_all)
    for id in range(1, lagging + 1):
        outbox = room.subscribers[id]
        outbox.refused(NOW_S if id <= alive else NOW_S - 60)
        record.fell_behind(outbox, NOW_S, is_near=False)
    record.majority = majority
    return record


# 1. Outbox.


@pytest.mark.promise("limits-unread-answers")
def test_outbox_is_full_beyond_its_limit() -> None:
    outbox = a_client(1).outbox
    outbox.put(b"x" * 99 + b"\n")
    assert not is_outbox_full(outbox, 100)
    outbox.put(b"\n")
    assert is_outbox_full(outbox, 100)


# 2. Majority.


@pytest.mark.parametrize(
    ("subscribers", "lagging", "sender", "waits"),
    [
        (5, 2, 5, False),  # Half of the four others.
        (5, 3, 5, True),
        (5, 3, 1, False),  # The sender lags itself, and two of the four others.
        (5, 4, 1, True),
        (4, 2, WRITE_ONLY, False),  # Half of all.
        (4, 3, WRITE_ONLY, True),
        (2, 1, 2, True),
        (2, 1, 1, False),  # Its own lag pauses a sender only where it is alone.
        (1, 1, 1, True),
        (1, 0, 1, False),
        (0, 0, WRITE_ONLY, False),
    ],
)
@pytest.mark.promise("limits-room-waits")
def test_sender_waits_while_more_than_half_of_the_others_lag(
    subscribers: int, lagging: int, sender: int, waits: bool
) -> None:
    assert most_lag(a_record(subscribers, lagging), sender) is waits


@pytest.mark.parametrize(
    ("alive", "sender", "waits"),
    [
        (2, 17, False),
        (3, 17, True),
        (3, 1, False),
        (4, 1, True),
        (2, WRITE_ONLY, False),
        (3, WRITE_ONLY, True),
    ],
)
def test_sender_waits_until_one_in_eight_of_the_others_lags(alive: int, sender: int, waits: bool) -> None:
    assert are_most_catching_up(a_record(17, 5, alive=alive, majority=True), sender) is waits
    assert not are_most_catching_up(a_record(17, 5, alive=alive), sender)


# 3. Patience.


@pytest.mark.parametrize(
    ("waited_for", "sender", "waits"), [([1], 1, False), ([1], 2, True), ([1, 2], 1, True)]
)
@pytest.mark.promise("limits-room-waits")
def test_sender_waits_for_another_and_not_for_itself(waited_for: list[int], sender: int, waits: bool) -> None:
    record = a_record(9, 2, alive=2)
    record.waited_for = set(waited_for)
    assert is_somebody_waited_for(record, sender) is waits
    assert holds(record, sender) is waits


def test_sender_under_slow_wait_waits_for_itself_too() -> None:
    record = a_record(9, 1, waits_for_all=True)
    record.near.add(1)
    assert is_somebody_waited_for(record, 1)


@pytest.mark.parametrize(
    ("subscribers", "trailing", "sender", "spent"),
    [
        (6, [1], 6, True),
        (6, [1, 2], 6, True),
        (6, [1, 2, 3], 6, False),  # Half of the four others are busy.
        (6, [1, 2, 6], 6, True),  # The sender hears itself, and is not counted.
        (6, [1, 2, 3, 6], 6, False),
        (6, [1, 2, 3], WRITE_ONLY, True),  # Two of five.
        (6, [1, 2, 3, 4], WRITE_ONLY, False),
        (3, [1, 3], 3, True),
        (3, [1, 2], 3, False),
    ],
)
def test_patience_is_spent_while_most_have_nothing_to_take(
    subscribers: int, trailing: list[int], sender: int, spent: bool
) -> None:
    record = a_record(subscribers, 1, alive=1)
    record.waited_for = {1}
    record.room.trailing.update((id, record.room.subscribers[id]) for id in trailing)
    assert not is_patience_spent_on_few(record, NOW_S), "nobody waits"
    record.pause(a_client(sender), NOW_S)
    assert is_patience_spent_on_few(record, NOW_S) is spent
    record.majority = True
    assert not is_patience_spent_on_few(record, NOW_S)


# 4. Limit.


@pytest.mark.parametrize(("limit", "over"), [(7, False), (6, True), (0, False)])
def test_subscriber_is_over_its_limit_by_its_lag(limit: int, over: bool) -> None:
    room = a_record(1).room
    room.append(b"lagged", sender=9)
    assert is_over(room.subscribers[1], limit) is over


# 5. Progress.


def test_subscriber_is_stuck_that_took_nothing_while_one_waited() -> None:
    record = a_record(3, 1, alive=1)
    outbox = record.lagging[1]
    assert not is_stuck(record, outbox, NOW_S + 60)
    record.pause(a_client(3), NOW_S + 1)
    due = NOW_S + 1 + LIMITS.progress_s
    assert not is_stuck(record, outbox, due - 0.001)
    assert is_stuck(record, outbox, due)
    record.room.leave(outbox)
    assert not is_stuck(record, outbox, due)
