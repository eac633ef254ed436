"""A subscriber: an offset in a log, and the places in logs that were left."""

from __future__ import annotations

import pytest

from hub.rooms.log import Log
from hub.rooms.subscriber import LOGS_REMEMBERED, Subscriber


def test_lag_is_what_the_log_got_since_the_offset() -> None:
    log, subscriber = Log(1, self_echo=True), Subscriber(1, None)
    log.extend([b"before"], 7, 9)
    subscriber.enter(log)
    log.extend([b"abc", b""], 5, 9)
    assert subscriber.lag_bytes == subscriber.owed_bytes == len(b"abc\n\n")
    subscriber.offset += len(b"abc\n")
    assert subscriber.lag_bytes == len(b"\n")
    subscriber.exit(log)
    assert subscriber.lag_bytes == 0


@pytest.mark.promise("self-echo-off")
def test_own_lines_are_lag_and_are_not_owed() -> None:
    """The room keeps them for subscribers that stand before them."""
    log, subscriber = Log(1, self_echo=False), Subscriber(1, None)
    subscriber.enter(log)
    for sender in (1, 2, 1):
        log.extend([b"x" * 99], 100, sender)
        log.note_sender(sender, 100)
        if sender == subscriber.id:
            subscriber.said(1, 100)
        log.seal()
    assert (subscriber.lag_bytes, subscriber.owed_bytes) == (300, 100)
    subscriber.pass_own()
    assert (subscriber.offset, subscriber.next_line, subscriber.lag_bytes) == (100, 1, 200)
    subscriber.go_to_head(log)
    assert (subscriber.lag_bytes, subscriber.owed_bytes, subscriber.own_lines) == (0, 0, 0)


@pytest.mark.promise("chat-rooms")
def test_places_in_the_last_logs_that_were_left_are_kept() -> None:
    subscriber = Subscriber(1, None)
    logs = [Log(number, self_echo=True) for number in range(1, LOGS_REMEMBERED + 2)]
    for log in logs:
        log.extend([b"line"], 5, 9)
    for log in (*logs[:-1], logs[0], logs[-1]):
        subscriber.enter(log)
        subscriber.exit(log)
    assert LOGS_REMEMBERED == 64
    assert subscriber.left_at(logs[1]) == 0, "the one that was left longest ago"
    assert {subscriber.left_at(log) for log in (logs[0], *logs[2:])} == {5}
