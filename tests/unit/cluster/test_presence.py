"""What hubs tell one another beside the stream, and what is refused of it."""

import json
from math import inf, nan
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.envelope import Refused
from cluster.presence import (
    MOST_BYTES,
    MOST_VALUES,
    ROOMS_TOLD,
    Answer,
    Beat,
    Question,
    Said,
    packed,
    unpacked,
)
from hub.modes.sanitize import clean_text
from tests.unit.cluster.company import a_beat

COUNTS = st.integers(0, (1 << 53) - 1)
TIMES = st.floats(0, 1e9, exclude_max=True)
TEXTS = st.text(max_size=40)
VALUES = st.lists(TEXTS, max_size=20)
BEATS = st.builds(
    Beat,
    **{name: COUNTS for name in Beat.__struct_fields__ if name not in ("is_leaving", "people")}
    | {"is_leaving": st.booleans(), "ack_p50_ms": TIMES, "ack_p99_ms": TIMES}
    | {"people": st.dictionaries(TEXTS, COUNTS, max_size=ROOMS_TOLD)},
)
SAID = BEATS | st.builds(Question, COUNTS, TEXTS, VALUES) | st.builds(Answer, COUNTS, VALUES)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | TEXTS | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=20,
)


def fields(beat: Beat) -> list[Any]:
    """The array that a beat is."""
    found: list[Any] = msgspec.msgpack.decode(packed(beat))
    return found


def cleaned(said: Said) -> Said:
    """What others read of this."""
    match said:
        case Question():
            return Question(said.number, said.what, [clean_text(text) for text in said.arguments])
        case Answer():
            return Answer(said.number, [clean_text(text) for text in said.values])
    return said


@given(SAID)
def test_what_a_hub_says_comes_back_cleaned_and_else_unchanged(said: Said) -> None:
    assert unpacked(packed(said)) == cleaned(said)


@given(st.binary(max_size=200) | ANYTHING.map(msgspec.msgpack.encode))
def test_any_bytes_are_a_message_or_refused(message: bytes) -> None:
    try:
        said = unpacked(message)
    except Refused:
        return
    assert isinstance(said, Beat | Question | Answer)


@given(SAID, st.data())
def test_message_with_a_changed_byte_is_a_message_or_refused(said: Said, data: st.DataObject) -> None:
    message = bytearray(packed(said))
    message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = unpacked(bytes(message))
    except Refused:
        return
    assert unpacked(packed(again)) == cleaned(again)


@pytest.mark.parametrize("depth", [10, 1000, 60_000])
def test_message_of_nested_arrays_is_refused(depth: int) -> None:
    for begin in (b"\x91", b"\x93\x03\x01\x91", b"\x93\x03\x01"):
        with pytest.raises(Refused):
            unpacked(begin + b"\x91" * depth + b"\xc0")


@given(st.lists(st.text(st.characters(max_codepoint=0x2100), max_size=30), max_size=5))
def test_what_people_read_of_another_hub_is_cleaned(texts: list[str]) -> None:
    for said in (Question(1, "msg", texts), Answer(1, texts)):
        shown = unpacked(packed(said))
        read = shown.arguments if isinstance(shown, Question) else shown.values  # type: ignore[union-attr]
        assert read == [clean_text(text) for text in texts]
        assert not any(character in text for text in read for character in "\n\r\x1b\x9b\u2028\u202e")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("applied", -1),
        ("clients", 1 << 53),
        ("lines_in", 1.5),
        ("lines_out", "7"),
        ("lines_out", None),
        ("is_leaving", 1),
        ("rooms", True),
        ("ack_p50_ms", -0.1),
        ("ack_p99_ms", 1e9),
        ("ack_p99_ms", inf),
        ("ack_p99_ms", nan),
        ("people", []),
        ("people", {"lobby": -1}),
        ("people", {7: 1}),
        ("people", {str(room): 1 for room in range(ROOMS_TOLD + 1)}),
        ("people", {"x" * (16 * 1024 + 1): 1}),
    ],
)
def test_beat_with_a_wrong_field_is_refused(field: str, value: object) -> None:
    row = fields(a_beat())
    row[1 + Beat.__struct_fields__.index(field)] = value
    with pytest.raises(Refused):
        unpacked(msgspec.msgpack.encode(row))


@pytest.mark.parametrize(
    "message",
    [
        [],
        [0, 1],
        [4, 1, []],
        ["1", 1, []],
        [2, 1, "who"],
        [2, 1, "who", [], "more"],
        [3, 1, ["x"], "more"],
        [3, 1, ["x"] * (MOST_VALUES + 1)],
        [3, 1, [b"bytes"]],
        [3, 1, ["x" * (16 * 1024 + 1)]],
        {"type": 3},
        fields(a_beat())[:-1],
        [*fields(a_beat()), 0],
    ],
    ids=lambda message: str(message)[:30],
)
def test_message_of_another_form_is_refused(message: object) -> None:
    with pytest.raises(Refused):
        unpacked(msgspec.msgpack.encode(message))


def test_message_with_something_behind_it_is_refused() -> None:
    with pytest.raises(Refused):
        unpacked(packed(Answer(1, ["x"])) + b"\xc0")


def test_message_beyond_the_limit_is_refused_unread() -> None:
    longest = packed(Answer(1, ["x" * 16_000] * 4))
    assert len(longest) < MOST_BYTES and unpacked(longest)
    with pytest.raises(Refused, match="bytes, at most"):
        unpacked(longest.ljust(MOST_BYTES + 1))


@given(st.lists(st.text("é漢", min_size=1, max_size=18).map(lambda text: text * 900), max_size=60))
def test_answer_that_is_too_long_loses_its_end(values: list[str]) -> None:
    message = packed(Answer(7, values))
    said = unpacked(message)
    assert len(message) <= MOST_BYTES and isinstance(said, Answer) and said.number == 7
    assert said.values == [clean_text(value) for value in values[: len(said.values)]]


def test_text_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(Refused):
        unpacked(b"\x93\x03\x01\x91\xa1\xff")


@given(BEATS)
def test_every_beat_can_be_shown_on_a_page(beat: Beat) -> None:
    """JSON has no infinity and no NaN."""
    shown = json.loads(msgspec.json.encode(unpacked(packed(beat))))
    assert None not in shown
