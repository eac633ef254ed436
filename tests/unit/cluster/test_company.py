"""The other hubs as one of them sees them: who beats, who is found dead, and who gets which answer."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from cluster.company import SETTLED_S, TWIN
from cluster.events import Owned
from cluster.fold import Origin
from cluster.names import SILENT, key_of
from cluster.presence import Answer, Question
from tests.unit.cluster.company import ANN, BOB, CY, ME, Hub, a_beat

TWIN_OF_ME = Origin("me", "2")


def told(hub: Hub, nick: str) -> list[str]:
    """What a client is told that claims this nick."""
    found = list[str]()
    hub.company.claim(nick, found.append, hub.now)
    return found


# Beats.


def test_hub_beats_each_second_and_only_while_it_is_linked() -> None:
    hub = Hub()
    hub.pass_s(3)
    assert hub.wire.beats == [] and hub.company.timeout(hub.now) == inf
    hub.link()
    hub.at(hub.now)
    assert len(hub.wire.beats) == 1 and hub.company.timeout(hub.now) == 1.0
    hub.pass_s(5.5)
    assert len(hub.wire.beats) == 6
    hub.company.unlinked()
    hub.pass_s(3)
    assert len(hub.wire.beats) == 6 and hub.company.timeout(hub.now) == inf


def test_hub_that_is_not_admitted_does_not_beat() -> None:
    hub = Hub()
    hub.company.is_admitted = False
    hub.link()
    hub.pass_s(3)
    assert hub.wire.beats == [] and hub.company.timeout(hub.now) == inf


def test_last_beat_is_sent_as_it_is() -> None:
    hub, last = Hub(), a_beat(is_leaving=True, clients=7)
    hub.company.leave(last)
    assert hub.wire.beats == [last]


@given(st.lists(st.floats(0, 2), max_size=40), st.sets(st.integers(0, 39)))
def test_time_without_a_beat_is_never_longer_than_a_second(steps: list[float], breaks: set[int]) -> None:
    """While linked: a loop that waits as long as it is told beats in time, and never waits in vain."""
    hub = Hub()
    hub.link()
    for number, late_s in enumerate(steps):
        if number in breaks:
            hub.company.unlinked()
            hub.pass_s(late_s)
            hub.link()
        before = len(hub.wire.beats)
        hub.now += hub.company.timeout(hub.now)
        hub.at(hub.now)
        assert len(hub.wire.beats) == before + 1
        assert 0 < hub.company.timeout(hub.now) <= 1.0


# Which hub is dead.


def test_nobody_is_called_dead_within_four_seconds_of_a_link() -> None:
    hub = Hub()
    hub.link()
    hub.hears(ANN, a_beat())
    hub.hears(BOB, a_beat())
    assert SETTLED_S == 4.0
    assert hub.pass_s(3.9, BOB) == []
    assert hub.pass_s(0.2, BOB) == ["ann"]
    hub.company.unlinked()
    assert hub.pass_s(60) == []
    hub.link()
    assert hub.pass_s(3.8) == []
    assert hub.pass_s(0.4) == ["bob"]
    assert hub.pass_s(10) == []


def test_hub_that_beats_again_after_a_break_is_not_called_dead() -> None:
    hub = Hub()
    hub.link()
    hub.hears(ANN, a_beat())
    hub.company.unlinked()
    hub.pass_s(60)
    hub.link()
    assert hub.pass_s(20, ANN) == []


def test_nick_of_a_hub_that_is_not_heard_yet_is_not_taken_over() -> None:
    hub = Hub()
    hub.link()
    hub.pass_s(3.5, BOB)
    early = told(hub, "zoe")
    hub.company.owned(Owned(key_of("zoe"), ANN, 5))
    assert early == ["the nick zoe is taken"]
    hub.pass_s(1, BOB)
    late, of_bob = told(hub, "zoe"), told(hub, "yan")
    hub.company.owned(Owned(key_of("zoe"), ANN, 5))
    hub.company.owned(Owned(key_of("yan"), BOB, 6))
    assert late == [] and of_bob == ["the nick yan is taken"]
    assert hub.wire.claims[-1] == (key_of("zoe"), 5)


def test_nobodys_nick_is_taken_over_while_there_is_no_link() -> None:
    hub = Hub()
    hub.link()
    hub.pass_s(5)
    found = told(hub, "zoe")
    hub.company.unlinked()
    hub.company.owned(Owned(key_of("zoe"), ANN, 5))
    assert found == ["the nick zoe is taken"]
    assert told(hub, "yan") == [SILENT]


def test_link_that_comes_up_asks_whose_the_nicks_are() -> None:
    hub = Hub()
    hub.link()
    found = told(hub, "zoe")
    hub.company.owned(Owned(key_of("zoe"), ME, 5))
    assert found == [""]
    hub.company.unlinked()
    hub.link()
    assert hub.wire.looked_up == [key_of("zoe")]
    assert hub.company.owned(Owned(key_of("zoe"), BOB, 9)) == "zoe"


# Questions.


def test_answer_goes_to_the_hub_that_asked() -> None:
    hub = Hub()
    hub.link()
    hub.hears(BOB, Question(7, "who", ["lobby"]))
    hub.hears(CY, Question(7, "rooms", []))
    assert hub.wire.answers == [(BOB, Answer(7, ["who", "lobby"])), (CY, Answer(7, ["rooms"]))]


def test_only_the_living_are_asked_and_heard() -> None:
    hub, ends = Hub(), list[object]()
    hub.link()
    hub.hears(ANN, a_beat())
    hub.hears(BOB, a_beat())
    hub.hears(BOB, a_beat(is_leaving=True))
    hub.company.ask("who", ["lobby"], lambda answers, silent: ends.append((answers, silent)), hub.now)
    question = hub.wire.asked[-1]
    assert (question.what, question.arguments) == ("who", ["lobby"])
    hub.hears(BOB, Answer(question.number, ["forged"]))
    assert ends == []
    hub.hears(ANN, Answer(question.number, ["2"]))
    assert ends == [([["2"]], [])]


def test_question_that_nobody_answers_ends_by_time() -> None:
    hub, ends = Hub(), list[object]()
    hub.link()
    hub.at(hub.now)
    hub.hears(ANN, a_beat())
    hub.company.ask("who", [], lambda answers, silent: ends.append((answers, silent)), hub.now)
    assert 0.29 < hub.company.timeout(hub.now) <= 0.3
    hub.at(hub.now + hub.company.timeout(hub.now) + 0.001)
    assert ends == [([], ["ann"])]


def test_without_a_link_nobody_is_asked_and_nobody_is_missing() -> None:
    hub, ends = Hub(), list[object]()
    hub.link()
    hub.hears(ANN, a_beat())
    asked = len(hub.wire.asked)
    hub.company.unlinked()
    hub.company.ask("who", [], lambda answers, silent: ends.append((answers, silent)), hub.now)
    assert ends == [([], [])] and len(hub.wire.asked) == asked


def test_open_question_ends_though_the_link_is_gone() -> None:
    hub, ends = Hub(), list[object]()
    hub.link()
    hub.hears(ANN, a_beat())
    hub.company.ask("who", [], lambda answers, silent: ends.append((answers, silent)), hub.now)
    hub.company.unlinked()
    assert hub.company.timeout(hub.now) < 1
    hub.pass_s(0.4)
    assert ends == [([], ["ann"])]


# Two of one name.


def test_hub_asks_at_each_link_whether_another_has_its_name() -> None:
    hub = Hub()
    hub.link()
    hub.company.unlinked()
    hub.link()
    assert [(question.what, question.arguments) for question in hub.wire.asked] == [(TWIN, [])] * 2


def test_hub_of_this_name_that_asks_is_shown_a_beat() -> None:
    hub = Hub()
    hub.link()
    hub.hears(TWIN_OF_ME, Question(0, TWIN, []))
    assert len(hub.wire.beats) == 1 and hub.wire.answers == []
    assert hub.company.peers.twin_at is None
    hub.hears(TWIN_OF_ME, a_beat())
    assert hub.company.peers.twin_at == hub.now


def test_hub_that_looks_for_its_twin_gets_no_answer_from_others() -> None:
    hub = Hub()
    hub.link()
    hub.hears(ANN, Question(0, TWIN, []))
    assert hub.wire.answers == [] and hub.wire.beats == []
