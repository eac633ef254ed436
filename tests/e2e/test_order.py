"""Order and delivery on a real hub process: one sequence for all who stay, while others are killed."""

import random
import time
from collections.abc import Sequence

import pytest

from tests.polled import AT_ONCE, WIRES, Crowd, Polled, PolledWs, assert_same_story, said
from tests.support import HubProcess, Record, closing, each_pair

SHORT = (b"", b"x", b"gr\xc3\xbc\xc3\x9f dich", b"\xf0\x9f\x98\x80")
WORDS = (*SHORT, b"y" * 119, b"z" * 130, b"w" * 400, b"v" * 2500)
"""What lines end in: on both sides of 126 bytes, where the header of a frame changes."""
EVERY_LATE, LATE_BUFFER_BYTES, LATE_BYTES = 5, 1 << 15, 250_000
"""Some read only when so much was said: more than all kernel buffers between two take."""


def hub_for(trigger: str, read: str, strategy: str = "deadline") -> HubProcess:
    """A hub in which the idle clocks run, and nobody is idle."""
    idle = ("--idle-strategy", strategy, "--idle-timeout", "30s", "--sweep-interval", "100ms")
    return HubProcess("--mode", "broadcast", "--trigger", trigger, "--read", read, *idle)


def people(hub: HubProcess, count: int) -> list[Polled]:
    """With LF, with CRLF and with a WebSocket, by turns; one in five has a small buffer."""
    made: list[Polled] = []
    for number in range(count):
        options = {"receive_buffer": 0 if number % EVERY_LATE else LATE_BUFFER_BYTES}
        if number % 2:
            made.append(PolledWs(hub, f"{number}", **options))
        else:
            made.append(Polled(hub, f"{number}", eol=(b"\n", b"\r\n")[number // 2 % 2], **options))
    return made


def assert_one_sequence(
    hub: HubProcess, *, clients: int, lines: int, killed: int, words: Sequence[bytes] = WORDS
) -> bytes:
    """Everybody talks, some are killed in the middle of a line, and everybody leaves; what they heard."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    chance = random.Random(seed)
    with Crowd() as crowd:
        everyone = crowd.join(hub, people(hub, clients))
        doomed = chance.sample(everyone, killed)
        stay = [client for client in everyone if client not in doomed]
        late, talking = [client for client in stay if int(client.name) % EVERY_LATE == 0], set(everyone)
        leader = next(client for client in stay if client not in late)
        crowd.forget(*late)
        moments = sorted(chance.randrange(clients * lines * 8 // 10) for _ in doomed)
        while speakers := [client for client in everyone if client in talking and len(client.said) < lines]:
            for client in chance.sample(speakers, min(len(speakers), 12)):
                for _ in range(chance.choice((1, 1, 2, 5))):
                    client.say(client.number(chance.choice(words)), at_once=chance.choice((1, 30, AT_ONCE)))
            while moments and moments[-1] < said(everyone):
                client = doomed[len(moments) - 1]
                moments.pop()
                talking.remove(client)
                crowd.forget(client)
                client.reset()
            crowd.turn()
            if len(leader.heard) > LATE_BYTES:
                crowd.attend(late)
                late = []
        crowd.attend(late)
        crowd.until(lambda: all(client.said[-1] + b"\n" in leader.heard for client in stay))
        leader.say(leader.number(b"the end"))
        crowd.until(lambda: all(client.heard.endswith(leader.said[-1] + b"\n") for client in stay))
        assert_same_story(stay, stay, cut=doomed)
        for client in stay:
            client.leave()
        crowd.until(lambda: all(client.ended == "fin" for client in stay))
        return bytes(leader.heard)


def assert_one_sequence_each(hub: HubProcess, runs: int, clients: int = 100, lines: int = 12) -> None:
    """So many rounds on one hub; the books balance, and each end has the reason that it must have."""
    killed, heard = clients // 10, set[bytes]()
    for run in range(1, runs + 1):
        words = WORDS if clients <= 100 else SHORT
        heard.add(assert_one_sequence(hub, clients=clients, lines=lines, killed=killed, words=words))
        assert hub.closed(run * clients) == {
            "peer_reset": run * killed,
            "peer_closed": run * (clients - killed),
        }
    assert len(heard) == runs
    assert hub.stop() == 0


@pytest.mark.promise("order-one-sequence")
@each_pair
def test_a_hundred_talk_ten_are_killed_and_all_hear_one_sequence(trigger: str, read: str) -> None:
    with hub_for(trigger, read) as hub:
        assert_one_sequence_each(hub, 1)


@pytest.mark.promise("order-one-sequence")
@pytest.mark.long
@pytest.mark.timeout(300)
@each_pair
@pytest.mark.parametrize("strategy", ["poll", "sweep", "deadline"])
def test_survivors_hear_one_sequence_under_every_setting(trigger: str, read: str, strategy: str) -> None:
    with hub_for(trigger, read, strategy) as hub:
        assert_one_sequence_each(hub, 3, lines=40)


@pytest.mark.promise("order-one-sequence")
@pytest.mark.long
@pytest.mark.timeout(400)
@each_pair
def test_two_thousand_clients_of_both_kinds_hear_one_sequence(trigger: str, read: str) -> None:
    with hub_for(trigger, read) as hub:
        assert_one_sequence_each(hub, 1, clients=2000, lines=2)


@pytest.mark.promise("order-no-hole")
@pytest.mark.long
@pytest.mark.timeout(200)
@each_pair
def test_who_comes_and_goes_hears_one_piece_of_the_story(
    trigger: str, read: str, record_property: Record
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with hub_for(trigger, read) as hub, Crowd() as crowd:
        speakers = crowd.join(hub, [Polled(hub, f"speaker{number}") for number in range(5)])
        here, left, killed = list[Polled](), list[Polled](), list[Polled]()
        end_s = time.monotonic() + 15.0
        while time.monotonic() < end_s:
            for visitor in here:
                if chance.randrange(10):
                    visitor.leave()
                    left.append(visitor)
                else:
                    crowd.forget(visitor)
                    visitor.reset()
                    killed.append(visitor)
            count = len(left) + len(killed)
            here = [
                WIRES[wire](hub, f"visitor{count}-{wire}-{number}") for number in range(25) for wire in WIRES
            ]
            crowd.attend(here)
            for visitor in here:
                visitor.say(visitor.number(b"here"))
            for _ in range(5):
                crowd.talk(speakers, 1)
                crowd.listen_for(0.02)
        for visitor in here:
            visitor.leave()
        left += here
        crowd.until(lambda: all(visitor.ended for visitor in left))
        crowd.talk(speakers[:1], 1)
        crowd.until(lambda: all(speaker.heard.endswith(speakers[0].said[-1] + b"\n") for speaker in speakers))
        story = b"\n" + bytes(speakers[0].heard)
        assert len(set(speakers[0].lines)) == speakers[0].count, "a line comes twice"
        assert {bytes(speaker.heard) for speaker in speakers} == {story[1:]}
        for visitor in left:
            assert b"\n" + visitor.heard in story and visitor.said[0] + b"\n" in visitor.heard, visitor.name
        for visitor in killed:
            assert b"\n" + visitor.heard in story, visitor.name
        accepted = len(left) + len(killed) + len(speakers)
        reasons = {"peer_closed": len(left), "peer_reset": len(killed)}
        assert hub.closed(accepted, len(speakers)) == reasons
        record_property("visitors", accepted)
        record_property("lines of the story", speakers[0].count)


@pytest.mark.promise("order-own-echo")
def test_each_of_a_hundred_echo_clients_gets_back_its_own_bytes() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    # Any byte but those that are no content: CR would be a line end, and 255 telnet.
    content = bytes(byte if byte not in b"\r\xff" else 10 for byte in range(256))
    told = [chance.randbytes(20 * 1024).translate(content) + b"\n" for _ in range(100)]
    with HubProcess("--mode", "echo") as hub, closing([hub.peer() for _ in told]) as peers:
        for peer, data in zip(peers, told, strict=True):
            peer.send(data)
        for peer, data in zip(peers, told, strict=True):
            assert peer.read(len(data)) == data
            peer.half_close()
        assert not any(peer.rest() for peer in peers)
