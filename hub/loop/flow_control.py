"""Who waits for whom: back-pressure between those who send and those who hear.

A hub that reads as fast as it can outruns every hearer, and one that waits for every hearer is held up by
the slowest. Between the two stand these rules, each with a bound, so that nobody holds others up for good:

- A client with too much private output is not read (*choked*) until half of it is gone.
- While more than half of a room's hearers are *behind* (they lag by more than half of what is allowed), its
  senders are not read (*held*); then until all but a few of those that take bytes have caught up. Going on
  at half left the slowest of twenty equal readers hovering below the limit until it was cut.
- A hearer that is about to be cut and does take bytes is *pressed*: its bulk senders wait, out of a patience
  of its own. So equal hearers, which fall behind by turns, are not cut one after the other (of 200 that one
  process read, 22 were: the buffers of the kernel hid how far the others were), and one that is slower than
  all others soon is: patience goes while most of them have nothing left to take. Only who sends in bulk
  waits for them; a single line never does.
- Whoever holds others up must take something within ten seconds, or it ends.
- Past the limit a hearer is cut. A *feed*, who sends and never listens, only stops hearing.
- Under --slow skip it is not cut but goes on at the head of its room; so does who held others up and took
  nothing. Both have a minute to take something.
"""

from __future__ import annotations

from hub.close_reasons import CloseReason
from hub.loop.context import Hub
from hub.rooms.room import Room
from hub.rooms.skipping import skip
from hub.session.client import Client, Phase


