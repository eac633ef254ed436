"""A room: who is owed what is said, what a join brings, and who holds the log back."""

from functools import partial

import pytest

from hub.rooms.accounting import Account
from hub.rooms.log import Log
from hub.rooms.outbox import Outbox
from hub.rooms.room import Room
from hub.rooms.subscriber import LOGS_REMEMBERED, Subscriber
from tests.unit.support import MUCH, SPEAKER, a_room, an_outbox, receive_all, wire


def talk(room: Room, *turns: int) -> None:
    """So many lines in each turn; every line says its number."""
    for count in turns:
        for _ in range(count):
            room.append(b"line %d" % room.log.next_line, SPEAKER)
        room.log.seal()


def numbered(start: int, stop: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(start, stop))


def held(room: Room) -> bytes:
    """What the log holds."""
    return b"".join(chunk.lf for chunk in room.log.chunks)


def say(room: Room, line: bytes, sender: int = SPEAKER) -> None:
    """A line that is kept for those who come later."""
    room.history.add([line], sender, room.log.head, 0.0, 10, MUCH)
    room.append(line, sender)


def missed(room: Room, outbox: Outbox) -> list[bytes]:
    """The lines that this client would be shown."""
    return [line for line, *_ in room.missed(outbox, 10, MUCH)]


# Owing.


def test_each_line_is_owed_to_every_subscriber_of_its_moment() -> None:
    account = Account()
    first, second = an_outbox(1, account), an_outbox(2, account)
    room = a_room(first, account=account)
    room.append(b"abc", SPEAKER)
    room.join(second)
    room.append(b"defgh", SPEAKER)
    assert account.owed == 4 + 2 * 6
    room.unsubscribe(first)
    room.append(b"", SPEAKER)
    assert account.owed == 4 + 2 * 6 + 1
    room.log.seal()
    assert wire(second) == b"defgh\n\n", "a joiner is owed what comes from then on"
    assert account.replayed == 0


@pytest.mark.promise("self-echo-off")
@pytest.mark.parametrize(("self_echo", "owed"), [(True, 10), (False, 5)])
def test_own_line_is_owed_to_its_sender_under_self_echo_only(self_echo: bool, owed: int) -> None:
    account = Account()
    sender, other = an_outbox(1, account), an_outbox(2, account)
    room = a_room(sender, other, account=account, self_echo=self_echo)
    room.append(b"mine", sender.id)
    room.log.seal()
    assert account.owed == owed
    assert receive_all(other) == b"mine\n"
    assert receive_all(sender) == (b"mine\n" if self_echo else b"")
    assert account.delivered == owed


def test_chunk_has_the_sender_runs_of_its_own_turn_only() -> None:
    room = a_room(an_outbox(1), an_outbox(2), self_echo=False)
    for sender in (1, 2, SPEAKER):
        room.append(b"abc", sender)
        room.log.seal()
    assert [chunk.runs for chunk in room.log.chunks] == [{1: [(0, 4, 1)]}, {2: [(4, 8, 1)]}, None]


# Coming and going.


@pytest.mark.promise("chat-history")
def test_history_of_a_join_comes_first_and_is_counted_apart() -> None:
    account = Account()
    room, outbox = a_room(account=account), an_outbox(account=account)
    talk(room, 3)
    room.join(outbox, [b"old\n"] * 40_000)
    assert account.replayed == outbox.queued_bytes == outbox.item_bytes == 160_000
    assert len(outbox.items) == 3, "in pieces of 64 KiB"
    assert (outbox.lag_bytes, outbox.next_line) == (0, room.log.next_line), "a joiner stands at the head"
    talk(room, 1)
    assert receive_all(outbox) == b"old\n" * 40_000 + numbered(3, 4)


@pytest.mark.promise("chat-rooms")
def test_history_never_shows_a_line_twice() -> None:
    outbox = an_outbox()
    room = a_room(outbox)
    say(room, b"one")
    room.leave(outbox)
    say(room, b"two")
    assert missed(room, outbox) == [b"two"]
    room.join(outbox)
    say(room, b"three")
    room.leave(outbox)
    assert missed(room, outbox) == []
    assert missed(room, an_outbox(2)) == [b"one", b"two", b"three"]


