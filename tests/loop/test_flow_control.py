"""Flow control on a stepped hub: who waits for whom, for how long, and that everybody goes on in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from hub.close_reasons import CloseReason
from hub.control.mailbox import Stop
from hub.loop.flow_control import SENDERS_A_TURN
from hub.session.client import Client
from hub.session.read_gate import OUTBOX, ROOM
from tests.loop.support import LINE, SMALL_LAG, SteppedHub, take_all
from tests.support import Peer, closing


class Scene(NamedTuple):
    """A talker that reads, a slow one that does not, and others that keep up."""

    hub: SteppedHub
    talker: Peer
    slow: Peer
    brisk: list[Peer]
    sender: Client
    """The talker as the hub sees it."""
    client: Client
    """The slow one as the hub sees it."""

    @property
    def waits(self) -> bool:
        """Whether the talker is not read because of its room."""
        return self.sender.gate.has(ROOM)

    def end(self) -> str:
        """Why the slow one is closed; empty while it is not."""
        close = self.client.close
        return f"{close.reason} {close.detail}" if close.reason else ""

    def clog(self) -> None:
        """Talk until the slow one's kernel takes nothing more, ever."""
        self.hub.clog(self.talker, self.brisk, self.slow)

    def talk_until_it_waits(self) -> None:
        """The slow one is clogged, and the talker's last words wait with the hub."""
        self.clog()
        self.hub.fill(self.talker, self.brisk, lambda: self.waits)
        self.hub.deliver(self.talker, b"last words\n")
        self.hub.turns(3)
        assert self.waits

    def give_sign(self) -> None:
        """The slow one's kernel takes some, as epoll would tell; too little for a line."""
        self.client.outbox.is_writable(self.hub.now_s)
        self.hub.hub.flow.took(self.client, self.hub.now_s)

    def pass_s(self, seconds: float, *, signs: bool = False) -> None:
        """The time passes in steps of half a second, in which the slow one may give signs of life."""
        end_s = self.hub.now_s + seconds
        while self.hub.now_s < end_s:
            self.hub.now_s = min(end_s, self.hub.now_s + 0.5)
            if signs:
                self.give_sign()
            self.hub.turns(2)


@contextmanager
def scene(others: int = 0, *, mode: str = "chat", **changes: Any) -> Iterator[Scene]:
    """A room of this many others beside the talker and the slow one."""
    with SteppedHub(mode=mode, max_lag_bytes=SMALL_LAG, announce=0, idle_timeout_s=0, **changes) as hub:
        (slow,) = hub.join(1, receive_buffer=4096)
        with slow, closing(hub.join(1 + others)) as (talker, *brisk):
            yield Scene(hub, talker, slow, list(brisk), hub.client(talker), hub.client(slow))


# A sender that waits is always read again.


@pytest.mark.promise("limits-room-waits")
@pytest.mark.parametrize("way", ["close", "reset", "quit", "join", "read"])
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_talker_is_read_again_when_the_slow_one_goes(way: str, trigger: str) -> None:
    with scene(trigger=trigger) as one:
        hub, slow = one.hub, one.slow
        one.talk_until_it_waits()
        if way == "read":
            hub.catch_up(slow)
        elif way == "close":
            slow.close()
        elif way == "reset":
            slow.reset()
        else:
            hub.deliver(slow, b"/quit\n" if way == "quit" else b"/join den\n")
        hub.turns_until(lambda: not one.waits)
        hub.settle()
        assert one.talker.read_until(b"last words\n")
        assert not hub.hub.flow.records


@pytest.mark.promise("limits-room-waits")
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_talker_is_read_again_when_a_dead_reader_is_closed(mode: str) -> None:
    with scene(mode=mode) as one:
        one.talk_until_it_waits()
        one.pass_s(9.5)
        assert one.waits and not one.end()
        one.pass_s(0.5)
        assert one.end() == "slow_consumer stuck=10s"
        assert one.talker.read_until(b"last words\n")


def test_reader_that_takes_a_byte_has_ten_seconds_more() -> None:
    with scene() as one:
        one.talk_until_it_waits()
        one.pass_s(9.0)
        one.give_sign()
        one.pass_s(9.5)
        assert one.waits and not one.end()
        one.pass_s(0.5)
        assert one.end() == "slow_consumer stuck=10s"