class Pacing:
    """Decides who is not read for now, and who has had its chance."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._eased: dict[str, Room] = {}

    # Senders.

    def must_wait(self, client: Client, now: float) -> bool:
        """Whether this client is not to be read now; if so, it is choked or held from here on."""
        hub, room = self._hub, client.room
        if client.last is not None and not client.has_backlog:
            return False
        if client.private_bytes > hub.intake.private_bytes:
            client.choked = True
            self.must_progress(client, now)
            if client.fresh:  # It waits for its own output, so that must not wait for it.
                hub.start_output(client)
        elif room is not None and room.behind and room.congested_for(client):
            self._hold(client, room, now)
        if client.choked or client.held:
            hub.interest(client)
            return True
        return False

    def relieve(self, client: Client) -> None:
        """Read a choked client again once half of its private output is gone."""
        if client.choked and client.private_bytes <= self._hub.intake.private_bytes // 2:
            client.choked = False
            self.need_not_progress(client)
            self._hub.resume(client)

    def release(self, room: Room) -> None:
        """Somebody has caught up or gone: `step` looks whether those who wait for this room may go on.

        They may be as many as those who catch up in one turn, so nobody looks at them for each of these.
        """
        if room.held or room.hurried:
            self._eased[room.key] = room

    def step(self) -> None:
        """At the end of a turn: read the senders again that waited for a room which has caught up."""
        while self._eased:
            self._let_go_on(self._eased.popitem()[1])

    def _let_go_on(self, room: Room) -> None:
        if room.is_congested:
            return
        for client in list(room.held.values()):
            if not room.congested_for(client):
                del room.held[client.id]
                client.held = False
                self._hub.resume(client)
        if room.hurried and not room.held:  # Once, and not again for each that catches up.
            room.hurried = False
            for client in room.behind.values():
                if not client.choked:
                    self.need_not_progress(client)

    def left_room(self, client: Client, room: Room) -> None:
        """It holds nobody up in this room any more."""
        if not client.choked:
            self.need_not_progress(client)
        self.release(room)

    def _hold(self, client: Client, room: Room, now: float) -> None:
        client.held = True
        if not room.held:
            room.hurried = True
            for other in room.behind.values():
                self.must_progress(other, now)
        room.held[client.id] = client

    # Hearers.

    def judge(self, client: Client, room: Room, now: float) -> None:
        """After a send, or when lines came that it could not be sent: is it behind?"""
        hub, lag = self._hub, client.lag_bytes
        if client.blocked and lag > hub.limits.behind_bytes:
            if client.id not in room.behind:
                room.behind[client.id] = client
                hub.timers.stall.touch(client.id, now)
                room.set_pace()
            if lag > hub.limits.pressed_bytes:
                self.press(client, room, now)
            if room.held:
                self.must_progress(client, now)
        elif client.id in room.behind:
            self._caught_up(client, room, now)

    def took_some(self, client: Client, now: float) -> None:
        """Its kernel took bytes, so it is not stuck and not stalled."""
        hub, room = self._hub, client.room
        if client.timed:
            hub.timers.progress.touch(client.id, now)
        if client.skipping:
            client.skipping = False
            hub.timers.skip.forget(client.id)
        if room is not None and client.id in room.behind:
            room.stalled.pop(client.id, None)
            hub.timers.stall.touch(client.id, now)
            if client.id in room.pressed and not self._may_press(client, room, now):
                self.stop_pressing(client, room, now)

    def stall(self, client: Client, room: Room, now: float) -> None:
        """It is behind and took nothing for a moment: only a room most of which is behind waits for it."""
        if client.id not in room.behind:  # It was behind in a room that it has left.
            return
        room.stalled[client.id] = client
        self.stop_pressing(client, room, now)
        room.set_pace()
        self.release(room)

    def press(self, client: Client, room: Room, now: float) -> None:
        """It is about to be cut: its room waits for it while it moves, and while there is patience."""
        if client.id not in room.stalled and self._may_press(client, room, now):
            room.pressed[client.id] = client

    def stop_pressing(self, client: Client, room: Room, now: float) -> None:
        """The room waits for this client no longer."""
        if client.id in room.pressed:
            self._may_press(client, room, now)  # What it used up until now is counted.
            del room.pressed[client.id]
            self.release(room)

    def must_progress(self, client: Client, now: float) -> None:
        """It holds others up: it has to take something within the limit, or it ends."""
        if not client.timed:
            client.timed = True
            self._hub.timers.progress.touch(client.id, now)

    def need_not_progress(self, client: Client) -> None:
        """It holds nobody up any more."""
        if client.timed:
            client.timed = False
            self._hub.timers.progress.forget(client.id)

    def _caught_up(self, client: Client, room: Room, now: float) -> None:
        del room.behind[client.id]
        room.stalled.pop(client.id, None)
        self._hub.timers.stall.forget(client.id)
        room.set_pace()
        self.stop_pressing(client, room, now)
        self.left_room(client, room)

    def _may_press(self, client: Client, room: Room, now: float) -> bool:
        """Whether patience is left with this hearer.

        It goes while the room waits for it alone, and comes back while it does not. A room that would wait
        anyway does not wait for it alone, nor do hearers that still take what they are owed: of twenty that
        read alike, one was cut of which the kernel happened to keep less than of the others.
        """
        limits, passed = self._hub.limits, now - client.patience_at
        alone = not (room.most_are_behind or room.most_are_slow)
        waiting = client.id in room.pressed and alone
        spent = passed if waiting else -passed * limits.patience_gain
        client.patience_s, client.patience_at = min(client.patience_s - spent, limits.patience_s), now
        return client.patience_s > 0

    # Whoever does not keep up.

    def cut(self, client: Client, room: Room, now: float) -> None:
        """Too far behind. Who only talks and never listens is not cut while it talks."""
        if self._hub.skips:
            self.skip(client, room, now)
        elif self.is_feeding(client, now):
            self.make_feed(client, now)
        else:
            self._hub.marks.end(client, CloseReason.SLOW_CONSUMER, f"lag={client.lag_bytes}")

    def skip(self, client: Client, room: Room, now: float) -> None:
        """Under --slow skip: it goes on at the head. From the first gap on it has to take something."""
        skip(client, room, self._hub.account)
        if not client.skipping:
            client.skipping = True
            self._hub.timers.skip.touch(client.id, now)
        self.judge(client, room, now)

    def end_skipping(self, client: Client, due: float, now: float) -> None:
        """It missed lines and took nothing since, for a long time: it is not slow, it is dead or a feed."""
        client.skipping = False
        if self.is_feeding(client, now):
            self.make_feed(client, now)
        else:
            detail = f"stuck={self._hub.limits.skip_s:g}s"
            self._hub.marks.end(client, CloseReason.SLOW_CONSUMER, detail, due=due, decided=now)

    def end_stuck(self, client: Client, due: float, now: float) -> None:
        """It held others up and took nothing in time; or it is a feed and sent nothing."""
        hub = self._hub
        client.timed = False
        if client.deaf and client.kept_waiting:  # It is the hub that does not read the feed.
            self.must_progress(client, now)
        elif hub.skips and client.room is not None and client.id in client.room.behind and not client.choked:
            self.skip(client, client.room, now)
        elif not client.deaf and self.is_feeding(client, now):
            self.make_feed(client, now)
        else:
            detail = "feed=yes" if client.deaf else f"stuck={hub.limits.progress_s:g}s"
            hub.marks.end(client, CloseReason.SLOW_CONSUMER, detail, due=due, decided=now)

    def is_feeding(self, client: Client, now: float) -> bool:
        """It sends lines: it did just now, or it waits for the hub to let it."""
        recent = client.kept_waiting or client.heard_at >= now - self._hub.limits.feed_s
        return client.phase is Phase.OPEN and client.lines_in > 0 and recent and not client.choked

    def make_feed(self, client: Client, now: float) -> None:
        """From here on it is only listened to, for as long as it sends something."""
        self.need_not_progress(client)
        self.stop_hearing(client)
        self.must_progress(client, now)
        self._hub.resume(client)

    def gone(self, client: Client, reason: CloseReason) -> None:
        """Nothing more can be delivered. Reading goes on to its end, and the end decides."""
        client.gone = reason
        client.read_on = True
        self.need_not_progress(client)
        self.stop_hearing(client)
        if client.phase is Phase.OPEN:
            self._hub.resume(client)

    def stop_hearing(self, client: Client) -> None:
        """Nothing more goes to this client; what it was owed is unsent. What it sends is still read."""
        if client.deaf:
            return
        self._hub.drop_output(client)
        client.deaf = True
        client.blocked = client.choked = client.skipping = False
        self._hub.timers.skip.forget(client.id)
        self._hub.marks.flush.pop(client.id, None)
        if client.room is not None:
            client.room.stop_hearing(client)
            self.release(client.room)
