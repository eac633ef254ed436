"""What a client typed: Backspace is applied, and nothing unseen turns a command into speech."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.modes.typed import erase, has_blank, lead_of
from hub.session.mode import Intake
from tests.unit.modes.test_chat import Talk

EVERY_CHARACTER = map(chr, range(sys.maxunicode + 1))
BLANKS = ["\t", "\u2800", *(char for char in EVERY_CHARACTER if unicodedata.category(char) == "Zs")]
UNSEEN = [
    *"\ufeff\u200b\u2060\xad\u200e\u200f\u061c\ufe0f\U000e0100\u2062\u2065\ufff9\ufffc\u180b\u180e\u3164\uffa0",
    *"\u115f\u17b4\u034f\u202e\u2066\u2028\x85\x84\0\x07\r\x0b\x1b\U000e0001\U000e0067\U0001d173\ufffe",
    "\ufeff\u200b\0",
]  # fmt: skip
LEADS = [
    *UNSEEN, "\b", "\x7f", "\x9b", "\u0301", "\u20dd", "\u0903", "\ufffd", "\x1b[A", "\x1bOA", "\x1b[200~",
    "\x1b[1;5C\x1b", "\u0301" * 2000, "\0" * 4000, "\x9bA",
    "\x1b[7$", "\x1b[?1;2c", "\x1b[0$y", "\x1b[[A", "\x1b[[5~", "\x1b[M !!", "\x1bN!", "\x9b[E",
    "\x1bO5A", "\x8fA", "\x1bb", "\x1b(B", "\x1b=",
    "\x1b]11;rgb:1e/1e/1e\x1b\\", "\x1b]0;a /b\x07", "\x1bP>|xterm(370)\x1b\\", "\x9d11;a\x9c", "\x1b_a\x07",
    "\x1b[", "\x1b^a\x07\x1bXa\x9c", "\x1b[D\x7f", "\x1b[D\x7f\x7f", "\x1bb\x7f", "a\x1b[1;5D\b\b",
    "\x1b]a\x07\x7f\x1b[A",
]  # fmt: skip
"""Including what draws, and has nothing to stand on, and what keys send that somebody pressed before."""


def said_by_ann(line: str | bytes) -> tuple[list[str], list[str], str]:
    """What ann and bob hear when ann types this, and ann's nick then."""
    talk = Talk()
    ann, bob = talk.join("ann"), talk.join("bob")
    talk.heard(ann)
    talk.say(ann, line)
    return talk.heard(ann), talk.heard(bob), talk.nick(ann)


# Commands.


@pytest.mark.promise("chat-unseen")
@pytest.mark.parametrize("lead", LEADS, ids=lambda lead: ascii(lead[:8]))
def test_command_behind_an_unseen_lead_is_obeyed(lead: str) -> None:
    assert said_by_ann(lead + "/nick anna")[1:] == (["* ann is now anna"], "anna")


@pytest.mark.promise("chat-unseen")
@pytest.mark.parametrize(
    "line", [b"\xff\xfe/nick anna", b"\xc3/nick anna", "/nick anna".encode("utf-16-be"), b"/nick\xc2\xa0anna"]
)
def test_command_among_bytes_of_no_text_is_obeyed(line: bytes) -> None:
    assert said_by_ann(line)[2] == "anna"


@pytest.mark.promise("chat-unseen")
@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
def test_names_and_words_of_a_command_lose_what_is_unseen(unseen: str) -> None:
    for line in (f"/{unseen}msg bob hi", f"/ms{unseen}g bob hi", f"/msg {unseen}b{unseen}ob hi"):
        assert said_by_ann(line)[1] == ["<ann to you> hi"]
    assert said_by_ann(f"/who {unseen}")[0] == ["* in lobby (2): ann, bob"]
    assert said_by_ann(f"/join t{unseen}ea")[0][0] == "* you are now in tea, with nobody else"


@pytest.mark.promise("chat-unseen")
@pytest.mark.parametrize("before", [*BLANKS, "    ", "\ufeff ", " \u200b", "\x1b[A "], ids=ascii)
def test_command_behind_a_blank_is_said_to_nobody(before: str) -> None:
    hint = "* nothing was said: a command has no blank before its slash; a line that starts with // is said"
    for line in ("/msg bob secret", "/nick anna", "/etc/passwd", "/"):
        assert said_by_ann(before + line) == ([f"{hint} with one slash"], [], "ann")


@pytest.mark.parametrize("before", ["", " ", "\t\u3000"], ids=ascii)
def test_two_slashes_behind_blanks_are_said_as_one(before: str) -> None:
    assert said_by_ann(before + "//etc/passwd")[1] == [f"<ann> {before}/etc/passwd"]


@pytest.mark.parametrize(
    "line", ["a /quit", " a", "\u2800\u2801", "=/quit", "[A/quit", "é/quit", "١/x", "😀/x", "\ue000/x"]
)
def test_line_that_begins_with_something_seen_is_speech(line: str) -> None:
    assert said_by_ann(line) == ([f"<ann> {line}"], [f"<ann> {line}"], "ann")


