"""Another nick in a cluster: claimed, answered later, refused, lost; and free when nobody has it any more."""

import pytest

from cluster.names import CLAIM_S, SILENT, key_of
from tests.unit.cluster.company import ANN, ME
from tests.unit.cluster.scene import Scene

ZOE, YAN = key_of("zoe"), key_of("yan")


def test_nick_is_claimed_and_given_when_the_answer_comes() -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, "/nick Zoe")
    assert scene.broker.claims == [(ZOE, 0)] and scene.mode.nick(client) == "guest-me-1"
    assert scene.heard(client) == []
    scene.nick_is("zoe", ME)
    assert scene.heard(client) == ["* you are now Zoe"] and scene.mode.nick(client) == "Zoe"
    scene.say(client, "hello")
    scene.settle()
    assert scene.heard(client) == ["<Zoe> hello"]


def test_lines_behind_a_claim_wait_for_its_answer() -> None:
    scene = Scene()
    client, other = scene.join(), scene.join()
    scene.say(client, "before", "/nick zoe", "behind")
    scene.settle()
    assert client.inbox.waiting == 1 and scene.heard(other) == ["<guest-me-1> before"]
    scene.nick_is("zoe", ME)
    scene.say(client)
    scene.mode.lines(client)
    scene.settle()
    assert scene.heard(other) == ["<zoe> behind"]


def test_nick_that_is_refused_changes_nothing() -> None:
    scene = Scene(announce=9)
    client, other = scene.join("/who"), scene.join()
    scene.say(client, "/nick Zoe")
    scene.nick_is("zoe", ANN)
    assert scene.heard(client) == ["* the nick zoe is taken"]
    scene.settle()
    assert scene.mode.nick(client) == "guest-me-1" and scene.heard(other) == []
    assert scene.broker.releases == []


def test_nick_without_an_answer_is_refused_after_two_seconds() -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, "/nick zoe")
    scene.turn(CLAIM_S - 0.1)
    assert scene.heard(client) == []
    scene.turn(0.2)
    assert scene.heard(client) == [f"* {SILENT}"]
    scene.nick_is("zoe", ME, 7)
    assert scene.mode.nick(client) == "guest-me-1" and scene.broker.releases == [(ZOE, 7)]


def test_nick_without_a_link_is_refused_at_once() -> None:
    scene = Scene()
    client = scene.join()
    scene.broker.down()
    scene.turn()
    scene.say(client, "/nick zoe")
    assert scene.heard(client) == [f"* {SILENT}"]
    assert not scene.commons.holds_up(client.id, at_end=False)


def test_answer_after_the_client_has_left_releases_the_nick() -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, "/nick zoe")
    scene.leave(client)
    scene.nick_is("zoe", ME, 7)
    assert scene.broker.releases == [(ZOE, 7)]
    assert scene.mode.nick(client) == "" and not scene.commons.claiming
    scene.say(other := scene.join(), "/nick zoe")
    scene.nick_is("zoe", ME, 9)
    assert scene.mode.nick(other) == "zoe"


def test_refusal_after_the_client_has_left_releases_nothing() -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, "/nick zoe")
    scene.leave(client)
    scene.nick_is("zoe", ANN)
    assert scene.broker.releases == [] and client.outbox.is_empty


def test_nick_of_a_client_that_leaves_is_released() -> None:
    scene = Scene()
    client = scene.settled("zoe")
    scene.leave(client)
    assert scene.broker.releases == [(ZOE, 1)]


def test_nick_that_is_given_up_for_another_is_released() -> None:
    scene = Scene()
    client = scene.settled("zoe")
    scene.say(client, "/nick yan")
    assert scene.broker.releases == []
    scene.nick_is("yan", ME, 2)
    assert scene.broker.releases == [(ZOE, 1)] and scene.mode.nick(client) == "yan"
    scene.leave(client)
    assert scene.broker.releases == [(ZOE, 1), (YAN, 2)]


def test_nick_in_another_case_is_claimed_once() -> None:
    scene = Scene()
    client = scene.settled("zoe")
    scene.say(client, "/nick ZOE", "/nick ZOE")
    assert scene.heard(client) == ["* you are now ZOE", "* you are ZOE already"]
    assert len(scene.broker.claims) == 1 and scene.broker.releases == []
    scene.leave(client)
    assert scene.broker.releases == [(ZOE, 1)]


def test_two_clients_here_that_want_a_nick_ask_once() -> None:
    scene = Scene()
    first, second = scene.join(), scene.join()
    scene.say(first, "/nick zoe")
    scene.say(second, "/nick Zoe")
    assert scene.heard(second) == ["* the nick zoe is taken"] and len(scene.broker.claims) == 1
    scene.nick_is("zoe", ME)
    assert scene.mode.nick(first) == "zoe"


@pytest.mark.parametrize("nick", ["guest-me-1", "guest-ann-7", "guest-7", "hubbub", "no good"])
def test_nick_that_nobody_may_have_is_not_claimed(nick: str) -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, f"/nick {nick}")
    assert scene.broker.claims == [] and len(scene.heard(client)) == 1


def test_lost_nick_makes_a_guest_and_tells_it() -> None:
    scene = Scene()
    client, other = scene.settled("Zoe"), scene.join()
    scene.broker.down()
    scene.turn()
    scene.broker.up()
    scene.settle()
    assert set(scene.broker.looked_up) == {ZOE}
    scene.nick_is("zoe", ANN, 9)
    assert scene.heard(client)[-1:] == ["* Zoe is somebody else, on another hub: you are now guest-me-1"]
    assert scene.mode.nick(client) == "guest-me-1" and scene.broker.releases == []
    scene.say(client, "hello")
    scene.settle()
    assert scene.heard(other)[-1] == "<guest-me-1> hello"


def test_client_that_lost_its_nick_may_have_another() -> None:
    scene = Scene()
    client = scene.settled("zoe")
    scene.nick_is("zoe", ANN, 9)
    scene.say(client, "/nick yan")
    scene.nick_is("yan", ME, 10)
    assert scene.mode.nick(client) == "yan" and scene.broker.releases == []
    scene.leave(client)
    assert scene.broker.releases == [(YAN, 10)]


def test_lost_nick_of_nobody_here_changes_nothing() -> None:
    scene = Scene()
    client = scene.settled("zoe")
    scene.mode.lost_nick("yan")
    assert scene.mode.nick(client) == "zoe" and scene.heard(client) == []
