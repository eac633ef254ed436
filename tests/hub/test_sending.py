"""The flush step on real sockets: who gets what with which calls, and what becomes of who cannot keep up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from hub.config.values import Rate
from hub.loop.context import Budgets
from hub.net.sockets import Sockets
from hub.session.client import Client
from tests.hub.support_turns import (
    LINE,
    SMALL_LAG,
    SOON_S,
    RecordingSockets,
    SteppedHub,
    take_all,
    unacknowledged_bytes,
)
from tests.support import PAIRS, Peer, ThreadHub, closing, until

BULK = b"".join(b"bulk %04d\n" % number for number in range(800))
"""8000 bytes, more than a line that somebody types."""


class Crowd(NamedTuple):
    """A talker, one that reads nothing, and others that keep up, so that the slow one is never most."""

    hub: SteppedHub
    talker: Peer
    slow: Peer
    brisk: list[Peer]
    client: Client
    """The slow one as the hub sees it."""

    def talk_until_pressed(self) -> None:
        """Bring the slow one close to its limit."""
        room = self.hub.hub.rooms.lobby
        self.hub.clog(self.talker, self.brisk, self.slow)
        self.hub.fill(self.talker, self.brisk, lambda: self.client.id in room.pressed)


@contextmanager
def crowd(
    sockets: Sockets | None = None, max_lag_bytes: int = SMALL_LAG, slow: str = "disconnect"
) -> Iterator[Crowd]:
    """Five clients of a broadcast, of which one does not read."""
    with SteppedHub(sockets=sockets, max_lag_bytes=max_lag_bytes, slow=slow) as hub:
        (stuck,) = hub.join(1, receive_buffer=4096)
        with stuck, closing(hub.join(4)) as (talker, *brisk):
            yield Crowd(hub, talker, stuck, brisk, hub.client(stuck))


# The common case: everyone is in step.


def test_everyone_of_one_form_is_handed_the_same_bytes_object_with_one_send() -> None:
    sockets = RecordingSockets()
    with SteppedHub(sockets=sockets) as hub, closing(hub.join(12)) as peers:
        for peer in peers[:4]:
            hub.say(peer, b"x\r\n")
        for peer in peers[4:7]:
            hub.say(peer, b"\xff\xf1")
        sockets.sends.clear()
        hub.say(peers[-1], b"one\ntwo\n")
        assert len(sockets.sends) == len({send.fd for send in sockets.sends}) == 12
        objects = {id(send.buffers[0]): send.buffers[0] for send in sockets.sends}
        assert sorted(objects.values()) == [b"one\ntwo\n", b"one\r\ntwo\r\n"]  # Of telnet only 0xFF differs.
        sockets.sends.clear()
        hub.say(peers[5], b"\xff\xff\n")
        objects = {id(send.buffers[0]): send.buffers[0] for send in sockets.sends}
        assert sorted(objects.values()) == [b"\xff\n", b"\xff\r\n", b"\xff\xff\r\n"]


def test_the_lines_of_many_in_one_turn_are_one_send_to_each() -> None:
    sockets = RecordingSockets()
    with SteppedHub(sockets=sockets) as hub, closing(hub.join(10)) as peers:
        for number, peer in enumerate(peers):
            hub.deliver(peer, b"from %d\n" % number)
        hub.turns(2)
        assert len(sockets.sends) == 10
        assert len({peer.read(70) for peer in peers}) == 1


def test_no_write_interest_is_armed_while_the_kernel_takes_everything() -> None:
    with SteppedHub() as hub, closing(hub.join(10)) as peers:
        before = dict(hub.poller.calls)
        for number in range(50):
            hub.say(peers[number % 10], b"line %d\n" % number)
        assert hub.poller.calls["epoll_ctl"] == before["epoll_ctl"]
        assert hub.hub.counters.events_out == 0


@pytest.mark.parametrize(("sends", "between"), [(1, 1), (2, 1), (3, 2), (7, 3)])
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_in_slices_however_small_everyone_gets_every_line_in_order(
    sends: int, between: int, mode: str
) -> None:
    few = Budgets(sends=sends, sends_between_clock_readings=between)
    with SteppedHub(few, mode=mode, announce=0) as hub, closing(hub.join(8)) as peers:
        for peer in peers:
            take_all(peer)
        for number in range(40):
            hub.deliver(peers[number % 7], b"line %02d\n" % number)
            hub.turns(number % 5)
        hub.settle()
        hub.say(peers[7], b"the end\n")
        heard = {peer.read_until(b"the end\n") for peer in peers}
        assert len(heard) == 1
        assert sorted(re.findall(rb"line (\d\d)", heard.pop())) == [b"%02d" % number for number in range(40)]


def test_one_slice_of_a_large_room_makes_no_more_sends_than_its_budget() -> None:
    sockets = RecordingSockets()
    few = Budgets(sends=6, sends_between_clock_readings=3)
    with SteppedHub(few, sockets=sockets) as hub, closing(hub.join(20)) as peers:
        hub.deliver(peers[0], b"hello\n")
        made = []
        for _ in range(5):
            before = len(sockets.sends)
            hub.turns()
            made.append(len(sockets.sends) - before)
        assert made == [6, 6, 6, 2, 0]


def test_answers_to_many_do_not_keep_the_lines_of_a_room_waiting() -> None:
    few = Budgets(sends=4, sends_between_clock_readings=2)
    with SteppedHub(few, mode="chat") as hub, closing(hub.join(8)) as (ann, bob, *askers):
        for peer in (ann, bob):
            peer.send(b"/join quiet\n")
        hub.turns(60)
        take_all(bob)
        ann.send(b"hello\n")
        heard, turns = b"", 0
        while b"hello" not in heard and turns < 60:
            for peer in askers:
                peer.send(b"/who\n")
            hub.turns(1)
            for peer in askers:
                take_all(peer)
            heard, turns = heard + take_all(bob), turns + 1
        assert b"hello" in heard


def test_history_is_not_trimmed_under_who_joins_while_a_pass_is_under_way() -> None:
    one_at_a_time = Budgets(sends=1, sends_between_clock_readings=1)
    with (
        SteppedHub(one_at_a_time, mode="chat", notices=False, history=5) as hub,
        closing(hub.join(6)) as peers,
    ):
        hub.turns(50)
        for number in range(20):
            peers[0].send(b"%d\n" % number)
            hub.turns(20)
        peers[0].send(b"20\n")
        hub.turns(5)  # Five of six have it: the pass is under way.
        with Peer(hub.port) as late:
            peers[0].send(b"".join(b"%d\n" % number for number in range(21, 40)))
            hub.turns(300)
            hub.now_s += 1
            hub.turns(100)
            numbers = [int(line.split()[1]) for line in take_all(late).splitlines()]
            assert numbers == list(range(numbers[0], 40))


def test_history_comes_without_notices_to_who_joins_while_a_pass_is_under_way() -> None:
    one_at_a_time = Budgets(sends=1, sends_between_clock_readings=1)
    with SteppedHub(one_at_a_time, mode="chat", notices=False) as hub, closing(hub.join(6)) as peers:
        hub.turns(50)
        peers[0].send(b"hello\n")
        hub.turns(4)
        with closing(hub.join(1)) as (late,):
            hub.turns(60)
            assert take_all(late) == b"<guest-1> hello\n"


@pytest.mark.parametrize("eol", ["auto", "lf", "crlf"])
@pytest.mark.parametrize(
    "first", [b"", b"hi\n", b"hi\r\n", b"\xff\xf1hi\r\n"], ids=["none", "LF", "CRLF", "telnet"]
)
def test_a_long_history_reaches_a_slow_newcomer_whole_whatever_it_says_first(first: bytes, eol: str) -> None:
    with (
        SteppedHub(mode="chat", history=1000, announce=0, eol=eol) as hub,
        closing(hub.join(1)) as (talker,),
    ):
        hub.fill(talker, (), lambda: hub.hub.rooms.lobby.head >= 100)
        with closing(hub.join(1, fresh=bool(first), receive_buffer=4096)) as (late,):
            client = hub.client(late)
            if first:
                hub.say(late, first)
            assert client.blocked
            got = hub.catch_up(late)
            end = b"\r\n" if eol == "crlf" else b"\n"
            assert got.count(b"> " + LINE.rstrip() + end) == 100
            assert client.lines_out == got.count(b"\n") == 101 + bool(first)


# A client that is behind.


def test_a_blocked_client_is_not_tried_again_before_it_is_writable_and_then_gets_all_in_few_sends() -> None:
    sockets = RecordingSockets()
    with crowd(sockets) as (hub, talker, slow, brisk, client):
        calls = hub.poller.calls
        armed = calls["epoll_ctl"]
        hub.fill(talker, brisk, lambda: client.blocked)
        assert calls["epoll_ctl"] == armed + 1
        hub.clog(talker, brisk, slow)
        armed, reports = calls["epoll_ctl"] - 1, hub.hub.counters.events_out
        sockets.sends.clear()
        for number in range(300):
            hub.say(talker, b"line %03d\n" % number)
        assert client.fd not in {send.fd for send in sockets.sends}
        assert hub.hub.counters.events_out == reports
        got = hub.catch_up(slow)
        assert got.endswith(b"".join(b"line %03d\n" % number for number in range(300)))
        to_slow = [send for send in sockets.sends if send.fd == client.fd]
        assert len(to_slow) <= 4
        assert max(len(send.buffers) for send in to_slow) > 200
        assert calls["epoll_ctl"] == armed + 2
        assert not client.blocked


def test_who_misses_more_chunks_than_one_send_takes_gets_every_line_once() -> None:
    with ThreadHub() as hub:
        (slow,) = hub.peers(1, receive_buffer=4096)
        with slow, closing(hub.peers(1)) as (talker,):
            client = hub.loop.hub.clients[1]
            said: list[bytes] = []

            def say(line: bytes) -> None:
                talker.send(line)
                assert talker.line() == line  # so that every line is a turn and a chunk of its own
                said.append(line)

            while not client.blocked:
                say(b"%06d " % len(said) + b"x" * 1000 + b"\n")
            for _ in range(3000):
                say(b"%06d\n" % len(said))
            say(b"end\n")
            slow.sock.settimeout(SOON_S)
            assert slow.read_until(b"end\n") == b"".join(said)


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_a_reply_to_one_who_is_behind_stands_where_its_command_stood(trigger: str, read: str) -> None:
    with SteppedHub(mode="chat", trigger=trigger, read=read, announce=0) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            client = hub.client(slow)
            hub.fill(talker, (), lambda: client.blocked)
            hub.say(talker, b"before\n")
            hub.say(slow, b"/who\n")
            hub.say(talker, b"after\n")
            got = hub.catch_up(slow)
            ends = b"<guest-2> before\n* in lobby (2): guest-1, guest-2\n<guest-2> after\n"
            assert got.endswith(ends)


# About to be cut: press and patience.


@pytest.mark.promise("limits-room-waits")
@pytest.mark.parametrize("policy", ["disconnect", "skip"])
def test_one_that_is_about_to_be_cut_and_takes_bytes_is_waited_for_and_misses_nothing(policy: str) -> None:
    with crowd(slow=policy) as scene:
        hub, talker, slow, brisk, client = scene
        room, sender = hub.hub.rooms.lobby, hub.client(talker)
        scene.talk_until_pressed()
        assert hub.hub.limits.pressed_bytes < client.lag_bytes <= SMALL_LAG
        sender.bulk = True
        hub.deliver(talker, b"last\n")
        hub.turns(3)
        assert sender.id in room.held
        got = hub.catch_up(slow)
        hub.settle()
        got += hub.catch_up(slow)
        assert not (room.held or room.pressed or room.behind)
        assert got.endswith(b"last\n")
        assert got.count(LINE) == sender.lines_in - 1
        assert client.skipped_lines == 0
        for peer in brisk:
            assert peer.read_until(b"last\n")
        assert not hub.endings()


def test_one_that_is_stalled_is_waited_for_only_so_long_and_is_then_cut() -> None:
    with crowd() as scene:
        hub, talker, _, brisk, client = scene
        room, sender, stall_s = hub.hub.rooms.lobby, hub.client(talker), hub.hub.limits.stall_s
        scene.talk_until_pressed()
        sender.bulk = True
        hub.deliver(talker, b"last\n")
        waits = []
        for share in (0.0, 0.9, 0.2):
            hub.now_s += share * stall_s
            hub.turns(3)
            waits.append((sender.held, len(room.pressed)))
        assert waits == [(True, 1), (True, 1), (False, 0)]
        sender.bulk = False
        hub.fill(talker, brisk, lambda: client.reason is not None)
        hub.turns_until(lambda: client.id not in hub.hub.clients)
        assert (client.reason, client.id in room.hearers) == ("slow_consumer", False)
        assert int(client.detail.removeprefix("lag=")) > SMALL_LAG
        hub.say(talker, b"after\n")
        for peer in brisk:
            assert peer.read_until(b"after\n")


def test_one_that_stalled_before_it_was_about_to_be_cut_is_not_waited_for() -> None:
    with crowd() as scene:
        hub, talker, slow, brisk, client = scene
        room = hub.hub.rooms.lobby
        hub.clog(talker, brisk, slow)
        hub.fill(talker, brisk, lambda: client.id in room.behind)
        hub.now_s += 2 * hub.hub.limits.stall_s
        hub.turns(3)
        hub.fill(talker, brisk, lambda: client.lag_bytes > SMALL_LAG - 2 * len(LINE))
        assert client.lag_bytes > hub.hub.limits.pressed_bytes
        assert not (room.pressed or room.held)


def test_one_that_takes_little_by_little_is_waited_for_while_there_is_patience() -> None:
    with crowd(max_lag_bytes=1 << 20) as scene:
        hub, _, slow, _, client = scene
        room, step_s = hub.hub.rooms.lobby, 0.8 * hub.hub.limits.stall_s
        scene.talk_until_pressed()
        waited = []
        for _ in range(4):
            hub.now_s += step_s
            before = client.offset
            while client.offset == before:
                take_all(slow, 16 * 1024)
                hub.turns()
            waited.append(client.id in room.pressed)
        assert client.lag_bytes > hub.hub.limits.behind_bytes
        assert waited == [step_s * (at + 1) < hub.hub.limits.patience_s for at in range(4)]
        assert set(waited) == {True, False}


def test_a_slow_consumer_ends_with_what_it_was_owed_as_unsent() -> None:
    with crowd() as scene:
        hub, talker, slow, brisk, client = scene
        scene.talk_until_pressed()
        hub.now_s += 1
        hub.turns(3)
        hub.fill(talker, brisk, lambda: client.reason is not None)
        said = hub.client(talker).lines_in * len(LINE)
        slow.close()
        hub.turns_until(hub.endings)
        end = hub.ending()
        assert end["unsent_bytes"] > SMALL_LAG
        assert end["unsent_bytes"] + end["bytes_out"] == said
        assert not end["farewell"]


def test_a_hearer_that_keeps_a_room_waiting_is_cut_after_ten_seconds_without_a_byte() -> None:
    with SteppedHub(max_lag_bytes=SMALL_LAG) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            client, sender = hub.client(slow), hub.client(talker)
            hub.clog(talker, (), slow)
            hub.fill(talker, (), lambda: sender.held)
            seen = []
            for passed_s in (hub.hub.limits.progress_s - 0.1, 0.2):
                hub.now_s += passed_s
                hub.turns(3)
                seen.append((sender.held, client.reason, client.detail))
            assert seen == [(True, None, ""), (False, "slow_consumer", "stuck=10s")]


@pytest.mark.promise("pause-active")
@pytest.mark.parametrize("idle_timeout_s", [0, 300])
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_who_took_its_lines_while_the_process_stood_still_is_not_cut(
    trigger: str, read: str, idle_timeout_s: int
) -> None:
    changes: dict[str, Any] = {"max_lag_bytes": SMALL_LAG, "idle_timeout_s": idle_timeout_s}
    with SteppedHub(trigger=trigger, read=read, **changes) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            client = hub.client(slow)
            hub.clog(talker, (), slow)
            hub.fill(talker, (), lambda: hub.client(talker).held)
            until(lambda: not (take_all(slow) and unacknowledged_bytes(client)))
            hub.deliver(talker, LINE)
            hub.now_s += 3600
            hub.turns()
            assert client.reason is None
            hub.catch_up(slow)
            assert not hub.client(talker).held


# Who sends and does not read: bulk senders and feeds.


def test_a_bulk_sender_gets_its_own_lines_when_it_pauses_and_not_before() -> None:
    with SteppedHub() as hub, closing(hub.join(2)) as (feed, listener):
        for _ in range(3):
            hub.say(feed, BULK)
            assert listener.read(len(BULK)) == BULK
        hub.now_s += 0.9 * hub.hub.limits.pause_s
        hub.say(feed, b"little\n")  # Not bulk by itself, but no pause either.
        hub.now_s += 0.9 * hub.hub.limits.pause_s
        hub.turns(3)
        assert feed.nothing_waits()
        hub.now_s += 0.2 * hub.hub.limits.pause_s
        hub.turns(3)
        assert feed.read_until(b"little\n") == 3 * BULK + b"little\n"


def test_who_types_gets_its_own_lines_at_once() -> None:
    with SteppedHub() as hub, closing(hub.join(1)) as (typist,):
        hub.say(typist, LINE)
        assert typist.line() == LINE


def test_a_line_of_somebody_else_ends_the_waiting_of_a_bulk_sender() -> None:
    with SteppedHub() as hub, closing(hub.join(2)) as (feed, other):
        hub.say(feed, BULK)
        assert feed.nothing_waits()
        hub.say(other, b"hello\n")
        assert feed.read_until(b"hello\n") == BULK + b"hello\n"


def test_a_bulk_sender_is_told_how_many_of_its_own_lines_it_missed() -> None:
    with SteppedHub(max_lag_bytes=SMALL_LAG) as hub, closing(hub.join(2)) as (feed, listener):
        for _ in range(10):
            hub.say(feed, BULK)
            assert listener.read(len(BULK)) == BULK
        hub.now_s += 2 * hub.hub.limits.pause_s
        hub.turns(3)
        got = hub.catch_up(feed)
        notice = re.match(rb"\* skipped (\d+) lines\n", got)
        assert notice
        own = got[notice.end() :]
        assert (BULK * 10).endswith(own)
        assert hub.hub.account.skipped == len(BULK) * 10 - len(own) > SMALL_LAG
        assert int(notice[1]) + own.count(b"\n") == BULK.count(b"\n") * 10


def test_who_talks_and_never_reads_becomes_a_feed_instead_of_being_cut() -> None:
    with crowd() as scene:
        hub, talker, slow, brisk, client = scene
        hub.say(slow, b"I only talk\n")
        scene.talk_until_pressed()
        hub.now_s += 1
        hub.turns(3)
        hub.fill(talker, brisk, lambda: client.deaf)
        assert client.id in hub.hub.clients and client.id not in hub.hub.rooms.lobby.hearers
        for number in range(3):
            hub.now_s += 0.9 * hub.hub.limits.progress_s
            hub.say(slow, b"still talking %d\n" % number)
            assert brisk[0].read_until(b"still talking %d\n" % number)
        hub.now_s += 1.1 * hub.hub.limits.progress_s
        hub.turns(3)
        assert (client.reason, client.detail) == ("slow_consumer", "feed=yes")


@pytest.mark.parametrize("notices", [True, False])
def test_a_newcomer_that_never_pauses_holds_no_log_back(notices: bool) -> None:
    with (
        SteppedHub(mode="chat", announce=0, max_lag_bytes=SMALL_LAG, notices=notices) as hub,
        closing(hub.join(1)) as (other,),
        closing(hub.join(1, fresh=True)) as (feed,),
    ):
        client, room = hub.client(feed), hub.hub.rooms.lobby
        for _ in range(60):
            hub.say(feed, BULK)
            hub.say(other, b"x" * 2000 + b"\n")
            take_all(other)
            assert sum(len(chunk.lf) for chunk in room.chunks) < 5 * SMALL_LAG
        assert not client.fresh or client.reason


def test_a_newcomer_that_waits_for_its_rate_hears_the_others() -> None:
    with (
        SteppedHub(mode="chat", announce=0, line_rate=Rate(1, "s", 5)) as hub,
        closing(hub.join(1)) as (other,),
        closing(hub.join(1, fresh=True)) as (paster,),
    ):
        client = hub.deliver(paster, b"a page\n" * 1000)
        hub.turns(3)
        assert client.throttled and client.fresh and paster.nothing_waits()
        hub.say(other, b"hello\n")
        assert b"<guest-2> a page\n<guest-1> hello\n" in paster.read_until(b"hello\n")


def test_a_newcomer_that_has_said_nothing_yet_holds_no_log_back() -> None:
    with (
        SteppedHub(mode="chat", announce=0, max_lag_bytes=SMALL_LAG) as hub,
        closing(hub.join(1)) as (other,),
        closing(hub.join(1, fresh=True)) as (silent,),
    ):
        client = hub.client(silent)
        while client.fresh:
            hub.say(other, b"x" * 2000 + b"\n")
            take_all(other)
            assert client.lag_bytes < SMALL_LAG
        assert b"welcome" in silent.line()


def test_who_ends_behind_a_gap_is_told_of_it_though_it_is_owed_nothing_else() -> None:
    with SteppedHub(max_lag_bytes=SMALL_LAG) as hub, closing(hub.join(2)) as (feed, listener):
        client = hub.client(feed)
        while not client.skipped_lines:
            hub.say(feed, BULK)
            take_all(listener)
        assert client.owed_bytes == 0, "or the test shows nothing"
        feed.half_close()
        hub.turns_until(hub.endings)
        assert feed.rest() == b"* skipped %d lines\n" % client.skipped_lines


def test_a_bulk_sender_is_told_of_its_gap_before_the_next_line_of_somebody_else() -> None:
    with SteppedHub(max_lag_bytes=SMALL_LAG) as hub, closing(hub.join(2)) as (feed, other):
        client = hub.client(feed)
        while not client.skipped_lines:
            hub.say(feed, BULK)
            take_all(other)
        hub.say(other, b"hello\n")
        assert feed.read_until(b"hello\n") == b"* skipped %d lines\nhello\n" % client.skipped_lines


def test_a_newcomer_whose_waiting_lines_of_others_end_misses_none_of_them() -> None:
    with (
        SteppedHub(mode="chat", history=0, eol="crlf", announce=0) as hub,
        closing(hub.join(1)) as (other,),
        closing(hub.join(1, fresh=True)) as (feed,),
    ):
        hub.deliver(feed, BULK)
        hub.deliver(other, b"hello\n")
        hub.turns()
        hub.settle()
        got = feed.read_until(b"hello\r\n") + take_all(feed)
        assert got.count(b"<guest-2> bulk") == len(BULK.splitlines())
