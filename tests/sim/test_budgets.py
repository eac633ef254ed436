"""Every budget of a turn, used up: how much one turn does at most, that the rest follows without a wait, and
that whoever else is there is served meanwhile. Operations are counted, so it is the same on every machine.
"""

import errno
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise, product
from math import inf

import pytest

from hub.config.values import Rate
from hub.loop.acceptor import PAUSE_S
from hub.loop.input_events import DENSE_READ_BYTES, DENSE_READ_MOST_BYTES
from hub.loop.limits import Budgets
from hub.loop.writer import SEGMENTS_A_SEND
from hub.rooms.segments import BATCH_SEGMENTS
from hub.session.mode import Intake
from tests.sim.counting import Turn, counted_lines
from tests.sim.stage import BROWSERS, LINES, MUCH, VIEWERS, Actor, Stage, each_pair
from tests.unit.protocol.support import masked, request, text
from tests.unit.support import SPEAKER

USUAL = Budgets()
COUNTED = Budgets(turn_s=inf, rounds=8)
"""With as much time as there is a turn makes all its rounds, so that its slices can be counted."""
KIB = 1024
USED_UP = {"commands", "rows", "lingering", "discard_bytes"}
"""The budgets that have a test: these in tests/loop, where they are small, the others here."""


def uses_up(*budgets: str) -> Callable[[Callable[..., None]], Callable[..., None]]:

    def note(test: Callable[..., None]) -> Callable[..., None]:
        USED_UP.update(budgets)
        return pytest.mark.promise("turn-budgets")(test)

    return note


@pytest.mark.promise("turn-budgets")
def test_every_budget_has_its_test() -> None:
    names = {field.name for kind in (Budgets, Intake) for field in fields(kind)}
    assert names == USED_UP


def counts(turns: list[Turn], call: str) -> list[int]:
    """How often each turn made this call, without those that made none."""
    return [count for turn in turns if (count := turn.count(call))]


# The door.


def remember(stage: Stage, count: int) -> None:
    """So many lines were said in the lobby, each in a turn of its own."""
    room = stage.hub.rooms.lobby
    for number in range(count):
        line = b"%013d" % number
        room.history.add([line], SPEAKER, room.log.head, stage.kernel.now, count, 256 * KIB)
        room.append(line, SPEAKER)
        room.log.seal()
    room.log.intake = 0


def most_shown(stage: Stage, newcomers: list[Actor]) -> int:
    """To how many of them the hub says its first words in one turn."""
    shown = [0]
    while shown[-1] < len(newcomers):
        stage.turn()
        shown.append(sum(each.got != b"" for each in newcomers))
    return max(after - before for before, after in pairwise(shown))


@uses_up("starts")
@pytest.mark.parametrize(("history", "most"), [(20, 8), (300, 3), (10_000, 1)])
def test_a_longer_history_is_shown_to_fewer_in_a_slice(history: int, most: int) -> None:
    """Where each line had a turn of its own, showing it is work for each line."""
    stage = Stage(mode="chat", history=history, announce=0, budgets=Budgets(rounds=1))
    remember(stage, history)
    newcomers = stage.arrive(most + 10)
    stage.rest()
    stage.kernel.now += 0.1
    assert most_shown(stage, newcomers) == most
    stage.rest()
    assert all(each.got.count(b"\n") == history + 3 for each in newcomers)
    assert stage.balances()


