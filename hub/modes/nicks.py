"""The nicks of chat: which client is called what, and which nicks nobody can have.

A client is a guest, whose nick follows from its id, until it chooses a nick. Nothing is kept of a guest that
has only come: it costs chat no more than its place in the room.
"""

import re
from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

from hub.modes.sanitize import NameRefused, check_name, may_be_name, name_key
from hub.session.client import Client

_RESERVED: Final = re.compile(r"guest-([a-z0-9]{1,16}-)?\d+|hubbub|you")


@mypyc_attr(acyclic=True)
class Person:
    """What chat knows of a client that has said something or given a command, as its `mode_state`."""

    __slots__ = ("nick", "prefix")

    def __init__(self, nick: str) -> None:
        self.rename(nick)

    def rename(self, nick: str) -> None:
        """Another nick. `prefix` is made here, so that a line costs one concatenation."""
        self.nick = nick
        self.prefix = f"<{nick}> ".encode()


class Nicks:
    """Keeps who is called what. `client_of` gives the open client with an id; `hub` is the name of this hub
    in its cluster, which its guests carry, and empty for a hub alone."""

    def __init__(self, client_of: Callable[[int], Client | None], hub: str = "") -> None:
        self._client_of = client_of
        self._guest = f"guest-{hub}-" if hub else "guest-"
        self.chosen: dict[str, Client] = {}
        """The clients that chose a nick, by its key."""

    def of(self, client: Client) -> str:
        """The client's nick; empty before it has joined."""
        person: Person | None = client.mode_state
        if person is not None:
            return person.nick
        return self.guest(client) if client.room is not None else ""

    def guest(self, client: Client) -> str:
        """The nick of a client that has not chosen one."""
        return f"{self._guest}{client.id}"

    def find(self, nick: str) -> Client:
        """The client with this nick, whatever its case; NameRefused says that there is none."""
        key = name_key(nick) if may_be_name(nick) else ""
        client = self.chosen.get(key)
        number = key.removeprefix(self._guest)
        if number != key and number.isascii() and number.isdigit():
            client = self._client_of(int(number))
        if client is None or name_key(self.of(client)) != key:
            raise NameRefused(f"nobody here is called {nick[:32]}; /who lists the people in this room")
        return client

    def check(self, client: Client, wanted: str) -> str:
        """The nick that this client wants, as it is shown; NameRefused says why it cannot have that."""
        nick = check_name(wanted, "nick")
        key = name_key(nick)
        if _RESERVED.fullmatch(key):
            raise NameRefused(f"the nick {nick} is kept for the hub's own use")
        if self.chosen.get(key, client) is not client:
            raise NameRefused(f"the nick {nick} is taken")
        return nick

    def give(self, client: Client, person: Person, nick: str) -> None:
        """Call the client by a nick that was checked; the one before is free."""
        self.chosen.pop(name_key(person.nick), None)
        person.rename(nick)
        self.chosen[name_key(nick)] = client

    def free(self, client: Client) -> None:
        """The client has left, and is nobody any more."""
        person: Person | None = client.mode_state
        if person is not None:
            client.mode_state = None
            self.chosen.pop(name_key(person.nick), None)
