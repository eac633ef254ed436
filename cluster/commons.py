"""The commons of a hub in a cluster: what clients say goes to the stream, and the rooms hear the stream.

The loop calls this on its own thread, and nothing here waits. What the link tells lies in a queue until the
next turn; a bell of the loop's mailbox ends its wait. A turn hears as much as its rooms have place for: the
rest stays in the stream, which is the one queue that nobody has to bound.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from cluster.company import Company, Wire
from cluster.envelope import Entry, Kind
from cluster.events import Down, Event, Garbled, Ordered, Owned, Spoke, Up
from cluster.figures import Totals as HubTotals
from cluster.figures import beat_of, state_of
from cluster.member import Heard, Member, announcement
from cluster.outbox import LIMIT_BYTES, entries
from cluster.presence import Beat
from cluster.speakers import SILENT_S, Speakers
from hub.control.snapshots import ClusterState
from hub.modes.sanitize import name_key
from hub.rooms.registry import Registry
from hub.rooms.room import Room
from hub.session.client import Client
from hub.session.commons import Audience, Caught, Commons, Holds, Told, Totals, raise_it
from hub.session.ready_sets import ReadySets

SPACING_S: Final = 0.001
"""Between two batches of a hub, for each hub: so that a hub hears at most about 1,000 messages a second."""
ANNOUNCE, DRAIN = "announce", "drain"
TURN_BYTES: Final = 256 * 1024
"""So much is heard in one turn at most."""
EVENTS_A_TURN: Final = 1024
FULL_BYTES: Final = 256 * 1024
"""Senders wait while so much is on its way to a stream that answers."""
HOLD_S: Final = 1.0
"""A congested room in which few of the clients are holds up what the others hear for so long at most."""
ASLEEP: Final = 256
"""So many rooms in which nobody is here keep their history: 64 MiB at most, with 256 KiB each."""
LOOK_S: Final = 0.05


class Clocks(NamedTuple):
    """What time it is: on the loop's clock, in seconds since 1970, and on one that does not stand still."""

    loop: Callable[[], float]
    wall: Callable[[], float]
    steady: Callable[[], float]


