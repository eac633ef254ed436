"""Chat: everyone in the room sees `<nick> text`; `/` starts a command.

Every byte that one client sends is cleaned before it reaches another person (hub/modes/sanitize.py), and the
hub writes the nick itself, so nobody can speak in another's name. The only lines of the hub's own begin with
`* `. Notices of joining, leaving and nicks are gathered and become one line a turn, in small rooms only.
Joining and leaving are told of a client only once it has said something or given a command: a connection
that does neither is no event.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from sys import maxsize
from typing import Final

from hub.config.settings import Settings
from hub.control.snapshots import Summary
from hub.modes import past
from hub.modes.sanitize import NameRefused, check_name, clean_text, is_plain, may_be_name, name_key
from hub.modes.typed import erase, has_blank, lead_of, without_keys
from hub.rooms.history import wire
from hub.rooms.registry import LOBBY, Registry, RoomsFull
from hub.rooms.room import Room
from hub.session.client import Client
from hub.session.mode import Intake
from hub.session.ready_sets import ReadySets
from hub.session.turn_budget import TurnBudget

_RESERVED = re.compile(r"guest-\d+|hubbub|you")
_NAMES: Final = 20
"""So many names stand in one notice."""
SAY_A_SLASH: Final = "a line that starts with // is said with one slash"
_NO_UTF8: Final = "\N{REPLACEMENT CHARACTER}"
_LOOKED_AT: Final = (b"/", b" ", b"\t", b"")
"""How a plain line begins that may be a command, or that says nothing."""
_TYPED_BYTES: Final = 64
"""So much of a line that is not plain costs a turn as much as a line: 8 KiB of marks take 2 ms."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What chat may know of the hub around it, for reading only."""

    clock: Callable[[], float]
    """Seconds on the loop's clock."""
    steady_clock: Callable[[], float]
    """The same, but time passes on it during a suspend too: for what people are told of the past."""
    totals: Callable[[], Summary]


class Person:
    """What chat knows of one client."""

    __slots__ = ("client", "has_spoken", "nick", "prefix")

    def __init__(self, client: Client, nick: str) -> None:
        self.client = client
        self.has_spoken = False
        """The client has said something or given a command, so the room is told of its coming and going."""
        self.rename(nick)

    def rename(self, nick: str) -> None:
        """Another nick. `prefix` is made here, so that a line costs one concatenation."""
        self.nick = nick
        self.prefix = f"<{nick}> ".encode()


