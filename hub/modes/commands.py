"""The commands of chat, as one table: name, arguments, help, what it does. /help is built from it.

A command comes here cleaned, as speech is. Its name and its arguments lose what draws nothing and what was
replaced, but for a TEXT, which others will read.
"""

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Final, NamedTuple

from hub.close_reasons import CloseReason
from hub.modes.chat import SAY_A_SLASH, Chat
from hub.modes.elsewhere import TAKEN
from hub.modes.queries import cost_of_history, cost_of_rooms, history, rooms, silence, stats, who, whois
from hub.modes.renaming import rename
from hub.modes.sanitize import NameRefused, without_unseen
from hub.session.client import Client


class Command(NamedTuple):
    """A row of the table. The last of its arguments takes the rest of the line; `[X]` may be left out."""

    name: str
    arguments: str
    help: str
    run: Callable[..., None]
    """Gets the chat, the client and the arguments."""
    cost: Callable[[Chat], int] = lambda chat: 1
    """What it costs, as a multiple of what a command costs."""


def run_command(chat: Chat, client: Client, line: str) -> int:
    """Do what one line after its slash says, or tell the client why not; how many commands that cost."""
    name, *rest = re.split(r"\s", line.rstrip(), maxsplit=1)
    name = without_unseen(name)
    command = _BY_NAME.get(name.lower())
    if command is None:
        chat.tell(client, _unknown(name))
        return 1
    most, words = len(command.arguments.split()), _words(command, *rest)
    if not most - command.arguments.count("[") <= len(words) <= most:
        chat.tell(client, f"usage: /{command.name} {command.arguments}".rstrip())
        return 1
    try:
        command.run(chat, client, *words)
    except NameRefused as refusal:
        chat.tell(client, str(refusal))
    return command.cost(chat)


def _words(command: Command, rest: str = "") -> list[str]:
    """The arguments in a line, whatever blanks are between them."""
    most = len(command.arguments.split())
    words = rest.split(None, most - 1)  # -1 is no limit: of a command without arguments all are too many.
    text = [words.pop()] if "TEXT" in command.arguments and len(words) == most else []
    return [*filter(None, map(without_unseen, words)), *text]


def _unknown(name: str) -> str:
    shown = f"/{name[:32]}"
    close = get_close_matches(name.lower()[:32], _BY_NAME, n=1)
    hint = f"did you mean /{close[0]}?" if close else "/help lists what there is"
    return f"no such command: {shown} - {hint}; {SAY_A_SLASH}"


def _help(chat: Chat, client: Client, command: str = "") -> None:
    wanted = command.lstrip("/").lower()
    rows = [row for row in TABLE if not wanted or row.name == wanted]
    if not rows:
        chat.tell(client, _unknown(wanted))
        return
    chat.tell(client, *(f"{f'/{row.name} {row.arguments}':<18} {row.help}" for row in rows))


def _msg(chat: Chat, client: Client, nick: str, text: str) -> None:
    try:
        chat.whisper(client, chat.nicks.find(nick), text.encode())
    except NameRefused as nobody:
        then = partial(_told_elsewhere, chat, client, text.encode(), str(nobody))
        chat.commons.ask("msg", [chat.nick(client), nick, text], then)


def _told_elsewhere(
    chat: Chat, client: Client, text: bytes, nobody: str, answers: list[list[str]], silent: list[str]
) -> None:
    found = next((answer for answer in answers if len(answer) == 2), None)
    if found is None:
        chat.tell(client, nobody + silence(silent))
    else:
        chat.whispered(client, found[1], text, is_taken=found[0] == TAKEN)


def _me(chat: Chat, client: Client, text: str) -> None:
    """Between asterisks behind the name: only the hub's own lines begin with `* `."""
    chat.say(client, f"*{text}*".encode())


def _quit(chat: Chat, client: Client) -> None:
    chat.ready.end(client, CloseReason.QUIT)


TABLE: Final = (
    Command("help", "[COMMAND]", "these lines", _help),
    Command("nick", "NAME", "change your name", rename),
    Command("who", "", "who is in this room", who),
    Command("rooms", "", "which rooms there are, the largest first", rooms, cost_of_rooms),
    Command("join", "ROOM", "go to another room; it is made if need be", Chat.move, cost_of_history),
    Command("leave", "", "go back to the lobby", Chat.move, cost_of_history),
    Command("msg", "NAME TEXT", "say something to one person", _msg),
    Command("me", "TEXT", "say what you do: <you> *TEXT*", _me),
    Command("history", "[N]", "the last lines of this room once more", history, cost_of_history),
    Command("whois", "NAME", "how and since when somebody is here", whois),
    Command("stats", "", "how the hub is doing", stats),
    Command("quit", "", "end the connection", _quit),
)
_BY_NAME: Final = {command.name: command for command in TABLE}
