"""A simulator that never goes red proves nothing: here the hub is broken on purpose, one fault at a time.

Each fault is put in place of one step of the real hub, and the runs of a few hundred seeds have to find it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from hub import delivery, sending
from hub.chunks import Chunk
from hub.client import Client, Phase
from hub.door import Door
from hub.endings import Endings
from hub.expiry import Deadline
from hub.loop import Loop
from hub.pacing import Pacing
from hub.poller import Poller
from hub.reading import Reader
from hub.reasons import CloseReason
from hub.rooms import Room
from hub.sending import Sender
from hub.sockets import PeerGone, Sockets
from hub.state import Hub
from tests.sim.plan import make_plan
from tests.sim.world import World

Patch = pytest.MonkeyPatch
SEEDS = range(150)
"""So many runs may miss a fault before it counts as not found."""


def leave_epollout_armed(patch: Patch) -> None:
    want = Poller.want

    def sticky(self: Poller, fd: int, *, reading: bool, writing: bool) -> None:
        armed = self._masks.get(fd, 0) & 4
        want(self, fd, reading=reading, writing=bool(writing or armed))

    patch.setattr(Poller, "want", sticky)


def close_inside_a_batch(patch: Patch) -> None:
    mark = Loop._mark

    def hasty(self: Loop, client: Client, mask: int) -> None:
        mark(self, client, mask)
        if client.phase is Phase.LINGERING and mask & 0x10:
            self._endings._close(client, 0.0)

    patch.setattr(Loop, "_mark", hasty)


def lose_a_line(patch: Patch) -> None:
    hand = Sender._hand

    def careless(self: Sender, client: Client, chunk: Chunk, now: float) -> None:
        if client.id == 2 and chunk.first == 5:
            client.position, client.offset = client.position + chunk.count, chunk.end
            self._hub.account.delivered += len(chunk.lf)
        else:
            hand(self, client, chunk, now)

    patch.setattr(Sender, "_hand", careless)


def say_a_line_twice(patch: Patch) -> None:
    extend = Room.extend

    def stammer(self: Room, lines: Any, size: int, speaker: int) -> None:
        extend(self, lines, size, speaker)
        if self.head == 7:
            extend(self, lines, size, speaker)

    patch.setattr(Room, "extend", stammer)


def miscount_a_close(patch: Patch) -> None:
    settle = Endings._settle

    def forgetful(self: Endings, client: Client, now: float) -> None:
        settle(self, client, now)
        if client.reason is CloseReason.PEER_RESET:
            self._hub.counters.closed[CloseReason.PEER_RESET] -= 1

    patch.setattr(Endings, "_settle", forgetful)


def miscount_what_was_delivered(patch: Patch) -> None:
    take = delivery.take

    def generous(client: Client, parts: Any, taken: int, account: Any) -> None:
        take(client, parts, taken, account)
        if client.rest:
            account.delivered += 1
            account.owed += 1  # so that the hub's own two sides agree

    patch.setattr(sending, "take", generous)


def take_a_hangup_for_the_end(patch: Patch) -> None:
    mark = Loop._mark

    def rash(self: Loop, client: Client, mask: int) -> None:
        mark(self, client, mask)
        if mask & 0x2000 and client.phase is Phase.OPEN and client.reason is None:
            client.last = (CloseReason.PEER_CLOSED, "")

    patch.setattr(Loop, "_mark", rash)


def forget_the_rest_of_an_edge(patch: Patch) -> None:
    leave = Reader._leave_set
    patch.setattr(Reader, "_leave_set", lambda self, client, drained: leave(self, client, True))


def stop_at_a_short_read(patch: Patch) -> None:
    receive = Reader._receive

    def blind(self: Reader, client: Client) -> tuple[int, bool]:
        client.hung_up = False
        return receive(self, client)

    patch.setattr(Reader, "_receive", blind)


def no_pause_without_descriptors(patch: Patch) -> None:
    refuse = Door._refuse_with_spare

    def eager(self: Door, listener: Any, now: float) -> bool:
        refuse(self, listener, now)
        self._opens_at = None
        for fd in self._listeners:
            self._hub.poller.watch(fd)
        return False

    patch.setattr(Door, "_refuse_with_spare", eager)


def leave_an_eof_armed(patch: Patch) -> None:
    patch.setattr(Client, "reading", property(lambda self: self.phase is Phase.OPEN and not self.paused))


def no_budget_of_sends(patch: Patch) -> None:
    def endless(self: Loop, now: float) -> float:
        while self._sender.has_work:
            self._sender.slice(now)
        return now

    patch.setattr(Loop, "_flush", endless)


def no_budget_of_reads(patch: Patch) -> None:
    step = Reader.step

    def greedy(self: Reader, now: float) -> None:
        for _ in range(20):
            step(self, now)

    patch.setattr(Reader, "step", greedy)


def wake_up_late(patch: Patch) -> None:
    timeout = Deadline.timeout

    def drowsy(self: Deadline, now: float) -> float | None:
        wanted = timeout(self, now)
        return wanted + 0.3 if wanted else wanted

    patch.setattr(Deadline, "timeout", drowsy)


def end_the_idle_early(patch: Patch) -> None:
    touch = Loop._touch

    def deaf(self: Loop, clients: Any, now: float) -> None:
        touch(self, [client for client in clients if client.lines_in % 2], now)

    patch.setattr(Loop, "_touch", deaf)


def wait_for_ever_for_the_slow(patch: Patch) -> None:
    patch.setattr(Pacing, "release", lambda self, room: None)


def never_cut(patch: Patch) -> None:
    patch.setattr(Pacing, "cut", lambda self, client, room, now: None)
    patch.setattr(Pacing, "judge", lambda self, client, room, now: None)


def close_without_a_word_to_epoll(patch: Patch) -> None:
    patch.setattr(Poller, "forget", lambda self, fd: self._masks.pop(fd, None))


def forget_to_close(patch: Patch) -> None:
    close = Sockets.close

    def leaky(self: Sockets, sock: Any) -> None:
        if sock.fileno() != 9:
            close(self, sock)

    patch.setattr(Sockets, "close", leaky)


def skip_without_a_word(patch: Patch) -> None:
    patch.setattr(sending, "tell_skipped", lambda client: setattr(client, "untold_lines", 0))
    patch.setattr(delivery, "tell_skipped", lambda client: setattr(client, "untold_lines", 0))


def let_an_error_escape(patch: Patch) -> None:
    send = Sockets.send

    def raw(self: Sockets, sock: Any, data: bytes) -> int:
        try:
            return send(self, sock, data)
        except PeerGone:
            raise OSError(errno.EPIPE, "broken pipe") from None

    patch.setattr(Sockets, "send", raw)


def keep_the_dead_in_their_room(patch: Patch) -> None:
    leave = Room.leave

    def sticky(self: Room, client: Client) -> None:
        leave(self, client)
        if client.reason is not None:
            self.members[client.id] = client

    patch.setattr(Room, "leave", sticky)


def give_room_lines_out_of_order(patch: Patch) -> None:
    between = Room.lines_between
    patch.setattr(Room, "lines_between", lambda self, *args: between(self, *args)[::-1])


def miscount_what_was_unsent(patch: Patch) -> None:
    forget = Hub.drop_output

    def amnesia(self: Hub, client: Client, *, keep_rest: bool = False) -> None:
        forget(self, client, keep_rest=keep_rest)
        self.account.unsent -= client.unsent_bytes > 0

    patch.setattr(Hub, "drop_output", amnesia)


FAULTS: list[Callable[[Patch], None]] = [
    leave_epollout_armed, close_inside_a_batch, lose_a_line, say_a_line_twice, miscount_a_close,
    miscount_what_was_delivered, take_a_hangup_for_the_end, forget_the_rest_of_an_edge, stop_at_a_short_read,
    no_pause_without_descriptors, leave_an_eof_armed, no_budget_of_sends, no_budget_of_reads, wake_up_late,
    end_the_idle_early, wait_for_ever_for_the_slow, never_cut, close_without_a_word_to_epoll, forget_to_close,
    skip_without_a_word, let_an_error_escape, keep_the_dead_in_their_room, give_room_lines_out_of_order,
    miscount_what_was_unsent,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_simulation_finds_a_planted_fault(fault: Callable[[Patch], None], monkeypatch: Patch) -> None:
    fault(monkeypatch)
    for seed in SEEDS:
        try:
            World(make_plan(seed)).run()
        except Exception as found:
            print(f"{fault.__name__}: seed {seed}: {type(found).__name__}: {str(found)[:150]}")
            monkeypatch.undo()
            World(make_plan(seed)).run()
            return
    pytest.fail(f"{len(SEEDS)} runs, and none was wrong")