class Chat:
    """Rooms, nicks and commands. `run_command` does what a line behind its slash says, and tells its cost."""

    opens_late = True

    def __init__(
        self, settings: Settings, rooms: Registry, ready: ReadySets, budget: TurnBudget, intake: Intake,
        history_bytes: int, facts: Facts, run_command: Callable[[Chat, Client, str], int],
    ) -> None:  # fmt: skip
        self.rooms, self.ready, self.facts = rooms, ready, facts
        self.history, self.history_bytes = settings.history, history_bytes
        self._settings, self._budget, self._intake = settings, budget, intake
        self._greeting = clean_text(settings.greeting or "welcome to hubbub")
        self._announce = settings.announce if settings.notices else 0
        self._run_command, self._now = run_command, 0.0
        self._people: dict[int, Person] = {}
        self._by_nick: dict[str, Person] = {}

    # What the loop calls.

    def joined(self, client: Client) -> None:
        """Name the guest, greet it, and put it into the lobby."""
        person = self._people[client.id] = Person(client, f"guest-{client.id}")
        self._by_nick[name_key(person.nick)] = person
        where = f"you are {person.nick} in {LOBBY}, with {_company(self.rooms.lobby)}"
        self.tell(client, f"{self._greeting} - {where}; /help lists commands")
        self._enter(client, self.rooms.lobby)

    def lines(self, client: Client, most: int = maxsize) -> None:
        """Say or do each line, until there are no more or this turn has had its share."""
        intake, inbox, used, self._now = self._intake, client.inbox, 0, self.facts.steady_clock()
        stop = min(len(inbox.lines), inbox.next + most)
        while inbox.next < stop and used < intake.client_lines and client.close.reason is None:
            room, line = client.room, inbox.lines[inbox.next]
            full = room is not None and room.log.intake and room.log.intake + len(line) >= intake.room_bytes
            if full or client.outbox.item_bytes > intake.outbox_bytes:
                break
            inbox.next += 1
            used += self._line(client, line)
        inbox.drop_taken()
        self._budget.left -= used * intake.line_bytes

    def left(self, client: Client) -> None:
        """Out of its room, and its nick is free."""
        self._leave(client)
        person = self._people.pop(client.id, None)
        if person is not None:
            del self._by_nick[name_key(person.nick)]

    def nick(self, client: Client) -> str:
        """The client's nick; empty before it has joined."""
        person = self._people.get(client.id)
        return person.nick if person else ""

    # What commands call.

    def tell(self, client: Client, *lines: str) -> None:
        """Lines of the hub's own to one client, each with the mark `* ` in front."""
        if self._settings.notices:
            self.ready.put(client, "".join(f"* {line}\n" for line in lines).encode())

    def rename(self, client: Client, wanted: str) -> None:
        """Give the client another nick; NameRefused says why not."""
        nick, person = check_name(wanted, "nick"), self._people[client.id]
        if _RESERVED.fullmatch(name_key(nick)):
            raise NameRefused(f"the nick {nick} is kept for the hub's own use")
        if self._by_nick.get(name_key(nick), person) is not person:
            raise NameRefused(f"the nick {nick} is taken")
        if nick == person.nick:
            self.tell(client, f"you are {nick} already")
            return
        self._note(client, client.room, f"is now {nick}")
        del self._by_nick[name_key(person.nick)]
        person.rename(nick)
        self._by_nick[name_key(nick)] = person
        self.tell(client, f"you are now {nick}")

    def move(self, client: Client, wanted: str = LOBBY) -> None:
        """Take the client to another room, made if need be; NameRefused says why not."""
        name = check_name(wanted, "room")
        try:
            room = self.rooms.find_or_make(name_key(name), name)
        except RoomsFull:
            raise NameRefused("there are as many rooms as this hub allows; join one of them") from None
        if room is client.room:
            self.tell(client, f"you are in {room.name} already")
            return
        self._leave(client)
        self.tell(client, f"you are now in {room.name}, with {_company(room)}")
        self._enter(client, room)

    def find(self, nick: str) -> Client:
        """The client with this nick, whatever its case; NameRefused says that there is none."""
        person = self._by_nick.get(name_key(nick)) if may_be_name(nick) else None
        if person is None:
            raise NameRefused(f"nobody here is called {nick[:32]}; /who lists the people in this room")
        return person.client

    def nicks(self, room: Room, most: int) -> list[str]:
        """The nicks of the first members of a room, at most so many."""
        return [self._people[id].nick for id, _ in zip(room.members, range(most), strict=False)]

    def say(self, client: Client, text: bytes) -> None:
        """A line to everyone in the client's room, and into its history."""
        room = client.room
        if room is not None:
            person = self._people[client.id]
            if not person.has_spoken:
                self._spoke(person)
            if room.notes:
                publish_notes(room)
            line = person.prefix + text
            if self.history:
                said = line, client.id, room.log.head, self._now
                room.history.add(said, self.history, self.history_bytes)
            room.append(line, client.id)
            self.ready.rooms[room] = None

    def whisper(self, sender: Client, target: Client, text: bytes) -> None:
        """A line to one person, who must be taking what is sent; the sender sees it too."""
        sender_nick, nick = self.nick(sender), self.nick(target)
        if target.outbox.item_bytes > self._intake.outbox_bytes or target.outbox.closed:
            self.tell(sender, f"{nick} is not reading now; nothing was sent")
            return
        self._owe(target, f"<{sender_nick} to you> ".encode() + text + b"\n")
        self._owe(sender, f"<you to {nick}> ".encode() + text + b"\n", own=True)

    # Inside.

    def _owe(self, client: Client, line: bytes, *, own: bool = False) -> None:
        """What was said to one person is owed, as what a room gets is; not to one that hears nothing."""
        if not client.outbox.closed:
            self.rooms.account.owed += len(line)
            self.ready.put(client, line, owed=True, own=own)

    def _line(self, client: Client, line: bytes) -> int:
        """Say or do one line; returns what it cost, in lines."""
        if not is_plain(line):
            return self._typed(client, erase(line.decode(errors="replace"))) + len(line) // _TYPED_BYTES
        if line[:1] in _LOOKED_AT:
            return self._typed(client, line.decode())
        self.say(client, line)
        return 1

    def _typed(self, client: Client, line: str) -> int:
        """The same of a line that may be a command, or that is to be cleaned."""
        at = lead_of(line)
        lead, text = line[:at], line[at:]
        if text.startswith("//"):
            text = text[1:]
        elif text.startswith("/"):
            return self._command(client, lead, text[1:]) * self._intake.command_lines
        if text or _NO_UTF8 in lead:  # Bytes that are no UTF-8 are shown to be: somebody typed something.
            self.say(client, clean_text(lead + text).encode())
        return 1

    def _command(self, client: Client, lead: str, command: str) -> int:
        """Do what a line says behind its slash; returns what it cost, in commands."""
        if client.close.peer_error is not None:
            return 0  # Nobody is left to be answered. What the client said still counts.
        if has_blank(lead):
            self.tell(client, f"nothing was said: a command has no blank before its slash; {SAY_A_SLASH}")
            return 1
        person = self._people[client.id]
        if not person.has_spoken:
            self._spoke(person)
        return self._run_command(self, client, clean_text(without_keys(command)))

    def _spoke(self, person: Person) -> None:
        """The first that a client says or commands."""
        person.has_spoken = True
        self._note(person.client, person.client.room, "joined")

    def _enter(self, client: Client, room: Room) -> None:
        client.room, missed = room, room.missed(client.outbox, self.history, self.history_bytes)
        if missed:
            self.tell(client, past.beginning(room.name, missed, self.facts.steady_clock()))
        room.join(client.outbox, wire(missed))
        if missed:
            self.tell(client, past.END)
        self.ready.writable[client.id] = client  # For the history.
        self._note(client, room, "joined")

    def _leave(self, client: Client) -> None:
        room = client.room
        if room is None:
            return
        room.leave(client.outbox)
        client.room = None
        self.ready.writable[client.id] = client  # For what it was owed there.
        self._note(client, room, "left")
        self.rooms.discard_if_empty(room)

    def _note(self, client: Client, room: Room | None, what: str) -> None:
        """Announce what a client that has spoken did, with the other notices of this turn, where the room is
        small enough to care."""
        person = self._people[client.id]
        if room is not None and person.has_spoken and 0 < len(room.members) <= self._announce:
            room.notes.append((person.nick, what))
            self.ready.notices[room] = None


def publish_notes(room: Room) -> None:
    """Append one line for all notices of a turn, in their order: `* ann, bob joined; cy left`."""
    shown = []
    for what, notes in groupby(room.notes, key=itemgetter(1)):
        names = [who for who, _ in notes]
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        shown.append(f"{', '.join(names[:_NAMES])}{more} {what}")
    room.notes = []
    room.append(f"* {'; '.join(shown)}".encode(), sender=0)


def _company(room: Room) -> str:
    others = len(room.members)
    return f"{others} other{'s' if others != 1 else ''}" if others else "nobody else"