@uses_up("start_bytes", "history_line_bytes")
@pytest.mark.parametrize(("history", "most"), [(0, 64), (100, 37)])
@pytest.mark.parametrize(("listener", "first"), [(LINES, b"hi\n"), (BROWSERS, request())])
def test_one_turn_starts_64_newcomers_that_speak_first(
    listener: int, first: bytes, history: int, most: int
) -> None:
    """By its first line, or its handshake, a newcomer costs more of a turn than what it sent."""
    stage = Stage(mode="chat", announce=0, history=history)
    newcomers = stage.arrive(300, listener=listener)
    for newcomer in newcomers:
        newcomer.remote.outbox.clear()
        newcomer.tcp.input.clear()
    stage.turns(300 // USUAL.accepts + 1)
    for newcomer in newcomers:
        newcomer.send(first)
    turns = stage.rest()
    assert all(most * 7 // 8 < count <= most for count in counts(turns, "recv")[:2])
    assert all(b"help lists commands" in newcomer.got for newcomer in newcomers)
    assert stage.balances()


@uses_up("history_line_bytes")
@pytest.mark.parametrize(("lag", "said"), [(1 << 20, (b"y" * 99 + b"\n") * 50), (256 * KIB, b"")])
def test_starts_after_a_line_of_somebody_else_stay_in_budget(lag: int, said: bytes) -> None:
    """The newcomers are shown a history that is all that is allowed."""
    one = Budgets(rounds=1)
    stage = Stage(mode="chat", history=10_000, announce=0, max_lag_bytes=lag, budgets=one)
    [talker] = stage.join()
    remember(stage, 10_000)
    stage.hub.ready.rooms[stage.hub.rooms.lobby] = None
    stage.rest()
    newcomers = stage.arrive(4)
    stage.rest()
    for newcomer in newcomers:
        newcomer.send(said)
    talker.send(b"hello\n")
    assert most_shown(stage, newcomers) == 1
    stage.rest()
    assert stage.balances()


@uses_up("echo_bytes")
def test_echo_costs_more_of_a_turn_than_its_bytes() -> None:
    """A line goes back in the read step, and a send takes longer than a read."""
    stage, line = Stage(mode="echo"), b"hello\n"
    talkers = stage.join(1000)
    for _ in range(2):  # The first line tells that lines are spoken.
        for talker in talkers:
            talker.send(line)
        turns = stage.rest()
    assert counts(turns, "recv")[0] == 1 + USUAL.turn_bytes // (USUAL.echo_bytes + len(line))
    assert all(talker.got == 2 * line for talker in talkers)
    assert stage.balances()


@uses_up("sends")
def test_clients_with_many_segments_to_take_share_the_sends() -> None:
    """Many segments in one send cost as much as many sends."""
    stage = Stage(mode="echo", budgets=COUNTED)
    slow = stage.join(40, out=100, reads=False)
    for _ in range(300):
        for each in slow:
            each.send(b"x" * 99 + b"\n")
        stage.rest()
    for each in slow:
        each.tcp.widen()
    turns = stage.rest()
    parts = [sum(size for name, _, size in turn.calls if name == "parts") for turn in turns]
    assert max(parts) <= COUNTED.rounds * (SEGMENTS_A_SEND * USUAL.sends + 2 * BATCH_SEGMENTS)
    assert sum(parts) >= len(slow) * 290
    assert {each.got for each in slow} == {(b"x" * 99 + b"\n") * 300}
    assert stage.balances()


@uses_up("sends")
def test_room_while_others_catch_up_has_half_of_the_sends() -> None:
    stage = Stage(mode="chat", history=10_000, announce=0, budgets=COUNTED)
    talker, subscriber = stage.join(2)
    for each in (talker, subscriber):
        each.send(b"/join tea\n")
    stage.rest()
    remember(stage, 10_000)
    newcomers = stage.arrive(20)
    stage.rest()
    stage.kernel.now += 0.1
    lines = 0
    while not all(b"9999" in newcomer.got for newcomer in newcomers):
        talker.send(b"hi\n")
        stage.turn()
        lines += 1
        assert subscriber.got.count(b"> hi\n") >= lines - 1
    assert lines > 4
    assert stage.balances()


@uses_up("accepts")
@pytest.mark.parametrize("listener", [LINES, BROWSERS, VIEWERS])
def test_eight_rounds_let_in_64_at_a_listener(listener: int) -> None:
    stage = Stage(budgets=COUNTED)
    [talker] = stage.join()
    stage.arrive(150, listener=listener)
    talker.send(b"hi\n")
    turns = stage.rest()
    assert [turn.counted["accepted"] for turn in turns[:3]] == [64, 64, 150 - 128]
    assert turns[0].count("accept") == 64 == COUNTED.rounds * USUAL.accepts
    assert turns[0].counted["lines_in"] == 1
    assert b"hi\n" in talker.got
    assert stage.balances()


@uses_up("accepts")
def test_refusals_in_eight_rounds_are_64_of_each_call() -> None:
    stage = Stage(max_clients=1, budgets=COUNTED)
    [talker] = stage.join()
    stage.arrive(150)
    talker.send(b"hi\n")
    turns = stage.rest()
    assert counts(turns, "accept") == [64, 64, 150 - 128 + 1]
    assert counts(turns, "close") == [64, 64, 150 - 128]
    assert all(turn.count("send") <= 64 + 1 and turn.count("recv") <= 64 + 2 for turn in turns)
    assert turns[0].counted["lines_in"] == 1
    assert stage.hub.counters.closed["server_full"] == 150
    assert stage.balances()


@uses_up("accepts")
@pytest.mark.parametrize(("error", "calls"), [(errno.ECONNABORTED, 64), (errno.EMFILE, 128)])
def test_accepts_that_fail_use_up_the_budget_too(error: int, calls: int) -> None:
    """Without a descriptor each try is two calls, the second with the spare one."""
    stage = Stage(budgets=COUNTED)
    [talker] = stage.join()
    stage.arrive(300)
    if error == errno.EMFILE:
        stage.kernel.most_descriptors = len(stage.kernel.fds)
    else:
        stage.kernel.accept_errors += [error] * 200
    talker.send(b"hi\n")
    turns = [stage.turn()]
    assert turns[0].counted["lines_in"] == 1
    turns += stage.rest()
    if error == errno.ECONNABORTED:  # So many in a row shut the door for a moment.
        assert counts(turns, "accept") == [calls]
        turns += stage.pass_time(4 * PAUSE_S)
    assert counts(turns, "accept")[:2] == [calls, calls]
    assert not stage.sockets.listeners[LINES].waiting
    assert stage.balances()


# Reading.


def shares(turns: list[Turn], actors: list[Actor]) -> list[list[int]]:
    """How much each turn read of each."""
    return [[turn.by_fd("recv")[actor.tcp.fd] for actor in actors] for turn in turns]


@uses_up("read_bytes", "client_bytes")
@each_pair
def test_one_turn_reads_64_kib_of_one_client(trigger: str, read: str) -> None:
    stage = Stage(trigger=trigger, read=read, mode="echo")
    flooder, *others = stage.join(21, into=MUCH)
    stage.read_much()
    flooder.send(b"x" * 1023 + b"\n" * (1 + KIB * KIB - 1024))
    for other in others:
        other.send(b"hi\n")
    turns = stage.rest()
    shares = [turn.by_fd("recv")[flooder.tcp.fd] for turn in turns]
    assert shares[:16] == [USUAL.client_bytes] * 16
    assert sum(shares) == KIB * KIB
    assert all(turn.count("recv") <= 21 + 1 for turn in turns)
    assert {other.got for other in others} == {b"hi\n"}
    assert turns[0].counted["lines_in"] >= 20  # The others in the very first turn.


@uses_up("turn_bytes")
@each_pair
def test_one_turn_reads_one_mib_of_all_together(trigger: str, read: str) -> None:
    stage = Stage(trigger=trigger, read=read, mode="echo")
    actors = stage.join(40, into=MUCH)
    stage.read_much()
    line = b"x" * 1023 + b"\n"
    for actor in actors:
        actor.send(line * 64)
    turns = stage.rest()
    shares = [size for turn in turns if (size := turn.by_fd("recv").total())]
    assert shares == [USUAL.turn_bytes, USUAL.turn_bytes, 40 * 64 * KIB - 2 * USUAL.turn_bytes]
    assert all(len(+turn.by_fd("recv")) <= 16 for turn in turns)
    assert {actor.got for actor in actors} == {line * 64}


@pytest.mark.promise("turn-crowd")
@uses_up("look_bytes")
@pytest.mark.parametrize("said", [b"\n", b""], ids=["a line", "an end of stream"])
@each_pair
def test_one_turn_looks_at_1024_clients_however_little_they_said(
    trigger: str, read: str, said: bytes
) -> None:
    """A room that lets its senders go on marks all of them at once: 1,300 reads would be one turn."""
    stage = Stage(trigger=trigger, read=read, mode="echo")
    actors = stage.join(1300)
    for actor in actors:
        actor.send(said) if said else actor.half_close()
    for client in stage.hub.connections.clients.values():
        stage.hub.connections.look_again(client)
    turns = stage.rest()
    most = USUAL.turn_bytes // USUAL.look_bytes
    assert most == 1024
    assert max(turn.count("recv") for turn in turns) == most
    assert turns[0].count("recv") == most
    assert {actor.got for actor in actors} == {said}
    assert bool(stage.hub.connections.by_fd) == bool(said)


@uses_up("frame_bytes")
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_frames_in_one_turn_are_thousands_at_most(trigger: str) -> None:
    """A frame costs as 512 bytes do, so a client of empty pings has one read of 4 KiB a turn, of 682 frames.

    A client that sent large frames before has one of 16 KiB first. Those are the worst: 1024 clients with
    a frame each cost no more than any others.
    """
    stage = Stage(trigger=trigger, mode="echo")
    browsers = stage.join(6, listener=BROWSERS, into=MUCH)
    [talker] = stage.join()
    for browser in browsers:
        browser.send(text(b"x" * 8000) * 40)
    stage.rest()
    ping = masked(9)
    for browser in browsers:
        browser.send(ping * 4000)
    talker.send(b"hi\n")
    turns = stage.rest()
    assert max(turn.count("recv") for turn in turns) <= 6 + 1
    took = shares(turns, browsers)
    assert max(max(sizes) for sizes in took) == DENSE_READ_MOST_BYTES
    assert max(max(sizes) for sizes in took[7:]) == DENSE_READ_BYTES
    most = (USUAL.turn_bytes // USUAL.frame_bytes + 1) * len(ping) + DENSE_READ_MOST_BYTES
    assert max(map(sum, took)) <= most
    assert [sum(sizes) for sizes in zip(*took, strict=True)] == [4000 * len(ping)] * 6
    assert talker.got == b"hi\n"


@uses_up("telnet_bytes")
@each_pair
def test_telnet_commands_in_one_turn_are_thousands_at_most(trigger: str, read: str) -> None:
    stage = Stage(trigger=trigger, read=read, mode="echo")
    actors = stage.join(20, into=MUCH)
    for actor in actors:
        actor.send(b"\xff\xf1")  # From here on it is known for a telnet.
    stage.rest()
    for actor in actors:
        actor.send(b"\xff\xf1" * 10_000)
    took = shares(stage.rest(), actors)
    assert max(max(sizes) for sizes in took) <= DENSE_READ_MOST_BYTES
    assert max(map(sum, took)) <= 2 * USUAL.turn_bytes // USUAL.telnet_bytes + DENSE_READ_MOST_BYTES
    assert [sum(sizes) for sizes in zip(*took, strict=True)] == [20_000] * 20


@uses_up("client_lines", "line_bytes")
def test_chat_in_one_turn_takes_512_lines_of_one_2048_of_all() -> None:
    stage = Stage(mode="chat", announce=0)
    actors = stage.join(8, into=MUCH)
    for actor in actors:
        actor.send(b"\n" * 2000)
    clients = [stage.client(actor) for actor in actors]
    most, sums = 0, list[int]()
    while sum(sums) < 16_000:
        before = [client.inbox.waiting - client.inbox.lines_in for client in clients]
        stage.turn()
        after = [client.inbox.waiting - client.inbox.lines_in for client in clients]
        taken = [was - left for was, left in zip(before, after, strict=True)]
        most, sums = max(most, *taken), [*sums, sum(taken)]
    # 512 lines cost 256 KiB of the turn's MiB, so four clients are served in a turn.
    assert most == 512
    assert sums[:6] == [2048] * 6
    assert max(sums) < 2048 + 512  # The last client of a turn may begin with a byte of it left.
    assert len(sums) <= 9


@uses_up("client_lines")
def test_a_paste_in_chat_is_said_512_lines_a_turn() -> None:
    stage = Stage(mode="chat", max_lag_bytes=1 << 24)
    talker, subscriber = stage.join(2, into=MUCH)
    talker.send(b"".join(b"%d\n" % number for number in range(2000)))
    turns = stage.rest()
    assert [turn.counted["lines_out"] for turn in turns[:3]] == [2 * 512 + 2, 2 * 512, 2 * 512]
    lines = [line for line in subscriber.got.split(b"\n") if line.startswith(b"<")]
    assert lines == [b"<guest-1> %d" % number for number in range(2000)]


@uses_up("command_lines")
def test_one_turn_does_32_commands_of_one_client() -> None:
    stage = Stage(mode="chat")
    [asker] = stage.join(into=MUCH)
    asker.send(b"/who\n" * 100)
    said = []
    for _ in range(4):
        assert stage.turn().count("recv") <= 4
        said.append(asker.got.count(b"* in lobby"))
    assert said == [32, 64, 96, 100]


@uses_up("room_bytes")
@each_pair
def test_one_turn_brings_an_eighth_of_the_lag_into_one_room(trigger: str, read: str) -> None:
    stage = Stage(trigger=trigger, read=read, max_lag_bytes=64 * KIB)
    senders = stage.join(10, into=MUCH)
    [subscriber] = stage.join()
    stage.read_much()
    line = b"x" * 63 + b"\n"
    for sender in senders:
        sender.send(line * 60)  # No bulk: less than 4 KiB.
    turns = stage.rest()
    got = [turn.by_fd("send")[subscriber.tcp.fd] for turn in turns]
    assert got[:4] == [8 * KIB] * 4
    assert sum(got) == 10 * 60 * 64
    assert len(turns) <= 7


@pytest.mark.promise("limits-unread-answers")
@uses_up("outbox_bytes")
@each_pair
def test_client_with_a_full_outbox_is_read_no_further(trigger: str, read: str) -> None:
    stage = Stage(trigger=trigger, read=read, mode="echo")
    [deaf, other] = stage.join(2, into=MUCH)
    deaf.reads = False
    deaf.send((b"x" * 1023 + b"\n") * 2048)
    other.send(b"hi\n")
    stage.rest()
    client, kernel = stage.client(deaf), 64 * KIB
    assert 256 * KIB < client.outbox.item_bytes <= (256 + 64) * KIB
    assert client.inbox.bytes_in <= (256 + 64 + 64) * KIB + kernel
    assert other.got == b"hi\n"
    before = client.inbox.bytes_in
    deaf.takes(100 * KIB)
    stage.rest()
    assert client.inbox.bytes_in == before  # More than half is left.
    deaf.takes(100 * KIB)
    stage.rest()
    assert client.inbox.bytes_in > before
    assert stage.balances()


@pytest.mark.promise("rate-exact")
def test_turn_with_a_line_rate_takes_what_it_lets_through() -> None:
    stage = Stage(mode="echo", line_rate=Rate(10, "s", 20))
    for paster in stage.join(50, into=MUCH):
        paster.send(b"x\n" * 1000)
    turns = stage.rest()
    assert sum(turn.counted["lines_out"] for turn in turns) == 50 * 20
    assert len(turns) <= 4
    for _ in range(10):
        assert all(turn.counted["lines_out"] <= 50 for turn in stage.pass_time(0.1))


# Sending.


@uses_up("sends", "rounds")
def test_eight_rounds_send_512_and_look_at_the_clock_every_64() -> None:
    stage = Stage(budgets=COUNTED)
    actors = stage.join(1200)
    actors[0].send(b"hi\n")
    looks: list[int] = []
    clock, sockets = stage.clock, stage.sockets

    def watched() -> float:
        looks.append(sockets.turn.count("send"))
        return clock()

    stage.clock = watched
    turns = [stage.turn()]
    assert [sends for sends in looks if sends] == [64, 128, 192, 256, 320, 384, 448, 512]
    actors[1].send(b"ho\n")
    turns += stage.rest()
    assert max(counts(turns, "send")) == 512 == COUNTED.rounds * USUAL.sends
    assert counts(turns, "send")[:3] == [512] * 3
    assert len(turns) <= 6
    assert turns[1].counted["lines_in"] == 1  # Read while the first line was on its way to the others.
    assert {actor.got for actor in actors} == {b"hi\nho\n"}


@uses_up("sends")
def test_answers_and_rooms_share_the_sends_of_a_turn() -> None:
    stage = Stage(mode="chat", announce=0, budgets=COUNTED)
    actors = stage.join(600)
    for actor in actors[1:]:
        actor.send(b"/nosuch\n")
    actors[0].send(b"hi\n")
    assert max(counts(stage.rest(), "send")) <= COUNTED.rounds * USUAL.sends
    got = [actor.got.split(b"help lists commands\n")[1] for actor in actors[1:]]
    assert all(b"<guest-1> hi\n" in text and b"no such command" in text for text in got)


# The turn's own time.


@uses_up("turn_s")
def test_turn_begins_no_round_when_its_millisecond_is_over() -> None:
    """Each look at the clock finds 0.4 ms gone, so the third round is the last."""
    stage = Stage()
    actors = stage.join(1000)

    def slow() -> float:
        stage.kernel.now += 0.0004
        return stage.kernel.now

    stage.clock = slow
    actors[0].send(b"hi\n")
    turns = stage.rest()
    assert counts(turns, "send") == [3 * USUAL.sends] * 5 + [1000 - 15 * USUAL.sends]
    assert all(turn.wait_s == 0 for turn in turns[1:])
    assert {actor.got for actor in actors} == {b"hi\n"}


@uses_up("turn_s")
def test_every_step_has_a_slice_of_a_turn_without_time() -> None:
    """A crowd comes, another leaves, a third is idle and a fourth gets a line, all at once."""
    stage = Stage(mode="chat", announce=0, idle_timeout_s=60.0, budgets=Budgets(turn_s=0.0))
    idle = stage.join(100)
    stage.pass_time(59.0)
    readers, leavers = stage.join(300), stage.join(60)
    stage.pass_time(0.5)
    for leaver in leavers:
        leaver.half_close()
    stage.arrive(60)
    stage.kernel.now += 5.0
    readers[0].send(b"hi\n")
    for turn in stage.turns(5):
        assert turn.counted["accepted"] == USUAL.accepts
        assert turn.counted["closed"] == USUAL.closes
        assert turn.count("peek") == USUAL.expiries
        assert turn.count("send") >= USUAL.sends
    stage.rest()
    assert all(reader.got.endswith(b"> hi\n") for reader in readers)
    assert not any(stage.settled(reader) for reader in readers) and all(map(stage.settled, idle))


# Time's up.


@pytest.mark.promise("turn-crowd")
@uses_up("expiries", "closes")
@pytest.mark.parametrize("strategy", ["deadline", "sweep", "poll"])
def test_eight_rounds_end_64_of_those_whose_time_is_over(strategy: str) -> None:
    stage = Stage(
        idle_timeout_s=60.0, idle_strategy=strategy, sweep_interval_s=1.0, idle_counts="rx", budgets=COUNTED
    )
    stage.join(700)
    stage.kernel.now += 61.5
    if strategy != "poll":  # One busy client would keep all alive.
        [talker] = stage.arrive()
        talker.send(b"hi\n")
    turns = stage.rest()
    ended = [turn.counted["closed"] for turn in turns if turn.counted["closed"]]
    assert ended == [64] * 10 + [60]
    assert max(turn.count("peek") for turn in turns) == COUNTED.rounds * USUAL.expiries
    if strategy != "poll":
        assert talker.got.startswith(b"hi\n")
    assert {end["reason"] for end in stage.ends} <= {"idle"}
    assert stage.balances()


@pytest.mark.promise("turn-crowd")
@uses_up("closes")
@pytest.mark.parametrize("lingers", [False, True])
@each_pair
def test_crowd_that_leaves_is_closed_64_in_eight_rounds(trigger: str, read: str, lingers: bool) -> None:
    budgets = replace(COUNTED, lingering=1000)
    stage = Stage(trigger=trigger, read=read, mode="chat", announce=0, budgets=budgets)
    crowd = stage.join(700)
    [talker] = stage.join()
    if lingers:
        for actor in crowd:
            actor.send(b"/quit\n")
        stage.rest()
        assert len(stage.hub.connections.closing) == 700
    for actor in crowd:
        actor.half_close()
    talker.send(b"hi\n")
    turns = stage.rest()
    assert counts(turns, "close") == [64] * 10 + [60]
    settled = [turn.counted["closed"] for turn in turns if turn.counted["closed"]]
    assert settled == ([] if lingers else [64] * 10 + [60])
    assert b"<guest-701> hi\n" in talker.got
    assert len(stage.hub.connections.by_fd) == 1
    assert stage.balances()


# The shape of the work: lines + clients, never lines x clients.

LINES_SAID, HEARERS = (1, 120), (10, 60, 240)


def work_of(lines: int, subscribers: int, mode: str, listener: int, crlf: bool) -> int:
    """Lines of the hub's source that run from the arrival of so many lines until all have them."""
    stage = Stage(mode=mode, announce=0, history=0)
    stage.join(subscribers, listener=listener)
    [talker] = stage.join()
    if crlf:
        for actor in stage.actors:
            actor.send(b"\r\n")
        stage.rest()
    before = stage.hub.counters.lines_out
    talker.send(b"x\n" * lines)
    with counted_lines() as ran:
        stage.rest()
    assert stage.hub.counters.lines_out - before == lines * (subscribers + 1)
    return int(ran["lines"])


@pytest.mark.promise("turn-work")
@pytest.mark.parametrize(
    ("mode", "listener", "crlf"),
    [("broadcast", LINES, False), ("broadcast", LINES, True), ("broadcast", BROWSERS, False),
     ("chat", LINES, False), ("chat", BROWSERS, False)],
)  # fmt: skip
def test_work_is_lines_plus_clients_and_never_their_product(
    mode: str, listener: int, crlf: bool, record_property: Callable[[str, object], None]
) -> None:
    """Source lines that run, counted: what k lines to n subscribers cost is what k lines to few cost, and the
    same for one line to n, added up. The remainder would be a product, and there is none.
    """
    work = {(k, n): work_of(k, n, mode, listener, crlf) for k, n in product(LINES_SAID, HEARERS)}
    few_lines, few_subscribers = LINES_SAID[0], HEARERS[0]
    for k, n in work:
        apart = work[k, few_subscribers] + work[few_lines, n] - work[few_lines, few_subscribers]
        assert work[k, n] <= apart, (k, n)
    whole = work[LINES_SAID[-1], HEARERS[-1]]
    record_property(f"source lines run for 120 lines to 240 subscribers ({mode})", str(whole))
    assert whole < 120 * 240  # A product would run a source line for each pair at least.


@pytest.mark.promise("turn-work")
def test_subscribers_that_catch_up_singly_cost_each_their_own() -> None:
    """Nobody looks through all who are behind each time that one of them has caught up."""
    looked = []
    for count in (50, 200):
        stage = Stage(max_lag_bytes=64 * KIB)
        slow = stage.join(count, out=64)
        stage.join(count + 10)
        [talker] = stage.join()
        for actor in slow:
            actor.reads = False
        for _ in range(6):  # So few chunks that all catch up in one turn.
            talker.send((b"x" * 63 + b"\n") * 100)
            stage.rest()
        assert len(stage.hub.flow.records[stage.hub.rooms.lobby].lagging) == count
        for actor in slow:
            actor.tcp.widen()
        with counted_lines("/flow_control.py") as ran:
            stage.rest()
        assert not stage.hub.flow.records
        looked.append(ran["lines"] / count)
    assert looked[1] <= looked[0] + 1, looked
