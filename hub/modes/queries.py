"""The commands of chat that ask: who is here, which rooms, what was said, how the hub is, who somebody is.

An answer is a screenful at most, whatever there is: it goes into the outbox of the client that asked, and
asking must not cost the others anything. What it tells is what everybody here may know: names, rooms and
how much was said. A peer's address is not among it, nor is how far somebody else is behind.
"""

from heapq import nsmallest
from typing import Final

from hub.modes import past
from hub.modes.chat import Chat
from hub.modes.past import span
from hub.modes.sanitize import NameRefused
from hub.rooms.history import wire
from hub.session.client import Client

NAMES_SHOWN: Final = 100
"""/who in a room of ten thousand must not cost ten thousand."""

ROOMS_SHOWN: Final = 50

ROOMS_FOR_ONE_COMMAND: Final = 64
"""To find the largest, /rooms looks at every room; it costs one command more for each so many."""

HISTORY_BYTES: Final = 64 * 1024

HISTORY_FOR_ONE_COMMAND: Final = 512
"""Looking back is work for each line: 3 ms for ten thousand."""


def who(chat: Chat, client: Client) -> None:
    """Names in the client's own room."""
    room = client.room
    if room is None:
        return
    names = sorted(chat.names_in(room, NAMES_SHOWN))
    more = f" and {room.size - len(names)} more" if room.size > len(names) else ""
    chat.tell(client, f"in {room.name} ({room.size}): {', '.join(names)}{more}")


def rooms(chat: Chat, client: Client) -> None:
    """Rooms with how many are in them, the largest first; among equals by name."""
    found = chat.rooms.all()
    largest = nsmallest(ROOMS_SHOWN, found, key=lambda room: (-room.size, room.key))
    shown = [f"{room.name} {room.size}" for room in largest]
    more = f" and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
    chat.tell(client, f"rooms ({len(found)}): {', '.join(shown)}{more}")


def cost_of_rooms(chat: Chat) -> int:
    """In commands: it grows with the number of rooms, so that no turn does."""
    return 1 + len(chat.rooms) // ROOMS_FOR_ONE_COMMAND


def history(chat: Chat, client: Client, wanted: str = "") -> None:
    """What was said last in the room; lines that the client has seen may come again."""
    room = client.room
    if room is None:
        return
    if wanted and not (wanted.isascii() and wanted.isdigit() and int(wanted[:9])):
        raise NameRefused("usage: /history [N], N lines from 1 on")
    most = min(int(wanted[:9]), chat.history) if wanted else chat.history
    said = room.history.last(most, min(HISTORY_BYTES, chat.history_bytes))
    if not said:
        chat.tell(client, NO_HISTORY)
        return
    chat.tell(client, past.beginning(room.name, said, chat.facts.steady_clock()))
    chat.ready.put(client, b"".join(wire(said)))
    chat.tell(client, past.END)


def cost_of_history(chat: Chat) -> int:
    """In commands: it grows with the lines that --history allows."""
    return 1 + chat.history // HISTORY_FOR_ONE_COMMAND


def stats(chat: Chat, client: Client) -> None:
    """The hub's totals, and how far behind the asker is."""
    all_, lag = chat.facts.totals(), client.outbox.lag_bytes
    clients, lines, sizes = all_.clients, all_.lines, all_.bytes
    closed = sorted(all_.closed.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{reason} {count}" for reason, count in closed if count)
    chat.tell(
        client,
        f"up {span(all_.uptime_s)}, {all_.turns} turns",
        f"clients: {clients.open} open, {clients.peak} at a time at most, {clients.accepted} accepted",
        f"rooms: {all_.rooms}",
        f"lines: {lines.in_} in, {lines.out} out",
        f"bytes: {sizes.in_} in, {sizes.out} out",
        f"closed: {listed or 'none'}",
        f"you are {lag} byte{'s' if lag != 1 else ''} behind your room",
    )


def whois(chat: Chat, client: Client, nick: str) -> None:
    """How and since when somebody is here. Not from where."""
    target, now = chat.nicks.find(nick), chat.facts.clock()
    room, inbox = target.room, target.inbox
    chat.tell(
        client,
        f"{chat.nick(target)} is in {room.name if room else 'no room'}, by {target.transport}; "
        f"here for {span(now - target.accepted_at)}, silent for {span(now - inbox.heard_at)}; "
        f"lines: {inbox.lines_in} in, {target.outbox.lines_out} out",
    )


NO_HISTORY: Final = "nothing is kept of what was said in this room"
