"""Delivery: whatever the kernel takes, the stream has no hole and the books balance to the byte.

The machine below plays rooms, private output and a kernel at random against a model that knows neither
chunks nor positions: for each client a plain list of what it is owed, in the order in which it came.
Hypothesis prints the steps of a failing run, shrunk, and the seed to play it again.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hub.config.settings import Settings
from hub.loop.assembly import make_hub
from hub.loop.context import Budgets, Hub
from hub.loop.counters import queued_bytes
from hub.loop.flow_control import Pacing
from hub.loop.writer import Sender
from hub.net.poller import Poller
from hub.net.sockets import Sockets
from hub.protocol.encoding import Form, encode
from hub.rooms import room as rooms
from hub.rooms.accounting import Account
from hub.rooms.outbox import BATCH_BYTES, BATCH_PARTS, next_parts, pass_own, rest_for, take
from hub.rooms.room import Room
from hub.rooms.sender_runs import spans
from hub.rooms.skipping import skip
from hub.session.client import Client, Piece
from tests.hub.test_client import SPEAKER, a_client, a_room

CONTENT = st.lists(st.sampled_from([b"a", b"bc", b"\r", b"\xff", b"\xff\xff", b"\0"]), max_size=5).map(
    b"".join
)
CONTENTS = st.lists(CONTENT, min_size=1, max_size=4)
RAW = st.sampled_from([b"\xff\xfc\x06", b"\xff\xf1", b"HTTP/1.1 400 Bad Request\r\n\r\nno"])
CLIENTS = st.integers(0, 2)


class Due(NamedTuple):
    """One line, or one raw piece, that a client is owed in the model."""

    data: bytes
    raw: bool = False
    of_room: bool = False


@dataclass
class Model:
    """What one client is to see, kept the simple way."""

    due: deque[Due] = field(default_factory=deque)
    begun: bytes = b""
    begun_raw: bool = False
    lines_out: int = 0

    def put(self, data: bytes, *, of_room: bool = False) -> None:
        self.due.extend(Due(line + b"\n", of_room=of_room) for line in data.split(b"\n")[:-1])

    def take(self, form: Form, count: int) -> bytes:
        """The next `count` bytes on the wire. A form holds for the lines that begin under it."""
        taken = b""
        while len(taken) < count:
            if not self.begun:
                item = self.due.popleft()
                self.begun, self.begun_raw = item.data if item.raw else encode(item.data, form), item.raw
            step = self.begun[: count - len(taken)]
            taken += step
            self.begun = self.begun[len(step) :]
            self.lines_out += not self.begun and not self.begun_raw
        return taken

    def wire_bytes(self, form: Form) -> int:
        """How much there is to take."""
        return len(self.begun) + sum(
            len(item.data if item.raw else encode(item.data, form)) for item in self.due
        )

    def room_lines(self) -> list[bytes]:
        """The lines of the room that have not begun."""
        return [item.data for item in self.due if item.of_room]


@contextlib.contextmanager
def a_hub(settings: Settings | None = None) -> Iterator[Hub]:
    """Everything but a loop and listeners."""
    poller = Poller("level")
    log: list[str] = []
    settings = settings or Settings(mode="broadcast", web=False)
    yield make_hub(
        settings, Sockets(), poller, lambda event, **_: log.append(event), lambda: 0.0, 0.0, int, Budgets()
    )
    poller.close()
    assert not log


class DeliveryMachine(RuleBasedStateMachine):
    """Three clients in two rooms, everything at random moments; the model tells what each must see."""

    SELF_ECHO = True

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        settings = Settings(mode="broadcast", web=False, self_echo=self.SELF_ECHO)
        self.hub = self.stack.enter_context(a_hub(settings))
        self.account = self.hub.account
        self.rooms = [self.hub.rooms.find_or_make(name, name) for name in ("tea", "den")]
        self.past: dict[Room, list[tuple[int, bytes]]] = {room: [] for room in self.rooms}
        self.left_at: dict[tuple[int, Room], int] = {}
        self.clients = [a_client(id) for id in (1, 2, 3)]
        self.models = [Model() for _ in self.clients]

    def teardown(self) -> None:
        self.stack.close()

    @initialize(forms=st.tuples(*[st.sampled_from(Form)] * 3))
    def come(self, forms: tuple[Form, ...]) -> None:
        for client, form in zip(self.clients, forms, strict=True):
            client.form = form

    def gets(self, client: Client, speaker: int) -> bool:
        """Whether this client is sent what that one says."""
        return self.SELF_ECHO or client.id != speaker

    @rule(room=st.integers(0, 1), contents=CONTENTS, sealed=st.booleans(), speaker=st.just(SPEAKER))
    def somebody_talks(self, room: int, contents: list[bytes], sealed: bool, speaker: int) -> None:
        where = self.rooms[room]
        for content in contents:
            where.append(content, speaker)
            self.past[where].append((speaker, content + b"\n"))
            for client, model in zip(self.clients, self.models, strict=True):
                if client.room is where and self.gets(client, speaker):
                    model.put(content + b"\n", of_room=True)
        if sealed:
            where.seal()

    @rule(who=CLIENTS, contents=CONTENTS, sealed=st.booleans())
    def it_talks(self, who: int, contents: list[bytes], sealed: bool) -> None:
        client = self.clients[who]
        if client.room is None:
            self.it_goes_to_a_room(who, 0, 0)
        assert client.room is not None
        self.somebody_talks(self.rooms.index(client.room), contents, sealed, client.id)

    @rule(who=CLIENTS, contents=CONTENTS, owed=st.booleans())
    def the_hub_answers(self, who: int, contents: list[bytes], owed: bool) -> None:
        data = b"".join(content + b"\n" for content in contents)
        self.clients[who].put(data, owed=owed)
        self.account.owed += len(data) * owed
        self.models[who].put(data)

    @rule(who=CLIENTS, data=RAW)
    def telnet_answers(self, who: int, data: bytes) -> None:
        self.clients[who].put(data, raw=True)
        self.models[who].due.append(Due(data, raw=True))

    @rule(who=CLIENTS, data=st.data())
    def the_kernel_takes_some(self, who: int, data: st.DataObject) -> None:
        client, model = self.clients[who], self.models[who]
        for room in self.rooms:  # as the loop does before it sends
            room.seal()
        if client.own_bytes:
            pass_own(client)
        parts = next_parts(client)
        assert not parts or parts[0].wire, "there is something to offer to the kernel"
        wire = b"".join(part.wire for part in parts)
        assert len(wire) == model.wire_bytes(client.form), "all that there is fits into one batch here"
        taken = data.draw(st.integers(0, len(wire)))
        bytes_out = client.bytes_out
        take(client, parts, taken, self.account)
        assert wire[:taken] == model.take(client.form, taken)
        assert client.bytes_out == bytes_out + taken
        if client.room is not None:
            client.room.slow[client.id] = client
            if taken == len(wire):
                del client.room.slow[client.id]

    @rule(who=CLIENTS, form=st.sampled_from(Form))
    def it_wants_another_form(self, who: int, form: Form) -> None:
        client = self.clients[who]
        if list(Form).index(form) > list(Form).index(client.form):  # a client never goes back
            client.form = form

    @rule(who=CLIENTS, room=st.integers(0, 1), history=st.integers(0, 5))
    def it_goes_to_a_room(self, who: int, room: int, history: int) -> None:
        client, model, where = self.clients[who], self.models[who], self.rooms[room]
        self.it_leaves(who)
        where.seal()
        kept = sum(chunk.count for chunk in where.chunks)
        where.enter(client, history)
        where.slow[client.id] = client
        past = self.past[where]
        replayed = past[max(len(past) - min(history, kept), self.left_at.get((who, where), 0)) :]
        model.put(b"".join(line for speaker, line in replayed if self.gets(client, speaker)), of_room=True)
        assert client.position == where.head - len(replayed)

    @rule(who=CLIENTS)
    def it_leaves(self, who: int) -> None:
        client, model = self.clients[who], self.models[who]
        pieces = rest_for(client)
        if client.room is not None:
            self.left_at[who, client.room] = len(self.past[client.room])
            client.room.leave(client)
        client.private = pieces
        client.private_bytes = sum(len(piece.data) for piece in pieces)
        model.due = deque(item._replace(of_room=False) for item in model.due)

    @rule(who=CLIENTS, keep_rest=st.booleans())
    def it_is_given_up(self, who: int, keep_rest: bool) -> None:
        client, model = self.clients[who], self.models[who]
        self.hub.drop_output(client, keep_rest=keep_rest)
        model.due.clear()
        if not keep_rest:
            model.begun = b""

    @rule(room=st.integers(0, 1), history=st.integers(0, 4))
    def the_log_is_trimmed(self, room: int, history: int) -> None:
        where = self.rooms[room]
        for client in where.hearers.values():
            if client.offset < where.end:
                where.slow[client.id] = client
        where.trim(where.end, history, 1000)

    @invariant()
    def the_books_balance(self) -> None:
        books, queued = self.account, queued_bytes(self.clients)
        assert books.owed + books.replayed == books.delivered + books.skipped + books.unsent + queued

    @invariant()
    def positions_are_where_the_model_is(self) -> None:
        for client, model in zip(self.clients, self.models, strict=True):
            waiting = model.room_lines()
            if client.room is not None:
                assert client.room.head - client.position - client.own_lines == len(waiting)
                assert client.owed_bytes == sum(map(len, waiting))
                assert (client.own_bytes > 0) == (client.own_lines > 0)
                assert not (self.SELF_ECHO and client.own_bytes)
            assert client.rest == model.begun
            assert client.private_bytes == sum(len(piece.data) for piece in client.private)
            assert client.owes_nothing == (not model.begun and not model.due)

    @invariant()
    def lines_are_counted_when_their_last_byte_goes(self) -> None:
        for client, model in zip(self.clients, self.models, strict=True):
            assert client.lines_out == model.lines_out


class OthersOnlyMachine(DeliveryMachine):
    """The same where nobody gets its own lines back, and it gaps as well."""

    SELF_ECHO = False

    @rule(who=CLIENTS)
    def it_skips(self, who: int) -> None:
        client, model = self.clients[who], self.models[who]
        if client.room is None:
            return
        before = client.untold_lines
        skip(client, client.room, self.account)
        assert client.untold_lines - before == len(model.room_lines())
        client.untold_lines = 0  # How it is told is test_skipping's.
        model.due = deque(item for item in model.due if not item.of_room)


MANY = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = MANY
TestDeliveryToOthersOnly = OthersOnlyMachine.TestCase
TestDeliveryToOthersOnly.settings = MANY


# The same by hand, where a name says more.

LINES = [b"first", b"", b"with \r in it", b"\xff\xff\xff", b"last"]


def received(client: Client, sizes: Iterator[int], account: Account) -> bytes:
    """What a kernel that takes these counts of bytes gets, until nothing is left."""
    got = b""
    while parts := next_parts(client):
        wire = b"".join(part.wire for part in parts)
        taken = min(next(sizes), len(wire))
        take(client, parts, taken, account)
        got += wire[:taken]
    return got


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("step", range(1, 40))
def test_a_stream_is_the_same_however_the_kernel_cuts_it(form: Form, step: int) -> None:
    client = a_client(form=form)
    room = a_room(client)
    expected = b""
    for number, line in enumerate(LINES):
        client.put(b"* %d\n" % number)
        room.append(line, SPEAKER)
        expected += encode(b"* %d\n%b\n" % (number, line), form)
        if number % 2:
            room.seal()
    room.seal()
    assert received(client, iter(lambda: step, 0), room.account) == expected
    assert client.lines_out == 2 * len(LINES)
    assert (client.position, client.offset) == (room.head, room.end)
    assert room.account.delivered == room.account.owed == room.end


def test_all_who_are_in_step_get_the_same_bytes_object() -> None:
    clients = [a_client(number, form=Form.CRLF) for number in range(1, 4)]
    room = a_room(*clients)
    room.append(b"abc", SPEAKER)
    room.seal()
    wires = {id(next_parts(client)[0].wire) for client in clients}
    assert len(wires) == 1


@pytest.mark.promise("chat-answer")
def test_an_answer_stands_between_the_two_lines_around_its_command() -> None:
    client = a_client()
    room = a_room(client)
    room.append(b"before", SPEAKER)
    client.put(b"* answer\n")
    room.append(b"after", SPEAKER)
    room.seal()
    assert received(client, iter(lambda: 1, 0), room.account) == b"before\n* answer\nafter\n"


def test_a_new_form_begins_at_the_next_line_even_inside_a_chunk() -> None:
    client = a_client()
    room = a_room(client)
    room.extend([b"abc", b"def"], 8, SPEAKER)
    room.seal()
    take(client, next_parts(client), 2, room.account)
    client.form = Form.CRLF
    assert received(client, iter(lambda: 1, 0), room.account) == b"c\ndef\r\n"
    assert room.account.delivered == 8


def test_the_rest_of_a_room_that_was_left_comes_first_and_stays_owed() -> None:
    client = a_client()
    room, next_room = a_room(client), a_room(number=2)
    room.append(b"one", SPEAKER)
    client.put(b"* answer\n")
    room.append(b"two", SPEAKER)
    room.seal()
    take(client, next_parts(client), 2, room.account)
    client.private = rest_for(client)
    assert client.private == [Piece(-1, b"* answer\n"), Piece(-1, b"two\n", owed=True)]
    room.leave(client)
    client.put(b"* you are next door\n")
    next_room.append(b"an old line", SPEAKER)
    next_room.enter(client, history=1)
    expected = b"e\n* answer\ntwo\n* you are next door\nan old line\n"
    assert received(client, iter(lambda: 3, 0), room.account) == expected
    assert room.account.delivered == len(b"one\ntwo\nan old line\n")


def test_lines_that_no_chunk_has_yet_belong_to_the_rest_too() -> None:
    client = a_client()
    room = a_room(client)
    room.append(b"said in this very turn", SPEAKER)
    assert rest_for(client) == [Piece(-1, b"said in this very turn\n", owed=True)]


@pytest.mark.parametrize("taken", range(len(b"* bye\n") + 1))
def test_a_farewell_counts_as_sent_with_its_last_byte(taken: int) -> None:
    client, account = a_client(), Account()
    client.put(b"* bye\n", farewell=True)
    take(client, next_parts(client), taken, account)
    assert client.farewell_sent is (taken == len(b"* bye\n"))
    received(client, iter(lambda: 1, 0), account)
    assert client.farewell_sent
    assert account.delivered == 0


def test_a_farewell_of_two_lines_is_not_sent_with_the_first() -> None:
    client, account = a_client(), Account()
    client.put(b"* one thing more\n* bye\n", farewell=True)
    take(client, next_parts(client), 3, account)
    take(client, next_parts(client), len(b"* one thing more\n") - 3, account)
    assert not client.farewell_sent
    received(client, iter(lambda: 1, 0), account)
    assert client.farewell_sent


def test_a_deaf_client_is_offered_nothing_of_its_room() -> None:
    client = a_client(deaf=True)
    room = a_room(client)
    room.append(b"abc", SPEAKER)
    room.seal()
    assert next_parts(client) == []
    assert rest_for(client) == []


def test_only_talk_counts_as_activity() -> None:
    client = a_client()
    room = a_room(client)
    room.append(b"* ann joined", speaker=0)
    room.seal()
    room.append(b"<ann> hello", SPEAKER)
    room.seal()
    client.put(b"* answer\n")
    client.put(b"echo\n", owed=True)
    assert [part.counts for part in next_parts(client)] == [False, True, False, True]


@pytest.mark.parametrize(("owed", "counts"), [(False, False), (True, True)])
def test_the_rest_of_a_line_counts_as_what_it_was(owed: bool, counts: bool) -> None:
    client = a_client()
    client.put(b"a line\n", owed=owed)
    take(client, next_parts(client), 3, Account())
    assert [part.counts for part in next_parts(client)] == [counts]


def test_one_offer_has_at_most_so_many_parts_and_about_so_many_bytes() -> None:
    client = a_client()
    room = a_room(client)
    for number in range(BATCH_PARTS + 10):
        room.append(b"%d" % number, SPEAKER)
        room.seal()
    assert len(next_parts(client)) == BATCH_PARTS
    line = b"x" * (BATCH_BYTES // 4)
    other = a_client(2)
    room = a_room(other)
    for _ in range(10):
        room.append(line, SPEAKER)
        room.seal()
    assert len(next_parts(other)) == 4


def test_a_position_inside_a_chunk_makes_no_part_of_what_is_behind_it() -> None:
    client = a_client()
    room = a_room()
    room.extend([b"one", b"two", b"three"], 14, SPEAKER)
    room.enter(client, history=2)
    (part,) = next_parts(client)
    assert (part.wire, part.size) == (b"two\nthree\n", 10)
    take(client, [part], 10, room.account)
    assert (client.position, client.offset, client.lines_out) == (3, 14, 2)


def test_an_answer_of_the_telnet_layer_is_no_line_however_it_is_cut() -> None:
    client = a_client()
    client.put(b"\xff\xfc\x06", raw=True)
    assert received(client, iter(lambda: 1, 0), Account()) == b"\xff\xfc\x06"
    assert client.lines_out == 0


def drained(peer: socket.socket) -> bytes:
    """All that waits at this end of a socket pair."""
    got = b""
    with contextlib.suppress(BlockingIOError):
        while data := peer.recv(1 << 20):
            got += data
    return got


def stop_reading_for(turns: int, hub: Hub, sender: Sender, room: Room) -> bytes:
    """The room gets more than the kernel takes, then a line in each turn; returns all of it."""
    said = [b"x" * 500_000] + [b"line %d" % number for number in range(turns)]
    for line in said:
        room.append(line, SPEAKER)
        room.seal()
        hub.marks.rooms[room] = None
        sender.slice(0.0)
    return b"".join(line + b"\n" for line in said)


def test_who_needs_several_offers_to_catch_up_gets_every_line() -> None:
    """A reader that stopped for 2000 turns comes back; one offer is at most BATCH_PARTS chunks."""
    ours, peer = socket.socketpair()
    with ours, peer, a_hub() as hub:
        ours.setblocking(False)
        peer.setblocking(False)
        sender, room = Sender(hub, Pacing(hub)), hub.rooms.lobby
        client = a_client(sock=ours, fd=ours.fileno())
        hub.poller.want(client.fd, reading=True, writing=False)
        hub.mode.joined(client)
        expected = stop_reading_for(2000, hub, sender, room)
        assert room.slow == {client.id: client}, "or the test shows nothing"
        got = b""
        for _ in range(100):
            got += drained(peer)
            hub.marks.flush[client.id] = client  # what epoll would say now
            sender.slice(0.0)
        assert len(got) == len(expected)
        assert got == expected


def test_what_is_still_owed_at_an_end_costs_lines_and_answers_and_not_their_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, looks = a_client(), 0
    room = a_room(client)

    def look(*arguments: Any) -> Iterator[tuple[int, int, bool]]:
        nonlocal looks
        looks += 1
        return spans(*arguments)

    monkeypatch.setattr(rooms, "spans", look)
    for _ in range(100):
        room.append(b"line", SPEAKER)
        room.seal()
        client.put(b"* answer\n")
    assert b"".join(piece.data for piece in rest_for(client)) == b"line\n* answer\n" * 100
    assert looks <= 200
