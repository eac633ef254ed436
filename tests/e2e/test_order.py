"""Order and delivery on a real hub process while clients are killed: one sequence for all who stay."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.e2e.chat_clients import Plan, play
from tests.e2e.churn_clients import Traffic
from tests.support import PAIRS, HubProcess, closing, until

pairs = pytest.mark.parametrize(("trigger", "read"), PAIRS)
strategies = pytest.mark.parametrize("strategy", ["poll", "sweep", "deadline"])
RUNS = 14
"""Of each pair and each strategy, 126 in all."""

Record = Callable[[str, object], None]


def hub_for(trigger: str, read: str, strategy: str) -> HubProcess:
    """A hub in which the idle clocks run, and nobody is idle."""
    idle = ("--idle-strategy", strategy, "--idle-timeout", "30s", "--sweep-interval", "100ms")
    return HubProcess("--mode", "broadcast", "--trigger", trigger, "--read", read, *idle)


def assert_books(hub: HubProcess, closed: dict[str, int]) -> None:
    """All are gone, each with the reason that it must have, and the lines are accounted for to the byte."""
    accepted = sum(closed.values())
    summary = until(lambda: (s := hub.get("/api/summary"))["clients"]["accepted"] == accepted
                    and s["clients"]["open"] == s["lingering"] == 0 and s)  # fmt: skip
    assert {reason: count for reason, count in summary["closed"].items() if count} == closed
    account = summary["account"]
    left = account["owed"] + account["replayed"]
    assert left == account["delivered"] + account["skipped"] + account["unsent"], account


def assert_survivors_hear_one_sequence(
    trigger: str, read: str, strategy: str, runs: int, record: Record
) -> None:
    """So many rounds on one hub, each with a seed of its own."""
    hashes = set()
    with hub_for(trigger, read, strategy) as hub:
        cpu_s, started_s = hub.cpu_s(), time.monotonic()
        for run in range(1, runs + 1):
            plan = Plan(random.randrange(1 << 32))
            print(f"{trigger} {read} {strategy}, run {run} of {runs}: {plan}", flush=True)
            hashes.add(play(hub.port, hub.ws_port, plan))
            resets = run * plan.killed
            assert_books(hub, {"peer_reset": resets, "peer_closed": run * plan.clients - resets})
        record("rounds in a row", len(hashes))
        record("seconds for each round", f"{(time.monotonic() - started_s) / runs:.1f} s")
        record("of these the hub's processor", f"{(hub.cpu_s() - cpu_s) / runs:.2f} s")
        assert len(hashes) == runs
        assert hub.stop() == 0


@pytest.mark.promise("order-one-sequence")
def test_a_hundred_talk_ten_are_killed_and_all_hear_one_sequence(record_property: Record) -> None:
    assert_survivors_hear_one_sequence(*random.choice(PAIRS), "deadline", 1, record_property)


@pytest.mark.promise("order-one-sequence")
@pytest.mark.long
@pytest.mark.timeout(300)
@pairs
@strategies
def test_survivors_hear_one_sequence_under_every_setting(
    trigger: str, read: str, strategy: str, record_property: Record
) -> None:
    assert_survivors_hear_one_sequence(trigger, read, strategy, RUNS, record_property)


@pytest.mark.promise("order-no-hole")
@pytest.mark.long
@pytest.mark.timeout(200)
@pairs
def test_who_comes_and_goes_hears_one_piece_of_the_story(
    trigger: str, read: str, record_property: Record
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    with hub_for(trigger, read, "deadline") as hub, Traffic(hub.port, hub.ws_port, seed) as traffic:
        traffic.run(30.0)
        lines = traffic.check()
        record_property("visitors", len(traffic.visitors))
        record_property("lines of the story", lines)
        for speaker in traffic.speakers:
            speaker.sock.close()
        ended = len(traffic.visitors) - traffic.resets
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 0)
        closed = hub.get("/api/summary")["closed"]
        assert closed["peer_closed"] + closed["peer_reset"] == sum(closed.values())
        # A speaker but the first leaves with lines unread, which its kernel makes a reset of.
        assert traffic.resets <= closed["peer_reset"] <= traffic.resets + len(traffic.speakers)
        assert ended <= closed["peer_closed"]


@pytest.mark.promise("order-own-echo")
def test_300_echo_clients_get_back_their_own_bytes_only(
    record_property: Record,
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    # Any byte but those that are no content: CR would be a line end, and 255 telnet.
    content = bytes(byte if byte not in b"\r\xff" else 10 for byte in range(256))
    said = [chance.randbytes(20 * 1024).translate(content) + b"\n" for _ in range(300)]
    with HubProcess("--mode", "echo") as hub, closing([hub.peer() for _ in said]) as peers:
        started_s = time.monotonic()
        for peer, data in zip(peers, said, strict=True):
            peer.send(data)
        for peer, data in zip(peers, said, strict=True):
            assert peer.read(len(data)) == data
            peer.half_close()
        assert not any(peer.rest() for peer in peers)
        took_s = time.monotonic() - started_s
        record_property("seconds for six megabytes", f"{took_s:.1f} s")