def test_talker_is_read_again_when_a_dead_reader_skips() -> None:
    with scene(slow="skip") as one:
        one.talk_until_it_waits()
        one.pass_s(10.0)
        assert one.client.outbox.skipped_lines and not one.end()
        assert one.talker.read_until(b"last words\n")


def test_room_goes_on_while_no_more_than_half_of_the_others_lag() -> None:
    with scene(others=1) as one:
        one.clog()
        limit = one.hub.hub.limits.lag_bytes
        one.hub.fill(one.talker, one.brisk, lambda: one.client.outbox.lag_bytes > 0.9 * limit)
        assert not one.waits


def test_room_waits_for_the_last_of_most_while_it_moves() -> None:
    with scene(slow="skip") as one, closing(one.hub.join(1, receive_buffer=4096)) as (second,):
        hub = one.hub
        one.clog()
        hub.clog(one.talker, (), second)
        hub.fill(one.talker, (), lambda: one.waits)
        one.give_sign()
        hub.catch_up(second)
        hub.turns(3)
        assert one.waits
        one.pass_s(1.5)
        assert one.waits
        one.pass_s(0.5)
        assert not one.waits, "it has taken nothing for two seconds"


def test_record_of_a_room_goes_with_the_room() -> None:
    with scene() as one:
        hub = one.hub
        hub.say(one.slow, b"/join den\n")
        hub.say(one.talker, b"/join den\n")
        one.talk_until_it_waits()
        one.talker.reset()
        one.slow.reset()
        hub.turns_until(lambda: not hub.hub.connections.by_fd)
        hub.turns()
        assert [room.name for room in hub.hub.rooms.all()] == ["lobby"]
        assert not hub.hub.flow.records
        assert hub.hub.flow.timeout(hub.now_s) == float("inf")


def test_senders_are_resumed_over_turns_and_all_are_heard() -> None:
    count = SENDERS_A_TURN + 20
    with scene(others=1, mode="broadcast", slow="wait") as one:
        hub = one.hub
        one.clog()
        hub.fill(one.talker, one.brisk, lambda: one.waits)
        take_all(one.brisk[0])
        with closing(hub.join(count)) as senders:
            for number, peer in enumerate(senders):
                hub.deliver(peer, b"sender %d\n" % number)
            (record,) = hub.hub.flow.records.values()
            hub.turns_until(lambda: len(record.paused) == 1 + count)
            one.slow.reset()
            hub.turns_until(lambda: len(record.paused) < count)
            assert record.paused
            hub.turns_until(lambda: not record.paused)
            hub.settle()
            heard = {one.brisk[0].line() for _ in range(1 + count)}
            assert heard == {LINE, *(b"sender %d\n" % number for number in range(count))}


# A sender that waits may end.


def test_drain_with_waiting_senders_ends_and_counts_their_lines() -> None:
    with scene() as one:
        hub = one.hub
        one.talk_until_it_waits()
        waiting = one.sender.inbox.waiting
        hub.mailbox.post(Stop())
        while not hub.loop.is_drained:
            hub.turns(1)
            hub.now_s += 0.5
        assert hub.now_s < 1000 + 60
        assert hub.hub.counters.lines_discarded == waiting
        assert not hub.hub.flow.records


def test_dead_talker_ends_with_its_room_and_is_heard() -> None:
    with scene(others=1, mode="broadcast", slow="wait") as one:
        hub = one.hub
        one.talk_until_it_waits()
        take_all(one.brisk[0])
        one.talker.reset()
        hub.turns(5)
        one.pass_s(60)
        hub.turns_until(lambda: one.sender.fd not in hub.hub.connections.by_fd)
        assert one.sender.close.reason is CloseReason.PEER_RESET
        assert one.brisk[0].read_until(b"last words\n")


@contextmanager
def full_outbox() -> Iterator[tuple[SteppedHub, Peer, Client]]:
    """A client that asks and does not read, so that the hub reads it no more."""
    with (
        SteppedHub(mode="chat", idle_timeout_s=0) as hub,
        closing(hub.join(1, receive_buffer=4096)) as (peer,),
    ):
        client = hub.deliver(peer, b"/help\n" * 4000)
        hub.turns_until(lambda: client.gate.has(OUTBOX))
        yield hub, peer, client