class ClusterCommons(Commons):
    """The commons of one hub. `events` is what the link has told and no turn has taken yet."""

    def __init__(
        self, ready: ReadySets, member: Member, wire: Wire, events: deque[Event], clocks: Clocks, *,
        room_bytes: int, history: int, notices: bool,
    ) -> None:  # fmt: skip
        super().__init__(ready)
        self.company = Company(member.origin, wire, self._beat, self._answer)
        self.hub, self.member, self.is_alone = member.origin.hub, member, False
        self._events, self._clocks = events, clocks
        self.drain: Callable[[], None] = lambda: None
        """Ends this hub, because an operator says so."""
        self._room_bytes, self._history, self._notices = room_bytes, history, notices
        self._rooms: Registry
        self._totals: Totals
        self._links = 0
        self._held_since: dict[Room, float] = {}
        """Congested rooms for which a turn has stopped hearing, and since when."""
        self._waits_s: float | None = None
        """How long hearing waits for a room."""
        self._is_full = False
        """Senders wait: there is no place for what they say."""
        self._speakers = Speakers(member.outbox, self._tell)

    def open(
        self, audience: Audience, holds: Holds, rooms: Registry, totals: Totals, caught: Caught = raise_it
    ) -> None:
        """As inherited; histories are kept for rooms in which nobody is here."""
        super().open(audience, holds, rooms, totals, caught)
        self._rooms, self._totals = rooms, totals
        rooms.asleep_most = ASLEEP if self._history else 0

    def say(self, room: Room, lines: list[bytes], sender: int, now: float) -> None:
        """Lines for the stream; what it has no place for is refused."""
        loop_s, taken, refused_lines = self._clocks.loop(), 0, 0
        for entry in entries(Kind.TALK, room.name, lines):
            if self.member.outbox.put(entry, sender, loop_s):
                taken += 1
            else:
                refused_lines += entry.lines
        self._speakers.said(_member_of(room, sender), taken, refused_lines, loop_s)
        self._see_whether_full(loop_s)

    def note(self, room: Room, line: bytes) -> None:
        """A notice to the room on all hubs."""
        outbox = self.member.outbox
        if outbox.waiting_bytes < LIMIT_BYTES:  # Comings and goings are of no use to anybody later.
            outbox.put(Entry(Kind.NOTICE, room.name, 1, line + b"\n"), 0, self._clocks.loop())

    def step(self, now: float) -> None:
        """Send what was said, and let the rooms hear what came."""
        for _ in range(min(EVENTS_A_TURN, len(self._events))):
            self._guard(partial(self._take, self._events.popleft(), now))
        self.member.outbox.spacing_s = SPACING_S * (1 + len(self.company.peers))
        for hub in self.company.step(now):
            if self.company.peers.is_first():
                self.member.outbox.put(announcement(f"hub {hub} is gone, and who was there"), 0, now)
        self.member.step(now, int(self._clocks.wall() * 1000))
        self._hear_all(now)
        self._see_whether_full(now)
        self._speakers.step(now, is_behind=self.member.fold.behind > 0)

    def timeout(self, now: float) -> float:
        """As inherited."""
        if self._events:
            return 0.0
        hearing_s = self.member.timeout(now) if self._waits_s is None else self._waits_s
        return min(self._speakers.timeout(now), hearing_s, self.company.timeout(now))

    def state(self, now: float) -> ClusterState:
        """What the page shows of the cluster."""
        return state_of(self.member, self.company.peers, self._beat(), self._links, now)

    def holds_up(self, client: int, *, at_end: bool, is_dead: bool = False) -> bool:
        """As inherited; nobody waits for long to hear its own lines."""
        if is_dead:
            return client in self.claiming
        if at_end:
            return self._speakers.waits(client, self._clocks.loop())
        return self._is_full or client in self.claiming

    def pass_by(self) -> None:
        """Nobody is here: what the rooms heard is history, and owed to nobody."""
        for room in self._ready.rooms:
            room.trim(room.log.begin_pass())
        self._ready.rooms.clear()

    # What the mode asks.

    def ask(self, what: str, arguments: list[str], then: Told) -> None:
        """Ask the living hubs."""
        self.company.ask(what, arguments, then, self._clocks.loop())

    def claim(self, client: int, nick: str, then: Callable[[str], None]) -> None:
        """As inherited; the client's next lines wait for the answer."""

        def answered(refusal: str) -> None:
            self.claiming.discard(client)
            then(refusal)

        self.claiming.add(client)
        self.company.claim(nick, answered, self._clocks.loop())

    def release(self, nick: str) -> None:
        """As inherited."""
        self.company.names.release(nick)

    def people_elsewhere(self, room: str) -> int:
        """As inherited, a second old at most."""
        return self.company.peers.people_in(room)

    def leave(self) -> None:
        """Tell the other hubs that this one ends."""
        self.company.leave(beat_of(self.member, HubTotals(*self._totals()), self._rooms, is_leaving=True))

    def _take(self, event: Event, now: float) -> None:
        """What the link told."""
        match event:
            case Spoke():
                self.company.heard(event, now)
            case Owned():
                lost = self.company.owned(event)
                if lost:
                    self.audience.lost_nick(lost)
            case Ordered():
                self._obey(event, now)
            case Garbled():
                self.member.refused += 1
            case _:
                self.member.take(event, now)
                if isinstance(event, Up):
                    self._links += 1
                    self.company.linked(now)
                elif isinstance(event, Down):
                    self.company.unlinked()

    def _obey(self, ordered: Ordered, now: float) -> None:
        """What an operator wants; what is for all goes through the stream once."""
        if ordered.order.what == DRAIN:
            self.drain()
        elif ordered.order.what == ANNOUNCE and not ordered.is_for_all:
            self._hear_one(Heard(announcement(ordered.order.text), 0))
        elif ordered.order.what == ANNOUNCE and self.company.peers.is_first():
            self.member.outbox.put(announcement(ordered.order.text), 0, now)

    def _guard(self, do: Callable[[], None]) -> None:
        """What comes from other hubs must not end this one, whatever is wrong with our own code."""
        try:
            do()
        except Exception:
            self.caught()

    def _beat(self) -> Beat:
        return beat_of(self.member, HubTotals(*self._totals()), self._rooms)

    def _answer(self, what: str, arguments: list[str]) -> list[str]:
        return self.audience.asked(what, arguments)

    # Hearing.

    def _hear_all(self, now: float) -> None:
        left, self._waits_s = TURN_BYTES, None
        if self._held_since and self.member.next_bytes:
            held = self._held_since.items()
            self._held_since = {room: at for room, at in held if self.holds(room, now)}
        self._tell_missed(now)
        while left > 0 and (size := self.member.next_bytes):
            self._waits_s = self._wait_s(self.member.ahead(), now)
            if self._waits_s is not None:
                break
            left -= size
            for heard in self.member.hear(now):
                self._guard(partial(self._hear_one, heard))
        self._tell_missed(now)

    def _tell_missed(self, now: float) -> None:
        for heard in self.member.misses(now):
            self._guard(partial(self._hear_one, heard))

    def _wait_s(self, ahead: Sequence[Entry], now: float) -> float | None:
        """How long a turn waits for the rooms of the next message, if it has to.

        A room that has no place in this turn has some when its next pass begins. A room whose readers cannot
        follow has no event when it has recovered.
        """
        sizes = Counter[str]()
        for entry in ahead:
            sizes[name_key(entry.room)] += len(entry.data)
        for key, size in sizes.items():
            room = self._rooms.find(key)
            if room is None:
                continue
            if room.log.intake and room.log.intake + size > self._room_bytes:
                return 0.0
            if self.holds(room, now) and self._may_hold(room, now):
                return LOOK_S
        return None

    def _may_hold(self, room: Room, now: float) -> bool:
        """A room in which most clients are is waited for as its senders here wait; there is one order."""
        clients, _, _ = self._totals()
        return 2 * room.size > clients or now < self._held_since.setdefault(room, now) + HOLD_S

    def _hear_one(self, heard: Heard) -> None:
        entry = heard.entry
        lines = entry.data.split(b"\n")[:-1]
        if entry.kind is Kind.ANNOUNCEMENT:
            for room in self._rooms.all():
                self._notice(room, lines)
            return
        room = self._rooms.hearing(name_key(entry.room), entry.room)
        if entry.kind is Kind.NOTICE:
            self._notice(room, lines)
            return
        self._speakers.heard(heard.sender)
        self.audience.heard(room, lines, heard.sender, self._said_at(heard.wall_ms))

    def _notice(self, room: Room, lines: list[bytes]) -> None:
        if room.size and self._notices:
            for line in lines:
                super().note(room, line)

    def _said_at(self, wall_ms: int) -> float:
        return self._clocks.steady() - max(0.0, self._clocks.wall() - wall_ms / 1000)

    # Those who speak.

    def _see_whether_full(self, now: float) -> None:
        outbox = self.member.outbox
        if self.member.follows and outbox.unheard_s(now) < SILENT_S:
            self._is_full = outbox.waiting_bytes >= FULL_BYTES
        else:  # Those who cannot be told that a line was refused wait instead.
            self._is_full = not self._notices and outbox.waiting_bytes >= LIMIT_BYTES - FULL_BYTES

    def _tell(self, client: Client, text: str) -> None:
        if self._notices and not client.outbox.closed and client.close.reason is None:
            self._ready.put(client, f"* {text}\n".encode())


def _member_of(room: Room, id: int) -> Client:
    found = room.subscribers.get(id) or room.unsubscribed[id]
    client: Client = found.owner
    return client
