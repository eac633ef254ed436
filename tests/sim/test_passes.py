"""A pass of several turns: each subscriber gets all that there is when its turn comes, once a pass."""

from collections import Counter

import pytest

from hub.loop.limits import Budgets
from hub.net.listeners import SEND_BYTES
from tests.sim.counting import Turn
from tests.sim.stage import BROWSERS, LINES, Actor, Stage

SLICE = 50
"""So many sends are a turn here, so that a room of a few hundred takes several turns."""
ONE_SLICE = Budgets(rounds=1, sends=SLICE)
READERS = 4 * SLICE - 1


def line(number: int) -> bytes:
    return b"line %04d" % number + b"." * 50 + b"\n"


def talk(stage: Stage, talker: Actor, turns: int) -> list[Turn]:
    """A line in each turn, and all turns until everybody has them."""
    made = []
    for number in range(turns):
        talker.send(line(number))
        made.append(stage.turn())
    return made + stage.rest()


def sends(turns: list[Turn]) -> Counter[int]:
    """How many sends each client had."""
    return Counter(fd for turn in turns for name, fd, _ in turn.calls if name == "send")


@pytest.mark.promise("order-one-sequence")
def test_line_said_amid_a_pass_is_in_the_sends_that_follow() -> None:
    stage = Stage(budgets=ONE_SLICE)
    talker, *readers = stage.join(READERS + 1)
    for number in range(2):
        talker.send(line(number))
        stage.turn()
    assert [reader.got for reader in (readers[0], readers[SLICE])] == [line(0), line(0) + line(1)]
    stage.rest()
    assert {reader.got for reader in readers} == {line(0) + line(1)}
    assert stage.balances()


@pytest.mark.parametrize("listener", [LINES, BROWSERS], ids=["lines", "browsers"])
def test_subscriber_has_one_send_a_pass_however_many_turns(listener: int) -> None:
    stage = Stage(budgets=ONE_SLICE)
    [talker] = stage.join()
    readers = stage.join(READERS, listener=listener)
    turns = talk(stage, talker, turns=40)
    passes = 40 // 4 + 1
    assert max(sends(turns)[reader.tcp.fd] for reader in readers) <= passes
    assert len({reader.got for reader in readers}) == 1
    assert stage.balances()


def test_those_of_one_turn_share_the_bytes_of_their_sends() -> None:
    """Chunks in a row go out as one buffer, so next to no send has several."""
    stage = Stage(budgets=ONE_SLICE)
    talker, *readers = stage.join(READERS + 1)
    turns = talk(stage, talker, turns=40)
    assert sum(turn.count("parts") for turn in turns) <= len(turns)
    assert {reader.got for reader in readers} == {b"".join(map(line, range(40)))}
    assert stage.balances()


def test_send_of_a_pass_brings_no_more_than_a_kernel_takes() -> None:
    """A subscriber that comes late in a pass and early in the next could be owed what two passes bring."""
    stage = Stage(budgets=ONE_SLICE)
    talkers, readers = stage.join(8, out=1 << 20), stage.join(READERS - 8, out=1 << 20)
    talkers[0].send(line(0))  # So that passes begin with every fourth turn.
    turns = []
    for number in range(40):
        for talker in talkers if number % 8 in (2, 3, 4, 5) else ():
            talker.send(b"x" * 7_000 + line(number))
        turns.append(stage.turn())
    turns += stage.rest()
    sizes = [size for turn in turns for name, _, size in turn.calls if name == "send"]
    assert SEND_BYTES // 2 < max(sizes) <= SEND_BYTES
    assert len({reader.got for reader in readers}) == 1
    assert stage.balances()


@pytest.mark.promise("self-echo-off")
def test_senders_in_a_long_pass_get_all_but_their_own_lines() -> None:
    stage = Stage(budgets=ONE_SLICE, self_echo=False)
    everyone = stage.join(READERS)
    for number in range(60):
        for each in (everyone[number % 3], everyone[(7 * number) % READERS]):
            each.send(b"%d " % each.tcp.fd + line(number))
        stage.turn()
    stage.rest()
    said = Counter(part.partition(b" ")[0] for part in everyone[-1].got.splitlines())
    for each in everyone:
        heard = Counter(part.partition(b" ")[0] for part in each.got.splitlines())
        assert b"%d" % each.tcp.fd not in heard
        assert heard.total() + said[b"%d" % each.tcp.fd] == 120
    assert stage.balances()


@pytest.mark.promise("order-one-sequence")
def test_subscriber_that_comes_amid_a_pass_gets_what_follows() -> None:
    stage = Stage(budgets=ONE_SLICE)
    talker, *readers = stage.join(READERS + 1)
    talker.send(line(0))
    stage.turn()
    [late] = stage.arrive(1)
    stage.turn()
    talker.send(line(1))
    stage.rest()
    assert late.got == line(1)
    assert {reader.got for reader in readers} == {line(0) + line(1)}
    assert stage.balances()


def test_room_of_one_line_passes_keeps_few_chunks_for_one_behind() -> None:
    stage = Stage(patience_s=0.0)
    talker, _, behind = stage.join(3)
    behind.reads = False
    for number in range(3000):
        talker.send(line(number))
        stage.rest()
    log = stage.hub.rooms.lobby.log
    assert sum(len(chunk.lf) for chunk in log.chunks) > 100_000, "it is held back"
    assert len(log.chunks) < 25
    behind.reads = True
    stage.rest()
    assert behind.got == talker.got
    assert stage.balances()
