"""The commands of chat: one table, and every wrong use of it is answered with a hint."""

from __future__ import annotations

import pytest

from hub.close_reasons import CloseReason
from hub.modes.commands import TABLE, Command
from hub.rooms.registry import LOBBY
from tests.unit.modes.test_chat import Talk


def answers(line: str | bytes, *, talk: Talk | None = None) -> list[str]:
    """What the hub says to a client that types this."""
    talk = talk or Talk()
    ann = talk.join("ann")
    talk.say(ann, line)
    return talk.heard(ann)


def test_help_has_a_line_for_every_command() -> None:
    lines = answers("/help")
    assert [line.split()[1] for line in lines] == [f"/{row.name}" for row in TABLE]
    for row, line in zip(TABLE, lines, strict=True):
        assert line.startswith("* /")
        assert row.arguments in line
        assert line.endswith(row.help)


@pytest.mark.parametrize("wanted", ["who", "/who", "WHO"])
def test_help_for_one_command_is_its_line(wanted: str) -> None:
    (line,) = answers(f"/help {wanted}")
    assert line.startswith("* /who ")


def test_help_for_an_unknown_command_gives_a_hint() -> None:
    (line,) = answers("/help woh")
    assert "did you mean /who?" in line


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row.name))
def test_command_is_found_whatever_its_case(row: Command) -> None:
    assert not any("no such command" in line for line in answers(f"/{row.name.upper()}"))


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("/wo", "no such command: /wo - did you mean /who?"),
        ("/JION tea", "no such command: /JION - did you mean /join?"),
        ("/xyzzy", "no such command: /xyzzy - /help lists what there is"),
        ("/", "no such command: / - /help lists what there is"),
        ("/ who", "no such command: / - /help lists what there is"),
    ],
)
def test_unknown_command_gets_a_hint_and_the_way_to_say_it(typed: str, hint: str) -> None:
    assert answers(typed) == [f"* {hint}; a line that starts with // is said with one slash"]


def test_long_unknown_command_is_cut_in_its_answer() -> None:
    (line,) = answers("/" + "x" * 5000)
    assert f"/{'x' * 32} -" in line
    assert len(line) < 200


@pytest.mark.parametrize(
    ("typed", "usage"),
    [
        ("/nick", "usage: /nick NAME"),
        ("/join", "usage: /join ROOM"),
        ("/msg", "usage: /msg NAME TEXT"),
        ("/msg ann", "usage: /msg NAME TEXT"),
        ("/msg ann   ", "usage: /msg NAME TEXT"),
        ("/who tea", "usage: /who"),
        ("/leave now", "usage: /leave"),
        ("/quit it", "usage: /quit"),
        ("/me", "usage: /me TEXT"),
        ("/me  ", "usage: /me TEXT"),
        ("/rooms all", "usage: /rooms"),
        ("/whois", "usage: /whois NAME"),
        ("/stats now", "usage: /stats"),
    ],
)
def test_wrong_number_of_words_is_answered_with_the_usage(typed: str, usage: str) -> None:
    assert answers(typed) == [f"* {usage}"]


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("/nick two words", "only visible letters, marks and digits"),
        ("/nick hubbub", "kept for the hub's own use"),
        ("/join #tea", "a room has only visible letters"),
        ("/join " + "x" * 33, "a room has 1 to 32 characters"),
        ("/msg nobody hello", "nobody here is called nobody; /who lists"),
        ("/msg " + "x" * 500 + " hello", f"nobody here is called {'x' * 32};"),
    ],
)
def test_refusal_says_what_is_allowed_and_changes_nothing(typed: str, why: str) -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, typed)
    (line,) = talk.heard(ann)
    assert why in line
    assert talk.nick(ann) == "ann"
    assert ann.room is talk.rooms.lobby


@pytest.mark.parametrize("typed", ["/nick bob ", "/join tea ", "/help who "])
def test_blank_at_the_end_of_a_command_does_not_matter(typed: str) -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, typed)
    got = talk.heard(ann)
    assert not any("only visible letters" in line or "no such" in line for line in got), got


@pytest.mark.promise("chat-me")
@pytest.mark.parametrize(
    ("typed", "seen"),
    [
        ("/me waves", "<ann> *waves*"),
        ("/ME  looks around ", "<ann> *looks around*"),
        ("/me * bob joined", "<ann> ** bob joined*"),
        ("/me \x1b[2J\x07", "<ann> *\ufffd[2J\ufffd*"),
    ],
)
def test_me_stands_behind_the_name_and_is_no_line_of_the_hub(typed: str, seen: str) -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.heard(ann)
    talk.say(ann, typed)
    assert talk.heard(ann) == talk.heard(bob) == [seen]
    talk.assert_account_balances(ann, bob)


def test_leave_in_the_lobby_says_so() -> None:
    assert answers("/leave") == [f"* you are in {LOBBY} already"]


def test_quit_records_the_reason_and_closes_nothing() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, "/quit")
    assert ann.close.reason is CloseReason.QUIT
    assert talk.ready.closing == {ann.id: ann}
    assert ann.room is talk.rooms.lobby


def test_table_describes_itself() -> None:
    assert [row.name for row in TABLE] == [
        *("help", "nick", "who", "rooms", "join", "leave", "msg", "me", "history", "whois", "stats", "quit")
    ]
    for row in TABLE:
        assert len(row.arguments.split()) == row.words.stop - 1
        assert row.help