@pytest.mark.promise("chat-unseen")
@pytest.mark.parametrize(
    "unseen", ["\ufeff", "\u2060", "\u200b", "\u3164", "\u2063", "\U000e0067", "\x1b"], ids=ascii
)
def test_what_is_unseen_in_speech_is_made_visible(unseen: str) -> None:
    for text in (f"{unseen}a", f"a{unseen}a", f"a{unseen}", f"{unseen}//a", f" {unseen}a"):
        shown = text.replace(unseen, "\ufffd").replace("//", "/")
        assert said_by_ann(text)[1] == [f"<ann> {shown}"]
        shown = text.replace(unseen, "\ufffd").strip()
        assert said_by_ann(f"/me {text}")[1] == [f"<ann> *{shown}*"]
        assert said_by_ann(f"/msg bob {text}")[1] == [f"<ann to you> {shown}"]


def test_greeting_is_cleaned_as_speech_is() -> None:
    talk = Talk(greeting="hi\x1b[2J\u200b")
    assert talk.heard(talk.come())[0].startswith("* hi\ufffd[2J\ufffd - you are guest-1")


@pytest.mark.promise("chat-unseen")
@pytest.mark.parametrize(
    ("line", "bob_hears"),
    [
        ("\x1b[200~/msg bob hi\x1b[201~", "<ann to you> hi"),
        ("/msg bob hi\x1b[D", "<ann to you> hi"),
        ("/m\x1bOCsg \x1b[[Bbob\x9bA h\x1b]0;/a b\x07i", "<ann to you> hi"),
        ("\x1b[200~/nick anna\x1b[201~", "* ann is now anna"),
        ("/me a\x1bb", "<ann> *a\ufffdb*"),
    ],
)
def test_what_keys_sent_within_a_command_is_no_part_of_it(line: str, bob_hears: str) -> None:
    assert said_by_ann(line)[1] == [bob_hears]


@pytest.mark.parametrize("key", ["\x1bk", "\x1b-k", "\x1b]0;a", "\x1b[1;5"], ids=ascii)
def test_escape_before_what_may_be_meant_is_said(key: str) -> None:
    assert said_by_ann(key)[1] == [f"<ann> {key.replace(chr(27), chr(0xFFFD))}"]


@pytest.mark.parametrize(
    "unit",
    ["\x1b", "\x1b]", "\x9b0", "\x9d", "\x1b[1", "\x9da", "\x1bO;", "\x1b(", "\x1b[A", "\x1b]a\x07", "\x1bb"],
)
def test_sequences_of_any_length_cost_what_they_are_long(unit: str) -> None:
    """A megabyte takes a tenth of a second; with the square of its length it would be hours."""
    text = unit * (1_000_000 // len(unit))
    assert lead_of(text) <= len(text)
    assert has_blank(text) is False
    assert erase(text + "\b") is not text


# Backspace.


@pytest.mark.promise("chat-backspace")
@pytest.mark.parametrize("key", ["\b", "\x7f"], ids=ascii)
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("helo<lo", "hello"),
        ("<<a<<<b", "b"),
        ("ab< <c", "ac"),  # BS BLANK BS wipes the character on the screen as well.
        ("日本<語", "日語"),
        ("ae\u0301<b", "ab"),
        ("ax\u0301\u0323\u20dd<b", "ab"),
        ("क\u094d\u200d<b", "b"),
        ("a👍🏽<b", "ab"),
        ("a👩\u200d👩\u200d👧<b", "ab"),
        ("a❤\ufe0f<b", "ab"),
        ("a🏴\U000e0067\U000e0062\U000e007f<b", "ab"),
        ("\u0301<a", "a"),
        ("abc<<<", ""),
    ],
)
def test_backspace_takes_back_one_whole_character(typed: str, meant: str, key: str) -> None:
    assert erase(typed.replace("<", key)) == meant


@pytest.mark.promise("chat-backspace")
@pytest.mark.parametrize(
    ("line", "heard"),
    [
        ("helo\blo", "<ann> hello"),
        ("/mx\be waves\x7fd", "<ann> *waved*"),
        ("/mgs\b\bsg bb\bob hi", "<ann to you> hi"),
        ("x\b//a", "<ann> /a"),
        ("/msg bob s\b" + "\b" * 20 + "hi", "<ann> hi"),
    ],
)
def test_backspace_is_applied_before_a_line_means_anything(line: str, heard: str) -> None:
    assert said_by_ann(line)[1] == [heard]


def test_line_that_was_taken_back_whole_says_nothing() -> None:
    assert said_by_ann("oops\b\b\b\b") == ([], [], "ann")


@given(st.text("a\u0301\u200d日👍🏽 \b\x7f/"))
def test_erasing_leaves_no_key_and_makes_nothing_up(typed: str) -> None:
    left = erase(typed)
    assert not {"\b", "\x7f"} & {*left}
    assert erase(left) == left
    rest = iter(typed)
    assert all(char in rest for char in left), "in their order"


@given(st.text("a/ \t\ufeff\u0301\0\x1b[A"))
def test_lead_ends_at_the_first_character_that_is_seen(text: str) -> None:
    at = lead_of(text)
    assert lead_of(text[at:]) == 0
    assert has_blank(text[:at]) == any(char in " \t" for char in text[:at])


def test_line_of_many_marks_costs_a_turn_by_its_size() -> None:
    talk = Talk(intake=Intake(room_bytes=1 << 17, line_bytes=100))
    ann = talk.join("ann")
    talk.budget.left = 0
    talk.take_lines(ann, "\u0301" * 320, "\b" * 640, "plain")
    assert talk.budget.left == -100 * (1 + 10 + 1 + 10 + 1)
