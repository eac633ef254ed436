"""A client as data, and `a_client`, which the tests of rooms, modes and delivery make theirs with."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any, cast

import pytest

from hub.close_reasons import CloseReason
from hub.protocol.line_decoder import LineBuffer
from hub.protocol.telnet import TelnetFilter
from hub.rooms.accounting import Account
from hub.rooms.room import Room
from hub.session.client import ROOMS_REMEMBERED, Client, Phase, Piece

SPEAKER = 99
"""The id of somebody who speaks and is not looked at further; 0 would be the hub itself."""


def a_client(id: int = 1, **changes: Any) -> Client:
    """A client as the door makes it, but without a socket: who appends and marks needs none."""
    fields: dict[str, Any] = {
        "id": id,
        "sock": cast(socket.socket, None),
        "fd": -id,
        "peer": f"192.0.2.1:{id}",
        "address": "192.0.2.1",
        "joined_at": 0.0,
        "lines": LineBuffer(8192),
        "telnet": None,
    }
    return Client(**fields | changes)


def a_room(*hearers: Client, number: int = 1) -> Room:
    """A room with books of its own, and these people in it."""
    room = Room("tea", "tea", Account(), number)
    for client in hearers:
        room.enter(client, history=0)
    return room


def test_a_new_client_is_read_and_is_owed_nothing() -> None:
    client = a_client()
    assert client.reading
    assert client.owes_nothing
    assert client.lag_bytes == 0
    assert not client.has_backlog


@pytest.mark.parametrize(
    "pause",
    [
        {"eof": True},
        {"choked": True},
        {"held": True},
        {"last": (CloseReason.LINE_TOO_LONG, "limit=8192")},
        {"reason": CloseReason.IDLE},
        {"phase": Phase.FLUSHING},
        {"phase": Phase.LINGERING},
        {"phase": Phase.CLOSED},
    ],
)
def test_whoever_is_at_an_end_or_paused_is_not_read(pause: dict[str, Any]) -> None:
    assert not a_client(**pause).reading


def size_bytes(thing: object) -> int:
    """An object and all that hangs on it alone: not its room, and no members of enums."""
    if thing is None or isinstance(thing, bool | Enum | Room):
        return 0
    parts = list(thing) if isinstance(thing, list | tuple) else []
    for kind in type(thing).__mro__:
        names = getattr(kind, "__slots__", ())
        parts += [getattr(thing, name) for name in ([names] if isinstance(names, str) else names)]
    if isinstance(thing, dict):
        parts += [part for item in thing.items() for part in item]
    return sys.getsizeof(thing) + sum(map(size_bytes, parts))


@pytest.mark.promise("resources-idle-client")
def test_a_client_that_does_nothing_is_small(record_property: Callable[[str, object], None]) -> None:
    client = a_client(telnet=TelnetFilter(), nick="guest-1", prefix=b"<guest-1> ")
    a_room(client)
    size = size_bytes(client)
    record_property("one client object, without its socket", f"{size} bytes")
    assert not hasattr(client, "__dict__")
    assert size <= 3 * 1024


def test_lag_is_what_the_room_got_since_the_clients_position() -> None:
    client = a_client()
    room = a_room(client)
    room.append(b"abc", SPEAKER)
    room.append(b"", SPEAKER)
    assert client.lag_bytes == len(b"abc\n\n")
    client.offset += len(b"abc\n")
    assert client.lag_bytes == len(b"\n")


def test_a_deaf_client_lags_behind_nothing() -> None:
    client = a_client()
    room = a_room(client)
    client.deaf = True
    room.append(b"abc", SPEAKER)
    assert client.lag_bytes == 0
    assert client.owes_nothing


@pytest.mark.parametrize("waiting", ["rest", "private", "room"])
def test_each_kind_of_waiting_output_is_owed(waiting: str) -> None:
    client = a_client()
    room = a_room(client)
    assert client.owes_nothing
    if waiting == "rest":
        client.rest = b"c\n"
    elif waiting == "private":
        client.put(b"* hello\n")
    else:
        room.append(b"abc", SPEAKER)
    assert not client.owes_nothing


def test_private_output_remembers_the_place_that_it_precedes() -> None:
    client = a_client()
    room = a_room(client)
    client.put(b"* first\n")
    room.append(b"abc", SPEAKER)
    client.put(b"* second\n", owed=True)
    assert client.private == [Piece(0, b"* first\n"), Piece(4, b"* second\n", owed=True)]
    assert client.private_bytes == len(b"* first\n* second\n")


@pytest.mark.parametrize("state", ["no room", "deaf"])
def test_private_output_of_who_hears_no_room_precedes_everything(state: str) -> None:
    client = a_client()
    if state == "deaf":
        room = a_room(client)
        room.append(b"abc", SPEAKER)
        client.deaf = True
    client.put(b"\xff\xf1", raw=True)
    assert client.private == [Piece(-1, b"\xff\xf1", raw=True)]


@pytest.mark.promise("chat-rooms")
def test_the_places_in_the_last_rooms_that_it_left_are_remembered() -> None:
    client = a_client()
    assert ROOMS_REMEMBERED == 64
    for room in range(1, ROOMS_REMEMBERED + 1):
        client.remember(room, (room, 10 * room))
    client.remember(1, (7, 70))
    client.remember(ROOMS_REMEMBERED + 1, (8, 80))
    assert len(client.seen) == ROOMS_REMEMBERED
    assert 2 not in client.seen, "the one it left longest ago"
    assert client.seen[1] == (7, 70)


def test_the_backlog_is_what_no_turn_has_taken_yet() -> None:
    client = a_client()
    client.backlog = [b"a", b"b"]
    client.backlog_at = 1
    assert client.has_backlog
    client.backlog_at = 2
    assert not client.has_backlog
