"""Back-pressure: who waits for whom, for how long, and who is given up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from hub.close_reasons import CloseReason
from hub.loop.timers import Deadline
from hub.rooms.room import Room
from hub.session.client import Client, Phase
from tests.hub.support_turns import SMALL_LAG, SOON_S, SteppedHub, reading, take_all
from tests.support import Peer, ThreadHub, closing, until

# What a client may cost.


def test_who_is_gone_is_owed_nothing_and_what_it_sent_is_still_heard() -> None:
    with SteppedHub() as hub, closing(hub.join(2)) as (dying, listener):
        client = hub.deliver(dying, b"last words\n", fin=True)
        hub.loop._pacing.gone(client, CloseReason.PEER_CLOSED)
        assert client.id not in hub.hub.rooms.lobby.hearers
        hub.turns_until(hub.endings)
        assert listener.line() == b"last words\n"
        assert hub.ending()["reason"] == "peer_closed"


# Senders that are held.


def arrived(client: Client, sent_bytes: int) -> bool:
    """Whether the hub has read so much of this client, or reads it no more."""
    return client.held or client.bytes_in == sent_bytes


def hold_the_talker(hub: ThreadHub, talker: Peer) -> None:
    """Talk until the hub stops reading, because the other one in the room is far behind."""
    client = hub.loop.hub.clients[1]
    sent = 0
    while not client.held:
        talker.send(b"x" * 499 + b"\n")
        sent += 500
        until(partial(arrived, client, sent))


def test_a_talker_is_read_again_when_the_slow_one_goes_to_another_room() -> None:
    with ThreadHub(mode="chat", max_lag_bytes=SMALL_LAG) as hub:
        (talker,), (slow,) = hub.peers(1), hub.peers(1, receive_buffer=4096)
        with talker, slow, reading(talker):
            hold_the_talker(hub, talker)
            first, second = (hub.loop.hub.clients[number] for number in (1, 2))
            slow.send(b"/join other\n")
            until(lambda: second.room is not None and second.room.name == "other")
            until(lambda: not first.held, SOON_S)


def test_who_was_behind_in_a_room_it_left_and_has_caught_up_is_left_alone() -> None:
    hub = ThreadHub(mode="chat", max_lag_bytes=SMALL_LAG)
    hub.loop.hub.timers.progress = Deadline(0.5)
    with hub:
        (talker,), (slow,) = hub.peers(1), hub.peers(1, receive_buffer=4096)
        with talker, slow, reading(talker):
            hold_the_talker(hub, talker)
            second = hub.loop.hub.clients[2]
            slow.send(b"/join other\n")
            until(lambda: second.room is not None and second.room.name == "other")
            with reading(slow):
                until(lambda: second.owes_nothing)
                assert not second.timed


@pytest.mark.parametrize("way", ["close", "reset", "quit"])
def test_a_talker_is_read_again_when_the_slow_one_goes_for_good(way: str) -> None:
    with SteppedHub(mode="chat", max_lag_bytes=SMALL_LAG, announce=0) as hub:
        (talker,), (slow,) = hub.join(1), hub.join(1, receive_buffer=4096)
        with talker, slow:
            sender = hub.client(talker)
            hub.clog(talker, (), slow)
            hub.fill(talker, (), lambda: sender.held)
            hub.deliver(talker, b"go on\n")
            if way == "quit":
                hub.deliver(slow, b"/quit\n")
            elif way == "reset":
                slow.reset()
            else:
                slow.close()
            hub.turns_until(lambda: not sender.held)
            hub.settle()
            assert talker.read_until(b"go on\n")


def test_a_talker_is_read_again_when_the_slow_one_is_given_up_as_a_feed() -> None:
    with SteppedHub(max_lag_bytes=SMALL_LAG) as hub:
        (talker,), (slow,) = hub.join(1), hub.join(1, receive_buffer=4096)
        with talker, slow:
            sender = hub.client(talker)
            hub.clog(talker, (), slow)
            hub.fill(talker, (), lambda: sender.held)
            hub.deliver(talker, b"go on\n")
            hub.loop._pacing.make_feed(hub.client(slow), hub.now_s)
            hub.turns(3)
            assert talker.read_until(b"go on\n")


def test_who_was_behind_in_the_room_it_left_is_not_stalled_in_the_next() -> None:
    with SteppedHub(mode="chat", max_lag_bytes=SMALL_LAG, announce=0) as hub:
        (talker,), (slow,) = hub.join(1), hub.join(1, receive_buffer=4096)
        with talker, slow:
            hub.clog(talker, (), slow)
            hub.fill(talker, (), lambda: bool(hub.hub.rooms.lobby.behind))
            hub.say(slow, b"/join den\n")
            hub.now_s += 2 * hub.hub.limits.stall_s
            hub.turns(3)
            den = hub.client(slow).room
            assert den is not None and den.name == "den"
            assert not (den.behind or den.stalled)


def test_a_room_is_done_with_catching_up_when_those_it_waited_for_have_left() -> None:
    with SteppedHub(mode="chat", max_lag_bytes=SMALL_LAG, announce=0) as hub:
        (talker,), (slow,) = hub.join(1), hub.join(1, receive_buffer=4096)
        with talker, slow:
            lobby = hub.hub.rooms.lobby
            hub.clog(talker, (), slow)
            hub.fill(talker, (), lambda: lobby.catching_up)
            hub.say(slow, b"/join den\n")
            assert lobby.catching_up is False


# Waiting for one that is about to be cut.


@contextmanager
def three() -> Iterator[tuple[SteppedHub, list[Client]]]:
    """Three clients in one room."""
    with SteppedHub() as hub, closing(hub.join(3)) as peers:
        yield hub, [hub.client(peer) for peer in peers]


@pytest.mark.promise("limits-room-waits")
def test_a_room_waits_for_one_hearer_until_its_patience_is_used_up_and_it_comes_back_slowly() -> None:
    with three() as (hub, (client, *_)):
        room, limits, now = hub.hub.rooms.lobby, hub.hub.limits, hub.now_s

        def wait_for(start: float, for_s: float) -> bool:
            hub.loop._pacing.press(client, room, start)
            was_waited_for = client.id in room.pressed
            hub.loop._pacing.stop_pressing(client, room, start + for_s)
            return was_waited_for

        assert wait_for(now, limits.patience_s / 2)
        now += limits.patience_s / 2
        assert wait_for(now, limits.patience_s / 2)
        now += limits.patience_s / 2
        assert not wait_for(now, 0.0)
        now += 0.1 / limits.patience_gain
        assert wait_for(now, 0.1)
        assert not wait_for(now + 0.1, 0.0)
        now += 10 * limits.patience_s / limits.patience_gain  # More than all of it does not come back.
        assert wait_for(now, limits.patience_s)
        assert not wait_for(now + limits.patience_s, 0.0)


def test_waiting_that_most_hearers_cause_anyway_costs_one_of_them_no_patience() -> None:
    with three() as (hub, (client, *_)):
        room, now = hub.hub.rooms.lobby, hub.now_s
        hub.loop._pacing.press(client, room, now)
        room.catching_up = True
        hub.loop._pacing.stop_pressing(client, room, now + 100)
        assert client.patience_s == hub.hub.limits.patience_s


@pytest.mark.parametrize(("still_take", "costs"), [(2, True), (3, True), (4, False), (6, False)])
def test_waiting_while_most_others_still_have_something_to_take_costs_no_patience(
    still_take: int, costs: bool
) -> None:
    with SteppedHub() as hub, closing(hub.join(6)) as peers:
        room, limits, now = hub.hub.rooms.lobby, hub.hub.limits, hub.now_s
        client, *_ = clients = [hub.client(peer) for peer in peers]
        room.slow = {one.id: one for one in clients[:still_take]}  # Itself, the sender, and some others.
        hub.loop._pacing.press(client, room, now)
        hub.loop._pacing.stop_pressing(client, room, now + limits.patience_s / 2)
        assert client.patience_s == (limits.patience_s / 2 if costs else limits.patience_s)
        room.slow.clear()


@pytest.mark.parametrize("others", [1, 2])
def test_who_a_room_of_few_waits_for_has_no_more_patience_for_a_sender_that_hears_itself(others: int) -> None:
    with SteppedHub() as hub, closing(hub.join(2 + others)) as peers:
        room, limits, now = hub.hub.rooms.lobby, hub.hub.limits, hub.now_s
        client, sender, *_ = [hub.client(peer) for peer in peers]
        room.slow = {client.id: client, sender.id: sender}
        hub.loop._pacing.press(client, room, now)
        hub.loop._pacing.stop_pressing(client, room, now + limits.patience_s / 2)
        assert client.patience_s == limits.patience_s / 2
        room.slow.clear()


def test_who_sends_in_bulk_waits_for_a_pressed_hearer_and_a_single_line_does_not() -> None:
    with three() as (hub, (pressed, *others)):
        room = hub.hub.rooms.lobby
        hub.loop._pacing.press(pressed, room, hub.now_s)
        assert not any(room.congested_for(client) for client in (pressed, *others))
        for client in (pressed, *others):
            client.bulk = True
        assert [room.congested_for(client) for client in (pressed, *others)] == [False, True, True]


# Feeds.


@contextmanager
def made_feed(hub: SteppedHub) -> Iterator[tuple[Peer, Client]]:
    """A client that has talked, and that the hub has given up sending to."""
    (feed,), (listener,) = hub.join(1, receive_buffer=4096), hub.join(1)
    client = hub.client(feed)
    with feed, listener:
        hub.say(feed, b"hello\n")
        hub.loop._pacing.make_feed(client, hub.now_s)
        yield feed, client


def test_a_feed_that_joins_a_room_is_not_owed_its_lines() -> None:
    with SteppedHub(mode="chat", max_lag_bytes=SMALL_LAG) as hub, made_feed(hub) as (feed, client):
        hub.say(feed, b"/join other\nhello\n")
        assert client.room is not None and client.room.name == "other"
        assert client.id not in client.room.hearers


def test_answers_to_a_feed_do_not_pile_up() -> None:
    with SteppedHub(mode="chat", max_lag_bytes=SMALL_LAG) as hub, made_feed(hub) as (feed, client):
        for _ in range(100):
            hub.say(feed, b"/help\n")
        assert client.private_bytes == 0


def test_lines_in_the_backlog_of_a_choked_client_are_said_when_it_becomes_a_feed() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1, receive_buffer=4096)) as (feed,):
        client = hub.client(feed)
        hub.deliver(feed, b"/help\n" * 4000 + b"last words\n")
        hub.turns(100)
        assert client.choked and client.has_backlog
        hub.loop._pacing.make_feed(client, hub.now_s)
        hub.turns(200)
        assert not client.has_backlog


def test_a_feed_is_read_to_its_end_and_ends_as_slow_consumer() -> None:
    with SteppedHub() as hub, closing(hub.join(1)) as (listener,), made_feed(hub) as (feed, client):
        hub.deliver(feed, b"more\nlast", fin=True)
        hub.turns_until(lambda: client.phase is not Phase.OPEN)
        assert (client.reason, client.detail) == ("slow_consumer", "feed=yes")
        assert listener.read_until(b"last\n") == b"hello\nmore\nlast\n"


@pytest.mark.parametrize(
    ("said", "silent_s", "feeds"), [(b"hello\n", 0.0, True), (b"hello\n", 10.5, False), (b"", 0.0, False)]
)
def test_a_feed_is_who_said_a_line_in_the_last_ten_seconds(said: bytes, silent_s: float, feeds: bool) -> None:
    with SteppedHub() as hub, closing(hub.join(1)) as (peer,):
        client = hub.client(peer)
        if said:
            hub.say(peer, said)
        hub.now_s += silent_s
        assert hub.loop._pacing.is_feeding(client, hub.now_s) == feeds
        hub.hub.limits = replace(hub.hub.limits, feed_s=60.0)
        assert hub.loop._pacing.is_feeding(client, hub.now_s) == bool(said)
        take_all(peer)


def test_senders_that_wait_are_looked_at_once_a_turn_however_many_catch_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def look(room: Room, sender: Client) -> bool:
        nonlocal looks
        looks += 1
        return True

    with SteppedHub() as hub, closing(hub.join(3)) as peers:
        room, pacing = hub.hub.rooms.lobby, hub.loop._pacing
        room.held.update((client.id, client) for client in map(hub.client, peers))
        monkeypatch.setattr(Room, "congested_for", look)
        for _ in range(100):
            pacing.release(room)
        pacing.step()
        pacing.step()
        assert looks == len(peers)
        room.held.clear()
