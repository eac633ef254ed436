"""All rooms by key; the lobby is always there, any other room goes with its last member."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Final

from hub.rooms.accounting import Account
from hub.rooms.log import Log
from hub.rooms.room import Room
from hub.rooms.subscriber import LOBBY_LOG

LOBBY: Final = "lobby"
MakeRoom = Callable[[str, str, Account, Log], Room]


class RoomsFull(Exception):
    """There are as many rooms as --max-rooms allows."""


class Registry:
    """The rooms of one hub. `max_rooms` 0 is no limit."""

    def __init__(
        self, account: Account, max_rooms: int, *, self_echo: bool = True, make_room: MakeRoom = Room
    ) -> None:
        self.account = account
        self._max_rooms = max_rooms
        self.asleep_most = 0
        """So many rooms in which nobody is are kept with their history, those heard last: of a cluster, where
        people on other hubs may be in them. A room of a hub alone is forgotten with its last member."""
        self._asleep: OrderedDict[str, Room] = OrderedDict()
        self._numbers = count(LOBBY_LOG)
        self._self_echo = self_echo
        self._make_room = make_room
        self.lobby = self._make(LOBBY, LOBBY)
        self._by_key: dict[str, Room] = {LOBBY: self.lobby}

    def __len__(self) -> int:
        return len(self._by_key)

    def all(self) -> list[Room]:
        """Every room there is."""
        return list(self._by_key.values())

    def find(self, key: str) -> Room | None:
        """The room under this key, if it is here."""
        return self._by_key.get(key)

    def find_or_make(self, key: str, name: str) -> Room:
        """The room under this key, made when there is none; RoomsFull past the limit."""
        room = self._by_key.get(key)
        if room is None:
            if self._max_rooms and len(self._by_key) >= self._max_rooms:
                raise RoomsFull
            room = self._asleep.pop(key) if key in self._asleep else self._make(name, key)
            self._by_key[key] = room
        return room

    def discard_if_empty(self, room: Room) -> None:
        """Let an empty room go."""
        if room.size == 0 and room is not self.lobby:
            self._by_key.pop(room.key, None)
            self._let_sleep(room)

    def hearing(self, key: str, name: str) -> Room:
        """The room that hears what is said under this key, whether somebody is in it or not."""
        room = self._by_key.get(key)
        if room is None:
            room = self._asleep.get(key) or self._make(name, key)
            self._let_sleep(room)
        return room

    def _let_sleep(self, room: Room) -> None:
        if self.asleep_most:
            self._asleep[room.key] = room
            self._asleep.move_to_end(room.key)
        if len(self._asleep) > self.asleep_most:
            self._asleep.popitem(last=False)

    def _make(self, name: str, key: str) -> Room:
        return self._make_room(name, key, self.account, Log(next(self._numbers), self_echo=self._self_echo))
