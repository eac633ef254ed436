"""Faults of events, descriptors, budgets and clocks: each puts a wrong step in place of one of the hub's."""

from __future__ import annotations

import errno
from itertools import count
from typing import Any

import pytest

from hub.close_reasons import CloseReason
from hub.loop.acceptor import Door
from hub.loop.event_loop import Loop
from hub.loop.expirer import Expirer
from hub.loop.flow_control import Pacing
from hub.loop.reader import Reader
from hub.loop.timers import Deadline
from hub.net.poller import Poller
from hub.net.sockets import PeerGone, Sockets
from hub.session.client import Client, Phase
from hub.session.ready_sets import Marks

Patch = pytest.MonkeyPatch


def leave_epollout_armed(patch: Patch) -> None:
    want = Poller.want

    def sticky(self: Poller, fd: int, *, reading: bool, writing: bool) -> None:
        armed = self._masks.get(fd, 0) & 4
        want(self, fd, reading=reading, writing=bool(writing or armed))

    patch.setattr(Poller, "want", sticky)


def close_inside_a_batch(patch: Patch) -> None:
    mark = Loop._mark

    def hasty(self: Loop, client: Client, mask: int, now: float) -> None:
        mark(self, client, mask, now)
        if client.phase is Phase.LINGERING and mask & 0x10:
            self._endings._close(client, 0.0)

    patch.setattr(Loop, "_mark", hasty)


def never_wait_for_room(patch: Patch) -> None:
    want = Poller.want
    patch.setattr(
        Poller, "want", lambda self, fd, *, reading, writing: want(self, fd, reading=reading, writing=False)
    )


def keep_what_is_left_of_the_gone(patch: Patch) -> None:
    patch.setattr(Deadline, "_shed_stale_entries", lambda self: None)


def decide_late(patch: Patch) -> None:
    shift_decisions(patch, 0.02)


def decide_early(patch: Patch) -> None:
    shift_decisions(patch, -0.02)


def shift_decisions(patch: Patch, by_s: float) -> None:
    """The times of what a clock decided are not those at which it did."""
    end = Marks.end

    def shifted(self: Marks, *args: Any, decided: float | None = None, **more: Any) -> None:
        end(self, *args, decided=None if decided is None else decided + by_s, **more)

    patch.setattr(Marks, "end", shifted)


def turn_once_more_for_nothing(patch: Patch) -> None:
    timeout, calls = Loop._timeout, count()

    def restless(self: Loop, now: float) -> float:
        return 0.0 if next(calls) % 100 > 95 else timeout(self, now)

    patch.setattr(Loop, "_timeout", restless)


def ignore_a_hangup_while_paused(patch: Patch) -> None:
    patch.setattr(Loop, "_peer_died_unread", lambda self, client: None)


def take_a_broken_pipe_for_a_full_one(patch: Patch) -> None:
    send = Sockets.send

    def blind(self: Sockets, sock: Any, data: bytes) -> int:
        try:
            return send(self, sock, data)
        except PeerGone:
            return 0

    patch.setattr(Sockets, "send", blind)


def measure_time_in_turns(patch: Patch) -> None:
    """A clock that stands still while the machine sleeps: a jump ends nobody who is due."""
    step = Expirer.step

    def asleep(self: Expirer, until: float, now: float) -> None:
        before, self.__dict__["at"] = self.__dict__.get("at", now), now
        slept = self.__dict__["slept"] = self.__dict__.get("slept", 0.0) + max(0.0, now - before - 1.5)
        step(self, until - slept, now - slept)

    patch.setattr(Expirer, "step", asleep)


def take_a_hangup_for_the_end(patch: Patch) -> None:
    mark = Loop._mark

    def rash(self: Loop, client: Client, mask: int, now: float) -> None:
        mark(self, client, mask, now)
        if mask & 0x2000 and client.phase is Phase.OPEN and client.reason is None:
            client.last = (CloseReason.PEER_CLOSED, "")

    patch.setattr(Loop, "_mark", rash)


def forget_the_rest_of_an_edge(patch: Patch) -> None:
    leave = Reader._leave_set
    patch.setattr(Reader, "_leave_set", lambda self, client, drained: leave(self, client, True))


def stop_at_a_short_read(patch: Patch) -> None:
    receive = Reader._receive

    def blind(self: Reader, client: Client) -> tuple[int, bool]:
        client.read_on = False
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


def forget_that_the_door_is_shut(patch: Patch) -> None:
    patch.setattr(Door, "timeout", lambda self, now: float("inf"))


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


def let_an_error_escape(patch: Patch) -> None:
    send = Sockets.send

    def raw(self: Sockets, sock: Any, data: bytes) -> int:
        try:
            return send(self, sock, data)
        except PeerGone:
            raise OSError(errno.EPIPE, "broken pipe") from None

    patch.setattr(Sockets, "send", raw)
