"""Gaps: who misses lines is told exactly how many, at a line border, and the books stay balanced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import pytest

from hub.loop.counters import queued_bytes
from hub.rooms.outbox import next_parts, rest_for, take
from hub.rooms.skipping import skip, tell_skipped
from hub.session.client import Client, Piece
from tests.hub.support_turns import SMALL_LAG, SteppedHub, reading, take_all
from tests.hub.test_client import a_client, a_room
from tests.support import PAIRS, Peer, ThreadHub, closing, until
from tests.support_ws import WsPeer

GAP = re.compile(rb"\* skipped (\d+) lines\r?\n")


def line(number: int) -> bytes:
    """A line of 2000 bytes that is like no other."""
    return b"%07d " % number + b"x" * 1991 + b"\n"


def assert_whole(got: bytes, said: int) -> int:
    """Every line is whole and in order, and each gap is as long as its notice says; lines missed."""
    expected = missed = 0
    for one in got.splitlines(keepends=True):
        gap = GAP.fullmatch(one)
        if gap:
            expected += int(gap[1])
            missed += int(gap[1])
        else:
            assert one.replace(b"\r", b"") == line(expected)
            expected += 1
    assert expected == said
    return missed


# The deed itself.


def test_who_skips_goes_on_at_the_head_and_is_told_before_anything_else() -> None:
    client = a_client()
    room = a_room(client)
    for _ in range(3):
        room.append(b"missed", speaker=9)
    room.seal()
    client.put(b"* an answer\n")
    skip(client, room, room.account)
    room.append(b"seen", speaker=9)
    room.seal()
    tell_skipped(client)
    parts = next_parts(client)
    wire = b"".join(part.wire for part in parts)
    assert wire == b"* skipped 3 lines\n* an answer\nseen\n"
    assert (client.skipped_lines, client.skipped_bytes, room.account.skipped) == (3, 21, 21)
    take(client, parts, len(wire), room.account)
    books = room.account
    assert books.owed == books.delivered + books.skipped
    assert client.private_bytes == 0


def test_the_rest_of_a_line_that_was_begun_comes_before_the_notice() -> None:
    client = a_client()
    room = a_room(client)
    room.append(b"begun", speaker=9)
    room.append(b"missed", speaker=9)
    room.seal()
    take(client, next_parts(client), 2, room.account)
    skip(client, room, room.account)
    tell_skipped(client)
    assert b"".join(part.wire for part in next_parts(client)) == b"gun\n* skipped 1 lines\n"
    assert room.account.owed == room.account.delivered + room.account.skipped + queued_bytes([client])


@pytest.mark.promise("skip-count")
def test_a_gap_behind_a_notice_that_waits_makes_its_number_larger() -> None:
    client = a_client()
    room = a_room(client)
    for _ in range(1000):
        room.append(b"missed", speaker=9)
        room.seal()
        skip(client, room, room.account)
        tell_skipped(client)
    assert client.private == [Piece(-1, b"* skipped 1000 lines\n", skipped=1000)]
    assert client.private_bytes == len(client.private[0].data)


def test_a_notice_that_has_begun_to_go_out_stays_as_it_is() -> None:
    client = a_client()
    room = a_room(client)
    got = b""
    for taken in (5, 1000):
        room.append(b"missed", speaker=9)
        room.seal()
        skip(client, room, room.account)
        tell_skipped(client)
        parts = next_parts(client)
        wire = b"".join(part.wire for part in parts)
        take(client, parts, min(taken, len(wire)), room.account)
        got += wire[:taken]
    assert got == b"* skipped 1 lines\n* skipped 1 lines\n"


def test_what_is_left_of_a_room_comes_before_the_notice_of_a_gap_in_the_next() -> None:
    client = a_client()
    left, room = a_room(client), a_room(number=2)
    client.put(b"* an answer\n")
    left.append(b"owed before", speaker=9)
    client.private = rest_for(client)
    left.leave(client)
    room.enter(client, 0)
    for count in (1, 2):
        room.append(b"missed", speaker=9)
        room.seal()
        skip(client, room, room.account)
        tell_skipped(client)
        waiting = [piece.data for piece in client.private]
        assert waiting == [b"* an answer\n", b"owed before\n", b"* skipped %d lines\n" % count]


def test_lines_behind_a_gap_stay_behind_its_notice_when_they_become_private_output() -> None:
    client = a_client()
    room = a_room(client)
    room.append(b"missed", speaker=9)
    room.seal()
    skip(client, room, room.account)
    room.append(b"seen", speaker=9)
    client.private = rest_for(client)
    assert [piece.data for piece in client.private] == [b"* skipped 1 lines\n", b"seen\n"]
    assert client.untold_lines == 0


# On real sockets.


class Scene(NamedTuple):
    """A talker that reads, one that does not, and others that keep up."""

    hub: SteppedHub
    talker: Peer
    slow: Peer
    brisk: list[Peer]
    client: Client
    """The slow one."""

    def say(self, start: int, count: int) -> int:
        """So many lines; the number of the next."""
        for number in range(start, start + count):
            self.hub.say(self.talker, line(number))
            for peer in (self.talker, *self.brisk):
                take_all(peer)
        return start + count

    def say_until_gaps(self, start: int, gaps: int = 1) -> int:
        """Lines until the slow one has missed some so many times."""
        for _ in range(gaps):
            before = self.client.skipped_lines
            while self.client.skipped_lines == before:
                start = self.say(start, 1)
                self.hub.now_s += 0.2
                assert start < 20_000
        return start


@contextmanager
def scene(trigger: str = "level", *, others: int = 3, **changes: object) -> Iterator[Scene]:
    """A broadcast under --slow skip."""
    with SteppedHub(slow="skip", max_lag_bytes=SMALL_LAG, trigger=trigger, **changes) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1 + others)) as (talker, *brisk):
            yield Scene(hub, talker, slow, list(brisk), hub.client(slow))


@pytest.mark.promise("skip-count")
@pytest.mark.parametrize("eol", ["lf", "crlf"])
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_who_does_not_keep_up_misses_lines_and_is_told_how_many(trigger: str, eol: str) -> None:
    with scene(trigger, eol=eol) as (hub, talker, slow, brisk, client):
        at = Scene(hub, talker, slow, brisk, client).say_until_gaps(0)
        got = hub.catch_up(slow)
        at = Scene(hub, talker, slow, brisk, client).say(at, 5)
        got += hub.catch_up(slow)
        missed = assert_whole(got, at)
        assert missed == client.skipped_lines > 10
        assert hub.hub.account.skipped == client.skipped_bytes == missed * 2000
        assert client.reason is None


@pytest.mark.promise("skip-count")
def test_however_many_gaps_who_never_reads_is_owed_one_notice() -> None:
    with scene() as one:
        at = one.say_until_gaps(0, gaps=4)
        assert sum(piece.skipped > 0 for piece in one.client.private) <= 1
        assert one.client.private_bytes < 2100  # The notice, and what is left of a line that was begun.
        got = one.hub.catch_up(one.slow)
        assert assert_whole(got, at) == one.client.skipped_lines


@pytest.mark.promise("skip-dead")
def test_who_takes_nothing_for_a_minute_after_a_gap_is_dead() -> None:
    with scene(idle_timeout_s=0) as one:
        hub, client = one.hub, one.client
        at = one.say_until_gaps(0)
        began_s, taken = hub.now_s, client.bytes_out
        while client.reason is None:
            if client.bytes_out != taken:  # Its kernel took some more, late.
                began_s, taken = hub.now_s, client.bytes_out
            at = one.say(at, 5)
            hub.now_s += 1
            assert hub.now_s < began_s + 2 * hub.hub.limits.skip_s
        assert (client.reason, client.detail) == ("slow_consumer", "stuck=60s")
        assert hub.now_s - began_s >= hub.hub.limits.skip_s - 1
        one.slow.close()
        hub.turns_until(hub.endings)
        end = hub.ending()
        assert end["skipped_lines"] == client.skipped_lines
        assert end["skipped_bytes"] == hub.hub.account.skipped == 2000 * client.skipped_lines


@pytest.mark.promise("skip-dead")
def test_who_takes_a_little_after_each_gap_is_kept() -> None:
    with scene() as one:
        hub, got, at = one.hub, b"", 0
        for _ in range(4):
            at = one.say_until_gaps(at)
            hub.now_s += 0.9 * hub.hub.limits.skip_s
            hub.turns(3)
            before = one.client.bytes_out
            while one.client.bytes_out == before:
                got += take_all(one.slow)
                hub.turns()
        assert one.client.reason is None
        got += hub.catch_up(one.slow)
        assert assert_whole(got, at) == one.client.skipped_lines


def test_who_holds_its_room_up_and_takes_nothing_misses_lines_instead_of_being_cut() -> None:
    with scene(others=0) as one:
        hub, sender = one.hub, one.hub.client(one.talker)
        at = 0
        while not sender.held:
            at = one.say(at, 1)
        assert not one.client.skipped_lines
        hub.now_s += hub.hub.limits.progress_s + 0.1
        hub.turns(3)
        assert not sender.held
        assert one.client.skipped_lines and one.client.reason is None
        at = one.say(at, 3)
        got = hub.catch_up(one.slow)
        assert assert_whole(got, at) == one.client.skipped_lines


def test_an_answer_asked_for_before_a_gap_comes_behind_its_notice() -> None:
    with scene(mode="chat", announce=0) as one:
        hub = one.hub
        take_all(one.slow)
        hub.clog(one.talker, one.brisk, one.slow)
        at = one.say(0, 15)
        hub.say(one.slow, b"/who\n")
        one.say_until_gaps(at)
        hub.say(one.slow, b"/leave\n")
        got = hub.catch_up(one.slow)
        first, second = got.index(b"* skipped "), got.index(b"* in lobby")
        assert first < second < got.index(b"* you are in lobby already")


def test_who_goes_to_another_room_is_told_there_what_it_missed_before() -> None:
    with scene(mode="chat", announce=0) as one:
        take_all(one.slow)
        one.say_until_gaps(0)
        one.hub.say(one.slow, b"/join den\n")
        got = one.hub.catch_up(one.slow)
        (told,) = GAP.findall(got)
        assert int(told) == one.client.skipped_lines
        assert got.index(b"* skipped ") < got.index(b"* you are now in den")


def arrived(hub: ThreadHub, said: int) -> bool:
    """Whether the hub has read so many lines, or reads the talker no more for now."""
    return hub.loop.hub.counters.lines_in == said or hub.loop.hub.clients[2].held


@pytest.mark.promise("skip-count")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_a_reader_that_comes_and_goes_sees_where_its_gaps_are(trigger: str, read: str) -> None:
    with ThreadHub(slow="skip", max_lag_bytes=SMALL_LAG, trigger=trigger, read=read) as hub:
        (slow,) = hub.peers(1, receive_buffer=4096)
        (talker, *others) = hub.peers(4)
        got, said = b"", 0
        with slow, closing([talker, *others]), reading(talker, *others):
            client = hub.loop.hub.clients[1]
            for _ in range(3):
                before = client.skipped_lines
                while client.skipped_lines == before:
                    talker.send(line(said))
                    said += 1
                    until(partial(arrived, hub, said))
                got += slow.read(50_000)
            until(lambda: hub.loop.hub.counters.lines_in == said)
            talker.send(line(said))
            got += slow.read_until(line(said))
            missed = assert_whole(got, said + 1)
            assert missed == client.skipped_lines


@pytest.mark.promise("skip-count")
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_a_browser_that_does_not_keep_up_gets_whole_messages_and_the_notice(trigger: str) -> None:
    with (
        ThreadHub(slow="skip", max_lag_bytes=SMALL_LAG, trigger=trigger) as hub,
        WsPeer(hub.ws_port, receive_buffer=4096) as browser,
    ):
        until(lambda: hub.loop.hub.rooms.lobby.hearers)
        (talker, *others) = hub.peers(4)
        with closing([talker, *others]), reading(talker, *others):
            client, said = hub.loop.hub.clients[1], 0
            while not client.skipped_lines:
                talker.send(line(said))
                said += 1
                until(partial(arrived, hub, said))
            until(lambda: hub.loop.hub.counters.lines_in == said)
            talker.send(line(said))
            messages = browser.read_until(line(said).decode().rstrip("\n"))
            got = b"".join(str(message).encode() + b"\n" for message in messages)
            assert assert_whole(got, said + 1) == client.skipped_lines