@pytest.mark.promise("limits-unread-answers")
def test_client_with_a_full_outbox_ends_when_its_peer_dies() -> None:
    with full_outbox() as (hub, peer, _):
        peer.reset()
        hub.turns_until(hub.endings)
        assert hub.ending()["reason"] == "peer_reset"


@pytest.mark.promise("limits-unread-answers")
def test_client_with_a_full_outbox_is_read_again_at_half() -> None:
    with full_outbox() as (hub, peer, client):
        limit = hub.hub.intake.outbox_bytes
        assert client.outbox.item_bytes > limit
        while client.gate.has(OUTBOX):
            assert client.outbox.item_bytes > limit // 2
            take_all(peer)
            hub.turns()
        while client.inbox.has_lines or not client.outbox.is_empty:
            take_all(peer)
            hub.turns()


def test_client_that_leaves_its_full_outbox_unread_is_closed() -> None:
    with full_outbox() as (hub, _, client):
        hub.now_s += 10.1
        hub.turns_until(lambda: client.close.reason)
        assert (client.close.reason, client.close.detail) == ("slow_consumer", "stuck=10s")


def test_dead_peer_is_owed_nothing_and_its_lines_are_heard() -> None:
    with SteppedHub() as hub, closing(hub.join(2)) as (dying, listener):
        client = hub.deliver(dying, b"last words\n", fin=True)
        hub.hub.connections.peer_is_gone(client, CloseReason.PEER_CLOSED)
        assert client.id not in hub.hub.rooms.lobby.subscribers
        hub.turns_until(hub.endings)
        assert listener.line() == b"last words\n"
        assert hub.ending()["reason"] == "peer_closed"


# Patience: a broadcast waits for one that is near the limit and moves.


@contextmanager
def near_the_limit(**changes: Any) -> Iterator[Scene]:
    """A broadcast to the slow one, over three quarters of its limit, and to three others."""
    with scene(others=3, mode="broadcast", **changes) as one:
        one.clog()
        near = one.hub.hub.limits.near_bytes
        one.hub.fill(one.talker, one.brisk, lambda: one.client.outbox.lag_bytes > near)
        yield one


def ask(one: Scene) -> bool:
    """Whether the talker has to wait when it says a line."""
    one.hub.say(one.talker, b"\n")
    for peer in (one.talker, *one.brisk):
        take_all(peer)
    return one.waits


@pytest.mark.promise("limits-room-waits")
def test_broadcast_waits_for_a_moving_reader_for_its_patience() -> None:
    with near_the_limit() as one:
        one.give_sign()
        one.hub.turns()
        assert ask(one)
        one.pass_s(3.5, signs=True)
        assert one.waits
        one.pass_s(0.5, signs=True)
        assert not one.waits


@pytest.mark.promise("limits-room-waits")
def test_broadcast_does_not_wait_for_a_silent_reader() -> None:
    with near_the_limit() as one:
        one.give_sign()
        one.hub.turns()
        assert ask(one)
        one.pass_s(2.0)
        assert not one.waits
        assert not ask(one)


@pytest.mark.promise("limits-room-waits")
@pytest.mark.parametrize("changes", [{"patience_s": 0.0}, {"mode": "chat"}])
def test_room_without_patience_waits_for_nobody(changes: dict[str, Any]) -> None:
    with scene(others=3, **{"mode": "broadcast", **changes}) as one:
        one.clog()
        near = one.hub.hub.limits.near_bytes
        one.hub.fill(one.talker, one.brisk, lambda: one.client.outbox.lag_bytes > near)
        one.give_sign()
        one.hub.turns()
        assert not ask(one)


def test_patience_comes_back_at_half_speed() -> None:
    with near_the_limit() as one:
        (record,) = one.hub.hub.flow.records.values()
        one.pass_s(1.0, signs=True)
        assert record.patience_s == 4.0, "nobody waited"
        assert ask(one)
        one.pass_s(3.0, signs=True)
        assert record.patience_s == pytest.approx(1.0)
        one.pass_s(1.0)
        assert record.patience_s == 0.0
        one.pass_s(4.0)
        one.hub.hub.flow.took(one.sender, one.hub.now_s)  # So that the record is looked at.
        one.hub.turns()
        assert record.patience_s == pytest.approx(2.0)
        one.pass_s(4.0)
        assert record.patience_s == 4.0


