"""The commands of chat, as one table: name, arguments, help, what it does. /help is built from it."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Final, NamedTuple

from hub.close_reasons import CloseReason
from hub.modes import queries
from hub.modes.chat import Chat
from hub.modes.sanitize import NameRefused
from hub.rooms.registry import LOBBY
from hub.session.client import Client


class Command(NamedTuple):
    """A row of the table. `words` is how many arguments it takes; the last one takes the rest of the line."""

    name: str
    arguments: str
    words: range
    help: str
    run: Callable[[Chat, Client, list[str]], None]
    cost: Callable[[Chat], int] = lambda chat: 1
    """What it costs, as a multiple of what a command costs."""


def run_command(chat: Chat, client: Client, line: str) -> int:
    """Do what one line after its slash says, or tell the client why not; how many commands that cost."""
    name, _, rest = line.rstrip().partition(" ")
    command = _BY_NAME.get(name.lower())
    if command is None:
        chat.tell(client, _unknown(name))
        return 1
    words = rest.split(None, command.words.stop - 2) if command.words.stop > 1 else rest.split()
    if len(words) not in command.words:
        chat.tell(client, f"usage: /{command.name} {command.arguments}".rstrip())
        return 1
    try:
        command.run(chat, client, words)
    except NameRefused as refusal:
        chat.tell(client, str(refusal))
    return command.cost(chat)


def _unknown(name: str) -> str:
    shown = f"/{name[:32]}"
    close = get_close_matches(name.lower()[:32], _BY_NAME, n=1)
    hint = f"did you mean /{close[0]}?" if close else "/help lists what there is"
    return f"no such command: {shown} - {hint}; a line that starts with // is said with one slash"


def _help(chat: Chat, client: Client, words: list[str]) -> None:
    wanted = words[0].lstrip("/").lower() if words else ""
    rows = [row for row in TABLE if not wanted or row.name == wanted]
    if not rows:
        chat.tell(client, _unknown(wanted))
        return
    chat.tell(client, *(f"{f'/{row.name} {row.arguments}':<18} {row.help}" for row in rows))


def _nick(chat: Chat, client: Client, words: list[str]) -> None:
    chat.rename(client, words[0])


def _join(chat: Chat, client: Client, words: list[str]) -> None:
    chat.move(client, words[0])


def _leave(chat: Chat, client: Client, words: list[str]) -> None:
    chat.move(client, LOBBY)


def _msg(chat: Chat, client: Client, words: list[str]) -> None:
    target = chat.find(words[0])
    if target is None:
        raise NameRefused(queries.nobody(words[0]))
    chat.whisper(client, target, words[1].encode())


def _me(chat: Chat, client: Client, words: list[str]) -> None:
    """Between asterisks behind the name: only the hub's own lines begin with `* `."""
    chat.say(client, f"*{words[0]}*".encode())


def _quit(chat: Chat, client: Client, words: list[str]) -> None:
    chat.ready.end(client, CloseReason.QUIT)


TABLE: Final = (
    Command("help", "[COMMAND]", range(2), "these lines", _help),
    Command("nick", "NAME", range(1, 2), "change your name", _nick),
    Command("who", "", range(1), "who is in this room", queries.who),
    Command(
        "rooms",
        "",
        range(1),
        "which rooms there are, the largest first",
        queries.rooms,
        queries.cost_of_rooms,
    ),
    Command(
        "join",
        "ROOM",
        range(1, 2),
        "go to another room; it is made if need be",
        _join,
        queries.cost_of_history,
    ),
    Command("leave", "", range(1), "go back to the lobby", _leave, queries.cost_of_history),
    Command("msg", "NAME TEXT", range(2, 3), "say something to one person", _msg),
    Command("me", "TEXT", range(1, 2), "say what you do: <you> *TEXT*", _me),
    Command(
        "history",
        "[N]",
        range(2),
        "the last lines of this room once more",
        queries.history,
        queries.cost_of_history,
    ),
    Command("whois", "NAME", range(1, 2), "how and since when somebody is here", queries.whois),
    Command("stats", "", range(1), "how the hub is doing", queries.stats),
    Command("quit", "", range(1), "end the connection", _quit),
)
_BY_NAME: Final = {command.name: command for command in TABLE}
