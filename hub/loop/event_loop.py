"""One turn after another: the order of the steps is the design.

    wait . sort events . accept . read . mailbox . expire . seal and flush . reap . let go on . observe

- The clock is read after each wait, before it, at step borders and between slices of sends. Activity is
  stamped with a reading taken after the read, so expiry is never early.
- A batch never closes a descriptor. Python's epoll hands back only the number and numbers are reused at
  once, so ending means recording a reason, and only the reap step, after the batch, closes.
- Every step has a budget. What is left over stays marked, and the next wait does not wait.
- The poller, the sockets and the clock are handed in, so the same loop runs on a simulated network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from hub.close_reasons import CloseReason
from hub.config.settings import Settings
from hub.control.mailbox import Mailbox, Stop
from hub.control.snapshots import Summary
from hub.loop.acceptor import Door
from hub.loop.assembly import make_hub
from hub.loop.closer import Endings
from hub.loop.context import Budgets, Log
from hub.loop.expirer import Expirer
from hub.loop.flow_control import Pacing
from hub.loop.publisher import Observer
from hub.loop.reader import Reader
from hub.loop.timers import EVENT
from hub.loop.writer import Sender
from hub.modes.chat import announcement
from hub.net import poller as ready
from hub.net.poller import Poller
from hub.net.sockets import Sockets
from hub.session.client import Client, Phase

_END_OF_PEER: Final = ready.RDHUP | ready.HUP | ready.ERR
_READABLE: Final = ready.IN | ready.PRI | _END_OF_PEER


class Loop:
    """The conductor. `turn` is public so that a test can step it; `run` is only turns until it is drained."""

    def __init__(
        self,
        settings: Settings,
        sockets: Sockets,
        poller: Poller,
        clock: Callable[[], float],
        mailbox: Mailbox,
        log: Log,
        on_summary: Callable[[Summary], None],
        *,
        log_dropped: Callable[[], int] = lambda: 0,
        wall_clock: Callable[[], float] = time.time,
        budgets: Budgets | None = None,
    ) -> None:
        now = clock()
        self.hub = make_hub(
            settings, sockets, poller, log, clock, wall_clock(), log_dropped, budgets or Budgets()
        )
        self._clock = clock
        self._mailbox = mailbox
        self._door = Door(self.hub)
        self._pacing = Pacing(self.hub)
        self._expirer = Expirer(self.hub, self._pacing)
        self._reader = Reader(self.hub, self._pacing)
        self._sender = Sender(self.hub, self._pacing)
        self._endings = Endings(self.hub, self._pacing, self._sender)
        self._observer = Observer(self.hub, on_summary, now)
        self._counts_tx = settings.idle_counts == "rx+tx"
        self._counts_events = self.hub.timers.idle.counts_events
        self._drained_by: float | None = None
        self._timers_due_at, self._known_until = -inf, now
        self._rung = False
        self._woke_at: float | None = None
        for bell in mailbox.bells:
            poller.watch(bell)

    def listen(self) -> list[str]:
        """Bind; returns where lines are heard. Raises OSError with the address in its message."""
        self._door.open()
        self._observer.publish(self._clock())
        return list(self.hub.addresses)

    def welcome_page(self, port: int) -> None:
        """From now on the page is served on this port: browsers that come from it are let in."""
        self.hub.page_port = port

    def run(self) -> None:
        """Turn until a Stop command came and everybody is gone or the drain is over."""
        while not self.is_drained:
            self.turn()
        self._observer.publish(self._clock())

    @property
    def is_drained(self) -> bool:
        """Stopped, and nobody is left."""
        return self.hub.draining and not self.hub.by_fd

    def turn(self) -> None:
        """One pass."""
        hub = self.hub
        now = self._clock()
        if self._woke_at is not None:
            hub.turn_times.add(now - self._woke_at)
        events = hub.poller.wait(self._timeout(now))
        now = self._woke_at = self._clock()
        if hub.poller.round_begins:
            self._known_until = now
        hub.counters.turns += 1
        self._sort(events, now)
        self._door.tend(now)
        self._reader.step(now)
        now = self._stamp()
        self._read_mailbox(now)
        self._expire(now)
        self._seal()
        now = self._flush(now)
        self._endings.reap(now)
        self._pacing.step()
        self._observer.step(now)

    def _timeout(self, now: float) -> float:
        """How long nothing will have to be done, in seconds; 0 while work is left over."""
        marks = self.hub.marks
        self._timers_due_at = -inf  # Perhaps some are due.
        if marks.readable or marks.noted or self._sender.has_work or self._endings.has_work:
            return 0.0
        timeout = self._expirer.timeout(now)
        if self._drained_by is not None:
            timeout = min(timeout, max(0.0, self._drained_by - now))
        if timeout > 0:
            self._timers_due_at = now + timeout
        return min(timeout, self._observer.timeout(now), self._door.timeout(now))

    def _sort(self, events: Sequence[tuple[int, int]], now: float) -> None:
        """Events are hints about whom to look at: mark them, and let in who waits at the door."""
        by_fd, doors, others, answers = self.hub.by_fd, [], 0, 0
        for fd, mask in events:
            client = by_fd.get(fd)
            if client is not None:
                self._mark(client, mask, now)
                answers += client.pinged  # Should it be more than a pong, reading it tells.
            elif self._door.is_listener(fd):
                doors.append(fd)
                self.hub.counters.events_accept += 1
            else:
                others += 1  # the mailbox
        self._rung = others > 0
        for fd in doors:
            self._door.admit(fd, now)
        if self._counts_events and len(events) > others + answers:
            self.hub.timers.idle.touch(EVENT, now)

    def _mark(self, client: Client, mask: int, now: float) -> None:
        hub, counters = self.hub, self.hub.counters
        if mask & ready.OUT:
            counters.events_out += 1
            hub.marks.flush[client.id] = client
            if client.blocked and not client.deaf:  # Its peer took some, however late the hub looks.
                self._pacing.took_some(client, now)
                hub.marks.took.append(client)
        if not mask & _READABLE:
            return
        if mask & ready.IN:
            counters.events_in += 1
        if mask & ready.PRI:
            client.read_on = True
        if mask & _END_OF_PEER:
            client.read_on = True
            counters.events_rdhup += bool(mask & ready.RDHUP)
            counters.events_hup += bool(mask & ready.HUP)
            counters.events_err += bool(mask & ready.ERR)
        if client.reading or client.phase is Phase.LINGERING:
            hub.marks.readable[client.id] = client
        elif mask & (ready.HUP | ready.ERR):
            self._peer_died_unread(client)

    def _peer_died_unread(self, client: Client) -> None:
        """HUP or ERR of a client that is not read now: it takes nothing any more, so it owes us no pause."""
        if client.gone is None:
            self._pacing.gone(client, CloseReason.PEER_CLOSED)
        if client.phase is Phase.FLUSHING:
            self.hub.marks.finished[client.id] = client
        self.hub.interest(client)

    def _stamp(self) -> float:
        """Give everyone that did something the time of now, which is after it did it."""
        marks, timers, now = self.hub.marks, self.hub.timers, self._clock()
        if marks.heard:
            for client in marks.heard:
                client.heard_at = now
                if client.bulk:
                    timers.pause.touch(client.id, now)
                if client.timed and client.deaf:
                    timers.progress.touch(client.id, now)
            self._touch(marks.heard, now)
        if marks.took:
            if self._counts_tx:
                self._touch(marks.took, now)
            marks.took.clear()
        marks.heard.clear()
        return now

    def _touch(self, clients: Sequence[Client], now: float) -> None:
        idle, warning = self.hub.timers.idle.touch, self.hub.timers.warning.touch
        for client in clients:
            client.active_at = now
            if client.phase is Phase.OPEN:
                idle(client.id, now)
                warning(client.id, now)

    def _read_mailbox(self, now: float) -> None:
        if not (self._rung or self._mailbox.has_commands):
            return
        for command in self._mailbox.take(self.hub.budgets.commands):
            if isinstance(command, Stop):
                self._start_draining(now)
            else:
                self._observer.answer(command, now)

    def _start_draining(self, now: float) -> None:
        """Accept nobody, and give everybody the reason; the drain has its own limit."""
        if self.hub.draining:
            return
        hub, drain_s = self.hub, self.hub.settings.drain_s
        hub.draining = True
        self._drained_by = now + drain_s if drain_s else None
        self._door.close()
        hub.log("draining", clients=len(hub.clients), limit_s=drain_s)
        for client in list(hub.clients.values()):
            hub.marks.end(client, CloseReason.SERVER_SHUTDOWN)
        self._observer.publish(now)

    def _expire(self, now: float) -> None:
        """Activity only moves a deadline away, so before the earliest one nobody is asked.

        Judged is the time up to the last complete look at the kernel, since it may know of activity that came
        after: the process may have stood still since, and a full batch has no place for everybody.
        """
        if self._known_until >= self._timers_due_at and self.hub.poller.round_ends:
            self._expirer.step(self._known_until, now)
        if self._drained_by is not None and now >= self._drained_by:
            self.hub.marks.given_up += self.hub.ended.values()

    def _seal(self) -> None:
        """What the rooms got in this turn becomes one chunk each; the turn's notices are one line of it."""
        marks = self.hub.marks
        for room in marks.noted:
            notes, room.notes = room.notes, []
            room.append(announcement(notes), speaker=0)
            marks.rooms[room] = None
        marks.noted.clear()
        for room in marks.rooms:
            room.seal()

    def _flush(self, now: float) -> float:
        """Slices of sends, with a look at the clock between them, up to the turn's budget."""
        left = self.hub.budgets.sends
        while left > 0 and self._sender.has_work:
            left -= max(1, self._sender.slice(now))
            now = self._stamp()
        return now
