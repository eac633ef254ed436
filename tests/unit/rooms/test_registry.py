"""All rooms: the lobby stays, any other room goes with its last member."""

from __future__ import annotations

import pytest

from hub.rooms.accounting import Account
from hub.rooms.registry import Registry, RoomsFull
from tests.unit.support import SPEAKER, an_outbox


def test_lobby_is_always_there() -> None:
    rooms = Registry(Account(), 10)
    rooms.discard_if_empty(rooms.lobby)
    assert rooms.find_or_make("lobby", "LOBBY") is rooms.lobby
    assert len(rooms) == 1


def test_room_is_found_by_its_key_and_keeps_its_first_name() -> None:
    rooms = Registry(Account(), 10)
    tea = rooms.find_or_make("tea", "Tea")
    assert rooms.find_or_make("tea", "TEA") is tea
    assert tea.name == "Tea"
    assert rooms.all() == [rooms.lobby, tea]


def test_empty_room_goes_and_a_room_with_a_member_stays() -> None:
    rooms, outbox = Registry(Account(), 10), an_outbox(write_only=True)
    tea = rooms.find_or_make("tea", "tea")
    tea.join(outbox, history=0, most_bytes=0)
    rooms.discard_if_empty(tea)
    assert len(rooms) == 2
    tea.leave(outbox)
    rooms.discard_if_empty(tea)
    assert rooms.all() == [rooms.lobby]


def test_limit_of_rooms_refuses_a_new_one_only() -> None:
    rooms = Registry(Account(), 2)
    tea = rooms.find_or_make("tea", "tea")
    with pytest.raises(RoomsFull):
        rooms.find_or_make("den", "den")
    assert rooms.find_or_make("tea", "tea") is tea
    assert len(rooms) == 2


def test_limit_0_is_no_limit() -> None:
    rooms = Registry(Account(), 0)
    for number in range(2000):
        rooms.find_or_make(f"{number}", f"{number}")
    assert len(rooms) == 2001


def test_all_rooms_share_one_account_and_no_log_number() -> None:
    account = Account()
    rooms = Registry(account, 0)
    tea = rooms.find_or_make("tea", "tea")
    tea.join(an_outbox(account=account), history=0, most_bytes=0)
    tea.append(b"abc", SPEAKER)
    assert account.owed == 4
    rooms.discard_if_empty(tea)
    numbers = [room.log.number for room in (*rooms.all(), rooms.find_or_make("den", "den"))]
    assert len(set(numbers)) == len(numbers)
