"""The outbox: whatever the kernel takes, a stream has no untold hole and the account balances to the byte.

The machine below plays rooms, private output and a kernel at random against a model that knows neither
chunks nor offsets: for each client a plain list of what it is owed, in the order in which it came.
Hypothesis prints the steps of a failing run, shrunk, and the seed to play it again.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hub.protocol.encoding import Encoding, encode
from hub.rooms import log as logs
from hub.rooms.accounting import Account
from hub.rooms.chunk import Chunk
from hub.rooms.outbox import Outbox
from hub.rooms.room import Room
from hub.rooms.segments import Item
from hub.rooms.sender_runs import spans
from tests.support import interpreted_only
from tests.unit.support import SPEAKER, a_room, an_outbox, receive_all, shown, take, wire

CONTENT = st.lists(st.sampled_from([b"a", b"bc", b"\r", b"\xff", b"\xff\xff", b"\0"]), max_size=5).map(
    b"".join
)
CONTENTS = st.lists(CONTENT, min_size=1, max_size=4)
RAW = st.sampled_from([b"\xff\xfc\x06", b"\xff\xf1", b"HTTP/1.1 400 Bad Request\r\n\r\nno"])
CLIENTS = st.integers(0, 2)


class Due(NamedTuple):
    """A line or a raw item that a client is to get in the model."""

    data: bytes
    owed: bool = False
    raw: bool = False
    of_room: bool = False
    amid: bool = False
    """Owed to this client alone, while its room had lines for it."""
    encoding: Encoding | None = None
    skipped: int = 0


@dataclass
class Model:
    """What one client is to see, kept the simple way."""

    due: deque[Due] = field(default_factory=deque)
    begun: bytes = b""
    begun_raw: bool = False
    lines_out: int = 0
    untold: int = 0
    """Skipped lines that no notice tells yet."""

    def put(self, data: bytes, owed: bool = False, of_room: bool = False, amid: bool = False) -> None:
        lines = data.split(b"\n")[:-1]
        self.due.extend(Due(line + b"\n", owed, of_room=of_room, amid=amid) for line in lines)

    def tell(self) -> None:
        """Put the notice of a gap behind all that was owed before it; one that waits there grows."""
        if self.untold:
            early = [due.owed and not (due.of_room or due.amid) for due in self.due]
            place = len(early) - early[::-1].index(True) if any(early) else 0
            count = self.untold
            if place < len(self.due) and self.due[place].skipped:
                count += self.due[place].skipped
                del self.due[place]
            self.due.insert(place, Due(b"* skipped %d lines\n" % count, skipped=count))
            self.untold = 0

    def take(self, encoding: Encoding, count: int) -> bytes:
        """The next `count` bytes on the wire. An encoding holds for the lines that begin under it."""
        taken = b""
        while len(taken) < count:
            if not self.begun:
                due = self.due.popleft()
                self.begun, self.begun_raw = self._wire(due, encoding), due.raw
            step = self.begun[: count - len(taken)]
            taken += step
            self.begun = self.begun[len(step) :]
            self.lines_out += not self.begun and not self.begun_raw
        return taken

    def wire_bytes(self, encoding: Encoding) -> int:
        """How much there is to take."""
        return len(self.begun) + sum(len(self._wire(due, encoding)) for due in self.due)

    def room_lines(self) -> list[bytes]:
        """The lines of the room that have not begun."""
        return [due.data for due in self.due if due.of_room]

    def _wire(self, due: Due, encoding: Encoding) -> bytes:
        return due.data if due.raw else encode(due.data, due.encoding or encoding)


class OutboxMachine(RuleBasedStateMachine):
    """Three clients in two rooms, everything at random moments; the model tells what each must see."""

    @initialize(encodings=st.tuples(*[st.sampled_from(get_args(Encoding))] * 3), self_echo=st.booleans())
    def come(self, encodings: tuple[Encoding, ...], self_echo: bool) -> None:
        self.account, self.self_echo = Account(), self_echo
        self.rooms = [a_room(account=self.account, number=number, self_echo=self_echo) for number in (1, 2)]
        self.past: dict[Room, list[tuple[int, bytes]]] = {room: [] for room in self.rooms}
        self.outboxes = [an_outbox(id, self.account, encoding) for id, encoding in enumerate(encodings, 1)]
        self.models = [Model() for _ in self.outboxes]

    def room_of(self, outbox: Outbox) -> Room | None:
        return next((room for room in self.rooms if room.log is outbox.log), None)

    def gets(self, outbox: Outbox, sender: int) -> bool:
        """Whether this client is sent what that one says."""
        return self.self_echo or outbox.id != sender

    @rule(room=st.integers(0, 1), contents=CONTENTS, sealed=st.booleans(), sender=st.just(SPEAKER))
    def somebody_talks(self, room: int, contents: list[bytes], sealed: bool, sender: int) -> None:
        where = self.rooms[room]
        for content in contents:
            where.append(content, sender)
            self.past[where].append((sender, content + b"\n"))
            for outbox, model in zip(self.outboxes, self.models, strict=True):
                if outbox.log is where.log and self.gets(outbox, sender):
                    model.put(content + b"\n", owed=True, of_room=True)
        if sealed:
            where.log.seal()

    @rule(index=CLIENTS, contents=CONTENTS, sealed=st.booleans())
    def client_talks(self, index: int, contents: list[bytes], sealed: bool) -> None:
        outbox = self.outboxes[index]
        room = self.room_of(outbox)
        if room is None:
            self.client_joins(index, 0, 0)
            room = self.rooms[0]
        self.somebody_talks(self.rooms.index(room), contents, sealed, outbox.id)

    @rule(index=CLIENTS, contents=CONTENTS, owed=st.booleans())
    def hub_answers(self, index: int, contents: list[bytes], owed: bool) -> None:
        data, outbox = b"".join(content + b"\n" for content in contents), self.outboxes[index]
        outbox.put(data, owed=owed)
        self.account.owed += len(data) * owed
        amid = outbox.log is not None and outbox.log.head > outbox.entered_at
        self.models[index].put(data, owed=owed, amid=amid)

    @rule(index=CLIENTS, data=RAW)
    def telnet_answers(self, index: int, data: bytes) -> None:
        self.outboxes[index].put(data, raw=True)
        self.models[index].due.append(Due(data, raw=True))

    @rule(index=CLIENTS, data=st.data())
    def kernel_takes_some(self, index: int, data: st.DataObject) -> None:
        outbox, model = self.outboxes[index], self.models[index]
        for room in self.rooms:  # As the loop does before it sends.
            room.log.seal()
        segments = outbox.segments()
        model.tell()
        assert not segments or segments[0].wire, "there is something to offer to the kernel"
        offered = b"".join(segment.wire for segment in segments)
        assert len(offered) == model.wire_bytes(outbox.encoding), "all fits into one batch here"
        taken, bytes_out = data.draw(st.integers(0, len(offered))), outbox.bytes_out
        outbox.advance(segments, taken, now=0.0)
        assert offered[:taken] == model.take(outbox.encoding, taken)
        assert outbox.bytes_out == bytes_out + taken

    @rule(index=CLIENTS, encoding=st.sampled_from(get_args(Encoding)))
    def client_speaks_otherwise(self, index: int, encoding: Encoding) -> None:
        outbox = self.outboxes[index]
        in_order = get_args(Encoding)
        if in_order.index(encoding) > in_order.index(outbox.encoding):  # None ever goes back.
            outbox.speak(encoding)

    @rule(index=CLIENTS)
    def what_waits_keeps_its_encoding(self, index: int) -> None:
        outbox, model = self.outboxes[index], self.models[index]
        outbox.fix_encoding()
        model.due = deque(due if due.of_room else due._replace(encoding=outbox.encoding) for due in model.due)

    @rule(index=CLIENTS, room=st.integers(0, 1), history=st.integers(0, 5))
    def client_joins(self, index: int, room: int, history: int) -> None:
        outbox, where = self.outboxes[index], self.rooms[room]
        self.client_leaves(index)
        lines = [line for _, line in self.past[where][-history:]]
        where.join(outbox, lines)
        self.models[index].put(b"".join(lines), owed=True)

    @rule(index=CLIENTS)
    def client_leaves(self, index: int) -> None:
        outbox, model = self.outboxes[index], self.models[index]
        room = self.room_of(outbox)
        if room is not None:
            room.leave(outbox)
            model.tell()
            model.due = deque(due._replace(of_room=False, amid=False) for due in model.due)

    @rule(index=CLIENTS, keep_partial=st.booleans())
    def output_is_dropped(self, index: int, keep_partial: bool) -> None:
        model = self.models[index]
        self.outboxes[index].drop(keep_partial=keep_partial)
        model.due.clear()
        if not keep_partial:
            model.begun = b""

    @rule(index=CLIENTS)
    def client_skips(self, index: int) -> None:
        outbox, model = self.outboxes[index], self.models[index]
        if outbox.log is None:
            return
        missed, before = model.room_lines(), (outbox.losses.skipped_lines, outbox.losses.skipped_bytes)
        outbox.skip()
        model.untold += len(missed)
        model.due = deque(due for due in model.due if not due.of_room)
        after = (before[0] + len(missed), before[1] + sum(map(len, missed)))
        assert (outbox.losses.skipped_lines, outbox.losses.skipped_bytes) == after
        assert outbox.lag_bytes == 0

    @rule(room=st.integers(0, 1))
    def log_is_trimmed(self, room: int) -> None:
        where = self.rooms[room]
        where.trailing = {id: box for id, box in where.subscribers.items() if box.offset < where.log.head}
        where.trim(where.log.head)

    @invariant()
    def account_balances(self) -> None:
        account, queued = self.account, sum(outbox.queued_bytes for outbox in self.outboxes)
        waiting = account.owed + account.replayed - account.delivered - account.skipped - account.unsent
        assert waiting == queued

    @invariant()
    def offsets_are_where_the_model_is(self) -> None:
        for outbox, model in zip(self.outboxes, self.models, strict=True):
            waiting = model.room_lines()
            if outbox.log is not None:
                assert outbox.log.next_line - outbox.next_line - outbox.own_lines == len(waiting)
                assert outbox.owed_bytes == sum(map(len, waiting))
                assert (outbox.own_bytes > 0) == (outbox.own_lines > 0)
                assert not (self.self_echo and outbox.own_bytes)
            assert (outbox.partial.wire if outbox.partial else b"") == model.begun
            assert outbox.item_bytes == sum(len(item.data) for item in outbox.items)
            assert outbox.is_empty == (not model.begun and not model.due)

    @invariant()
    def lines_are_counted_when_their_last_byte_goes(self) -> None:
        for outbox, model in zip(self.outboxes, self.models, strict=True):
            assert outbox.lines_out == model.lines_out


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=90, stateful_step_count=40, deadline=None)


# The same by hand, where a name says more.


def say(room: Room, *contents: bytes) -> None:
    """A turn of the room."""
    for content in contents:
        room.append(content, SPEAKER)
    room.log.seal()


@pytest.mark.parametrize("encoding", get_args(Encoding))
def test_stream_is_the_same_however_the_kernel_cuts_it(encoding: Encoding) -> None:
    for step in range(1, 40):
        account = Account()
        outbox = an_outbox(1, account, encoding)
        room = a_room(outbox, account=account)
        expected, got = b"", b""
        for number, line in enumerate([b"first", b"", b"with \r in it", b"\xff\xff\xff", b"last"]):
            outbox.put(b"* %d\n" % number)
            room.append(line, SPEAKER)
            expected += encode(b"* %d\n%b\n" % (number, line), encoding)
            if number % 2:
                room.log.seal()
        room.log.seal()
        while more := take(outbox, step):
            got += more
        assert got == expected
        assert outbox.lines_out == 10
        assert (outbox.next_line, outbox.offset) == (room.log.next_line, room.log.head)
        assert account.delivered == account.owed == room.log.head


def test_outboxes_in_step_offer_the_same_bytes_object() -> None:
    outboxes = [an_outbox(number, encoding="crlf") for number in range(1, 4)]
    say(a_room(*outboxes), b"abc")
    assert len({id(outbox.segments()[0].wire) for outbox in outboxes}) == 1


def test_chunk_handed_out_whole_counts_like_any_other() -> None:
    account = Account()
    handed, taken = (an_outbox(number, account, "crlf") for number in (1, 2))
    room = a_room(handed, taken, account=account)
    say(room, b"abc", b"de")
    handed.took_chunk(Chunk.of_parts(room.log.chunks), len(b"abc\r\nde\r\n"))
    receive_all(taken)
    assert (handed.bytes_out, handed.lines_out, handed.offset, handed.next_line) == (9, 2, 7, 2)
    assert (taken.bytes_out, taken.lines_out, taken.offset, taken.next_line) == (9, 2, 7, 2)
    assert account.delivered == 2 * 7


@pytest.mark.promise("chat-answer")
def test_answer_stands_between_the_lines_around_its_command() -> None:
    outbox = an_outbox()
    room = a_room(outbox)
    room.append(b"before", SPEAKER)
    outbox.put(b"* answer\n")
    say(room, b"after")
    assert shown(outbox.items) == shown([Item(len(b"before\n"), b"* answer\n")])
    assert receive_all(outbox) == b"before\n* answer\nafter\n"


def test_fixed_encoding_holds_for_what_waits_and_not_for_more() -> None:
    outbox, got = an_outbox(), b""
    outbox.put(b"* welcome\nan old line\n")
    outbox.fix_encoding()
    outbox.speak("crlf")
    outbox.put(b"* answer\n")
    while more := take(outbox, 3):
        got += more
    assert got == b"* welcome\nan old line\n* answer\r\n"


def test_rest_of_a_room_that_was_left_comes_first_and_is_owed() -> None:
    account = Account()
    outbox = an_outbox(1, account)
    room, next_room = a_room(outbox, account=account), a_room(account=account, number=2)
    room.append(b"one", SPEAKER)
    outbox.put(b"* answer\n")
    say(room, b"two")
    take(outbox, 2)
    room.leave(outbox)
    assert shown(outbox.items) == shown([Item(-1, b"* answer\n"), Item(-1, b"two\n", owed=True)])
    outbox.put(b"* you are next door\n")
    next_room.join(outbox, [b"an old line\n"])
    assert receive_all(outbox) == b"e\n* answer\ntwo\n* you are next door\nan old line\n"
    assert account.delivered == len(b"one\ntwo\nan old line\n")


@pytest.mark.parametrize("farewell", [b"* bye\n", b"* one thing more\n* bye\n"])
def test_farewell_counts_as_sent_with_its_last_byte(farewell: bytes) -> None:
    account = Account()
    for taken in range(len(farewell) + 1):
        outbox = an_outbox(1, account)
        outbox.put(farewell, farewell=True)
        take(outbox, taken)
        assert outbox.farewell_sent is (taken == len(farewell))
        receive_all(outbox)
        assert outbox.farewell_sent
    assert account.delivered == 0


def test_closed_outbox_loses_what_it_had_and_what_comes() -> None:
    account = Account()
    outbox = an_outbox(1, account)
    room = a_room(outbox, account=account)
    say(room, b"abc")
    outbox.put(b"* answer\n")
    outbox.close()
    room.unsubscribe(outbox)
    say(room, b"not owed")
    account.owed += len(b"echo\n")
    outbox.put(b"echo\n", owed=True)
    outbox.put(b"* more\n")
    assert outbox.segments() == []
    assert account.owed == account.unsent == outbox.losses.unsent_bytes == len(b"abc\necho\n")
    assert outbox.losses.unsent_item_bytes == len(b"* answer\n* more\n")


@interpreted_only("a compiled function cannot be replaced by one that counts")
def test_leaving_costs_lines_and_answers_and_not_their_product(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, outbox, sender = 0, an_outbox(1), an_outbox(2)
    room = a_room(outbox, sender, self_echo=False)

    def look(*arguments: Any) -> Iterator[tuple[int, int, bool]]:
        nonlocal looks
        looks += 1
        return spans(*arguments)

    monkeypatch.setattr(logs, "spans", look)
    for _ in range(100):
        room.append(b"line", sender.id)
        room.log.seal()
        outbox.put(b"* answer\n")
    room.leave(outbox)
    assert b"".join(item.data for item in outbox.items) == b"line\n* answer\n" * 100
    assert 100 <= looks <= 200


# Skipped lines.


def test_skip_goes_on_at_the_head_and_is_told_first() -> None:
    account = Account()
    outbox = an_outbox(1, account)
    room = a_room(outbox, account=account)
    say(room, *[b"missed"] * 3)
    outbox.put(b"* an answer\n")
    outbox.skip()
    say(room, b"seen")
    assert receive_all(outbox) == b"* skipped 3 lines\n* an answer\nseen\n"
    assert (outbox.losses.skipped_lines, outbox.losses.skipped_bytes, account.skipped) == (3, 21, 21)
    assert account.owed == account.delivered + account.skipped
    assert outbox.item_bytes == 0


@pytest.mark.promise("skip-count")
def test_gap_behind_a_notice_that_waits_makes_its_number_larger() -> None:
    outbox = an_outbox()
    room = a_room(outbox)
    for _ in range(1000):
        say(room, b"missed")
        outbox.skip()
        outbox.segments()
    assert shown(outbox.items) == shown([Item(-1, b"* skipped 1000 lines\n", skipped=1000)])
    assert outbox.item_bytes == len(outbox.items[0].data)


@pytest.mark.promise("skip-count")
def test_gap_behind_whispers_that_wait_makes_its_number_larger() -> None:
    outbox = an_outbox()
    room = a_room(outbox)
    for _ in range(3):
        say(room, b"missed")
        outbox.skip()
        outbox.segments()
        outbox.put(b"<ann to you> psst\n", owed=True)
    assert wire(outbox) == b"* skipped 3 lines\n" + b"<ann to you> psst\n" * 3


def test_rest_of_a_left_room_comes_before_the_next_rooms_gap() -> None:
    outbox = an_outbox()
    left, room = a_room(outbox), a_room(number=2)
    outbox.put(b"* an answer\n")
    left.append(b"owed before", SPEAKER)
    left.leave(outbox)
    room.join(outbox)
    for count in (1, 2):
        say(room, b"missed")
        outbox.skip()
        assert wire(outbox) == b"* an answer\nowed before\n* skipped %d lines\n" % count


def test_lines_behind_a_gap_stay_behind_its_notice_at_leaving() -> None:
    outbox = an_outbox()
    room = a_room(outbox)
    say(room, b"missed")
    outbox.skip()
    room.append(b"seen", SPEAKER)
    room.leave(outbox)
    assert [item.data for item in outbox.items] == [b"* skipped 1 lines\n", b"seen\n"]


@pytest.mark.promise("self-echo-off")
def test_own_lines_are_passed_behind_a_partial_and_at_a_skip() -> None:
    account = Account()
    outbox = an_outbox(1, account)
    room = a_room(outbox, account=account, self_echo=False)
    outbox.put(b"* an answer\n")
    take(outbox, 2)
    for sender in (1, SPEAKER, 1):
        room.append(b"x" * 99, sender)
        room.log.seal()
    assert (outbox.lag_bytes, outbox.owed_bytes) == (300, 100)
    outbox.segments()
    assert (outbox.lag_bytes, outbox.owed_bytes) == (200, 100), "own lines are no lag"
    outbox.skip()
    assert (outbox.losses.skipped_lines, outbox.losses.skipped_bytes, account.skipped) == (1, 100, 100)
    assert receive_all(outbox) == b"an answer\n* skipped 1 lines\n"
