"""Chat: everyone in the room sees `<nick> text`; `/` starts a command.

Every byte that one client sends is cleaned before it reaches another person (hub/modes/sanitize.py), and the
hub writes the nick itself, so nobody can speak in another's name. The only lines of the hub's own begin with
`* `. Notices of joining, leaving and nicks are gathered and become one line a turn, in small rooms only.
Joining and leaving are told of a client only once it has said something or given a command: a connection
that does neither is no event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from sys import maxsize
from typing import Final

from hub.config.settings import Settings
from hub.modes import past
from hub.modes.facts import Facts
from hub.modes.nicks import Nicks, Person
from hub.modes.notes import publish_notes
from hub.modes.sanitize import NameRefused, check_name, clean_text, is_plain, name_key
from hub.modes.typed import erase, has_blank, lead_of, without_keys
from hub.rooms.history import wire
from hub.rooms.registry import LOBBY, Registry, RoomsFull
from hub.rooms.room import Room
from hub.session.client import Client
from hub.session.commons import Commons
from hub.session.mode import Intake
from hub.session.ready_sets import ReadySets
from hub.session.turn_budget import TurnBudget

SAY_A_SLASH: Final = "a line that starts with // is said with one slash"
_NO_UTF8: Final = "\N{REPLACEMENT CHARACTER}"
_LOOKED_AT: Final = frozenset(b"/ \t")
"""How a plain line begins that may be a command, or that says nothing."""
_TYPED_BYTES: Final = 64
"""So much of a line that is not plain costs a turn as much as a line: 8 KiB of marks take 2 ms."""


@dataclass(frozen=True)
class Rest:
    """The parts of chat that are made of it, in modules of their own."""

    run_command: Callable[[Chat, Client, str], int]
    """Do what a line behind its slash says; what it cost, in commands."""
    asked: Callable[[Chat, str, list[str]], list[str]]
    """Answer a question of another hub."""
    lost_nick: Callable[[Chat, str], None]
    """Somebody on another hub has the nick of this key."""


class Chat:
    """Rooms, nicks and commands."""

    opens_late = True
    sends_back = False
    text = None

    def __init__(
        self, settings: Settings, rooms: Registry, ready: ReadySets, commons: Commons, budget: TurnBudget,
        intake: Intake, history_bytes: int, facts: Facts, rest: Rest,
    ) -> None:  # fmt: skip
        self.rooms, self.ready, self.commons, self.facts = rooms, ready, commons, facts
        self.history, self.history_bytes = settings.history, history_bytes
        self._settings, self._budget, self._intake = settings, budget, intake
        self._greeting = clean_text(settings.greeting or "welcome to hubbub")
        self._announce = settings.announce if settings.notices else 0
        self._rest, self._now = rest, 0.0
        self.nicks = Nicks(facts.client, commons.hub)

    # What the loop calls.

    def joined(self, client: Client) -> None:
        """Name the guest, greet it, and put it into the lobby."""
        where = f"you are {self.nicks.guest(client)} in {LOBBY}, with {self._company(self.rooms.lobby)}"
        self.tell(client, f"{self._greeting} - {where}; /help lists commands")
        self._enter(client, self.rooms.lobby)

    def lines(self, client: Client, most: int = maxsize) -> None:
        """Say or do each line, until there are no more or this turn has had its share."""
        intake, inbox, self._now = self._intake, client.inbox, self.facts.steady_clock()
        lines = inbox.first(min(most, intake.client_lines))
        used = self._talk(client, lines)
        for line in lines[used:]:
            room, is_over = client.room, client.close.reason is not None
            full = room is not None and room.log.intake and room.log.intake + len(line) >= intake.room_bytes
            if (
                is_over
                or full
                or used >= intake.client_lines
                or client.outbox.item_bytes > intake.outbox_bytes
                or client.id in self.commons.claiming
            ):
                break
            inbox.drop(1)
            used += self._line(client, line)
        self._budget.left -= used * intake.line_bytes

    def heard(self, room: Room, lines: list[bytes], sender: int, said_at: float) -> None:
        """Owed to everyone in the room, and kept for its history."""
        if self.history:
            head, most = room.log.head, self.history_bytes
            room.history.add(lines, sender, head, said_at, self.history, most)
        room.extend(b"\n".join([*lines, b""]), len(lines), sender)
        self.ready.rooms[room] = None

    def left(self, client: Client) -> None:
        """Out of its room, and its nick is free."""
        self._leave(client)
        person: Person | None = client.mode_state
        if person is not None:
            self.commons.release(name_key(person.nick))
        self.nicks.free(client)

    def asked(self, what: str, arguments: list[str]) -> list[str]:
        """What another hub gets for an answer."""
        return self._rest.asked(self, what, arguments)

    def lost_nick(self, key: str) -> None:
        """A client here is a guest again."""
        self._rest.lost_nick(self, key)

    def nick(self, client: Client) -> str:
        """The client's nick; empty before it has joined."""
        return self.nicks.of(client)

    # What commands call.

    def tell(self, client: Client, *lines: str) -> None:
        """Lines of the hub's own to one client, each with the mark `* ` in front."""
        if self._settings.notices and client.close.reason is None:
            self.ready.put(client, "".join(f"* {line}\n" for line in lines).encode())

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
        self.tell(client, f"you are now in {room.name}, with {self._company(room)}")
        self._enter(client, room)

    def names_in(self, room: Room, most: int) -> list[str]:
        """The nicks of the first members of a room, at most so many."""
        return [self.nicks.of(outbox.owner) for outbox in islice(room.members(), most)]

    def say(self, client: Client, *texts: bytes) -> None:
        """Lines to everyone in the client's room."""
        room = client.room
        if room is not None:
            prefix = self.person(client).prefix
            if room.notes:
                publish_notes(room, self.commons)
            self.commons.say(room, [prefix + text for text in texts], client.id, self._now)

    def whisper(self, sender: Client, target: Client, text: bytes) -> None:
        """A line to one person, who must be taking what is sent; the sender sees it too."""
        self.whispered(sender, self.nick(target), text, is_taken=self.hand(target, self.nick(sender), text))

    def hand(self, target: Client, sender: str, text: bytes) -> bool:
        """The line for the one; whether it is taken."""
        if target.outbox.item_bytes > self._intake.outbox_bytes or not self._takes(target):
            return False
        self._owe(target, f"<{sender} to you> ".encode() + text + b"\n")
        return True

    def whispered(self, sender: Client, nick: str, text: bytes, *, is_taken: bool) -> None:
        """The line for the sender."""
        if is_taken:
            self._owe(sender, f"<you to {nick}> ".encode() + text + b"\n", own=True)
        else:
            self.tell(sender, f"{nick} is not reading now; nothing was sent")

    # Inside.

    def _owe(self, client: Client, line: bytes, *, own: bool = False) -> None:
        """What was said to one person is owed, as what a room gets is; not to one that hears nothing."""
        if self._takes(client):
            self.rooms.account.owed += len(line)
            self.ready.put(client, line, owed=True, own=own)

    def _takes(self, client: Client) -> bool:
        """Behind its farewell a client gets nothing; an answer of another hub may come so late."""
        return not client.outbox.closed and client.close.reason is None

    def _talk(self, client: Client, lines: list[bytes]) -> int:
        """Say the first lines in one step, as far as they are said as they came; returns how many those were.

        Nothing is said where a limit is near, or where the room is to be told first that the client joined.
        """
        person: Person | None = client.mode_state
        room, count = client.room, _said_as_it_came(lines)
        if count == 0 or person is None or room is None or client.close.reason is not None:
            return 0
        size = sum(map(len, lines)) + len(lines) * (len(person.prefix) + 1)
        if (
            room.log.intake + size > self._intake.room_bytes
            or client.outbox.item_bytes > self._intake.outbox_bytes
        ):
            return 0
        self.say(client, *lines[:count])
        client.inbox.drop(count)
        return count

    def _line(self, client: Client, line: bytes) -> int:
        """Say or do one line; returns what it cost, in lines."""
        if _said_as_it_came([line]):
            self.say(client, line)
            return 1
        if is_plain(line):
            return self._typed(client, line.decode())
        return self._typed(client, erase(line.decode(errors="replace"))) + len(line) // _TYPED_BYTES

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
        self.person(client)
        return self._rest.run_command(self, client, clean_text(without_keys(command)))

    def person(self, client: Client) -> Person:
        """What is known of a client that speaks. The first that it says or commands tells that it joined."""
        person: Person | None = client.mode_state
        if person is None:
            person = client.mode_state = Person(self.nicks.guest(client))
            self.note(client, client.room, "joined")
        return person

    def _enter(self, client: Client, room: Room) -> None:
        client.room, missed = room, room.missed(client.outbox, self.history, self.history_bytes)
        if missed:
            self.tell(client, past.beginning(room.name, missed, self.facts.steady_clock()))
        room.join(client.outbox, wire(missed))
        if missed:
            self.tell(client, past.END)
        self.ready.writable[client] = None  # For the history.
        self.note(client, room, "joined")

    def _leave(self, client: Client) -> None:
        room = client.room
        if room is None:
            return
        room.leave(client.outbox)
        client.room = None
        self.ready.writable[client] = None  # For what it was owed there.
        self.note(client, room, "left")
        self.rooms.discard_if_empty(room)

    def _is_small(self, room: Room) -> bool:
        return 0 < room.size + self.commons.people_elsewhere(room.key) <= self._announce

    def _company(self, room: Room) -> str:
        others = room.size + self.commons.people_elsewhere(room.key)
        return f"{others} other{'s' if others != 1 else ''}" if others else "nobody else"

    def note(self, client: Client, room: Room | None, what: str) -> None:
        """Announce what a client that has spoken did, with the other notices of this turn, where the room is
        small enough to care."""
        person: Person | None = client.mode_state
        if (
            room is not None
            and person is not None
            and 0 < room.size + self.commons.people_elsewhere(room.key) <= self._announce
        ):
            room.notes.append((person.nick, what))
            self.ready.notices[room] = None


def _said_as_it_came(lines: list[bytes]) -> int:
    """How many of the first lines are said as they came: plain, and neither blank nor perhaps a command."""
    are_plain = is_plain(b"".join(lines))  # A look at all takes a tenth of the time of a look at each.
    for count, line in enumerate(lines):
        if not line or line[0] in _LOOKED_AT or not (are_plain or is_plain(line)):
            return count
    return len(lines)
