"""The loop on real sockets: what a turn promises, in every trigger and read pair."""

from __future__ import annotations

import itertools
import socket
from typing import Any

import pytest

from hub.control.mailbox import Stop
from hub.loop.limits import Budgets
from hub.net.sockets import Sockets
from tests.loop.support import SteppedHub, reading, take_all
from tests.support import PAIRS, ThreadHub, closing, until


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_broadcast_brings_everyone_the_same_lines_in_order(trigger: str, read: str) -> None:
    with ThreadHub(trigger=trigger, read=read) as hub, closing(hub.peers(5)) as peers:
        for round_ in range(20):
            for number, peer in enumerate(peers):
                peer.send(f"{round_} from {number}\n".encode() * 3)
        size = sum(len(f"{r} from {n}\n") * 3 for r in range(20) for n in range(5))
        heard = {peer.read(size) for peer in peers}
        assert len(heard) == 1
        assert sorted(heard.pop().splitlines()) == sorted(
            f"{r} from {n}".encode() for r in range(20) for n in range(5) for _ in range(3)
        )


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_answer_stands_between_the_lines_around_its_command(trigger: str, read: str) -> None:
    with ThreadHub(mode="chat", trigger=trigger, read=read) as hub, hub.peer() as ann:
        ann.send(b"hello\n")
        ann.read_until(b"hello\n")
        ann.send(b"one\n/who\ntwo\n")
        assert ann.read_until(b"two\n") == b"<guest-1> one\n* in lobby (1): guest-1\n<guest-1> two\n"


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_half_closed_client_gets_all_up_to_its_last_line(trigger: str, read: str) -> None:
    with ThreadHub(trigger=trigger, read=read) as hub, hub.peer() as peer:
        lines = b"".join(b"line %d\n" % number for number in range(10_000))
        peer.send(lines + b"unfinished")
        peer.half_close()
        assert peer.rest() == lines + b"unfinished\n"
        assert hub.ending()["reason"] == "peer_closed"


def test_an_idle_loop_wakes_at_most_twice_a_second() -> None:
    with ThreadHub(mode="chat") as hub, closing(hub.peers(50)):
        counters, lobby = hub.loop.hub.counters, hub.loop.hub.rooms.lobby
        until(lambda: len(lobby.members) == 50)
        before, published = counters.turns, len(hub.summaries)
        until(lambda: len(hub.summaries) >= published + 3)
        assert counters.turns - before <= 6


def test_history_shows_no_line_twice_to_a_returning_client() -> None:
    with ThreadHub(mode="chat", announce=0) as hub, hub.peer() as ann:
        ann.send(b"one\n/join den\n")
        ann.read_until(b"now in den, with nobody else\n")
        with hub.peer() as bob:
            bob.send(b"two\n")
            bob.read_until(b"two\n")
        ann.send(b"/leave\nthree\n")
        heard = ann.read_until(b"three\n")
        assert b"<guest-1> one" not in heard
        assert heard.index(b"<guest-2> two") < heard.index(b"<guest-1> three")


# The order of a turn.


def test_what_is_read_in_a_turn_is_sent_in_the_same_turn() -> None:
    with SteppedHub() as hub, closing(hub.join(3)) as peers:
        hub.deliver(peers[0], b"hello\n")
        hub.turns(1)
        for peer in peers:
            assert take_all(peer) == b"hello\n"


def test_notices_of_one_turn_are_one_line_where_they_happened() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(4)) as (ann, *others):
        for peer in others:
            hub.say(peer, b"hello\n")
        take_all(ann)
        hub.deliver(others[0], b"/join den\n")
        hub.deliver(others[1], b"/join den\n")
        hub.deliver(others[2], b"/nick carl\n")
        hub.turns(2)
        notices = sorted(take_all(ann).removeprefix(b"* ").rstrip(b"\n").split(b"; "))
        assert notices[0] in (b"guest-2, guest-3 left", b"guest-3, guest-2 left")
        assert notices[1:] == [b"guest-4 is now carl"]
        hub.say(others[2], b"bye\n/join den\n")
        assert take_all(ann) == b"<carl> bye\n* carl left\n"


def test_what_a_turn_left_over_keeps_the_next_from_waiting() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1)) as (peer,):
        client, share = hub.client(peer), hub.hub.intake.client_lines
        hub.say(peer, b"hello\n")  # Behind the notice that the client has joined.
        hub.deliver(peer, b"x\n" * (2 * share + 1))
        said, before = [], hub.hub.rooms.lobby.log.next_line
        for _ in range(3):
            hub.loop.turn()  # Without a bell.
            said.append(hub.hub.rooms.lobby.log.next_line - before)
        assert said == [share, 2 * share, 2 * share + 1]
        assert not client.inbox.has_lines


