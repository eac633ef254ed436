"""The loop on real sockets: what a turn promises, in every trigger and read pair."""

from __future__ import annotations

import pytest

from tests.support import PAIRS, ThreadHub, closing, until


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_everyone_in_a_broadcast_hears_the_same_lines_in_the_same_order(trigger: str, read: str) -> None:
    with ThreadHub(trigger=trigger, read=read) as hub, closing(hub.peers(5)) as peers:
        for round_ in range(20):
            for number, peer in enumerate(peers):
                peer.send(f"{round_} from {number}\n".encode() * 3)
        size = sum(len(f"{r} from {n}\n") * 3 for r in range(20) for n in range(5))
        heard = {peer.read(size) for peer in peers}
        assert len(heard) == 1
        assert sorted(heard.pop().splitlines()) == sorted(
            f"{r} from {n}".encode() for r in range(20) for n in range(5) for _ in range(3)
        )


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_an_answer_stands_between_the_two_lines_around_its_command(trigger: str, read: str) -> None:
    with ThreadHub(mode="chat", trigger=trigger, read=read) as hub, hub.peer() as ann:
        ann.read_until(b"joined\n")
        ann.send(b"one\n/who\ntwo\n")
        assert ann.read_until(b"two\n") == b"<guest-1> one\n* in lobby (1): guest-1\n<guest-1> two\n"


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_a_client_that_half_closes_gets_everything_up_to_its_own_last_line(trigger: str, read: str) -> None:
    with ThreadHub(trigger=trigger, read=read) as hub, hub.peer() as peer:
        lines = b"".join(b"line %d\n" % number for number in range(10_000))
        peer.send(lines + b"unfinished")
        peer.half_close()
        assert peer.rest() == lines + b"unfinished\n"
        assert hub.ending()["reason"] == "peer_closed"


def test_an_idle_loop_wakes_at_most_twice_a_second() -> None:
    with ThreadHub(mode="chat") as hub, closing(hub.peers(50)):
        hub_ = hub.loop.hub
        until(lambda: not hub_.marks.rooms)
        before, published = hub_.counters.turns, len(hub.summaries)
        until(lambda: len(hub.summaries) >= published + 3)
        assert hub_.counters.turns - before <= 6


def test_history_never_shows_a_line_twice_to_one_who_comes_back() -> None:
    with ThreadHub(mode="chat", announce=0) as hub, hub.peer() as ann:
        ann.send(b"one\n/join den\n")
        ann.read_until(b"now in den, with nobody else\n")
        with hub.peer() as bob:
            bob.send(b"two\n")
            bob.read_until(b"two\n")
        ann.send(b"/leave\nthree\n")
        heard = ann.read_until(b"three\n")
        assert b"<guest-1> one" not in heard
        assert heard.index(b"<guest-2> two") < heard.index(b"<guest-1> three")
