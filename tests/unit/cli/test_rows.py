"""Rows of `hubbub client`: whatever is said, no row but the first of a line begins where names begin.

A terminal is modelled by the columns that it gives to each character, because terminals differ in that.
"""

import tracemalloc
import unicodedata
from collections.abc import Callable
from itertools import pairwise

import pyte
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wcwidth import wcwidth

from hub.cli.rows import FEWEST_COLUMNS, Rows, most_columns

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
Terminal = Callable[[str], int]

CHARACTERS = "ab>< *-0\té\u0301\u0e34я─°漢가ﾊＡ❤\ufe0f\u200d👨👩🏽🇳🇱क्ष\u1160\U0001f9ff\U0001faef✓䷀"
lines = st.lists(
    st.text(st.sampled_from(CHARACTERS) | st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
    | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=60, max_size=300),
    min_size=1,
)
widths = st.integers(8, 200)


def usual(char: str) -> int:
    """As most terminals: nothing for marks and joiners."""
    return max(0, wcwidth(char))


def simple(char: str) -> int:
    """As the Linux console: a column for each mark and joiner."""
    return max(1, wcwidth(char))


def east_asian(char: str) -> int:
    return max(0, wcwidth(char, ambiguous_width=2))


def rows_on(terminal: Terminal, text: str, columns: int) -> list[str]:
    """What stands in the rows of a terminal; a row that the terminal began itself has a `|` before it."""
    rows, column = [""], 0
    for char in text:
        width = terminal(char)
        if char == "\n":
            rows, column = [*rows, ""], 0
        elif column + width > columns:
            rows, column = [*rows, f"|{char}"], width
        else:
            rows[-1] += char
            column += width
    return rows


def unbroken(text: str, columns: int) -> str:
    """The lines again. Each of them begins with a sign, so that blanks can only be of a further row."""
    return text.replace("\n" + " " * (4 if columns >= 24 else 1), "")


def shown(text: str, columns: int, cuts: list[int], ambiguous: int = 1) -> str:
    rows = Rows(ambiguous=ambiguous)
    borders = [0, *sorted(cuts), len(text)]
    return "".join(rows.feed(text[start:end], columns) for start, end in pairwise(borders))


@pytest.mark.promise("client-rows")
@pytest.mark.parametrize(("terminal", "ambiguous"), [(usual, 1), (simple, 1), (east_asian, 2)])
@unhurried
@given(lines=lines, columns=widths | st.integers(FEWEST_COLUMNS, 8), cuts=st.lists(st.integers(0, 400)))
def test_no_further_row_begins_where_names_begin(
    terminal: Terminal, ambiguous: int, lines: list[str], columns: int, cuts: list[int]
) -> None:
    text = "\n".join(f"#{line}" for line in lines)
    out = shown(text, columns, cuts, ambiguous)
    rows = rows_on(terminal, out, columns)
    assert {row[0] for row in rows} <= {"#", " "}
    assert sum(row.startswith("#") for row in rows) == len(lines)
    assert "\t" in text or unbroken(out, columns) == text


@pytest.mark.promise("client-rows")
@unhurried
@given(lines=lines, columns=widths)
def test_an_emulator_shows_each_line_once_and_indents(lines: list[str], columns: int) -> None:
    # The emulator drops what is behind a character without width that is no mark, so these stay out.
    text = "\n".join(
        f"#{''.join(c for c in line if wcwidth(c) or unicodedata.combining(c))}" for line in lines
    )
    screen = pyte.HistoryScreen(columns, 50, history=10_000, ratio=0.5)
    pyte.Stream(screen).feed(shown(text, columns, []).replace("\n", "\r\n"))
    above = [[row[x].data for x in range(columns)] for row in screen.history.top]
    rows = ["".join(row) for row in above] + screen.display
    assert {row[:1] for row in rows} <= {"#", " "}
    assert sum(row.startswith("#") for row in rows) == len(lines)


def test_no_character_is_wider_than_what_is_counted() -> None:
    """Against the tables of a later Unicode than `unicodedata`'s, and of another author."""
    characters = [chr(code) for code in range(0x20, 0x110000) if not 0xD800 <= code < 0xE000]
    assert [char for char in characters if wcwidth(char) > most_columns(char, 1)] == []
    assert [c for c in characters if wcwidth(c, ambiguous_width=2) > most_columns(c, 2)] == []


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("0123456789", ["0123456789"]),
        ("0123456789<b> x", ["0123456789", " <b> x"]),
        ("012345678漢字", ["012345678", " 漢字"]),
        ("漢字漢字漢字", ["漢字漢字漢", " 字"]),
        ("012345678e\u0301", ["012345678", " e\u0301"]),
        ("㉈㉉㉊㉋㉌<b> x", ["㉈㉉㉊㉋㉌", " <b> x"]),
        ("1\u1161\u1162\u11a8\ud7b0<b> x", ["1\u1161\u1162\u11a8\ud7b0<", " b> x"]),
        ("0123👨\u200d👩\u200d👧!", ["0123", " 👨\u200d👩\u200d👧!"]),
        ("01234567👋🏽!", ["01234567", " 👋🏽!"]),
        ("a\tb", ["a       b"]),
        ("漢\tb\tc", ["漢      b ", "       c"]),
        ("0123456789\n", ["0123456789", ""]),
        ("привет мир!", ["привет мир", " !"]),
        ("e" + 12 * "\u0301", ["e" + 9 * "\u0301", " " + 3 * "\u0301"]),
    ],
)
def test_a_window_of_ten_columns_shows_these_rows(text: str, rows: list[str]) -> None:
    assert Rows().feed(text, 10).split("\n") == rows


def test_a_wide_window_indents_by_four_blanks() -> None:
    assert Rows().feed("x" * 90, 80) == "x" * 80 + "\n    " + "x" * 10


def test_an_unfinished_line_goes_on_where_it_stopped() -> None:
    rows = Rows()
    assert [rows.feed(part, 10) for part in ("login: ", "an", "n likes")] == ["login: ", "an", "n\n  likes"]


def test_an_unfinished_line_takes_a_new_row_after_a_resize() -> None:
    rows = Rows()
    assert rows.feed("a\n01234", 10) == "a\n01234"
    assert rows.feed("", 8) == ""
    assert rows.feed("<b> x\n", 8) == "\n <b> x\n"
    assert rows.feed("<b> x", 10) == "<b> x"


def test_a_line_without_end_is_kept_nowhere() -> None:
    rows, part = Rows(), "漢字" * 32_768
    rows.feed(part, 80)
    tracemalloc.start()
    shown_sizes = {len(rows.feed(part, 80)) for _ in range(16)}
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert max(shown_sizes) < 1.2 * len(part)
    assert kept_bytes < 10_000
