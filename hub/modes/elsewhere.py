"""What people of other hubs ask of this one: who is here, which rooms, who somebody is, and a word to them.

A question and its arguments come from outside, cleaned as speech is. An answer is short, whatever there is.
"""

from collections.abc import Callable
from heapq import nsmallest
from typing import Final

from hub.modes.chat import Chat
from hub.modes.past import span
from hub.modes.sanitize import NameRefused, is_name
from hub.rooms.room import Room
from hub.session.client import Client

NAMES_SHOWN: Final = 100
"""/who in a room of ten thousand must not cost ten thousand."""
ROOMS_SHOWN: Final = 50
TAKEN, NOT_READING = "taken", "not reading"
"""What became of a word to somebody."""


def asked(chat: Chat, what: str, arguments: list[str]) -> list[str]:
    """The answer to a question of another hub; nothing where it is none, or has no answer."""
    answer = _ANSWERS.get(what)
    try:
        return answer(chat, *arguments) if answer is not None else []
    except (NameRefused, TypeError):  # Nobody here has that name, or the arguments are too few or too many.
        return []


def largest(chat: Chat) -> list[Room]:
    """The largest rooms here, among equals by name."""
    return nsmallest(ROOMS_SHOWN, chat.rooms.all(), key=lambda room: (-room.size, room.key))


def portrait(chat: Chat, target: Client) -> str:
    """How and since when somebody is here. Not from where."""
    now, room, inbox = chat.facts.clock(), target.room, target.inbox
    where = f" of hub {chat.commons.hub}" if chat.commons.hub else ""
    return (
        f"{chat.nick(target)} is in {room.name if room else 'no room'}{where}, by {target.transport}; "
        f"here for {span(now - target.accepted_at)}, silent for {span(now - inbox.heard_at)}; "
        f"lines: {inbox.lines_in} in, {target.outbox.lines_out} out"
    )


def _who(chat: Chat, key: str) -> list[str]:
    room = chat.rooms.find(key)
    return [str(room.size), *chat.names_in(room, NAMES_SHOWN)] if room is not None else []


def _rooms(chat: Chat) -> list[str]:
    return [text for room in largest(chat) if room.size for text in (room.name, str(room.size))]


def _whois(chat: Chat, nick: str) -> list[str]:
    return [portrait(chat, chat.nicks.find(nick))]


def _msg(chat: Chat, sender: str, nick: str, text: str) -> list[str]:
    target = chat.nicks.find(nick)
    if not is_name(sender) or not chat.hand(target, sender, text.encode()):
        return [NOT_READING, chat.nick(target)]
    return [TAKEN, chat.nick(target)]


_ANSWERS: Final[dict[str, Callable[..., list[str]]]] = {
    "who": _who, "rooms": _rooms, "whois": _whois, "msg": _msg,
}  # fmt: skip
