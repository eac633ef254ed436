"""--slow skip: a client that misses lines is told exactly how many, where the gap is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import pytest

from hub.session.client import Client
from hub.session.read_gate import ROOM
from tests.loop.support import SMALL_LAG, SteppedHub, reading, take_all
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
            before = self.client.outbox.skipped_lines
            while self.client.outbox.skipped_lines == before:
                start = self.say(start, 1)
                assert start < 20_000
        return start


@contextmanager
def scene(trigger: str = "level", *, others: int = 3, **changes: Any) -> Iterator[Scene]:
    """A hub under --slow skip that waits for nobody."""
    changes = {"slow": "skip", "max_lag_bytes": SMALL_LAG, "patience_s": 0, **changes}
    with SteppedHub(trigger=trigger, **changes) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1 + others)) as (talker, *brisk):
            yield Scene(hub, talker, slow, list(brisk), hub.client(slow))


@pytest.mark.promise("skip-count")
@pytest.mark.parametrize("eol", ["lf", "crlf"])
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_slow_client_misses_lines_and_is_told_how_many(trigger: str, eol: str) -> None:
    with scene(trigger, eol=eol) as (hub, talker, slow, brisk, client):
        at = Scene(hub, talker, slow, brisk, client).say_until_gaps(0)
        got = hub.catch_up(slow)
        at = Scene(hub, talker, slow, brisk, client).say(at, 5)
        got += hub.catch_up(slow)
        missed = assert_whole(got, at)
        assert missed == client.outbox.skipped_lines > 10
        assert hub.hub.account.skipped == client.outbox.skipped_bytes == missed * 2000
        assert client.close.reason is None


@pytest.mark.promise("skip-count")
def test_client_that_never_reads_is_owed_one_notice() -> None:
    with scene() as one:
        at = one.say_until_gaps(0, gaps=4)
        assert sum(item.skipped > 0 for item in one.client.outbox.items) <= 1
        assert one.client.outbox.item_bytes < 2100  # The notice, and what is left of a line that was begun.
        got = one.hub.catch_up(one.slow)
        assert assert_whole(got, at) == one.client.outbox.skipped_lines


@pytest.mark.promise("skip-dead")
def test_client_that_takes_nothing_skips_until_it_would_be_idle() -> None:
    """No lag closes a client that skips; the idle timeout does, and says that it took nothing."""
    with scene(idle_timeout_s=300) as one:
        hub, client = one.hub, one.client
        at = one.say_until_gaps(0)
        began_s, taken = hub.now_s, client.outbox.bytes_out
        while client.close.reason is None:
            if client.outbox.bytes_out != taken:  # Its kernel took some more, late.
                began_s, taken = hub.now_s, client.outbox.bytes_out
            at = one.say(at, 5)
            hub.now_s += 5
            hub.turns()
            assert hub.now_s < began_s + 400
        assert client.close.reason == "slow_consumer"
        assert hub.now_s - began_s >= 295
        one.slow.close()
        hub.turns_until(hub.endings)
        end = hub.ending()
        assert end["skipped_lines"] == client.outbox.skipped_lines > 100
        assert end["skipped_bytes"] == hub.hub.account.skipped == 2000 * client.outbox.skipped_lines


@pytest.mark.promise("skip-dead")
def test_gap_is_no_sign_of_life_for_which_a_room_waits() -> None:
    with scene(patience_s=4) as one:
        hub, sender, outbox = one.hub, one.hub.client(one.talker), one.client.outbox
        at, took_at = 0, 0.0
        while not sender.gate.has(ROOM):  # The room waits for one near the limit that took bytes lately.
            at = one.say(at, 1)
        while outbox.skipped_lines < 60:
            if outbox.took_at > took_at:  # Its kernel took some more, late.
                took_at, hub.now_s = outbox.took_at, hub.now_s + hub.hub.limits.alive_s + 0.1
                hub.turns(2)
            assert not sender.gate.has(ROOM)
            at = one.say(at, 1)
        got = hub.catch_up(one.slow)
        assert assert_whole(got, at) == outbox.skipped_lines


def test_client_that_holds_its_room_up_skips_and_is_not_closed() -> None:
    with scene(others=0) as one:
        hub, sender = one.hub, one.hub.client(one.talker)
        at = 0
        while not sender.gate.has(ROOM):
            at = one.say(at, 1)
        assert not one.client.outbox.skipped_lines
        hub.now_s += hub.hub.limits.progress_s + 0.1
        hub.turns(3)
        assert not sender.gate.has(ROOM)
        assert one.client.outbox.skipped_lines and one.client.close.reason is None
        at = one.say(at, 3)
        got = hub.catch_up(one.slow)
        assert assert_whole(got, at) == one.client.outbox.skipped_lines


def test_answer_asked_for_before_a_gap_comes_behind_its_notice() -> None:
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


def test_client_that_changes_rooms_is_told_there_what_it_missed() -> None:
    with scene(mode="chat", announce=0) as one:
        take_all(one.slow)
        one.say_until_gaps(0)
        one.hub.say(one.slow, b"/join den\n")
        got = one.hub.catch_up(one.slow)
        (told,) = GAP.findall(got)
        assert int(told) == one.client.outbox.skipped_lines
        assert got.index(b"* skipped ") < got.index(b"* you are now in den")


def arrived(hub: ThreadHub, said: int) -> bool:
    """Whether the hub has read so many lines, or reads the talker no more for now."""
    return hub.loop.hub.counters.lines_in == said or hub.loop.hub.connections.clients[2].gate.has(ROOM)


@pytest.mark.promise("skip-count")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_reader_that_comes_and_goes_sees_where_its_gaps_are(trigger: str, read: str) -> None:
    with ThreadHub(slow="skip", max_lag_bytes=SMALL_LAG, patience_s=0, trigger=trigger, read=read) as hub:
        (slow,) = hub.peers(1, receive_buffer=4096)
        (talker, *others) = hub.peers(4)
        got, said = b"", 0
        with slow, closing([talker, *others]), reading(talker, *others):
            client = hub.loop.hub.connections.clients[1]
            for _ in range(3):
                before = client.outbox.skipped_lines
                while client.outbox.skipped_lines == before:
                    talker.send(line(said))
                    said += 1
                    until(partial(arrived, hub, said))
                got += slow.read(50_000)
            until(lambda: hub.loop.hub.counters.lines_in == said)
            talker.send(line(said))
            got += slow.read_until(line(said))
            missed = assert_whole(got, said + 1)
            assert missed == client.outbox.skipped_lines


@pytest.mark.promise("skip-count")
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_slow_browser_gets_whole_messages_and_the_notice(trigger: str) -> None:
    with (
        ThreadHub(slow="skip", max_lag_bytes=SMALL_LAG, patience_s=0, trigger=trigger) as hub,
        WsPeer(hub.ws_port, receive_buffer=4096) as browser,
    ):
        until(lambda: hub.loop.hub.rooms.lobby.subscribers)
        (talker, *others) = hub.peers(4)
        with closing([talker, *others]), reading(talker, *others):
            client, said = hub.loop.hub.connections.clients[1], 0
            while not client.outbox.skipped_lines:
                talker.send(line(said))
                said += 1
                until(partial(arrived, hub, said))
            until(lambda: hub.loop.hub.counters.lines_in == said)
            talker.send(line(said))
            messages = browser.read_until(line(said).decode().rstrip("\n"))
            got = b"".join(str(message).encode() + b"\n" for message in messages)
            assert assert_whole(got, said + 1) == client.outbox.skipped_lines
