"""Chat: everyone in the room, the sender included, sees `<nick> text`; `/` starts a command.

Every byte that one client sends is cleaned before it reaches another person (hub/modes/sanitize.py), and the
hub writes the nick itself, so nobody can speak in another's name. The only lines of the hub's own begin
with `* `. Join, leave and nick notices are gathered and become one line a turn, in small rooms only.
"""

from __future__ import annotations

import re
from sys import maxsize

from hub.modes.commands import run_command
from hub.modes.queries import Facts
from hub.modes.relay import Intake
from hub.modes.sanitize import NameRefused, check_name, clean, may_be_name, name_key
from hub.rooms.outbox import rest_for
from hub.rooms.room import Room, Rooms, RoomsFull
from hub.session.client import Client
from hub.session.ready_sets import Marks

_RESERVED = re.compile(r"guest-\d+|hubbub|you")


class Chat:
    """Rooms, nicks and commands."""

    def __init__(
        self,
        rooms: Rooms,
        marks: Marks,
        intake: Intake,
        *,
        history: int,
        history_bytes: int,
        announce: int,
        greeting: str,
        notices: bool,
        facts: Facts,
    ) -> None:
        self.rooms = rooms
        self.marks = marks
        self._intake = intake
        self.history = history
        self.history_bytes = history_bytes
        self.facts = facts
        self._announce = announce
        self._greeting = greeting
        self._notices = notices
        self._by_nick: dict[str, Client] = {}

    # What the loop calls.

    def joined(self, client: Client) -> None:
        """Name the guest, greet it, and put it into the lobby."""
        client.fresh = client.websocket is None  # A handshake has told already what it is.
        self._name(client, f"guest-{client.id}")
        greeting = self._greeting or "welcome to hubbub"
        where = f"you are {client.nick} in {Rooms.LOBBY}, with {_company(self.rooms.lobby)}"
        self.tell(client, f"{greeting} - {where}; /help lists commands")
        self._enter(client, self.rooms.lobby)

    def lines(self, client: Client, most: int = maxsize) -> int:
        """Say or do each line, until the backlog is empty or this turn has had its share."""
        intake, used = self._intake, 0
        stop = min(len(client.backlog), client.backlog_at + most)
        while client.backlog_at < stop and used < intake.client_lines and client.reason is None:
            room, line = client.room, client.backlog[client.backlog_at]
            full = room is not None and room.intake and room.intake + len(line) >= intake.room_bytes
            if full or client.private_bytes > intake.private_bytes:
                break
            client.backlog_at += 1
            used += self._line(client, line)
        return used * intake.line_bytes

    def left(self, client: Client) -> None:
        """Out of its room, and its nick is free."""
        self._leave(client)
        self._by_nick.pop(name_key(client.nick), None)

    # What commands call.

    def tell(self, client: Client, *lines: str) -> None:
        """Lines of the hub's own to one client, each with the mark `* ` in front."""
        if self._notices:
            self.marks.put(client, "".join(f"* {line}\n" for line in lines).encode())

    def rename(self, client: Client, wanted: str) -> None:
        """Give the client another nick; NameRefused says why not."""
        nick = check_name(wanted, "nick")
        if _RESERVED.fullmatch(name_key(nick)):
            raise NameRefused(f"the nick {nick} is kept for the hub's own use")
        if self._by_nick.get(name_key(nick), client) is not client:
            raise NameRefused(f"the nick {nick} is taken")
        before = client.nick
        if nick == before:
            self.tell(client, f"you are {nick} already")
            return
        del self._by_nick[name_key(before)]
        self._name(client, nick)
        self.tell(client, f"you are now {nick}")
        self._note(client.room, before, f"is now {nick}")

    def move(self, client: Client, wanted: str) -> None:
        """Take the client to another room, made if need be; NameRefused says why not."""
        name = check_name(wanted, "room")
        try:
            room = self.rooms.find_or_make(name_key(name), name)
        except RoomsFull:
            raise NameRefused("there are as many rooms as this hub allows; join one of them") from None
        if room is client.room:
            self.tell(client, f"you are in {room.name} already")
            return
        pieces = rest_for(client)
        self._leave(client)
        client.private = pieces
        client.private_bytes = sum(len(piece.data) for piece in pieces)
        self.marks.flush[client.id] = client
        self.tell(client, f"you are now in {room.name}, with {_company(room)}")
        self._enter(client, room)

    def find(self, nick: str) -> Client | None:
        """Who has this nick, whatever its case."""
        return self._by_nick.get(name_key(nick)) if may_be_name(nick) else None

    def say(self, client: Client, text: bytes) -> None:
        """A line to everyone in the client's room."""
        room = client.room
        if room is not None:
            room.append(client.prefix + text, client.id)
            self.marks.rooms[room] = None

    def whisper(self, sender: Client, target: Client, text: bytes) -> None:
        """A line to one person, who must be taking what is sent; the sender sees it too."""
        if target.private_bytes > self._intake.private_bytes or target.deaf:
            self.tell(sender, f"{target.nick} is not reading now; nothing was sent")
            return
        self.marks.put(target, f"<{sender.nick} to you> ".encode() + text + b"\n", owed=False)
        self.marks.put(sender, f"<you to {target.nick}> ".encode() + text + b"\n", owed=False)

    # Inside.

    def _line(self, client: Client, line: bytes) -> int:
        """Say or do one line; returns what it cost, in lines."""
        if line.startswith(b"/") and not line.startswith(b"//"):
            if client.gone is not None:
                return 0  # Nobody is left to be answered. What it said still counts.
            return run_command(self, client, clean(line[1:]).decode()) * self._intake.command_lines
        if line:
            self.say(client, clean(line[1:] if line.startswith(b"//") else line))
        return 1

    def _name(self, client: Client, nick: str) -> None:
        client.nick = nick
        client.prefix = f"<{nick}> ".encode()
        self._by_nick[name_key(nick)] = client

    def _enter(self, client: Client, room: Room) -> None:
        room.enter(client, self.history, self.history_bytes)
        self.marks.flush[client.id] = client  # for the history: a pass under way does not know it
        self._note(room, client.nick, "joined")

    def _leave(self, client: Client) -> None:
        room = client.room
        if room is not None:
            room.leave(client)
            self._note(room, client.nick, "left")
            self.rooms.discard_if_empty(room)

    def _note(self, room: Room | None, who: str, what: str) -> None:
        """Announce it with the others of this turn, where the room is small enough to care."""
        if room is not None and self._notices and 0 < len(room.members) <= self._announce:
            room.notes.append((who, what))
            self.marks.noted[room] = None


def _company(room: Room) -> str:
    others = len(room.members)
    return f"{others} other{'s' if others != 1 else ''}" if others else "nobody else"


def announcement(notes: list[tuple[str, str]]) -> bytes:
    """One line for all announcements of a turn: `* ann, bob joined; cy left`."""
    by_what: dict[str, list[str]] = {}
    for who, what in notes:
        by_what.setdefault(what, []).append(who)
    shown = []
    for what, names in by_what.items():
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        shown.append(f"{', '.join(names[:_NAMES])}{more} {what}")
    return f"* {'; '.join(shown)}".encode()


_NAMES = 20
