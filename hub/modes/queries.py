"""The commands of chat that ask: who is here, which rooms, what was said, how the hub is, who somebody is.

An answer is a screenful at most, whatever there is: it goes into the outbox of the client that asked, and
asking must not cost the others anything. What it tells is what everybody here may know: names, rooms and
how much was said. A peer's address is not among it, nor is how far somebody else is behind.
"""

from functools import partial
from heapq import nsmallest
from typing import Final

from hub.modes import past
from hub.modes.chat import Chat
from hub.modes.elsewhere import NAMES_SHOWN, ROOMS_SHOWN, portrait
from hub.modes.past import span
from hub.modes.sanitize import NameRefused, is_name, name_key
from hub.rooms.history import wire
from hub.rooms.room import Room
from hub.session.client import Client

ROOMS_FOR_ONE_COMMAND: Final = 64
"""To find the largest, /rooms looks at every room; it costs one command more for each so many."""

HISTORY_BYTES: Final = 64 * 1024

HISTORY_FOR_ONE_COMMAND: Final = 512
"""Looking back is work for each line: 3 ms for ten thousand."""


def who(chat: Chat, client: Client) -> None:
    """Names in the client's own room, on all hubs."""
    room = client.room
    if room is not None:
        chat.commons.ask("who", [room.key], partial(_tell_who, chat, client, room))


def _tell_who(chat: Chat, client: Client, room: Room, answers: list[list[str]], silent: list[str]) -> None:
    names, size = chat.names_in(room, NAMES_SHOWN), room.size
    for count, *others in filter(None, answers):
        size += _number(count)
        names += filter(is_name, others)
    shown = sorted(names)[:NAMES_SHOWN]
    more = f" and {size - len(shown)} more" if size > len(shown) else ""
    chat.tell(client, f"in {room.name} ({size}): {', '.join(shown)}{more}{silence(silent)}")


def rooms(chat: Chat, client: Client) -> None:
    """Rooms with how many are in them, on all hubs, the largest first; among equals by name."""
    chat.commons.ask("rooms", [], partial(_tell_rooms, chat, client))


def _tell_rooms(chat: Chat, client: Client, answers: list[list[str]], silent: list[str]) -> None:
    found = {room.key: (room.name, room.size) for room in chat.rooms.all()}
    for answer in answers:
        for name, size in zip(answer[::2], answer[1::2], strict=False):
            if is_name(name):
                shown, before = found.get(name_key(name), (name, 0))
                found[name_key(name)] = shown, before + _number(size)
    largest = nsmallest(ROOMS_SHOWN, found.items(), key=lambda item: (-item[1][1], item[0]))
    listed = [f"{name} {size}" for _, (name, size) in largest]
    more = f" and {len(found) - len(listed)} more" if len(found) > len(listed) else ""
    chat.tell(client, f"rooms ({len(found)}): {', '.join(listed)}{more}{silence(silent)}")


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
    """How and since when somebody is here, or on another hub."""
    try:
        chat.tell(client, portrait(chat, chat.nicks.find(nick)))
    except NameRefused as nobody:
        chat.commons.ask("whois", [nick], partial(_tell_whois, chat, client, str(nobody)))


def _tell_whois(chat: Chat, client: Client, nobody: str, answers: list[list[str]], silent: list[str]) -> None:
    found = next((answer[0] for answer in answers if answer and answer[0]), None)
    chat.tell(client, found or nobody + silence(silent))


def silence(hubs: list[str]) -> str:
    """Which hubs did not answer, to stand behind what the others said."""
    return f"; no answer from {', '.join(f'hub {hub}' for hub in hubs)}" if hubs else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


NO_HISTORY: Final = "nothing is kept of what was said in this room"
