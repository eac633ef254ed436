"""A hub as its promises tell it, in two hundred lines: who is where, and what each client must have heard.

Nothing of hub/ is used here. The model knows no turns, sockets or buffers: one deed after the other is done
at once, and `heard` is what a client that reads must have got by then, line by line. A line of the hub's own
to one client stands as it is; a notice to a room stands as one line for each fact. The notices of one deed
are one line of the room, behind the answers to that deed and before the next line that is said. A client is
announced from its first line on. History is what was said, between a first line, without its age, and a last.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class Room:
    """What was said, and who is there, in order of coming."""

    name: str
    said: list[str] = field(default_factory=list)
    members: list[Person] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Facts of this deed."""


@dataclass(eq=False)
class Person:
    key: int
    nick: str
    listens_only: bool = False
    room: Room | None = None
    heard: list[str] = field(default_factory=list)
    unfinished: str = ""
    seen: dict[Room, int] = field(default_factory=dict)
    """By room, up to where it was there."""
    is_open: bool = True
    has_spoken: bool = False
    active_at: float = 0.0


class Model:
    """A hub. `history` and `announce` as the settings; rooms are never full."""

    def __init__(self, mode: str, *, history: int, announce: int, max_line: int, idle_s: float) -> None:
        self.mode, self.history, self.announce = mode, history, announce
        self._max_line, self._idle_s = max_line, idle_s
        self.lobby = Room("lobby")
        self.rooms = {"lobby": self.lobby}
        self.people: dict[int, Person] = {}
        self.ended: dict[int, str] = {}

    # Deeds.

    def joins(self, key: int, number: int, now: float, *, listens_only: bool = False) -> None:
        person = self.people[key] = Person(key, f"guest-{number}", listens_only, active_at=now)
        if self.mode == "chat":
            person.heard.append(
                f"* welcome to hubbub - you are {person.nick} in lobby, with {_company(self.lobby)}; "
                "/help lists commands"
            )
        self._enter(person, self.lobby)

    def sends(self, key: int, text: str, now: float) -> None:
        person = self.people[key]
        person.active_at = now
        if not person.listens_only:
            self._take(person, text)
        self._publish_all()

    def _take(self, person: Person, text: str) -> None:
        *lines, person.unfinished = (person.unfinished + text).split("\n")
        for line in lines:
            if len(line) > self._max_line:
                return self.ends(person.key, "line_too_long")
            self._line(person, line)
            if not person.is_open:
                return None
        if len(person.unfinished) > self._max_line:
            self.ends(person.key, "line_too_long")
        return None

    def closes(self, key: int) -> None:
        person = self.people[key]
        if person.unfinished and not person.listens_only:
            self._line(person, person.unfinished)
        self.ends(key, "peer_closed")

    def ends(self, key: int, reason: str) -> None:
        person = self.people[key]
        if person.is_open:
            person.is_open = False
            self.ended[key] = reason
            self._publish_all()
            self._leave(person)
            self._publish_all()

    def time_is(self, now: float) -> None:
        silent = sorted(self.open(), key=lambda person: person.active_at)
        for person in silent:
            if now - person.active_at >= self._idle_s:
                self.ends(person.key, "idle")

    def open(self) -> list[Person]:
        return [person for person in self.people.values() if person.is_open]

    def next_end(self) -> float:
        return min((person.active_at + self._idle_s for person in self.open()), default=float("inf"))

    # What a line does.

    def _line(self, person: Person, line: str) -> None:
        if line.strip() and not person.has_spoken:
            person.has_spoken = True
            self._note(person.room, f"* {person.nick} joined")
        if self.mode == "broadcast":
            self._say(person.room, line)
        elif line.startswith("/") and not line.startswith("//"):
            name, _, rest = line[1:].partition(" ")
            getattr(self, f"_do_{name}")(person, rest)
        elif line.strip():
            self._say(person.room, f"<{person.nick}> {line.replace('//', '/', 1)}")

    def _do_nick(self, person: Person, wanted: str) -> None:
        taken = [other for other in self.open() if other.nick.lower() == wanted.lower()]
        if taken and taken != [person]:
            person.heard.append(f"* the nick {wanted} is taken")
        elif person.nick == wanted:
            person.heard.append(f"* you are {wanted} already")
        else:
            before, person.nick = person.nick, wanted
            person.heard.append(f"* you are now {wanted}")
            self._note(person.room, f"* {before} is now {wanted}")

    def _do_join(self, person: Person, name: str) -> None:
        room = self.rooms.setdefault(name, Room(name))
        if room is person.room:
            person.heard.append(f"* you are in {name} already")
            return
        self._leave(person)
        person.heard.append(f"* you are now in {name}, with {_company(room)}")
        self._enter(person, room)

    def _do_leave(self, person: Person, _: str) -> None:
        self._do_join(person, "lobby")

    def _do_me(self, person: Person, text: str) -> None:
        self._say(person.room, f"<{person.nick}> *{text}*")

    def _do_who(self, person: Person, _: str) -> None:
        assert person.room
        names = sorted(other.nick for other in person.room.members)
        person.heard.append(f"* in {person.room.name} ({len(names)}): {', '.join(names)}")

    def _do_rooms(self, person: Person, _: str) -> None:
        rooms = sorted(self.rooms.values(), key=lambda room: (-len(room.members), room.name))
        shown = ", ".join(f"{room.name} {len(room.members)}" for room in rooms)
        person.heard.append(f"* rooms ({len(rooms)}): {shown}")

    def _do_msg(self, person: Person, rest: str) -> None:
        nick, _, text = rest.partition(" ")
        for other in self.open():
            if other.nick.lower() == nick.lower():
                other.heard.append(f"<{person.nick} to you> {text}")
                person.heard.append(f"<you to {other.nick}> {text}")
                return
        person.heard.append(f"* nobody here is called {nick}; /who lists the people in this room")

    def _do_history(self, person: Person, count: str) -> None:
        assert person.room
        lines = person.room.said[-min(int(count), self.history) :] if self.history else []
        person.heard += _past(person.room, lines) or ["* nothing is kept of what was said in this room"]

    def _do_quit(self, person: Person, _: str) -> None:
        self.ends(person.key, "quit")

    # Rooms.

    def _say(self, room: Room | None, line: str) -> None:
        assert room
        self._publish(room)
        room.said.append(line)
        self._tell(room, [line])

    def _tell(self, room: Room, lines: list[str]) -> None:
        for member in room.members:
            member.heard += lines

    def _note(self, room: Room | None, fact: str) -> None:
        if room and self.mode == "chat" and 0 < len(room.members) <= self.announce:
            room.notes.append(fact)

    def _publish(self, room: Room) -> None:
        facts, room.notes = room.notes, []
        self._tell(room, facts)

    def _publish_all(self) -> None:
        for room in self.rooms.values():
            self._publish(room)

    def _enter(self, person: Person, room: Room) -> None:
        kept = self.history if self.mode == "chat" else 0
        person.heard += _past(room, room.said[max(len(room.said) - kept, person.seen.get(room, 0)) :])
        person.room = room
        room.members.append(person)
        if person.has_spoken:
            self._note(room, f"* {person.nick} joined")

    def _leave(self, person: Person) -> None:
        room, person.room = person.room, None
        if room is None:
            return
        room.members.remove(person)
        person.seen[room] = len(room.said)
        if person.has_spoken:
            self._note(room, f"* {person.nick} left")
        if not room.members and room is not self.lobby:
            del self.rooms[room.name]


def _past(room: Room, lines: list[str]) -> list[str]:
    if not lines:
        return []
    plural = "" if len(lines) == 1 else "s"
    return [f"* history: {len(lines)} line{plural} of {room.name}", *lines, "* end of history"]


def _company(room: Room) -> str:
    others = len(room.members)
    return f"{others} other{'s' if others != 1 else ''}" if others else "nobody else"
