"""Turn after turn: the order of the steps is the design.

    wait . sort . read . hear . seal . (accept . expire . write . close) . mailbox . resume senders . publish

- The steps in brackets work in slices. The loop goes round them while there is work, until 1 ms is over:
  a slice is some 0.1 ms of work, and only a clock knows what a thousand sends or closes take. So a line waits
  for little more than the rest of a turn, and no step waits for another to have done all of its work.
- The clock is read after each wait, before it, after the read step and after each round. Activity is
  stamped with a reading taken after the read, so expiry is never early.
- A batch never closes a descriptor. Python's epoll hands back only the number and numbers are reused at
  once, so closing means recording a close reason, and only the close step, after the batch, closes.
- What is left over stays marked, and the next wait does not wait. Reading has a budget in bytes, as what is
  read has to be gone through in the same turn.
- The poller, the sockets and the clock are handed in, so the same loop runs on a simulated network.
"""

from collections.abc import Sequence
from math import inf
from typing import Any, Final

from hub.close_reasons import CloseReason
from hub.control.mailbox import Mailbox, Stop
from hub.loop.assembly import Hub
from hub.loop.timers import Poll
from hub.modes.notes import publish_notes
from hub.net import poller as epoll
from hub.session.client import Client

_END_OF_PEER: Final = epoll.RDHUP | epoll.HUP | epoll.ERR
_READABLE: Final = epoll.IN | epoll.PRI | _END_OF_PEER


