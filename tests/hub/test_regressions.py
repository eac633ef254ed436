"""What a reader of the loop may doubt: rare orders of events, on real sockets, often with small budgets."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from hub.client import Client
from hub.expiry import Deadline
from hub.loop import Loop
from hub.mailbox import Mailbox, Stop, WantClient
from hub.poller import Poller
from hub.settings import Settings
from hub.sockets import Sockets
from hub.state import Budgets
from hub.stats import account_record
from tests.support import PAIRS, Peer, ThreadHub, closing, until

SOON_S = 4.0
"""Where a test waits for something that would come within milliseconds; only a failing test waits so long."""
SMALL_LAG = 64 * 1024


class SteppedHub:
    """A loop whose turns the test makes itself, one by one, and whose clock it can move."""

    def __init__(self, budgets: Budgets | None = None, **changes: Any) -> None:
        settings = replace(Settings(host="127.0.0.1", port=0, web=False), **changes)
        self.skipped_s = 0.0
        self.reasons: list[object] = []
        self._mailbox = Mailbox()
        self._poller = Poller(settings.trigger)
        self.loop = Loop(
            settings,
            Sockets(),
            self._poller,
            lambda: time.monotonic() + self.skipped_s,
            self._mailbox,
            self._log,
            lambda summary: None,
            budgets=budgets,
        )
        self.hub = self.loop.hub
        self.port = int(self.loop.listen()[0].rsplit(":", 1)[1])

    def __enter__(self) -> SteppedHub:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._mailbox.post(Stop())
        while not self.loop.is_drained:
            self.turns(1)
            self.skipped_s += 1
        self._poller.close()
        self._mailbox.close()
        if kind is None:
            books = account_record(self.hub.account, 0)
            assert books.owed + books.replayed == books.delivered + books.skipped + books.unsent, books

    def turns(self, count: int) -> None:
        """So many turns, none of which waits: a question rings the bell before each."""
        for _ in range(count):
            self._mailbox.post(WantClient(0, lambda row: None))
            self.loop.turn()

    def join(self, count: int = 1, **options: Any) -> list[Peer]:
        """New clients, let in."""
        before = self.hub.counters.accepted
        made = [Peer(self.port, **options) for _ in range(count)]
        while self.hub.counters.accepted < before + count:
            self.turns(1)
        return made

    def client(self, number: int) -> Client:
        """The client that came as this one."""
        return self.hub.clients[number]

    def _log(self, event: str, **fields: object) -> None:
        if event == "end":
            self.reasons.append(fields["reason"])


def take_all(peer: Peer) -> bytes:
    """What has arrived so far."""
    patience_s = peer.sock.gettimeout()
    peer.sock.setblocking(False)
    with suppress(BlockingIOError):
        while data := peer.sock.recv(1 << 20):
            peer.seen += data
    peer.sock.settimeout(patience_s)
    got, peer.seen = peer.seen, b""
    return got


@contextmanager
def reading(*peers: Peer) -> Iterator[None]:
    """Threads that read and throw away what these get, until the connection ends."""

    def read(peer: Peer) -> None:
        with suppress(OSError):
            while peer.sock.recv(1 << 20):
                pass

    threads = [threading.Thread(target=read, args=(peer,), daemon=True) for peer in peers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for peer in peers:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_a_paste_of_more_lines_than_a_turn_takes_is_said_whole(trigger: str, read: str) -> None:
    text = b"".join(b"%d\n" % number for number in range(20_000)) + b"end\n"
    with ThreadHub(mode="chat", trigger=trigger, read=read) as hub, hub.peer() as peer:
        peer.read_until(b"joined\n")
        peer.sock.settimeout(SOON_S)
        sender = threading.Thread(target=peer.send, args=(text,))
        sender.start()
        try:
            said = peer.read_until(b"> end\n")
        finally:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
            sender.join()
    assert said.replace(b"<guest-1> ", b"") == text


def test_a_slow_consumer_that_cannot_linger_does_not_end_the_loop() -> None:
    with ThreadHub(budgets=Budgets(lingering=0), max_lag_bytes=SMALL_LAG) as hub:
        (slow,) = hub.peers(1, receive_buffer=4096)
        with slow, closing(hub.peers(2)) as (talker, listener), reading(talker, listener):
            with suppress(OSError):
                while not hub.endings() and hub.failure is None:
                    talker.send(b"x" * 1000 + b"\n")
            until(lambda: hub.failure or hub.endings())
            assert hub.failure is None
            assert hub.ending()["reason"] == "slow_consumer"


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


@contextmanager
def made_feed(hub: SteppedHub) -> Iterator[tuple[Peer, Client]]:
    """A client that has talked, and that the hub has given up sending to."""
    (feed,), (listener,) = hub.join(1, receive_buffer=4096), hub.join(1)
    client = hub.client(1)
    with feed, listener:
        feed.send(b"hello\n")
        hub.turns(3)
        hub.hub.make_feed(client, time.monotonic())
        yield feed, client


def test_a_feed_that_joins_a_room_is_not_owed_its_lines() -> None:
    with SteppedHub(mode="chat", max_lag_bytes=SMALL_LAG) as hub, made_feed(hub) as (feed, client):
        feed.send(b"/join other\nhello\n")
        for _ in range(100):
            hub.turns(1)
        assert client.room is not None and client.room.name == "other"
        assert client.id not in client.room.hearers


def test_answers_to_a_feed_do_not_pile_up() -> None:
    with SteppedHub(mode="chat", max_lag_bytes=SMALL_LAG) as hub, made_feed(hub) as (feed, client):
        for _ in range(100):
            feed.send(b"/help\n")
            hub.turns(2)
        assert client.private_bytes == 0


def test_lines_in_the_backlog_of_a_choked_client_are_said_when_it_becomes_a_feed() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1, receive_buffer=4096)) as (feed,):
        client = hub.client(1)
        feed.send(b"/help\n" * 4000 + b"last words\n")
        hub.turns(100)
        assert client.choked and client.has_backlog
        hub.hub.make_feed(client, time.monotonic())
        hub.turns(200)
        assert not client.has_backlog


def test_a_line_longer_than_the_share_of_a_turn_is_said_all_the_same() -> None:
    with ThreadHub(max_line_bytes=0) as hub, hub.peer() as peer:
        peer.sock.settimeout(SOON_S)
        peer.send(b"x" * 200_000 + b"\n")
        assert len(peer.line()) == 200_001


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6_loopback_is_exempt_from_the_limit_per_address() -> None:
    with ThreadHub(host="::1", max_per_ip=2) as hub, closing(hub.peers(4, host="::1")):
        until(lambda: hub.loop.hub.counters.accepted == 4)
        assert not hub.loop.hub.counters.closed


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


def test_an_idle_client_for_whom_a_line_came_in_the_turn_of_its_end_is_not_called_slow() -> None:
    with (
        SteppedHub(mode="broadcast", idle_timeout_s=100.0, idle_counts="rx") as hub,
        closing(hub.join(2)) as (idler, talker),
    ):
        hub.skipped_s += 50
        talker.send(b"one\n")
        hub.turns(3)
        hub.skipped_s += 51
        talker.send(b"two\n")
        hub.turns(3)
        assert take_all(idler).startswith(b"one\ntwo\n* bye reason=idle")


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


def test_lines_that_were_taken_are_not_kept() -> None:
    with ThreadHub(mode="chat") as hub, closing(hub.peers(1)) as (peer,), reading(peer):
        client = hub.loop.hub.clients[1]
        peer.send(b"ab\n" * 20_000)
        until(
            lambda: client.lines_in == 20_000 and not client.has_backlog and not hub.loop.hub.marks.readable
        )
        assert not client.backlog


MODES = ("chat", "broadcast", "echo")
SEEDS = (1, 2, 3)


class Restless:
    """A client that does random things on a socket that never blocks it, until it has had enough."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._chance = chance
        self.sock = socket.socket()
        if chance.random() < 0.5:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setblocking(False)
        self.is_over = False
        self._reads = chance.random() < 0.8

    def step(self) -> None:
        """One random deed, and mostly a read."""
        with suppress(BlockingIOError):
            try:
                if self._reads and not self.sock.recv(1 << 18):
                    self.is_over = True
            except ConnectionError:
                self.is_over = True
        if not self.is_over:
            with suppress(OSError):  # It may be reset, or shut down, already.
                self._act(self._chance.random())
        if self.is_over:
            self.sock.close()

    def _act(self, dice: float) -> None:
        chance = self._chance
        if dice < 0.02:
            self.is_over = True
        elif dice < 0.04:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.is_over = True
        elif dice < 0.06:
            self.sock.shutdown(socket.SHUT_WR)
        elif dice < 0.10:
            self._reads = not self._reads
        elif dice < 0.14:
            self.sock.send(b"paste %d\n" % chance.randrange(10**9) * chance.randrange(1, 8000))
        elif dice < 0.5:
            self.sock.send(chance.choice(_SAID))
        else:
            line = chance.choice(_SAID)
            self.sock.send(line[: chance.randrange(1, len(line) + 1)])


