"""The two relay modes: content verbatim, to the sender only or to everyone, and in shares that fit a turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.modes.relay import Broadcast, Echo, Intake, fitting, leave_room
from hub.protocol.encoding import Form
from hub.rooms.accounting import Account
from hub.rooms.room import Rooms
from hub.session.client import Client, Piece
from hub.session.ready_sets import Marks
from tests.hub.test_client import a_client, a_room

HOSTILE = [b"\x1b[2J", b"\xff\xfe", b"", b"a\rb", b"/quit", b"* bye reason=idle"]


class Relay:
    """A broadcast mode and what it was made of."""

    def __init__(self, room_bytes: int = 1000) -> None:
        self.account, self.marks = Account(), Marks()
        self.rooms = Rooms(self.account, 10)
        self.mode = Broadcast(self.rooms, self.marks, Intake(room_bytes=room_bytes))

    def join(self, *clients: Client) -> None:
        for client in clients:
            self.mode.joined(client)


def said(client: Client, *lines: bytes) -> Client:
    """The client with these lines in its backlog."""
    client.backlog, client.backlog_at = list(lines), 0
    return client


# Echo.


def test_echo_gives_a_sender_its_own_lines_back_verbatim_in_one_piece() -> None:
    account, marks, client = Account(), Marks(), a_client()
    mode = Echo(account, marks)
    mode.joined(client)
    mode.lines(said(client, *HOSTILE))
    echo = b"".join(line + b"\n" for line in HOSTILE)
    assert client.private == [Piece(-1, echo, owed=True)]
    assert account.owed == len(echo)
    assert marks.flush == {client.id: client}
    assert not client.has_backlog


def test_echoes_of_many_small_messages_are_one_piece_that_counts_them() -> None:
    """A piece costs memory beyond its bytes, and the frame of an empty message has only two."""
    account, client = Account(), a_client(form=Form.FRAMES)
    Echo(account, Marks()).lines(said(client, *[b"\x81\0"] * 1000))
    assert client.private == [Piece(-1, b"\x81\0" * 1000, owed=True, raw=True, messages=1000)]
    assert client.private[0].lines == 1000
    assert account.owed == 2000


def test_echo_goes_on_where_it_stopped() -> None:
    client = said(a_client(), b"taken already", b"new")
    client.backlog_at = 1
    Echo(Account(), Marks()).lines(client)
    assert [piece.data for piece in client.private] == [b"new\n"]


def test_the_echo_to_somebody_who_takes_nothing_is_unsent_at_once() -> None:
    account, client = Account(), a_client(deaf=True)
    Echo(account, Marks()).lines(said(client, b"hello"))
    assert not client.private
    assert account.owed == account.unsent == client.unsent_bytes == len(b"hello\n")


def test_an_echo_client_is_in_no_room_and_gets_no_greeting() -> None:
    client = a_client()
    mode = Echo(Account(), Marks())
    mode.joined(client)
    mode.left(client)
    assert client.room is None
    assert client.owes_nothing


# Broadcast.


def test_a_broadcast_line_goes_verbatim_to_everyone_and_to_its_sender() -> None:
    relay, sender, other = Relay(), a_client(1), a_client(2)
    relay.join(sender, other)
    relay.mode.lines(said(sender, *HOSTILE))
    room = relay.rooms.lobby
    room.seal()
    expected = b"".join(line + b"\n" for line in HOSTILE)
    for client in (sender, other):
        assert b"".join(piece.data for piece in room.lines_between(client.offset, room.end)) == expected
    assert list(relay.marks.rooms) == [room]


def test_broadcast_has_no_greeting_no_history_and_no_announcements() -> None:
    relay, first, second = Relay(), a_client(1), a_client(2)
    relay.join(first)
    relay.mode.lines(said(first, b"before"))
    relay.join(second)
    assert second.owes_nothing
    assert not first.private
    assert not relay.marks.noted


def test_a_turn_takes_as_many_lines_as_the_room_has_space_for() -> None:
    relay, client = Relay(room_bytes=10), a_client()
    relay.join(client)
    relay.mode.lines(said(client, b"abc", b"def", b"ghi"))
    assert relay.rooms.lobby.head == 2
    assert client.backlog_at == 2
    relay.mode.lines(client)
    assert client.backlog_at == 2, "the room is full until its flush begins"
    relay.rooms.lobby.intake = 0
    relay.mode.lines(client)
    assert not client.has_backlog
    assert relay.rooms.lobby.head == 3


def test_a_room_that_is_full_is_not_marked_again() -> None:
    relay, client = Relay(room_bytes=4), a_client()
    relay.join(client)
    relay.mode.lines(said(client, b"abc", b"def"))
    relay.marks.rooms.clear()
    relay.mode.lines(client)
    assert not relay.marks.rooms


def test_a_broadcast_client_that_ended_is_forgotten() -> None:
    relay, client = Relay(), a_client()
    relay.join(client)
    relay.mode.left(client)
    assert not relay.rooms.lobby.members
    assert client.room is None


# The shares.


@given(
    st.lists(st.integers(0, 6).map(lambda size: b"x" * size), max_size=8),
    st.integers(0, 8),
    st.integers(-5, 40),
)
def test_fitting_takes_the_longest_run_that_fits(lines: list[bytes], start: int, space: int) -> None:
    start = min(start, len(lines))
    stop, size = fitting(lines, start, space)
    assert start <= stop <= len(lines)
    assert size == sum(len(line) + 1 for line in lines[start:stop])
    assert size <= max(space, 0)
    if stop < len(lines):
        assert size + len(lines[stop]) + 1 > space


def test_a_line_longer_than_a_turns_share_goes_alone() -> None:
    relay, client = Relay(room_bytes=100), a_client()
    relay.join(client)
    relay.mode.lines(said(client, b"x" * 500, b"next"))
    assert client.backlog_at == 1
    assert relay.rooms.lobby.head == 1


def test_leaving_no_room_is_no_error() -> None:
    assert leave_room(a_client()) is None


def test_leaving_says_which_room_it_was() -> None:
    client = a_client()
    room = a_room(client)
    assert leave_room(client) is room
    assert client.room is None