class EventLoop:
    """The conductor. `turn` is public so that a test can step it; `run` is only turns until it is drained."""

    def __init__(self, hub: Hub, mailbox: Mailbox) -> None:
        self.hub = hub
        """All parts, for those who look at the loop from outside; only the loop's thread changes them."""
        self._clock, self._mailbox = hub.clock, mailbox
        settings = hub.settings
        self._delivery_counts = settings.delivery_counts("line")
        self._delivery_counts_for_viewers = settings.read_only_port is not None and settings.delivery_counts(
            "read-only"
        )
        idle = hub.timers.idle
        self._poll = idle if isinstance(idle, Poll) else None
        self._idle = idle if idle.timeout_s < inf else None
        self.drained_by = inf
        """When the drain is over whoever is still there; infinite while there is none, or it has no limit."""
        self._timers_due_at, self._known_until = -inf, hub.status.started_at
        self._rung = False
        self._woke_at: float | None = None
        for bell in mailbox.bells:
            hub.poller.watch(bell)

    def listen(self) -> list[str]:
        """Bind; returns where lines are heard. Raises CannotListen."""
        self.hub.acceptor.open()
        self.hub.publisher.publish(self._clock())
        return list(self.hub.status.addresses["line"])

    def run(self) -> None:
        """Turn until a Stop command came and everybody is gone or the drain is over."""
        while not self.is_drained:
            self.turn()
        now, counters = self._clock(), self.hub.counters
        self.hub.publisher.publish(now)
        closed: dict[str, Any] = {
            f"closed_{reason}": count for reason, count in sorted(counters.closed.items())
        }
        uptime_s = round(now - self.hub.status.started_at, 3)
        self.hub.log("stopped", uptime_s=uptime_s, accepted=counters.accepted, **closed)

    def answer(self) -> None:
        """Answer what the page asks, after the last turn."""
        now = self._clock()
        self._read_mailbox(now)
        self.hub.publisher.step(now)

    @property
    def is_drained(self) -> bool:
        """Stopped, and nobody is left."""
        return self.hub.status.draining and not self.hub.connections.by_fd

    def turn(self) -> None:
        """A turn: every step once."""
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
        hub.acceptor.step(now)
        hub.reader.step(now)
        hub.commons.step(now)
        now = self._stamp()
        self._seal()
        now = self._go_round(now)
        self._read_mailbox(now)  # Here, so that who asks hears of everybody that came before.
        hub.flow.step(now)
        hub.publisher.step(now)

    def _timeout(self, now: float) -> float:
        """How long nothing will have to be done, in seconds; 0 while work is left over."""
        hub = self.hub
        self._timers_due_at = -inf  # Perhaps some are due.
        if hub.ready.readable or hub.ready.notices or hub.writer.has_work or hub.closer.has_work:
            return 0.0
        timeout = min(hub.expirer.timeout(now), max(0.0, self.drained_by - now))
        if timeout > 0:
            self._timers_due_at = now + timeout
        others = min(hub.publisher.timeout(now), hub.acceptor.timeout(now), hub.commons.timeout(now))
        return min(timeout, others)

    def _sort(self, events: Sequence[tuple[int, int]], now: float) -> None:
        """Events are hints about which clients and listeners to look at: mark them."""
        hub = self.hub
        by_fd, acceptor = hub.connections.by_fd, hub.acceptor
        others, answers = 0, 0
        acceptor.waiting.clear()  # Where somebody still waits, the poller says so again.
        for fd, mask in events:
            client = by_fd.get(fd)
            if client is not None:
                self._mark(client, mask, now)
                answers += client.inbox.pinged  # Should it be more than a pong, reading it tells.
            elif fd in acceptor.listeners:
                acceptor.waiting[fd] = None
                hub.counters.events_accept += 1
            else:
                others += 1  # the mailbox
        self._rung = others > 0
        if self._poll is not None and len(events) > others + answers:
            self._poll.last_event_s = now

    def _mark(self, client: Client, mask: int, now: float) -> None:
        hub, counters = self.hub, self.hub.counters
        if mask & epoll.OUT:
            counters.events_out += 1
            hub.ready.writable[client] = None
            if client.outbox.blocked:  # Its peer took some, however late the hub looks.
                client.outbox.is_writable(now)
                hub.flow.took(client, now)
                hub.ready.took.append(client)
        if not mask & _READABLE:
            return
        if mask & epoll.IN:
            counters.events_in += 1
        if mask & (epoll.PRI | _END_OF_PEER):
            client.inbox.read_until_eagain = True
        if mask & _END_OF_PEER:
            counters.events_rdhup += bool(mask & epoll.RDHUP)
            counters.events_hup += bool(mask & epoll.HUP)
            counters.events_err += bool(mask & epoll.ERR)
        if client.is_reading or client.phase == "lingering":
            hub.ready.readable[client] = None
        elif mask & (epoll.HUP | epoll.ERR):
            self._peer_died_unread(client)

    def _peer_died_unread(self, client: Client) -> None:
        """HUP or ERR of a client that is not read now: it takes nothing any more, so nothing waits for it."""
        if client.close.peer_error is None:
            self.hub.connections.peer_is_gone(client, CloseReason.PEER_CLOSED)
        else:
            self.hub.connections.watch(client)

    def _stamp(self) -> float:
        """Give every client that did something the time of now, which is after it did it."""
        ready, now = self.hub.ready, self._clock()
        if ready.received:
            for client in ready.received:
                client.inbox.heard_at = now
            self._touch(ready.received, now)
            ready.received.clear()
        if ready.took:
            if self._delivery_counts:
                self._touch(ready.took, now)
            elif self._delivery_counts_for_viewers:
                self._touch([client for client in ready.took if client.transport == "read-only"], now)
            ready.took.clear()
        return now

    def _touch(self, clients: Sequence[Client], now: float) -> None:
        idle = self._idle
        for client in clients:
            if idle is not None and client.phase == "open":
                idle.touch(client, now)
            else:
                client.active_at = now

    def _read_mailbox(self, now: float) -> None:
        if not (self._rung or self._mailbox.has_commands):
            return
        for command in self._mailbox.take(self.hub.budgets.commands):
            if isinstance(command, Stop):
                self._start_draining(now)
            else:
                self.hub.publisher.answer(command, now)

    def _start_draining(self, now: float) -> None:
        """Accept nobody, and give everybody the reason; the drain has its own limit."""
        hub, drain_s = self.hub, self.hub.settings.drain_s
        if hub.status.draining:
            return
        hub.status.draining = True
        self.drained_by = now + drain_s if drain_s else inf
        hub.acceptor.close()
        hub.log("draining", clients=len(hub.connections.clients), limit_s=drain_s)
        for client in list(hub.connections.clients.values()):
            hub.ready.end(client, CloseReason.SERVER_SHUTDOWN)
        hub.publisher.publish(now)

    def _go_round(self, now: float) -> float:
        """Slices of all steps that work in slices, round after round, while the turn has time."""
        hub, ends_at = self.hub, now + self.hub.budgets.turn_s
        acceptor, writer, closer, may_expire = hub.acceptor, hub.writer, hub.closer, True
        for _ in range(hub.budgets.rounds):
            acceptor.slice(now)
            may_expire = may_expire and self._expire(now)
            writer.slice(now)
            closer.slice(now)
            now = self._stamp()
            if now >= ends_at:
                break
            if not (acceptor.waiting or may_expire or writer.has_work or closer.has_work):
                break
        return now

    def _expire(self, now: float) -> bool:
        """A slice of expiring; whether there is more.

        Activity only moves a deadline away, so before the earliest one nobody is asked.

        Judged is the time up to the last complete look at the kernel, since it may know of activity that came
        after: the process may have stood still since, and a full batch has no place for everybody.
        """
        hub = self.hub
        if now >= self.drained_by and not hub.ready.abort:
            hub.ready.abort += hub.connections.closing.values()
        if self._known_until < self._timers_due_at or not hub.poller.round_ends:
            return False
        return hub.expirer.slice(self._known_until, now)

    def _seal(self) -> None:
        """What the rooms got in this turn becomes one chunk each; the turn's notices are one line of it."""
        ready = self.hub.ready
        for room in ready.notices:
            if room.notes:
                publish_notes(room, self.hub.commons)
        ready.notices.clear()
        for room in ready.rooms:
            room.log.seal()
