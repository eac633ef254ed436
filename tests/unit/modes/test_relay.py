"""The two relay modes: content verbatim, to the sender only or to everyone, and in shares that fit a turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.config.settings import Settings
from hub.modes.relay import Broadcast, Echo
from hub.rooms.accounting import Account
from hub.rooms.registry import Registry
from hub.rooms.segments import Item
from hub.session.client import Client
from hub.session.commons import Commons
from hub.session.mode import Intake
from hub.session.ready_sets import ReadySets
from tests.unit.support import a_client, receive_all, shown

HOSTILE = [b"\x1b[2J", b"\xff\xfe", b"", b"a\rb", b"/quit", b"* bye reason=idle"]
CANONICAL = b"".join(line + b"\n" for line in HOSTILE)


class Relay:
    """A broadcast mode and what it was made of."""

    def __init__(self, room_bytes: int = 1000, *, self_echo: bool = True) -> None:
        self.account, self.ready = Account(), ReadySets()
        self.rooms = Registry(self.account, 10, self_echo=self_echo)
        self.room = self.rooms.lobby
        commons = Commons(self.ready)
        self.mode = Broadcast(self.rooms, self.ready, commons, Intake(room_bytes=room_bytes))
        commons.open(self.mode, lambda room, now: False, self.rooms, lambda: (0, 0, 0))

    def join(self, id: int = 1, *lines: bytes) -> Client:
        """A client in the lobby with these lines in its inbox."""
        client = a_client(id, self.account)
        client.inbox.receive(list(lines))
        self.mode.joined(client)
        return client


def said(client: Client, *lines: bytes) -> Client:
    """The client with these lines in its inbox."""
    client.inbox.receive(list(lines))
    return client


# Echo.


def test_echo_gives_a_sender_its_lines_back_in_one_item() -> None:
    account, ready = Account(), ReadySets()
    client, mode = a_client(account=account), Echo(account, ready)
    mode.joined(client)
    mode.lines(said(client, *HOSTILE))
    assert shown(client.outbox.items) == shown([Item(-1, CANONICAL, owed=True, own=True)])
    assert account.owed == len(CANONICAL)
    assert ready.writable == {client: None}
    assert not client.inbox.has_lines


def test_echo_of_many_messages_is_one_item_that_counts_them() -> None:
    """An item costs memory beyond its bytes, and the frame of an empty message has only two."""
    account = Account()
    client = a_client(1, account, "frames")
    Echo(account, ReadySets()).lines(said(client, *[b"\x81\0"] * 1000))
    assert shown(client.outbox.items) == shown(
        [Item(-1, b"\x81\0" * 1000, owed=True, raw=True, lines=1000, own=True)]
    )
    assert client.outbox.items[0].lines == 1000
    assert account.owed == 2000


def test_echo_takes_no_more_lines_than_it_is_allowed() -> None:
    client = said(a_client(), b"one", b"two", b"three")
    mode = Echo(Account(), ReadySets())
    for _ in range(2):
        mode.lines(client, 2)
    assert [item.data for item in client.outbox.items] == [b"one\ntwo\n", b"three\n"]


def test_echo_client_is_in_no_room_and_gets_no_greeting() -> None:
    client, mode = a_client(), Echo(Account(), ReadySets())
    mode.joined(client)
    mode.left(client)
    assert client.room is None
    assert client.outbox.is_empty


# Broadcast.


@pytest.mark.promise("self-echo-off")
@pytest.mark.parametrize("self_echo", [False, True])
def test_broadcast_line_goes_verbatim_to_the_others(self_echo: bool) -> None:
    relay = Relay(self_echo=self_echo)
    sender, other = relay.join(1, *HOSTILE), relay.join(2)
    relay.mode.lines(sender)
    relay.room.log.seal()
    assert receive_all(other.outbox) == CANONICAL
    assert receive_all(sender.outbox) == (CANONICAL if self_echo else b"")
    assert list(relay.ready.rooms) == [relay.room]


def test_self_echo_by_default_is_off_in_broadcast_only() -> None:
    assert not Settings(mode="broadcast").hears_itself
    assert Settings(mode="chat").hears_itself and Settings(mode="echo").hears_itself
    assert Settings(mode="broadcast", self_echo=True).hears_itself
    assert not Settings(mode="chat", self_echo=False).hears_itself


def test_broadcast_has_no_greeting_no_history_and_no_notices() -> None:
    relay = Relay()
    first = relay.join(1, b"before")
    relay.mode.lines(first)
    second = relay.join(2)
    assert second.outbox.is_empty
    assert not first.outbox.items
    assert not relay.ready.notices


def test_turn_takes_as_many_lines_as_the_room_has_space_for() -> None:
    relay = Relay(room_bytes=10)
    client = relay.join(1, b"abc", b"def", b"ghi")
    relay.mode.lines(client)
    assert (relay.room.log.next_line, client.inbox.waiting) == (2, 1)
    relay.ready.rooms.clear()
    relay.mode.lines(client)
    assert client.inbox.waiting == 1, "the room is full until its pass begins"
    assert not relay.ready.rooms
    relay.room.log.intake = 0
    relay.mode.lines(client)
    assert (relay.room.log.next_line, client.inbox.waiting) == (3, 0)


@given(
    st.lists(st.integers(0, 6).map(lambda size: b"x" * size), min_size=1, max_size=8),
    st.integers(0, 8),
    st.just(0) | st.integers(0, 40),
    st.integers(0, 40),
)
def test_broadcast_takes_the_longest_run_that_fits(
    lines: list[bytes], most: int, intake: int, room_bytes: int
) -> None:
    relay = Relay(room_bytes=room_bytes)
    client = relay.join(1, *lines)
    relay.room.log.intake = intake
    relay.mode.lines(client, most)
    taken = len(lines) - client.inbox.waiting
    size = sum(len(line) + 1 for line in lines[:taken])
    assert relay.room.log.head == relay.account.owed == size
    assert taken <= most
    assert taken or intake or not most, "a line longer than a turn's share goes alone"
    is_alone = taken == 1 and not intake
    assert is_alone or intake + size <= room_bytes or not taken
    if taken < min(most, len(lines)):
        assert intake + size + len(lines[taken]) + 1 > room_bytes


def test_left_broadcast_client_is_forgotten() -> None:
    relay = Relay()
    client = relay.join()
    for _ in range(2):
        relay.mode.left(client)
        assert relay.room.size == 0
        assert client.room is None
