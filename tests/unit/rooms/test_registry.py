"""All rooms: the lobby stays, any other room goes with its last member."""

import pytest

from hub.rooms.accounting import Account
from hub.rooms.registry import Registry, RoomsFull
from tests.unit.support import SPEAKER, an_outbox


def test_room_is_found_by_its_key_and_keeps_its_first_name() -> None:
    rooms = Registry(Account(), 10)
    tea = rooms.find_or_make("tea", "Tea")
    assert rooms.find_or_make("tea", "TEA") is tea
    assert tea.name == "Tea"
    assert rooms.find_or_make("lobby", "LOBBY") is rooms.lobby
    assert rooms.all() == [rooms.lobby, tea]


def test_empty_room_goes_unless_it_is_the_lobby() -> None:
    rooms, outbox = Registry(Account(), 10), an_outbox(write_only=True)
    tea = rooms.find_or_make("tea", "tea")
    tea.join(outbox)
    rooms.discard_if_empty(tea)
    assert len(rooms) == 2
    tea.leave(outbox)
    for room in (tea, rooms.lobby):
        rooms.discard_if_empty(room)
    assert rooms.all() == [rooms.lobby]


def test_limit_of_rooms_refuses_a_new_one_only() -> None:
    rooms = Registry(Account(), 2)
    tea = rooms.find_or_make("tea", "tea")
    with pytest.raises(RoomsFull):
        rooms.find_or_make("den", "den")
    assert rooms.find_or_make("tea", "tea") is tea
    assert len(rooms) == 2


def test_rooms_without_limit_share_an_account_and_no_log_number() -> None:
    account = Account()
    rooms = Registry(account, 0)
    tea = rooms.find_or_make("tea", "tea")
    tea.join(an_outbox(account=account))
    tea.append(b"abc", SPEAKER)
    assert account.owed == 4
    numbers = {rooms.lobby.log.number, tea.log.number}
    for number in range(2000):
        room = rooms.find_or_make(f"{number}", f"{number}")
        numbers.add(room.log.number)
        if number % 2:
            rooms.discard_if_empty(room)
    assert (len(rooms), len(numbers)) == (1002, 2002)


def asleep(most: int) -> Registry:
    """The rooms of a hub in a cluster."""
    rooms = Registry(Account(), 0)
    rooms.asleep_most = most
    return rooms


def test_room_that_sleeps_is_the_same_when_somebody_comes() -> None:
    rooms, outbox = asleep(2), an_outbox()
    tea = rooms.hearing("tea", "Tea")
    assert rooms.find("tea") is None and len(rooms) == 1
    assert rooms.find_or_make("tea", "TEA") is tea and tea.name == "Tea"
    tea.join(outbox)
    tea.leave(outbox)
    rooms.discard_if_empty(tea)
    assert rooms.find("tea") is None
    assert rooms.hearing("tea", "tea") is tea is rooms.find_or_make("tea", "tea")
    assert rooms.hearing("tea", "tea") is tea, "somebody may be in it"


def test_rooms_asleep_beyond_the_limit_are_those_heard_last() -> None:
    rooms = asleep(2)
    tea, den = rooms.hearing("tea", "tea"), rooms.hearing("den", "den")
    rooms.hearing("tea", "tea")
    rooms.hearing("bar", "bar")
    assert rooms.hearing("tea", "tea") is tea
    assert rooms.hearing("den", "den") is not den


def test_room_of_a_hub_alone_is_forgotten_with_its_last_member() -> None:
    rooms = Registry(Account(), 0)
    tea = rooms.find_or_make("tea", "tea")
    rooms.discard_if_empty(tea)
    assert rooms.find_or_make("tea", "tea") is not tea
