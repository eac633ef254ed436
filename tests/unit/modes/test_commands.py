"""The commands of chat: one table, and every wrong use of it is answered with a hint."""

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


@pytest.mark.parametrize(
    ("wanted", "found"), [("who", "* /who "), ("/WHO ", "* /who "), ("woh", "did you mean /who?")]
)
def test_help_for_one_command_is_its_line_or_a_hint(wanted: str, found: str) -> None:
    (line,) = answers(f"/help {wanted}")
    assert found in line


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("/wo", "no such command: /wo - did you mean /who?"),
        ("/JION tea", "no such command: /JION - did you mean /join?"),
        ("/xyzzy", "no such command: /xyzzy - /help lists what there is"),
        ("/", "no such command: / - /help lists what there is"),
        ("/ who", "no such command: / - /help lists what there is"),
        ("/" + "x" * 5000, f"no such command: /{'x' * 32} - /help lists what there is"),
    ],
)
def test_unknown_command_gets_a_hint_and_the_way_to_say_it(typed: str, hint: str) -> None:
    assert answers(typed) == [f"* {hint}; a line that starts with // is said with one slash"]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row.name))
def test_wrong_number_of_words_is_answered_with_the_usage(row: Command) -> None:
    usage = [f"* usage: /{row.name} {row.arguments}".rstrip()]
    most = len(row.arguments.split())
    least = 0 if row.arguments.startswith("[") else most
    for count in range(least):
        assert answers(f"/{row.name.upper()} {'1 ' * count} ") == usage
    for count in (least, most):
        assert answers(f"/{row.name.upper()} {'1 ' * count} ") != usage
    if not most:
        assert answers(f"/{row.name} 1") == usage


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


@pytest.mark.promise("chat-me")
@pytest.mark.parametrize(
    ("typed", "seen"),
    [
        ("/me waves", "<ann> *waves*"),
        ("/ME  looks around ", "<ann> *looks around*"),
        ("/me * bob joined", "<ann> ** bob joined*"),
        ("/me \x1b[2J\x07", "<ann> *\ufffd*"),
    ],
)
def test_me_stands_behind_the_name_and_is_no_line_of_the_hub(typed: str, seen: str) -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.heard(ann)
    talk.say(ann, typed)
    assert talk.heard(ann) == talk.heard(bob) == [seen]


def test_leave_in_the_lobby_says_so() -> None:
    assert answers("/leave") == [f"* you are in {LOBBY} already"]


def test_quit_records_the_reason_and_closes_nothing() -> None:
    talk = Talk()
    ann = talk.join("ann")
    talk.say(ann, "/quit")
    assert ann.close.reason is CloseReason.QUIT
    assert talk.ready.closing == {ann.id: ann}
    assert ann.room is talk.rooms.lobby
