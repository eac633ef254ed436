"""Clients that wait for the cluster: behind a claim of a nick, and what comes to those that have gone."""

import pytest

from hub.close_reasons import CloseReason
from hub.session.read_gate import COMMONS
from tests.loop.later import Later, a_later_hub
from tests.loop.support import SteppedHub, take_all
from tests.support import Peer, closing

MANY = 140
"""More than one turn looks at."""


def lines(peer: Peer) -> list[str]:
    """What has come to this peer since it was last asked, without the greeting."""
    return [line for line in take_all(peer).decode().splitlines() if "welcome" not in line]


def claims(hub: SteppedHub, peer: Peer, *behind: str) -> int:
    """The peer claims a nick of its own, with these lines behind it in the same packet; its id."""
    client = hub.client(peer)
    hub.say(peer, "".join(f"{line}\n" for line in (f"/nick n{client.id}", *behind)).encode())
    return client.id


def test_lines_behind_nick_wait_for_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, later = a_later_hub(monkeypatch)
    with hub, closing(hub.join(2)) as (ann, bob):
        id = claims(hub, ann, "hello")
        hub.deliver(ann, b"again\n")
        hub.turns(5)
        assert lines(bob) == [] and hub.client(ann).gate.has(COMMONS)
        later.settle(id)
        hub.turns(5)
        hub.settle()
        assert lines(bob) == [f"<n{id}> hello", f"<n{id}> again"]
        assert not hub.client(ann).gate.reasons


def test_lines_behind_a_refused_nick_are_said_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, later = a_later_hub(monkeypatch)
    with hub, closing(hub.join(2)) as (ann, bob):
        later.settle(claims(hub, ann, "hello"), "the nick is taken")
        hub.turns(5)
        hub.settle()
        assert lines(bob) == ["<guest-me-1> hello"]
        assert lines(ann) == ["* the nick is taken", "<guest-me-1> hello"]


def test_waiting_client_costs_no_turn_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, _ = a_later_hub(monkeypatch)
    with hub, closing(hub.join(2)) as (ann, bob):
        claims(hub, ann, "hello")
        assert hub.hub.flow.timeout(hub.now_s) > 0 and not hub.hub.ready.readable
        hub.say(bob, b"here\n")
        assert lines(bob) == ["<guest-me-2> here"]


def test_client_with_an_answer_is_read_though_another_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other has said nothing behind its claim, so nothing of it waits."""
    hub, later = a_later_hub(monkeypatch)
    with hub, closing(hub.join(2)) as (ann, bob):
        claims(hub, ann)
        id = claims(hub, bob, "hello")
        later.settle(id)
        hub.turns(5)
        assert f"<n{id}> hello" in lines(ann)


def test_client_with_an_answer_is_read_among_many_without(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, later = a_later_hub(monkeypatch)
    with hub, closing(hub.join(MANY)) as people:
        ids = [claims(hub, peer, "hello") for peer in people]
        assert hub.hub.flow.timeout(hub.now_s) > 0, "nobody can go on"
        later.settle(ids[-1])
        hub.turns(3)
        assert f"<n{ids[-1]}> hello" in lines(people[0])
        assert hub.hub.flow.timeout(hub.now_s) > 0


def test_answer_to_a_client_that_has_left_releases_the_nick(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, later = a_later_hub(monkeypatch)
    with hub, closing(hub.join(2)) as (ann, bob):
        id = claims(hub, ann, "never said")
        hub.hub.ready.end(hub.client(ann), CloseReason.IDLE)
        hub.turns(3)
        assert later.releases == [f"guest-me-{id}"]
        later.settle(id)
        hub.turns(3)
        assert later.releases == [f"guest-me-{id}", f"n{id}"]
        hub.say(bob, b"/who\n")
        assert hub.open_clients() == 1 and len(later.asked) == 1


def test_reset_of_a_client_that_waits_is_seen_at_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, later = a_later_hub(monkeypatch)
    with hub, closing(hub.join(2)) as (ann, _):
        id = claims(hub, ann, "hello")
        ann.reset()
        hub.turns(5)
        later.settle(id)
        hub.turns_until(hub.endings)
        assert hub.ending()["reason"] == "peer_reset" and later.releases[-1] == f"n{id}"


def test_line_behind_a_claim_is_said_though_its_sender_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, later = a_later_hub(monkeypatch)
    with hub, closing(hub.join(2)) as (ann, bob):
        client = hub.deliver(ann, b"/nick zoe\nhello\n", fin=True)
        hub.turns(5)
        assert lines(bob) == []
        later.settle(client.id)
        hub.turns(5)
        assert lines(bob) == ["<zoe> hello"]
        assert hub.endings()


@pytest.mark.parametrize("is_over", [False, True])
def test_answer_behind_the_farewell_is_not_sent(is_over: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client asked and quit: it lingers, or is closed, when the other hubs have answered."""
    hub, later = a_later_hub(monkeypatch)
    with hub, closing(hub.join(1)) as (ann,):
        client = hub.deliver(ann, b"/who\n/quit\n")
        hub.turns(5)
        assert client.phase == "lingering" and len(later.asked) == 1
        if is_over:
            ann.half_close()
            hub.turns_until(lambda: client.phase == "closed")
        answer(later)
        hub.turns(3)
        assert client.phase == ("closed" if is_over else "lingering"), "it is not cut short"
        assert lines(ann)[-1:] == ["* bye reason=quit - goodbye"]


def test_answer_that_comes_while_a_client_lingers_is_no_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, later = a_later_hub(monkeypatch)
    with hub, closing(hub.join(1)) as (ann,):
        client = hub.deliver(ann, b"/who\n/quit\n")
        hub.turns(5)
        answer(later)
        ann.send(b"more that nobody reads\n")
        hub.turns(3)
        assert client.phase == "lingering"
        ann.half_close()
        hub.turns_until(lambda: client.phase == "closed")
        assert hub.ending()["reason"] == "quit"


def test_lost_nick_makes_a_guest_and_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, later = a_later_hub(monkeypatch)
    with hub, closing(hub.join(2)) as (ann, bob):
        id = claims(hub, ann)
        later.settle(id)
        hub.hub.mode.lost_nick(f"n{id}")
        hub.say(ann, b"hello\n")
        told = f"* n{id} is somebody else, on another hub: you are now guest-me-{id}"
        assert lines(ann) == [f"* you are now n{id}", told, f"<guest-me-{id}> hello"]
        assert lines(bob) == [f"<guest-me-{id}> hello"]


def answer(later: Later) -> None:
    """The other hubs answer what was asked."""
    later.asked.pop()([["1", "zoe"]], [])
