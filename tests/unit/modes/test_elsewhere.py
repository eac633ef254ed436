"""Questions between hubs: what people hear of the others, and what the others may ask and answer."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.questions import ANSWER_S
from hub.modes.elsewhere import NAMES_SHOWN, NOT_READING, ROOMS_SHOWN, TAKEN, asked
from hub.session.client import Client
from tests.unit.cluster.company import ANN, BOB
from tests.unit.cluster.scene import Scene
from tests.unit.modes.test_chat import Talk

WORDS = st.text(max_size=40) | st.sampled_from(
    ["ann", "guest-1", "lobby", "tea", "guest-", "guest-99999", ""]
)


def a_scene() -> tuple[Scene, Client]:
    """Two other hubs, and a client here."""
    scene = Scene()
    scene.beat(ANN)
    scene.beat(BOB)
    return scene, scene.join()


def told(typed: str, *answers: list[str]) -> list[str]:
    """What a client is told that types this; two hubs answer, or as many as there are answers for."""
    scene, client = a_scene()
    scene.say(client, typed)
    for origin, values in zip((ANN, BOB), answers, strict=False):
        scene.answer(origin, *values)
    scene.turn(ANSWER_S)
    return scene.heard(client)


# What is asked.


@pytest.mark.parametrize(
    ("typed", "what", "arguments"),
    [
        ("/who", "who", ["lobby"]),
        ("/rooms", "rooms", []),
        ("/whois zoe", "whois", ["zoe"]),
        ("/msg zoe two  words", "msg", ["guest-me-1", "zoe", "two  words"]),
    ],
)
def test_other_hubs_are_asked_what_a_client_wants(typed: str, what: str, arguments: list[str]) -> None:
    scene, client = a_scene()
    scene.say(client, typed)
    assert (scene.broker.asked[-1].what, scene.broker.asked[-1].arguments) == (what, arguments)
    assert scene.heard(client) == [], "the answer waits for the others"


@pytest.mark.parametrize("typed", ["/whois guest-me-2", "/msg guest-me-2 hello"])
def test_nobody_else_is_asked_of_somebody_here(typed: str) -> None:
    scene, client = a_scene()
    scene.join()
    before = len(scene.broker.asked)
    scene.say(client, typed)
    assert len(scene.broker.asked) == before and len(scene.heard(client)) == 1


# What is told.


def test_who_lists_people_of_all_hubs() -> None:
    assert told("/who", ["2", "zoe", "bea"], ["1", "guest-bob-3"]) == [
        "* in lobby (4): bea, guest-bob-3, guest-me-1, zoe"
    ]


@pytest.mark.parametrize(
    ("answers", "rest"),
    [
        ([], "; no answer from hub ann, hub bob"),
        ([["1", "zoe"]], "; no answer from hub bob"),
        ([["1", "zoe"], []], ""),
    ],
)
def test_hubs_that_gave_no_answer_are_named(answers: list[list[str]], rest: str) -> None:
    (line,) = told("/who", *answers)
    assert re.fullmatch(r"\* in lobby \(\d\): guest-me-1(, zoe)?" + re.escape(rest), line)


def test_who_of_many_on_other_hubs_names_a_hundred() -> None:
    people = [f"p{number:03}" for number in range(400)]
    (line,) = told("/who", ["700", *people], ["50", *people])
    assert line.startswith("* in lobby (751): guest-me-1, p000, ")
    assert line.count(",") == NAMES_SHOWN - 1 and line.endswith(" and 651 more")


def test_rooms_of_all_hubs_are_added_up() -> None:
    assert told("/rooms", ["Tea", "3", "lobby", "9"], ["TEA", "4", "den", "2"]) == [
        "* rooms (3): lobby 10, Tea 7, den 2"
    ]


def test_rooms_of_many_on_other_hubs_are_the_fifty_largest() -> None:
    rooms = [text for number in range(200) for text in (f"r{number:03}", str(number))]
    (line,) = told("/rooms", rooms, rooms)
    assert line.startswith("* rooms (201): r199 398, r198 396, ")
    assert line.count(",") == ROOMS_SHOWN - 1 and line.endswith(" and 151 more")


def test_whois_of_somebody_elsewhere_is_what_that_hub_says() -> None:
    scene, client = a_scene()
    scene.say(client, "/whois zoe")
    scene.answer(BOB)
    scene.answer(ANN, "zoe is in tea of hub ann, by line; here for 3 s")
    assert scene.heard(client) == ["* zoe is in tea of hub ann, by line; here for 3 s"]


@pytest.mark.parametrize("command", ["/whois zoe", "/msg zoe hello"])
def test_name_that_no_hub_knows_is_told_with_who_was_silent(command: str) -> None:
    nobody = "* nobody here is called zoe; /who lists the people in this room"
    assert told(command, [], []) == [nobody]
    assert told(command, []) == [f"{nobody}; no answer from hub bob"]


def test_word_to_somebody_elsewhere_is_shown_to_its_sender() -> None:
    assert told("/msg zoe hello", [], [TAKEN, "Zoe"]) == ["<you to Zoe> hello"]
    assert told("/msg zoe hello", [NOT_READING, "Zoe"], []) == ["* Zoe is not reading now; nothing was sent"]


def test_word_from_elsewhere_reaches_its_target() -> None:
    talk = Talk()
    ann = talk.join("ann")
    assert asked(talk.chat, "msg", ["zoe", "ANN", "hello"]) == [TAKEN, "ann"]
    assert talk.heard(ann) == ["<zoe to you> hello"]
    talk.assert_account_balances(ann)
    talk.ready.put(ann, b"x" * (1 << 19) + b"\n")
    assert asked(talk.chat, "msg", ["zoe", "ann", "more"]) == [NOT_READING, "ann"]


def test_other_hubs_are_told_what_is_here() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.say(bob, "/join Tea")
    assert asked(talk.chat, "who", ["tea"]) == ["1", "bob"]
    assert asked(talk.chat, "who", ["den"]) == []
    assert asked(talk.chat, "rooms", []) == ["lobby", "1", "Tea", "1"]
    (line,) = asked(talk.chat, "whois", ["ANN"])
    assert line.startswith("ann is in lobby, by line; ") and ann.peer not in line


# Hostile questions.


@given(st.sampled_from(["who", "rooms", "whois", "msg"]) | st.text(max_size=9), st.lists(WORDS, max_size=5))
def test_any_question_has_an_answer_and_changes_nothing(what: str, arguments: list[str]) -> None:
    talk = Talk()
    people = [talk.join("ann"), talk.join()]
    answer = asked(talk.chat, what, arguments)
    assert all(isinstance(text, str) for text in answer) and len(answer) < 512
    for client in people:
        assert all(" to you> " in line for line in talk.heard(client))
    assert {talk.nick(client) for client in people} == {"ann", "guest-2"}
    assert len(talk.rooms) == 1


@pytest.mark.parametrize("what", ["who", "rooms", "whois", "msg"])
@pytest.mark.parametrize("count", range(6))
def test_question_with_any_number_of_arguments_is_answered(what: str, count: int) -> None:
    talk = Talk()
    talk.join("ann")
    assert isinstance(asked(talk.chat, what, ["ann"] * count), list)


def test_word_from_elsewhere_is_of_somebody_with_a_name() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.join("bob")
    for sender in ("zoe", "", "x> hello", "* bye", "you to zoe", "a b", "x" * 33, "x" * 200):
        asked(talk.chat, "msg", [sender, "ann", "hello"])
    for line in talk.heard(ann):
        assert re.fullmatch(r"<[\w.-]{1,32} to you> hello", line), line


# Hostile answers.


@pytest.mark.parametrize(
    "count", ["", "-5", "x", "1.5", "1e9", "\u0663", "9" * 10, "9" * 5000, " 7", "0x10", "\u00b2"]
)
def test_number_that_is_none_counts_nothing(count: str) -> None:
    assert told("/who", [count], []) == ["* in lobby (1): guest-me-1"]
    assert told("/rooms", ["lobby", count], []) == ["* rooms (1): lobby 1"]


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "x, y", "* bye", "lobby (9)", "a\tb", "x" * 33, "x" * 5000, "\u200b", "<x>"]
)
def test_name_that_is_none_is_not_listed(name: str) -> None:
    assert told("/who", ["1", name], []) == ["* in lobby (2): guest-me-1 and 1 more"]
    assert told("/rooms", [name, "7"], []) == ["* rooms (1): lobby 1"]


@pytest.mark.parametrize("answer", [["a"], ["taken"], ["taken", "zoe", "more"], [], ["", "", ""]])
def test_answer_of_another_length_is_no_word_that_arrived(answer: list[str]) -> None:
    (line,) = told("/msg zoe hello", answer, [])
    assert line.startswith("* nobody here is called zoe")


def test_empty_answer_does_not_hide_that_of_another_hub() -> None:
    assert told("/whois zoe", [""], ["zoe is in tea"]) == ["* zoe is in tea"]


@given(st.lists(st.lists(WORDS, max_size=12), min_size=2, max_size=2))
@pytest.mark.parametrize("typed", ["/who", "/rooms", "/whois zoe", "/msg zoe hello"])
def test_any_answers_are_one_line_of_the_hub(typed: str, answers: list[list[str]]) -> None:
    (line,) = told(typed, *answers)
    assert line.startswith(("* ", "<you to "))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", line)


@pytest.mark.parametrize("typed", ["/who", "/rooms", "/whois zoe", "/msg zoe hello"])
def test_answer_to_a_client_that_has_left_is_for_nobody(typed: str) -> None:
    scene, client = a_scene()
    scene.say(client, typed)
    scene.leave(client)
    scene.answer(ANN, TAKEN, "zoe")
    scene.turn(ANSWER_S)
    assert client.outbox.is_empty and scene.account.owed == 0


def test_answer_to_a_client_that_moved_is_of_the_old_room() -> None:
    scene, client = a_scene()
    scene.say(client, "/who", "/join tea")
    scene.heard(client)
    scene.answer(ANN, "1", "zoe")
    scene.answer(BOB)
    assert scene.heard(client) == ["* in lobby (1): zoe"]