# Under --slow wait.


@pytest.mark.promise("limits-room-waits")
def test_slow_wait_waits_for_a_silent_reader_for_sixty_seconds() -> None:
    with scene(others=3, mode="broadcast", slow="wait") as one:
        one.talk_until_it_waits()
        assert one.client.outbox.lag_bytes <= one.hub.hub.limits.lag_bytes
        one.pass_s(59.5)
        assert one.waits and not one.end()
        one.pass_s(0.5)
        assert one.end() == "slow_consumer stuck=60s"
        one.hub.settle()
        assert one.brisk[0].read_until(b"last words\n")


@pytest.mark.promise("limits-room-waits")
def test_slow_wait_goes_on_when_the_reader_is_below_half() -> None:
    with scene(others=3, mode="broadcast", slow="wait") as one:
        one.talk_until_it_waits()
        half, seen = one.hub.hub.limits.lagging_bytes, 0
        while one.waits:
            seen = one.client.outbox.lag_bytes
            assert seen > half or not one.client.outbox.blocked
            take_all(one.slow, 2000)
            one.hub.turns(2)
        assert not one.end()


def test_slow_wait_bounds_the_lag_of_a_sender_that_reads_nothing() -> None:
    with scene(others=3, mode="broadcast", slow="wait") as one:
        sender, limits = one.client, one.hub.hub.limits
        while not sender.gate.has(ROOM):
            one.hub.say(one.slow, LINE)
            for peer in (one.talker, *one.brisk):
                take_all(peer)
            assert sender.outbox.lag_bytes <= limits.lag_bytes
        assert sender.outbox.lag_bytes > limits.near_bytes
        one.pass_s(60.0)
        assert one.end() == "slow_consumer stuck=60s"


# Under --slow skip.


@pytest.mark.promise("limits-room-waits")
def test_slow_skip_one_stopped_reader_stalls_nobody() -> None:
    with scene(others=3, mode="broadcast", slow="skip") as one:
        hub = one.hub
        one.clog()
        one.pass_s(2.0)
        stalls = gaps = 0
        while gaps < 5:
            before = one.client.outbox.skipped_lines
            hub.say(one.talker, LINE)
            hub.now_s += 0.005  # 400 kB a second.
            for peer in (one.talker, *one.brisk):
                take_all(peer)
            gaps += one.client.outbox.skipped_lines > before
            if one.waits:  # Its kernel found place for some bytes, late.
                assert one.client.outbox.took_at > hub.now_s - 2.0
                stalls += 1
                one.pass_s(2.0)
        assert stalls <= 1, "a gap is no sign of life"
        assert not one.end()


def test_drain_of_many_waiting_senders_watches_no_closed_one() -> None:
    with scene(others=1, mode="broadcast", slow="wait") as one:
        hub, seen = one.hub, one.hub.hub
        one.clog()
        hub.fill(one.talker, one.brisk, lambda: one.waits)
        with closing(hub.join(SENDERS_A_TURN + 20)) as senders:
            for sender in senders:
                hub.deliver(sender, b"waits\n")
            (record,) = seen.flow.records.values()
            hub.turns_until(lambda: len(record.paused) == 1 + len(senders))
            watched = len(seen.poller) - len(seen.connections.by_fd)
            hub.mailbox.post(Stop())
            for _ in range(20):
                hub.turns()
                # The listener is forgotten at the stop; what else epoll has is the bells and the open ones.
                assert len(seen.poller) - len(seen.connections.by_fd) <= watched


@pytest.mark.parametrize("way", ["reads", "resets"])
def test_log_kept_for_a_slow_reader_is_trimmed_when_it_is_done(way: str) -> None:
    with scene(others=1, mode="broadcast", patience_s=0) as one:
        log = one.hub.hub.rooms.lobby.log
        one.clog()
        lagging = one.hub.hub.limits.lagging_bytes
        one.hub.fill(one.talker, one.brisk, lambda: one.client.outbox.lag_bytes > lagging)
        assert log.chunks
        if way == "reads":
            one.hub.catch_up(one.slow)
        else:
            one.slow.reset()
        one.hub.turns_until(lambda: not log.chunks)
