"""All rooms by key; the lobby is always there, any other room goes with its last member."""

from collections.abc import Callable
from itertools import count
from typing import Final, Protocol

from hub.rooms.accounting import Account
from hub.rooms.history import History
from hub.rooms.log import Log
from hub.rooms.room import Room
from hub.rooms.subscriber import LOBBY_LOG

LOBBY: Final = "lobby"
MakeRoom = Callable[[str, str, Account, Log], Room]


class Past(Protocol):
    """Keeps the histories of rooms that are not here at the moment."""

    def take(self, key: str) -> History:
        """The history of a room that is made now."""

    def keep(self, key: str, history: History) -> None:
        """That of a room that goes."""


class RoomsFull(Exception):
    """There are as many rooms as --max-rooms allows."""


class Registry:
    """The rooms of one hub. `max_rooms` 0 is no limit."""

    def __init__(
        self, account: Account, max_rooms: int, *, self_echo: bool = True, make_room: MakeRoom = Room
    ) -> None:
        self.account = account
        self._max_rooms = max_rooms
        self.past: Past | None = None
        """Where histories go and come from; a room of a hub alone is forgotten with its last member."""
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
            room = self._by_key[key] = self._make(name, key)
            if self.past is not None:
                room.history = self.past.take(key)
        return room

    def discard_if_empty(self, room: Room) -> None:
        """Let an empty room go."""
        if room.size == 0 and room is not self.lobby:
            gone = self._by_key.pop(room.key, None)
            if gone is not None and self.past is not None:
                self.past.keep(gone.key, gone.history)

    def _make(self, name: str, key: str) -> Room:
        return self._make_room(name, key, self.account, Log(next(self._numbers), self_echo=self._self_echo))
