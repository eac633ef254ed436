"""Names across hubs: a nick that two hubs race for has one owner, and no hub has another's name."""

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.scene import hubs_of
from tests.cluster.support import a_broker
from tests.support import HUBBUB, PATIENCE_S, Peer


def answer(peer: Peer) -> bool:
    """Whether the nick that this client asked for is its own now."""
    while True:
        line = peer.line()
        if line.startswith((b"* you are now ", b"* the nick ")):
            return line.startswith(b"* you are now ")


def race(folder: Path, rounds: int) -> list[int]:
    """Two clients on two hubs ask for the same nick at the same time; how many have it, round by round."""
    owners = list[int]()
    with ExitStack() as stack:
        broker = stack.enter_context(a_broker(folder))
        flags = ("--line-rate", "0", "--announce", "0")
        hubs = stack.enter_context(hubs_of(folder, [broker.url] * 2, "chat", *flags))
        ann, bob = [stack.enter_context(hub.peer()) for hub in hubs]
        for number in range(rounds):
            for peer in (ann, bob) if number % 2 else (bob, ann):
                peer.send(b"/nick zoe-%d\n" % number)
            owners.append(answer(ann) + answer(bob))
    return owners


def test_nick_that_two_hubs_race_for_has_one_owner(tmp_path: Path) -> None:
    assert race(tmp_path, 60) == [1] * 60


@pytest.mark.long
def test_nick_that_is_raced_a_thousand_times_has_one_owner(tmp_path: Path) -> None:
    assert race(tmp_path, 1000) == [1] * 1000


def test_second_hub_of_a_name_refuses_to_start(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker, hubs_of(tmp_path, [broker.url], "chat") as (a,):
        flags = ("--port", "0", "--no-web", "--no-ws", "--cluster", broker.url, "--hub-name", a.name)
        second = subprocess.run(
            [*HUBBUB, "serve", *flags], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert second.returncode == 69
        assert "hubbub: --hub-name: 'a': a name that no other hub of the cluster has\n" in second.stderr
        with a.peer() as peer:
            peer.read_until(b"* welcome")
