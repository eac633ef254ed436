"""The write step on real sockets: who gets what with which calls, and what becomes of a slow reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from hub.loop.limits import Budgets
from hub.net.sockets import Sockets
from hub.session.client import Client
from hub.session.read_gate import ROOM
from tests.loop.support import (
    LINE,
    SMALL_LAG,
    SOON_S,
    RecordingSockets,
    SteppedHub,
    take_all,
    unacknowledged_bytes,
)
from tests.support import PAIRS, Peer, ThreadHub, closing, until


class Crowd(NamedTuple):
    """A talker, one that reads nothing, and others that keep up, so that the slow one is never most."""

    hub: SteppedHub
    talker: Peer
    slow: Peer
    brisk: list[Peer]
    client: Client
    """The slow one as the hub sees it."""

    def talk_until_near(self) -> None:
        """Bring the slow one close to its limit."""
        near = self.hub.hub.limits.near_bytes
        self.hub.clog(self.talker, self.brisk, self.slow)
        self.hub.fill(self.talker, self.brisk, lambda: self.client.outbox.lag_bytes > near)

    def talk_until_closed(self) -> None:
        """Bring it past the limit; the kernel may find place for some bytes yet, which counts as a sign."""
        while self.client.close.reason is None:
            self.hub.now_s += 1.1 * self.hub.hub.limits.alive_s
            self.hub.turns(3)
            self.hub.fill(
                self.talker, self.brisk, lambda: bool(self.client.close.reason) or self.is_waited_for()
            )

    def is_waited_for(self) -> bool:
        """Whether the talker is not read, because its room waits."""
        return self.hub.client(self.talker).gate.has(ROOM)


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


def test_subscribers_of_one_encoding_get_one_bytes_object() -> None:
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


def test_lines_of_many_in_one_turn_are_one_send_to_each() -> None:
    sockets = RecordingSockets()
    with SteppedHub(sockets=sockets) as hub, closing(hub.join(10)) as peers:
        for number, peer in enumerate(peers):
            hub.deliver(peer, b"from %d\n" % number)
        hub.turns(2)
        assert len(sockets.sends) == 10
        assert len({peer.read(70) for peer in peers}) == 1


def test_write_interest_is_not_armed_without_a_refusal() -> None:
    with SteppedHub() as hub, closing(hub.join(10)) as peers:
        before = dict(hub.poller.calls)
        for number in range(50):
            hub.say(peers[number % 10], b"line %d\n" % number)
        assert hub.poller.calls["epoll_ctl"] == before["epoll_ctl"]
        assert hub.hub.counters.events_out == 0


@pytest.mark.parametrize(("sends", "between"), [(1, 1), (2, 1), (3, 2), (7, 3)])
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_small_slices_bring_everyone_every_line_in_order(sends: int, between: int, mode: str) -> None:
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


def test_turn_makes_no_more_sends_than_its_budget() -> None:
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


def test_answers_to_many_do_not_keep_a_rooms_lines_waiting() -> None:
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


def test_join_amid_a_pass_has_no_hole_behind_its_history() -> None:
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


def test_join_amid_a_pass_shows_history_without_notices() -> None:
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
def test_long_history_reaches_a_slow_joiner_whole(first: bytes, eol: str) -> None:
    with (
        SteppedHub(mode="chat", history=1000, announce=0, eol=eol) as hub,
        closing(hub.join(1)) as (talker,),
    ):
        hub.fill(talker, (), lambda: hub.hub.rooms.lobby.log.next_line >= 100)
        with closing(hub.join(1, opening=bool(first), receive_buffer=4096)) as (late,):
            client = hub.client(late)
            if first:
                hub.say(late, first)
            assert client.outbox.blocked
            got = hub.catch_up(late)
            speaks_telnet = first.startswith(b"\xff") and eol == "auto"
            end = b"\r\n" if eol == "crlf" or speaks_telnet else b"\n"
            assert got.count(b"> " + LINE.rstrip() + end) == 100
            assert client.outbox.lines_out == got.count(b"\n") == 101 + bool(first)


# A client that is behind.


def test_blocked_client_gets_all_in_few_sends_when_writable() -> None:
    sockets = RecordingSockets()
    with crowd(sockets) as (hub, talker, slow, brisk, client):
        calls = hub.poller.calls
        armed = calls["epoll_ctl"]
        hub.fill(talker, brisk, lambda: client.outbox.blocked)
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
        assert not client.outbox.blocked


def test_client_behind_by_many_chunks_gets_every_line_once() -> None:
    with ThreadHub() as hub:
        (slow,) = hub.peers(1, receive_buffer=4096)
        with slow, closing(hub.peers(1)) as (talker,):
            client = hub.loop.hub.connections.clients[1]
            said: list[bytes] = []

            def say(line: bytes) -> None:
                talker.send(line)
                assert talker.line() == line  # so that every line is a turn and a chunk of its own
                said.append(line)

            while not client.outbox.blocked:
                say(b"%06d " % len(said) + b"x" * 1000 + b"\n")
            for _ in range(3000):
                say(b"%06d\n" % len(said))
            say(b"end\n")
            slow.sock.settimeout(SOON_S)
            assert slow.read_until(b"end\n") == b"".join(said)


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_reply_to_a_lagging_client_stands_at_its_command(trigger: str, read: str) -> None:
    with SteppedHub(mode="chat", trigger=trigger, read=read, announce=0) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            client = hub.client(slow)
            hub.fill(talker, (), lambda: client.outbox.blocked)
            hub.say(talker, b"before\n")
            hub.say(slow, b"/who\n")
            hub.say(talker, b"after\n")
            got = hub.catch_up(slow)
            ends = b"<guest-2> before\n* in lobby (2): guest-1, guest-2\n<guest-2> after\n"
            assert got.endswith(ends)


# Near the limit: flow control on real kernels.


@pytest.mark.promise("limits-room-waits")
@pytest.mark.parametrize("policy", ["disconnect", "skip"])
def test_near_the_limit_a_reader_that_moves_is_waited_for(policy: str) -> None:
    with crowd(slow=policy) as scene:
        hub, talker, slow, brisk, client = scene
        scene.talk_until_near()
        assert client.outbox.lag_bytes <= SMALL_LAG
        hub.deliver(talker, b"last\n")
        hub.turns(3)
        assert scene.is_waited_for()
        got = hub.catch_up(slow)
        hub.settle()
        got += hub.catch_up(slow)
        assert not scene.is_waited_for()
        assert got.endswith(b"last\n")
        assert got.count(LINE) == hub.client(talker).inbox.lines_in - 1
        assert client.outbox.skipped_lines == 0
        for peer in brisk:
            assert peer.read_until(b"last\n")
        assert not hub.endings()


def test_slow_consumer_closes_with_what_it_was_owed_unsent() -> None:
    with crowd() as scene:
        hub, talker, slow, brisk, client = scene
        hub.clog(talker, brisk, slow)
        scene.talk_until_closed()
        hub.turns(2)
        assert client.id not in hub.hub.rooms.lobby.subscribers
        said = hub.client(talker).inbox.lines_in * len(LINE)
        hub.say(talker, b"after\n")
        for peer in brisk:
            assert peer.read_until(b"after\n")
        slow.close()
        hub.turns_until(hub.endings)
        end = hub.ending()
        assert end["reason"] == "slow_consumer" and not end["farewell"]
        assert re.fullmatch(rf"lag=\d+ limit={SMALL_LAG}", end["detail"])
        assert end["unsent_bytes"] > SMALL_LAG
        assert end["unsent_bytes"] + end["bytes_out"] == said


@pytest.mark.promise("pause-active")
@pytest.mark.parametrize("idle_timeout_s", [0, 300])
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_lines_taken_during_a_standstill_keep_the_client(
    trigger: str, read: str, idle_timeout_s: int
) -> None:
    changes: dict[str, Any] = {"max_lag_bytes": SMALL_LAG, "idle_timeout_s": idle_timeout_s}
    with SteppedHub(trigger=trigger, read=read, **changes) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1)) as (talker,):
            client, gate = hub.client(slow), hub.client(talker).gate
            hub.clog(talker, (), slow)
            hub.fill(talker, (), lambda: gate.has(ROOM))
            until(lambda: not (take_all(slow) and unacknowledged_bytes(client)))
            hub.deliver(talker, LINE)
            hub.now_s += 3600
            hub.turns()
            assert client.close.reason is None
            hub.catch_up(slow)
            assert not gate.has(ROOM)