@pytest.mark.promise("chat-rooms")
def test_places_in_the_last_logs_that_were_left_are_kept() -> None:
    subscriber = Subscriber(1, None)
    logs = [Log(number, self_echo=True) for number in range(1, LOGS_REMEMBERED + 2)]
    for log in logs:
        log.extend(b"line\n", 1, 9)
    for log in (*logs[:-1], logs[1], logs[-1]):
        subscriber.enter(log)
        subscriber.exit(log)
    assert subscriber.left_at(logs[2]) == 0, "the one that was left longest ago, but for the lobby's"
    assert {subscriber.left_at(log) for log in (*logs[:2], *logs[3:])} == {5}


@pytest.mark.promise("self-echo-off")
def test_history_is_without_own_lines() -> None:
    outbox = an_outbox(1)
    room = a_room(outbox, self_echo=False, number=2)
    say(room, b"mine", outbox.id)
    say(room, b"yours")
    room.leave(outbox)
    assert missed(room, outbox) == []
    for number in range(3, LOGS_REMEMBERED + 6):  # After so many other rooms this one is forgotten.
        a_room(outbox, number=number).leave(outbox)
    assert missed(room, outbox) == [b"yours"]


def test_write_only_client_becomes_a_member_that_is_owed_nothing() -> None:
    account = Account()
    outbox, room = an_outbox(account=account, write_only=True), a_room(account=account)
    say(room, b"old")
    assert missed(room, outbox) == []
    room.join(outbox, [b"old\n"])
    talk(room, 1)
    outbox.put(b"* welcome\n")
    assert (room.size, list(room.members()), room.subscribers) == (1, [outbox], {})
    assert (outbox.segments(), outbox.is_empty, outbox.lag_bytes) == ([], True, 0)
    assert (account.owed, account.replayed, outbox.losses.unsent_bytes, outbox.losses.unsent_item_bytes) == (
        0,
        0,
        0,
        0,
    )
    room.leave(outbox)
    assert room.size == 0


def test_leaving_takes_out_of_all_tables_unsubscribing_of_two() -> None:
    first, second, third = an_outbox(1), an_outbox(2), an_outbox(3)
    room = a_room(first, second, third)
    room.trailing = {1: first, 2: second, 3: third}
    room.leave(first)
    room.unsubscribe(second)
    assert list(room.members()) == [third, second]
    assert room.subscribers == room.trailing == {3: third}
    assert first.log is None


def test_changes_rise_whenever_a_member_comes_or_goes() -> None:
    room, first, second = a_room(), an_outbox(1), an_outbox(2)
    seen = [room.changes]
    for act in (
        partial(room.join, first),
        partial(room.join, second),
        partial(room.unsubscribe, first),
        partial(room.leave, second),
        partial(room.leave, first),
    ):
        act()
        seen.append(room.changes)
    assert seen == sorted(set(seen))
    talk(room, 3)
    assert room.changes == seen[-1]


# Trimming.


def test_blocked_joiner_holds_the_log_back() -> None:
    outbox, room = an_outbox(), a_room()
    outbox.refused(now=1.0)
    talk(room, 4)
    room.join(outbox)
    talk(room, 1)
    room.trim(room.log.head)
    assert held(room) == wire(outbox) == numbered(4, 5)


def test_trim_keeps_what_trailing_subscribers_and_the_pass_need() -> None:
    behind, further = an_outbox(1), an_outbox(2)
    room = a_room(behind, further)
    talk(room, 2, 2, 2)
    room.trailing = {1: behind, 2: further}
    behind.offset, further.offset = (room.log.chunks[at].start for at in (1, 2))
    room.trim(room.log.chunks[1].start)
    assert held(room) == numbered(2, 6)
    room.leave(behind)
    room.trim(room.log.chunks[0].start)
    assert held(room) == numbered(2, 6), "the pass has not reached the others"
    room.trim(room.log.head)
    assert held(room) == numbered(4, 6)
