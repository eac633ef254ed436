"""The loop: the order of a turn, its events and its end."""

import itertools
from typing import Any

import pytest

from hub.control.mailbox import Stop
from hub.net.sockets import Sockets
from tests.loop.support import SteppedHub, take_all
from tests.sim.stage import Stage
from tests.support import PAIRS, ThreadHub, bye, closing, until


@pytest.mark.promise("close-half-close")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_half_closed_client_gets_all_up_to_its_last_line(trigger: str, read: str) -> None:
    with ThreadHub(trigger=trigger, read=read) as hub, hub.peer() as peer:
        lines = b"".join(b"line %d\n" % number for number in range(10_000))
        peer.send(lines + b"unfinished")
        peer.half_close()
        assert peer.rest() == lines + b"unfinished\n"
        assert hub.ending()["reason"] == "peer_closed"


# The order of a turn.


def test_what_is_read_in_a_turn_is_sent_in_the_same_turn() -> None:
    with SteppedHub() as hub, closing(hub.join(3)) as peers:
        hub.deliver(peers[0], b"hello\n")
        hub.turns(1)
        for peer in peers:
            assert take_all(peer) == b"hello\n"


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_what_a_turn_left_over_keeps_the_next_from_waiting(trigger: str, read: str) -> None:
    stage = Stage(mode="chat", trigger=trigger, read=read)
    talker, listener = stage.join(2)
    share = stage.hub.intake.client_lines
    stage.read_much()
    talker.send(b"".join(b"%d\n" % number for number in range(2 * share + 1)))
    said = [lines for turn in stage.rest() if (lines := turn.counted["lines_out"] // 2)]
    assert said == [share + 1, share, 1]  # The first of them is the notice that it has joined.
    lines = [line for line in listener.got.splitlines() if line.startswith(b"<")]
    assert lines == [b"<guest-1> %d" % number for number in range(2 * share + 1)]


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


def test_each_kind_of_event_is_counted() -> None:
    stage = Stage(mode="echo")
    [slow] = stage.join(out=640, reads=False)
    orderly, hasty = stage.join(2)
    counters = stage.hub.counters
    orderly.send(b"hello\n")
    stage.rest()
    assert (counters.events_in, counters.events_out, counters.events_rdhup) == (1, 0, 0)
    orderly.half_close()
    stage.rest()
    assert (counters.events_in, counters.events_rdhup, counters.events_hup) == (2, 1, 0)
    hasty.reset()
    stage.rest()
    assert (counters.events_rdhup, counters.events_hup, counters.events_err) == (2, 1, 1)
    slow.send(b"x" * 1000 + b"\n")
    stage.rest()
    assert counters.events_out == 0
    slow.reads = True
    stage.rest()
    assert counters.events_out > 0


# Idle.


def test_idle_client_with_a_line_due_is_not_called_slow() -> None:
    stage = Stage(idle_timeout_s=100.0, idle_counts="rx")
    idler, talker = stage.join(2)
    stage.pass_time(50.0)
    talker.send(b"one\n")
    stage.rest()
    stage.kernel.now += 51.0
    talker.send(b"two\n")
    stage.rest()
    assert idler.got == b"one\ntwo\n" + bye("idle", "after=100s limit=100s")


def test_activity_is_stamped_with_a_clock_read_afterwards() -> None:
    clock = itertools.count()

    class Noting(Sockets):
        """Notes what time it is when something is received."""

        received_at = 0

        def receive(self, fd: int, size: int) -> bytes | None:
            """Receive, and then look at the clock."""
            data = super().receive(fd, size)
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


# The end of the loop.


def test_stop_sends_farewells_and_ends_the_loop() -> None:
    with ThreadHub(drain_s=10.0) as hub, closing(hub.peers(3)) as peers:
        peers[0].send(b"hello\n")
        for peer in peers:
            assert peer.line() == b"hello\n"
        hub.mailbox.post(Stop(15))
        for peer in peers:
            assert peer.rest() == bye("server_shutdown")
            peer.close()
        until(lambda: hub.loop.is_drained, 5.0)
        hub.stop()
        assert hub.summaries[-1].closed == {"server_shutdown": 3}
