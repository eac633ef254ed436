"""Faults of endings and of what is kept: each puts a wrong step in place of one of the hub's."""

from __future__ import annotations

from typing import Any

import pytest

from hub.loop.closer import Endings
from hub.loop.flow_control import Pacing
from hub.modes.chat import Chat
from hub.net.sockets import Sockets
from hub.rooms.room import Room, Rooms
from hub.session.client import Client, Phase

Patch = pytest.MonkeyPatch


def close_behind_the_farewell(patch: Patch) -> None:
    finish = Endings._finish

    def plain(self: Endings, client: Client, now: float) -> None:
        if client.phase is Phase.LINGERING:
            finish(self, client, now)
        else:
            self._close(client, now)

    patch.setattr(Endings, "_finish", plain)


def forget_that_nobody_lingers_any_more(patch: Patch) -> None:
    close = Endings._close

    def forgetful(self: Endings, client: Client, now: float) -> None:
        lingering = self._lingering
        close(self, client, now)
        self._lingering = lingering

    patch.setattr(Endings, "_close", forgetful)


def let_all_linger(patch: Patch) -> None:
    finish = Endings._finish

    def generous(self: Endings, client: Client, now: float) -> None:
        self._lingering = 0
        finish(self, client, now)

    patch.setattr(Endings, "_finish", generous)


def give_up_who_lingers(patch: Patch) -> None:
    reap = Endings.reap

    def impatient(self: Endings, now: float) -> None:
        ended = self._hub.ended.values()
        self._hub.marks.given_up += [client for client in ended if client.phase is Phase.LINGERING]
        reap(self, now)

    patch.setattr(Endings, "reap", impatient)


def never_read_again_who_took_its_answers(patch: Patch) -> None:
    patch.setattr(Pacing, "relieve", lambda self, client: None)


def keep_every_line(patch: Patch) -> None:
    patch.setattr(Room, "trim", lambda self, *args: None)


def keep_the_address_of_the_gone(patch: Patch) -> None:
    def sticky(self: Endings, client: Client) -> None:
        self._hub.per_address[client.address] -= 1

    patch.setattr(Endings, "_leave_address", sticky)


def keep_the_nick_of_the_gone(patch: Patch) -> None:
    def sticky(self: Chat, client: Client) -> None:
        self._leave(client)

    patch.setattr(Chat, "left", sticky)


def keep_empty_rooms(patch: Patch) -> None:
    patch.setattr(Rooms, "discard_if_empty", lambda self, room: None)


def forget_to_close(patch: Patch) -> None:
    close = Sockets.close

    def leaky(self: Sockets, sock: Any) -> None:
        if sock.fileno() != 9:
            close(self, sock)

    patch.setattr(Sockets, "close", leaky)


def keep_the_dead_in_their_room(patch: Patch) -> None:
    leave = Room.leave

    def sticky(self: Room, client: Client) -> None:
        leave(self, client)
        if client.reason is not None:
            self.members[client.id] = client

    patch.setattr(Room, "leave", sticky)