def test_each_kind_of_event_is_counted() -> None:
    with SteppedHub(mode="echo") as hub:
        slow, orderly, hasty = hub.join(3, receive_buffer=4096)
        with slow, orderly:
            counters = hub.hub.counters
            hub.say(orderly, b"hello\n")
            assert (counters.events_in, counters.events_out, counters.events_rdhup) == (1, 0, 0)
            hub.deliver(orderly, b"", fin=True)
            hub.turns_until(hub.endings)
            assert (counters.events_in, counters.events_rdhup, counters.events_hup) == (2, 1, 0)
            hasty.reset()
            hub.turns_until(lambda: len(hub.endings()) == 2)
            assert counters.events_rdhup == 2
            assert (counters.events_hup, counters.events_err) == (1, 1)
            client = hub.client(slow)
            while not client.outbox.blocked:
                hub.say(slow, b"x" * 1000 + b"\n")
            assert counters.events_out == 0
            hub.catch_up(slow)
            assert counters.events_out > 0


# Idle.


def test_activity_is_stamped_with_a_clock_read_afterwards() -> None:
    clock = itertools.count()

    class Noting(Sockets):
        """Notes what time it is when something is received."""

        received_at = 0

        def receive(self, sock: socket.socket, size: int) -> bytes | None:
            """Receive, and then look at the clock."""
            data = super().receive(sock, size)
            self.received_at = next(clock)
            return data

    sockets = Noting()
    settings: dict[str, Any] = {"mode": "echo", "idle_timeout_s": 0.0, "idle_counts": "rx"}
    with ThreadHub(sockets=sockets, clock=lambda: next(clock), **settings) as hub, hub.peer() as peer:
        for _ in range(10):
            peer.send(b"hello\n")
            assert peer.line() == b"hello\n"
        (client,) = hub.loop.hub.connections.clients.values()
        until(lambda: client.active_at > sockets.received_at)


@pytest.mark.promise("idle-unread")
def test_client_with_unread_bytes_at_its_deadline_stays() -> None:
    one_a_turn = Budgets(turn_bytes=1)
    with SteppedHub(one_a_turn, mode="echo", idle_timeout_s=100.0) as hub, closing(hub.join(3)) as peers:
        for peer in peers[:2]:
            hub.deliver(peer, b"here\n")
        hub.now_s += 101
        hub.turns(1)
        assert hub.hub.counters.lines_in == 1  # The other of the two was marked, and not read.
        hub.turns(3)
        for peer in peers[:2]:
            assert peer.line() == b"here\n"
        assert peers[2].rest() == b"* bye reason=idle after=100s\n"
        assert hub.hub.counters.closed == {"idle": 1}


def test_idle_client_with_a_line_due_is_not_called_slow() -> None:
    with (
        SteppedHub(mode="broadcast", idle_timeout_s=100.0, idle_counts="rx") as hub,
        closing(hub.join(2)) as (idler, talker),
    ):
        hub.now_s += 50
        hub.say(talker, b"one\n")
        hub.now_s += 51
        hub.say(talker, b"two\n")
        assert idler.rest() == b"one\ntwo\n* bye reason=idle after=100s\n"


def test_idle_close_records_when_it_was_due_and_decided() -> None:
    with SteppedHub(mode="echo", idle_timeout_s=100.0) as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"hello\n")
        due_s = hub.now_s + 100
        hub.now_s += 99.9
        hub.turns(2)
        assert len(hub.hub.connections.clients) == 1
        hub.now_s += 0.35
        hub.turns(2)
        peer.close()
        hub.turns_until(hub.endings)
        end = hub.ending()
        assert (end["due_s"], end["decided_s"]) == pytest.approx((due_s, due_s + 0.25))
        assert end["lateness_ms"] == pytest.approx(250)


# The end of the loop.


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_stop_sends_farewells_and_ends_the_loop(trigger: str, read: str) -> None:
    with ThreadHub(trigger=trigger, read=read, drain_s=10.0) as hub, closing(hub.peers(3)) as peers:
        peers[0].send(b"hello\n")
        for peer in peers:
            assert peer.line() == b"hello\n"
        hub.mailbox.post(Stop(15))
        hub.mailbox.post(Stop(15))
        for peer in peers:
            assert peer.rest() == b"* bye reason=server_shutdown\n"
            peer.close()
        until(lambda: hub.loop.is_drained, 5.0)
        hub.stop()
        assert hub.summaries[-1].closed == {"server_shutdown": 3}
        assert [event for event, _ in hub.log].count("draining") == 1


def test_the_loop_ends_in_the_middle_of_a_flood() -> None:
    with ThreadHub(drain_s=0.5) as hub, closing(hub.peers(4)) as peers, reading(*peers[1:]):
        peers[0].send((b"x" * 99 + b"\n") * 2000)
        hub.stop()
        assert hub.loop.hub.counters.closed.total() == 4
