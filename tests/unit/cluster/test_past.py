"""What was said in rooms in which nobody is here is kept, within bounds, and comes with the room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.past import HISTORY_BYTES, ROOMS, Past
from hub.rooms.accounting import Account
from hub.rooms.history import History
from hub.rooms.registry import Registry
from tests.unit.support import a_client

MANY = 10_000
"""As many lines as --history allows."""
LINE = b"x" * 999


def all_of(history: History) -> list[bytes]:
    """Everything that is kept, more than may be shown included."""
    return [line for line, *_ in history.last(1 << 30, 1 << 40)]


def kept(past: Past, key: str) -> list[bytes]:
    """What is kept of a room, which stays there."""
    history = past.take(key)
    past.keep(key, history)
    return all_of(history)


def heard(past: Past, key: str, megabytes: int) -> None:
    """So much is said on other hubs, in a thousand lines each."""
    for _ in range(10 * megabytes):
        past.add(key, [LINE] * 100, 0.0)


def test_lines_come_back_in_their_order_with_their_time() -> None:
    past = Past(20)
    past.add("tea", [b"<ann> one", b"<ann> two"], 7.0)
    past.add("den", [b"<bob> other"], 8.0)
    past.add("tea", [b"<bob> three"], 9.0)
    said = past.take("tea").last(20, 1000)
    assert [(line, at) for line, _, _, at in said] == [
        *((b"<ann> one", 7.0), (b"<ann> two", 7.0)),
        (b"<bob> three", 9.0),
    ]
    assert all_of(past.take("tea")) == []
    assert all_of(past.take("den")) == [b"<bob> other"]


def test_history_of_a_room_that_goes_is_kept_and_goes_on() -> None:
    past, history = Past(20), History()
    history.add([b"here"], 5, 0, 1.0, 20, HISTORY_BYTES)
    past.keep("tea", history)
    past.add("tea", [b"elsewhere"], 2.0)
    assert all_of(past.take("tea")) == [b"here", b"elsewhere"]


def test_nothing_is_kept_without_a_history() -> None:
    past, history = Past(0), History()
    past.add("tea", [b"one"], 1.0)
    history.add([b"two"], 5, 0, 1.0, 20, HISTORY_BYTES)
    past.keep("tea", history)
    assert all_of(past.take("tea")) == []


@pytest.mark.parametrize("lines", [1, 20, 1000])
def test_about_twice_as_many_lines_are_kept_as_are_shown(lines: int) -> None:
    past = Past(lines)
    for number in range(5 * lines + 500):
        past.add("tea", [b"%d" % number], 0.0)
    found = kept(past, "tea")
    assert lines <= len(found) <= 2 * lines + 200
    assert found[-1] == b"%d" % (5 * lines + 499)


def test_bytes_of_a_room_are_bounded() -> None:
    past = Past(MANY)
    heard(past, "tea", 5)
    assert HISTORY_BYTES - 1000 < sum(map(len, kept(past, "tea"))) <= 2 * HISTORY_BYTES + 100_000


def test_bytes_of_a_room_that_had_members_here_are_bounded() -> None:
    """Its log was long when it went; on other hubs the talk goes on."""
    past, history, offset = Past(MANY), History(), 0
    for _ in range(20):
        history.add([LINE] * 100, 5, offset, 0.0, MANY, HISTORY_BYTES)
        offset += 100_000
    past.keep("tea", history)
    heard(past, "tea", 2)
    assert sum(map(len, kept(past, "tea"))) <= 2 * HISTORY_BYTES + 100_000


def test_bytes_of_a_room_made_anew_are_bounded() -> None:
    """The talk here is behind what was said on other hubs, and begins a log of its own."""
    past = Past(MANY)
    heard(past, "tea", 2)
    history, offset = past.take("tea"), 0
    for _ in range(20):
        history.add([LINE] * 100, 5, offset, 0.0, MANY, HISTORY_BYTES)
        offset += 100_000
    assert sum(map(len, all_of(history))) <= 2 * HISTORY_BYTES + 100_000


def test_rooms_beyond_the_limit_lose_those_heard_longest_ago() -> None:
    past = Past(20)
    for number in range(ROOMS):
        past.add(f"r{number}", [b"one"], 0.0)
    past.add("r0", [b"two"], 0.0)
    past.add("more", [b"one"], 0.0)
    assert all_of(past.take("r1")) == []
    assert all_of(past.take("r0")) == [b"one", b"two"] and all_of(past.take("more")) == [b"one"]


@given(st.lists(st.tuples(st.sampled_from(["add", "take", "keep"]), st.integers(0, 300)), max_size=60))
def test_past_never_has_what_was_taken(deeds: list[tuple[str, int]]) -> None:
    past, said = Past(20), dict[str, list[bytes]]()
    for count, (deed, number) in enumerate(deeds):
        key, line = f"r{number % 5}", b"%d" % count
        if deed == "add":
            past.add(key, [line], 0.0)
            said.setdefault(key, []).append(line)
        elif deed == "take":
            assert all_of(past.take(key)) == said.pop(key, [])
        else:
            assert kept(past, key) == said.get(key, [])


def test_room_has_its_history_again_when_somebody_comes() -> None:
    rooms, ann = Registry(Account(), 10), a_client(1)
    rooms.past = Past(20)
    room = rooms.find_or_make("tea", "Tea")
    room.join(ann.outbox)
    room.history.add([b"<ann> one"], 1, 0, 0.0, 20, 1000)
    room.leave(ann.outbox)
    rooms.discard_if_empty(room)
    rooms.past.add("tea", [b"<bob> two"], 0.0)
    assert rooms.find("tea") is None
    again = rooms.find_or_make("tea", "Tea")
    assert all_of(again.history) == [b"<ann> one", b"<bob> two"]
    assert rooms.find_or_make("tea", "Tea") is again and all_of(again.history)