_SAID = (
    b"hello\n",
    b"crlf \xc3\xa4\r\n",
    b"\xff\xfd\x06\xff\xf6",
    b"\xff\xfa\x18" + b"x" * 100,
    b"\xff\xff data\r\0",
    b"/join den\n/who\n",
    b"/join pit\nhi\n/leave\n",
    b"/nick ann\n",
    b"/nick bob\n",
    b"/msg ann psst\n/msg bob psst\n/msg guest-1 psst\n",
    b"/help\n" * 300,
    b"/zzz\n",
    b"/quit\n",
    b"x" * 9000,
    b"\n" * 500,
)


def assert_nobody_is_left(hub: ThreadHub) -> None:
    """No table of an ended hub knows a client, and the poller watches nothing but the bell."""
    parts = hub.loop.hub
    timers, marks = parts.timers, parts.marks
    assert not (parts.by_fd or parts.clients or parts.ended or parts.per_address)
    assert not (marks.readable or marks.flush or marks.ended or marks.finished or marks.given_up)
    for timer in (timers.idle, timers.warning, timers.closing, timers.progress, timers.pause, timers.stall):
        assert timer.timeout(time.monotonic()) is None
    for room in parts.rooms.all():
        assert not (room.members or room.hearers or room.slow or room.behind or room.held or room.pressed)
    assert len(hub.poller) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_clients_do_the_books_balance_and_nobody_is_left(
    mode: str, trigger: str, read: str, seed: int
) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    few = Budgets(sends=16, sends_between_clock_readings=4, accepts=4, endings=2, lingering=3)
    before = len(os.listdir("/proc/self/fd"))
    hub = ThreadHub(
        mode=mode, trigger=trigger, read=read, max_lag_bytes=SMALL_LAG, idle_timeout_s=0.3,
        idle_warning_s=0.1, announce=10, history=5, budgets=few, drain_s=1.0,
    )  # fmt: skip
    hub.loop.hub.timers.progress = Deadline(0.2)
    with hub:
        crowd: list[Restless] = []
        for _ in range(400):
            crowd = [one for one in crowd if not one.is_over]
            while len(crowd) < 12:
                crowd.append(Restless(hub.port, chance))
            for one in crowd:
                one.step()
            assert hub.failure is None, hub.failure
        for one in crowd:
            one.sock.close()
    assert_nobody_is_left(hub)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
@pytest.mark.parametrize("seed", SEEDS)
def test_those_who_stay_in_a_broadcast_hear_the_same_whatever_others_do(
    trigger: str, read: str, seed: int
) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    with ThreadHub(trigger=trigger, read=read, budgets=Budgets(sends=16, endings=2)) as hub:
        heard: list[bytes] = []

        def listen(peer: Peer) -> None:
            heard.append(peer.read_until(b"the end\n"))

        with closing(hub.peers(4)) as stayers:
            threads = [threading.Thread(target=listen, args=(peer,)) for peer in stayers[1:]]
            for thread in threads:
                thread.start()
            crowd: list[Restless] = []
            for number in range(150):
                crowd = [one for one in crowd if not one.is_over]
                while len(crowd) < 6:
                    crowd.append(Restless(hub.port, chance))
                for one in crowd:
                    one.step()
                stayers[0].send(b"mark %d\n" % number)
                stayers[0].read_until(b"mark %d\n" % number)
            for one in crowd:
                one.sock.close()
            stayers[0].send(b"the end\n")
            for thread in threads:
                thread.join()
        assert len(heard) == 3
        assert len(set(heard)) == 1
