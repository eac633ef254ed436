"""Nobody gets its own lines back under --no-self-echo: everything else is as ever."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.rooms.accounting import Account
from hub.rooms.room import Room
from hub.rooms.sender_runs import Runs, note, spans
from hub.rooms.skipping import skip
from tests.hub.support_turns import SMALL_LAG, RecordingSockets, SteppedHub, take_all
from tests.hub.test_client import a_client
from tests.support import PAIRS, ThreadHub, closing, until
from tests.support_ws import WsPeer

BULK = b"".join(b"bulk %04d\n" % number for number in range(800))


# Runs and spans.


def test_runs_that_follow_one_another_are_one() -> None:
    runs: Runs = {}
    for speaker, start, end in ((1, 0, 5), (1, 5, 9), (2, 9, 12), (1, 12, 20)):
        note(runs, speaker, start, end)
    assert runs == {1: [(0, 9), (12, 20)], 2: [(9, 12)]}


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), max_size=30), st.data())
def test_spans_cover_all_of_a_stretch_once_and_tell_whose_it_is(
    said: list[tuple[int, int]], data: st.DataObject
) -> None:
    runs: Runs = {}
    whose: list[int] = []
    for speaker, size in said:
        note(runs, speaker, len(whose), len(whose) + size)
        whose += [speaker] * size
    start = data.draw(st.integers(0, len(whose)))
    stop = data.draw(st.integers(start, len(whose)))
    for client in (1, 2, 3, 4):
        at = start
        for first, end, own in spans(runs, client, start, stop):
            assert first == at < end
            assert {speaker == client for speaker in whose[first:end]} == {own}
            at = end
        assert at == stop


# On real sockets.


def heard_by(names: list[str], said: list[tuple[int, bytes]], who: int) -> bytes:
    """What one of them is to hear of all that was said."""
    return b"".join(b"<%b> %b" % (names[by].encode(), line) for by, line in said if by != who)


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_everybody_hears_the_others_in_the_same_order_and_not_itself(trigger: str, read: str) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    with (
        SteppedHub(mode="chat", trigger=trigger, read=read, announce=0, self_echo=False, eol="lf") as hub,
        closing(hub.join(5)) as peers,
    ):
        names = [hub.client(peer).nick for peer in peers]
        for peer in peers:
            take_all(peer)
        said: list[tuple[int, bytes]] = []
        for number in range(200):
            by = chance.randrange(5)
            lines = [b"%d %d\n" % (number, at) for at in range(chance.randrange(1, 4))]
            said += [(by, line) for line in lines]
            hub.deliver(peers[by], b"".join(lines))
            if chance.random() < 0.6:
                hub.turns(chance.randrange(1, 4))
        hub.turns(3)
        hub.settle()
        for who, peer in enumerate(peers):
            assert sorted(take_all(peer).splitlines()) == sorted(heard_by(names, said, who).splitlines())
            client = hub.client(peer)
            assert client.owes_nothing
            assert (client.position, client.offset) == (hub.hub.rooms.lobby.head, hub.hub.rooms.lobby.end)
            assert (client.own_lines, client.own_bytes) == (0, 0)
        assert hub.hub.account.owed == hub.hub.account.delivered


@pytest.mark.promise("self-echo-off")
def test_all_streams_are_the_one_order_of_the_room_less_ones_own() -> None:
    with SteppedHub(self_echo=False) as hub, closing(hub.join(4)) as (*talkers, listener):
        for number in range(50):
            for at, peer in enumerate(talkers):
                hub.deliver(peer, b"%d from %d\n" % (number, at) * (1 + (number + at) % 3))
            hub.turns(number % 3)
        hub.settle()
        order = take_all(listener).splitlines()
        for at, peer in enumerate(talkers):
            assert take_all(peer).splitlines() == [
                line for line in order if not line.endswith(b"from %d" % at)
            ]


def test_who_said_nothing_in_a_turn_is_handed_the_shared_bytes_as_ever() -> None:
    sockets = RecordingSockets()
    with SteppedHub(sockets=sockets, self_echo=False) as hub, closing(hub.join(6)) as peers:
        sockets.sends.clear()
        hub.say(peers[0], b"one\ntwo\n")
        assert len(sockets.sends) == 5
        assert len({id(send.buffers[0]) for send in sockets.sends}) == 1
        sockets.sends.clear()
        hub.deliver(peers[0], b"mine\n")
        hub.deliver(peers[1], b"yours\n")
        hub.turns(3)
        assert take_all(peers[0]) == b"yours\n"
        assert take_all(peers[1]) == b"one\ntwo\nmine\n"
        assert len(sockets.sends) == 6


def test_who_talks_alone_is_sent_nothing_and_holds_no_log_back() -> None:
    sockets = RecordingSockets()
    with SteppedHub(sockets=sockets, self_echo=False, max_lag_bytes=SMALL_LAG) as hub:
        (talker,) = hub.join(1)
        with talker:
            for _ in range(20):
                hub.say(talker, BULK)
            assert not sockets.sends
            assert not hub.hub.rooms.lobby.chunks
            assert hub.client(talker).lag_bytes == 0
            assert hub.hub.account.owed == hub.hub.account.skipped == 0


def test_a_bulk_sender_is_told_only_of_lines_of_the_hub_or_of_none() -> None:
    with SteppedHub(mode="chat", self_echo=False, max_lag_bytes=SMALL_LAG) as hub:
        feed, listener = hub.join(2)
        with feed, listener:
            take_all(feed)
            for _ in range(20):
                hub.say(feed, BULK)
                take_all(listener)
            hub.now_s += 2 * hub.hub.limits.pause_s
            hub.turns(3)
            assert feed.nothing_waits()
            hub.say(listener, b"hello\n")
            assert take_all(feed) == b"<guest-2> hello\n"


def test_answers_and_what_one_whispers_still_come() -> None:
    with SteppedHub(mode="chat", announce=0, self_echo=False) as hub, closing(hub.join(2)) as (ann, bob):
        take_all(ann), take_all(bob)
        hub.say(ann, b"one\n/who\n/me waves\ntwo\n/msg guest-2 psst\n/history 1\nthree\n")
        assert take_all(ann).splitlines() == [
            b"* in lobby (2): guest-1, guest-2",
            b"<you to guest-2> psst",
            b"* the last 1 line of lobby:",
            b"<guest-1> two",
        ]
        assert take_all(bob).splitlines() == [
            *(b"<guest-1> one", b"<guest-1> *waves*", b"<guest-1> two"),
            *(b"<guest-1 to you> psst", b"<guest-1> three"),
        ]


@pytest.mark.promise("self-echo-off")
def test_notices_of_the_room_about_oneself_still_come() -> None:
    with SteppedHub(mode="chat", self_echo=False) as hub, closing(hub.join(2)) as (ann, bob):
        take_all(ann), take_all(bob)
        hub.say(ann, b"mine\n/nick ann\n")
        assert b"* guest-1 is now ann\n" in take_all(ann)
        assert take_all(bob) == b"<guest-1> mine\n* guest-1 is now ann\n"


@pytest.mark.promise("self-echo-off")
def test_ones_own_lines_are_lag_and_not_owed_and_are_passed_unskipped() -> None:
    """The room keeps them for who stands before them, whoever said them."""
    client, account = a_client(1), Account()
    room = Room("tea", "tea", account, 1, own={})
    room.enter(client, history=0)
    for speaker in (1, 2, 1):
        room.append(b"x" * 99, speaker)
        room.seal()
    assert (client.lag_bytes, client.owed_bytes, account.owed) == (300, 100, 100)
    skip(client, room, account)
    assert (client.skipped_lines, client.skipped_bytes, account.skipped) == (1, 100, 100)
    assert client.lag_bytes == 0


@pytest.mark.promise("self-echo-off")
def test_history_on_coming_back_is_without_ones_own_lines_too() -> None:
    with SteppedHub(mode="chat", announce=0, self_echo=False) as hub, closing(hub.join(2)) as (ann, bob):
        hub.say(ann, b"mine\n")
        hub.say(bob, b"yours\n")
        client = hub.client(ann)
        hub.say(ann, b"/join den\n")
        client.seen.clear()  # As after 64 other rooms.
        take_all(ann)
        hub.say(ann, b"/leave\n")
        got = take_all(ann)
        assert got == b"* you are now in lobby, with 1 other\n<guest-2> yours\n"


@pytest.mark.parametrize("slow_policy", ["disconnect", "skip"])
@pytest.mark.parametrize("eol", ["lf", "crlf"])
def test_who_falls_behind_and_talks_itself_gets_the_others_whole(slow_policy: str, eol: str) -> None:
    changes = {"slow": slow_policy, "eol": eol, "self_echo": False, "max_lag_bytes": SMALL_LAG}
    with SteppedHub(**changes) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(4)) as (talker, *brisk):
            client = hub.client(slow)
            hub.clog(talker, brisk, slow)
            said = hub.client(talker).lines_in
            for number in range(10):
                hub.say(slow, b"mine %d\n" % number)
                hub.say(talker, b"%d " % number + b"x" * 2000 + b"\n")
                take_all(talker), [take_all(peer) for peer in brisk]
            if slow_policy == "skip":
                before = client.skipped_lines
                while client.skipped_lines == before:
                    hub.now_s += 1
                    hub.say(slow, b"mine again\n")
                    hub.fill(talker, brisk, lambda: True) or hub.say(talker, b"y" * 2000 + b"\n")
                    take_all(talker), [take_all(peer) for peer in brisk]
            got = hub.catch_up(slow)
            assert b"mine" not in got
            told = sum(int(count) for count in re.findall(rb"\* skipped (\d+) lines", got))
            notices = got.count(b"* skipped")
            assert got.count(b"\n") - notices + told == hub.client(talker).lines_in > said
            assert told == client.skipped_lines
            assert (told > 0) == (slow_policy == "skip")


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_an_end_of_stream_behind_ones_own_line_ends_in_order(trigger: str) -> None:
    with ThreadHub(trigger=trigger, self_echo=False) as hub:
        ann, bob = hub.peers(2)
        with ann, bob:
            bob.send(b"yours\n")
            assert ann.line() == b"yours\n"
            ann.send(b"mine\nlast")
            ann.half_close()
            assert ann.rest() == b""
            assert bob.read_until(b"last\n") == b"mine\nlast\n"
            assert hub.ending()["reason"] == "peer_closed"


def test_what_waits_goes_along_to_another_room_without_ones_own() -> None:
    with SteppedHub(mode="chat", announce=0, self_echo=False) as hub, closing(hub.join(2)) as (ann, bob):
        take_all(ann)
        hub.deliver(bob, b"yours\n")
        hub.deliver(ann, b"mine\n/join den\nalone\n")
        hub.turns(4)
        assert take_all(ann).splitlines()[-1] == b"* you are now in den, with nobody else"


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_a_browser_and_a_telnet_window_hear_each_other_and_not_themselves(trigger: str, read: str) -> None:
    with (
        ThreadHub(trigger=trigger, read=read, self_echo=False) as hub,
        WsPeer(hub.ws_port) as browser,
        hub.peer() as window,
    ):
        until(lambda: len(hub.loop.hub.rooms.lobby.hearers) == 2)
        for number in range(50):
            browser.say(f"b{number}\nb{number} again")
            window.send(b"w%d\n" % number)
        assert browser.read_until("w49") == [f"w{number}" for number in range(50)]
        expected = b"".join(b"b%d\nb%d again\n" % (number, number) for number in range(50))
        assert window.read_until(b"b49 again\n") == expected
