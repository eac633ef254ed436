"""Rooms: a log that keeps what somebody still needs and nothing else, and who is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.encoding import Form, encode
from hub.rooms.accounting import Account
from hub.rooms.chunk import Chunk
from hub.rooms.room import PIECE_BYTES, Room, Rooms, RoomsFull
from hub.session.client import Client
from tests.hub.test_client import SPEAKER, a_client, a_room

MUCH = 1 << 30


def talk(room: Room, *turns: int) -> None:
    """So many lines in each turn; every line says its number."""
    for count in turns:
        for _ in range(count):
            room.append(b"line %d" % room.head, SPEAKER)
        room.seal()


def held_lines(room: Room) -> list[bytes]:
    """The lines that the log holds."""
    return b"".join(chunk.lf for chunk in room.chunks).split(b"\n")[:-1]


def waiting(room: Room, client: Client) -> list[bytes]:
    """The lines that a client is owed, read from the log at its offset."""
    return b"".join(piece.data for piece in room.lines_between(client.offset, room.end)).split(b"\n")[:-1]


def numbered(start: int, stop: int) -> list[bytes]:
    return [b"line %d" % number for number in range(start, stop)]


# Appending.


def test_the_lines_of_a_turn_are_one_chunk() -> None:
    room = a_room()
    talk(room, 3, 2)
    assert [chunk.lf for chunk in room.chunks] == [b"line 0\nline 1\nline 2\n", b"line 3\nline 4\n"]
    assert [(chunk.first, chunk.count) for chunk in room.chunks] == [(0, 3), (3, 2)]
    assert [(chunk.start, chunk.end) for chunk in room.chunks] == [(0, 21), (21, 35)]
    assert (room.head, room.end) == (5, 35)


def test_a_turn_without_lines_makes_no_chunk() -> None:
    room = a_room()
    room.seal()
    assert room.chunks == []


def test_empty_lines_are_lines() -> None:
    room = a_room()
    room.extend([b"", b""], 2, SPEAKER)
    room.seal()
    assert [(chunk.lf, chunk.count) for chunk in room.chunks] == [(b"\n\n", 2)]


def test_every_hearer_of_the_moment_is_owed_each_line() -> None:
    first, second = a_client(1), a_client(2)
    room = a_room(first)
    room.append(b"abc", SPEAKER)
    room.enter(second, history=0)
    room.append(b"defgh", SPEAKER)
    assert room.account.owed == 4 + 2 * 6
    room.stop_hearing(first)
    room.append(b"", SPEAKER)
    assert room.account.owed == 4 + 2 * 6 + 1


def test_intake_is_what_came_since_somebody_set_it_back() -> None:
    room = a_room()
    talk(room, 1)
    room.intake = 0
    room.append(b"abc", SPEAKER)
    room.extend([b"d", b"e"], 4, SPEAKER)
    assert room.intake == 8


def test_a_chunk_is_talk_as_soon_as_one_line_of_it_is() -> None:
    room = a_room()
    room.append(b"* ann joined", speaker=0)
    room.seal()
    room.append(b"* bob joined", speaker=0)
    room.append(b"<bob> hello", SPEAKER)
    room.append(b"* cy left", speaker=0)
    room.seal()
    room.append(b"* dan joined", speaker=0)
    room.seal()
    assert [chunk.talk for chunk in room.chunks] == [False, True, False]


@pytest.mark.parametrize("form", Form)
def test_each_form_of_a_chunk_is_made_once(form: Form) -> None:
    lf = b"abc\n\xff\n"
    chunk = Chunk(lf, 0, 0, 2, True)
    assert chunk.wire(form) == encode(lf, form)
    assert chunk.wire(form) is chunk.wire(form)


@pytest.mark.promise("telnet-byte-255")
def test_a_telnet_client_shares_the_crlf_form_where_no_byte_is_doubled() -> None:
    chunk = Chunk(b"abc\n", 0, 0, 1, True)
    assert chunk.wire(Form.TELNET) is chunk.wire(Form.CRLF)


# Coming and going.


def test_whoever_enters_is_owed_what_comes_from_then_on() -> None:
    room, client = a_room(), a_client()
    talk(room, 2)
    room.append(b"said in this very turn, before", SPEAKER)
    room.enter(client, history=0)
    room.append(b"after", SPEAKER)
    room.seal()
    assert waiting(room, client) == [b"after"]
    assert room.account.replayed == 0


@given(st.lists(st.integers(1, 4), max_size=5), st.integers(0, 12))
def test_history_is_a_position_set_back_by_lines(turns: list[int], history: int) -> None:
    room, client = a_room(), a_client()
    talk(room, *turns)
    room.enter(client, history)
    expected = numbered(max(0, room.head - history), room.head)
    assert waiting(room, client) == expected
    assert client.position == room.head - len(expected)
    assert room.account.replayed == client.lag_bytes == sum(len(line) + 1 for line in expected)


@pytest.mark.promise("chat-history")
@given(st.lists(st.integers(1, 4), max_size=5), st.integers(0, 12), st.integers(0, 200))
def test_history_is_whole_lines_that_fit(turns: list[int], history: int, most_bytes: int) -> None:
    room, client = a_room(), a_client()
    talk(room, *turns)
    room.enter(client, history, most_bytes)
    expected = numbered(max(0, room.head - history), room.head)
    while sum(len(line) + 1 for line in expected) > most_bytes:
        del expected[0]
    assert waiting(room, client) == expected
    assert client.position == room.head - len(expected)
    assert room.tail(history, most_bytes) == b"".join(line + b"\n" for line in expected)


@pytest.mark.promise("chat-rooms")
def test_history_never_shows_a_line_twice() -> None:
    client = a_client()
    room = a_room(client)
    talk(room, 2)
    room.leave(client)
    talk(room, 2)
    room.enter(client, history=10)
    assert waiting(room, client) == numbered(2, 4)
    assert client.position == 2
    room.leave(client)
    room.enter(client, history=10)
    assert waiting(room, client) == []


def test_the_history_of_another_room_is_shown_whole() -> None:
    client = a_client()
    room, other = a_room(client), a_room(number=2)
    talk(room, 5)
    room.leave(client)
    talk(other, 3)
    other.enter(client, history=10)
    assert waiting(other, client) == numbered(0, 3)


def test_a_deaf_client_becomes_a_member_that_is_owed_nothing() -> None:
    client, room = a_client(deaf=True), a_room()
    talk(room, 3)
    room.enter(client, history=10)
    talk(room, 1)
    assert room.members == {client.id: client}
    assert not room.hearers
    assert (room.account.owed, room.account.replayed) == (0, 0)


@pytest.mark.parametrize(("blocked", "history"), [(True, 0), (False, 2)])
def test_whoever_enters_with_something_to_catch_up_keeps_the_log(blocked: bool, history: int) -> None:
    client, room = a_client(blocked=blocked), a_room()
    talk(room, 4)
    room.enter(client, history)
    talk(room, 1)
    room.trim(room.end, 0, MUCH)
    assert waiting(room, client) == numbered(4 - history, 5)


def test_leaving_takes_the_client_out_of_every_list() -> None:
    client, other = a_client(1), a_client(2)
    room = a_room(client, other)
    for people in (room.slow, room.behind, room.held):
        people[client.id] = client
    client.held = True
    room.leave(client)
    for people in (room.members, room.hearers, room.slow, room.behind, room.held):
        assert client.id not in people
    assert client.room is None
    assert not client.held
    assert room.members == {other.id: other}


def test_who_stops_hearing_stays_a_member() -> None:
    client = a_client()
    room = a_room(client)
    room.slow[client.id] = room.behind[client.id] = client
    room.stop_hearing(client)
    assert room.members == {client.id: client}
    assert not room.hearers
    assert not room.slow
    assert not room.behind


# Finding a place in the log.


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_the_lines_between_two_borders_are_whole_and_owed(turns: list[int], data: st.DataObject) -> None:
    room = a_room()
    talk(room, *turns)
    start = data.draw(st.integers(0, room.head - 1))
    stop = data.draw(st.integers(start + 1, room.head))
    border = [0]
    for line in numbered(0, room.head):
        border.append(border[-1] + len(line) + 1)
    pieces = room.lines_between(border[start], border[stop])
    expected = b"".join(line + b"\n" for line in numbered(start, stop))
    assert b"".join(piece.data for piece in pieces) == expected
    assert all(piece.owed and piece.at == -1 and piece.data for piece in pieces)


def test_a_log_of_many_turns_is_pieces_of_64_kib() -> None:
    room = a_room()
    talk(room, *[1] * 20_000)
    sizes = [len(piece.data) for piece in room.lines_between(0, room.end)]
    assert sum(sizes) == room.end > 3 * PIECE_BYTES
    assert all(PIECE_BYTES <= size < PIECE_BYTES + 20 for size in sizes[:-1])
    assert sizes[-1] < PIECE_BYTES


def test_the_index_of_an_offset_is_its_chunk_and_of_the_head_the_end() -> None:
    room = a_room()
    talk(room, 2, 1, 3)
    assert [room.index(offset) for offset in (0, 7, 14, 21, 28)] == [0, 0, 1, 2, 2]
    assert room.index(room.end) == 3


# Congestion.


@pytest.mark.parametrize(
    ("hearers", "behind", "congested"),
    [(1, 0, False), (4, 2, False), (5, 2, False), (5, 3, True), (4, 4, True), (0, 0, False)],
)
def test_a_room_is_congested_when_more_than_half_lag(hearers: int, behind: int, congested: bool) -> None:
    people = [a_client(id) for id in range(1, hearers + 1)]
    room = a_room(*people)
    room.behind = {client.id: client for client in people[:behind]}
    assert room.congested_for(a_client(99)) is congested


def test_a_senders_own_lag_does_not_hold_it_up() -> None:
    sender, other, third = a_client(1), a_client(2), a_client(3)
    room = a_room(sender, other, third)
    room.behind = {sender.id: sender, other.id: other}
    assert not room.congested_for(sender)
    assert room.congested_for(third)


def test_the_sender_does_not_count_as_one_that_keeps_up() -> None:
    people = [a_client(id) for id in range(1, 5)]
    room = a_room(*people)
    room.behind = {client.id: client for client in people[2:]}
    assert room.congested_for(people[0]), "two of the three others lag"
    assert not room.congested_for(a_client(99)), "two of four"


def test_a_feed_that_is_alone_is_never_held_up() -> None:
    sender = a_client(1)
    room = a_room(sender)
    room.behind = {sender.id: sender}
    assert not room.congested_for(sender)


# Who said what somebody is owed.


def test_a_client_that_alone_spoke_since_its_position_hears_only_itself() -> None:
    client = a_client(1)
    room = a_room(client)
    room.append(b"mine", client.id)
    room.seal()
    room.append(b"mine too", client.id)
    assert room.is_only_itself_to(client)
    room.append(b"of somebody else", SPEAKER)
    assert not room.is_only_itself_to(client)
    room.append(b"mine again", client.id)
    assert not room.is_only_itself_to(client)
    client.offset = room.end - len(b"mine again\n")
    assert room.is_only_itself_to(client)


def test_a_line_of_the_hub_between_them_does_not_make_ones_own_lines_anothers() -> None:
    client = a_client(1)
    room = a_room(client)
    room.append(b"mine", client.id)
    room.append(b"* somebody joined", speaker=0)
    room.append(b"mine again", client.id)
    assert room.is_only_itself_to(client)


def test_what_the_hub_said_before_its_first_line_is_no_other_person() -> None:
    room = a_room()
    talk(room, 7)
    client = a_client()
    room.enter(client, history=0)
    room.append(b"* guest-1 joined", speaker=0)
    room.append(b"first", speaker=client.id)
    assert room.is_only_itself_to(client)


# Trimming.


def test_what_everybody_got_and_no_history_needs_goes() -> None:
    room = a_room()
    talk(room, 2, 2, 2)
    room.trim(room.end, 0, MUCH)
    assert room.chunks == []


def test_what_the_pass_has_not_reached_stays() -> None:
    room = a_room()
    talk(room, 2, 2, 2)
    room.trim(room.chunks[1].start, 0, MUCH)
    assert held_lines(room) == numbered(2, 6)


def test_a_slow_hearer_that_is_further_than_the_pass_lets_nothing_go() -> None:
    client = a_client()
    room = a_room(client)
    talk(room, 2, 2, 2)
    client.offset = room.chunks[2].start
    room.slow[client.id] = client
    room.trim(room.chunks[1].start, 0, MUCH)
    assert held_lines(room) == numbered(2, 6)


def test_a_slow_hearer_keeps_the_chunk_it_stands_in_and_all_that_follow() -> None:
    client = a_client()
    room = a_room(client)
    talk(room, 2, 2, 2)
    client.offset = room.chunks[1].start + len(b"line 2\n")
    room.slow[client.id] = client
    room.trim(room.end, 0, MUCH)
    assert held_lines(room) == numbered(2, 6)
    assert waiting(room, client) == numbered(3, 6)


def test_history_counts_in_lines_and_keeps_whole_chunks() -> None:
    room = a_room()
    talk(room, 3, 3, 3)
    room.trim(room.end, 4, MUCH)
    assert held_lines(room) == numbered(3, 9)
    room.trim(room.end, 3, MUCH)
    assert held_lines(room) == numbered(6, 9)


def test_history_gives_way_to_the_limit_in_bytes_but_a_slow_hearer_does_not() -> None:
    client = a_client()
    room = a_room(client)
    room.slow[client.id] = client
    talk(room, *[1] * 5)
    room.trim(room.end, 100, 2 * len(b"line 0\n"))
    assert held_lines(room) == numbered(0, 5)
    room.leave(client)
    room.trim(room.end, 100, 2 * len(b"line 0\n"))
    assert held_lines(room) == numbered(3, 5)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=8),
    st.lists(st.integers(0, 20), max_size=3),
    st.integers(0, 10),
    st.integers(0, 200),
)
def test_trimming_drops_what_nobody_needs_and_nothing_else(
    turns: list[int], slow: list[int], history: int, most_bytes: int
) -> None:
    """`slow` are line numbers at which slow hearers stand."""
    clients = [a_client(id) for id in range(len(slow))]
    room = a_room(*clients)
    talk(room, *turns)
    for client, at in zip(clients, slow, strict=True):
        client.position = min(at, room.head)
        client.offset = sum(len(line) + 1 for line in numbered(0, client.position))
        room.slow[client.id] = client
    before = list(room.chunks)
    room.trim(room.end, history, most_bytes)
    for client in clients:
        assert waiting(room, client) == numbered(client.position, room.head)
    oldest_slow = min((client.position for client in clients), default=room.head)
    dropped = before[: len(before) - len(room.chunks)]
    assert before[len(dropped) :] == room.chunks
    assert all(chunk.first + chunk.count <= oldest_slow for chunk in dropped)
    if room.chunks:
        oldest = room.chunks[0]
        needed = oldest.first + oldest.count > oldest_slow
        remembered = oldest.first + oldest.count > room.head - history
        assert needed or (remembered and room.end - oldest.end < most_bytes)
    for chunk in dropped:
        remembered = chunk.first + chunk.count > room.head - history
        assert not remembered or room.end - chunk.end >= most_bytes


# All rooms.


def test_the_lobby_is_always_there() -> None:
    rooms = Rooms(Account(), 10)
    rooms.discard_if_empty(rooms.lobby)
    assert rooms.find_or_make("lobby", "LOBBY") is rooms.lobby
    assert len(rooms) == 1


def test_a_room_is_found_by_its_key_and_keeps_its_first_name() -> None:
    rooms = Rooms(Account(), 10)
    tea = rooms.find_or_make("tea", "Tea")
    assert rooms.find_or_make("tea", "TEA") is tea
    assert tea.name == "Tea"
    assert rooms.all() == [rooms.lobby, tea]


def test_an_empty_room_goes_and_a_room_with_somebody_stays() -> None:
    rooms, client = Rooms(Account(), 10), a_client()
    tea = rooms.find_or_make("tea", "tea")
    tea.enter(client, history=0)
    rooms.discard_if_empty(tea)
    assert len(rooms) == 2
    tea.leave(client)
    rooms.discard_if_empty(tea)
    assert rooms.all() == [rooms.lobby]


def test_past_the_limit_no_room_is_made_but_those_there_are_still_found() -> None:
    rooms = Rooms(Account(), 2)
    tea = rooms.find_or_make("tea", "tea")
    with pytest.raises(RoomsFull):
        rooms.find_or_make("den", "den")
    assert rooms.find_or_make("tea", "tea") is tea
    assert len(rooms) == 2


def test_no_limit_is_no_limit() -> None:
    rooms = Rooms(Account(), 0)
    for number in range(2000):
        rooms.find_or_make(f"{number}", f"{number}")
    assert len(rooms) == 2001


def test_all_rooms_share_one_account() -> None:
    account = Account()
    rooms, client = Rooms(account, 0), a_client()
    tea = rooms.find_or_make("tea", "tea")
    tea.enter(client, history=0)
    tea.append(b"abc", SPEAKER)
    assert account.owed == 4
