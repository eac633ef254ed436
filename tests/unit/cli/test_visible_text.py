"""What `hubbub client` makes of bytes before they reach a terminal: names for what is obeyed or not seen."""

import itertools
import re
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.cli.visible_text import VisibleText, is_mark
from hub.modes.sanitize import UNSEEN

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A loaded machine is not a fault of the text."""

PIECES = st.sampled_from(
    "\r\n a1\u0301\u200b\u200d\u200f\ufe0f\xadمข❤\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e007f\x1b\x9b"
)
hostile = st.lists(PIECES).map("".join) | st.text()


def shown(text: str) -> str:
    return VisibleText().feed(text.encode(errors="surrogatepass"), final=True)


@unhurried
@given(data=st.binary() | hostile.map(lambda text: text.encode()), cuts=st.lists(st.integers(0, 60)))
def test_visible_text_is_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(data)]
    whole, cut = VisibleText(), VisibleText()
    pieces = [cut.feed(data[start:end]) for start, end in itertools.pairwise(borders)]
    assert "".join(pieces) + cut.feed(b"", final=True) == whole.feed(data, final=True)


@unhurried
@given(hostile)
def test_visible_text_holds_no_control_but_tab_and_line_feed(text: str) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown(text))


@unhurried
@given(hostile)
def test_what_draws_nothing_stays_only_behind_what_is_seen(text: str) -> None:
    without_flags = re.sub("\U0001f3f4[\U000e0030-\U000e007a]+\U000e007f", "", shown(text))
    hidden = re.finditer(f"[{UNSEEN}](?<!\n)", without_flags)
    carried = [part.start() and without_flags[part.start() - 1] for part in hidden]
    assert all(before and not re.match(f"[{UNSEEN}](?<!\ufe0f)", str(before)) for before in carried)


@unhurried
@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]).filter(lambda c: not re.match(f"[{UNSEEN}]", c)))
)
def test_ordinary_text_of_any_script_is_left_alone(text: str) -> None:
    assert shown(f"-{text}") == f"-{text}"


@pytest.mark.promise("client-terminal")
@pytest.mark.parametrize(
    ("came", "stands"),
    [
        ("ROLLBACK\rall is well\n", "ROLLBACK^Mall is well\n"),
        ("crlf\r\nnext", "crlf\nnext"),
        ("twice\r\r\n", "twice^M\n"),
        ("turned\n\rround\r\n", "turned\n^Mround\n"),
        ("nul\r\0next", "nul^M^@next"),
        ("last\r", "last^M"),
        ("\r", "^M"),
        ("\r\n\r\n", "\n\n"),
    ],
)
def test_cr_is_named_but_directly_before_lf(came: str, stands: str) -> None:
    assert shown(came) == stands


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("می‌خواهم", id="Persian, ZWNJ"),
        pytest.param("क्‍ष श्री", id="Hindi, ZWJ"),
        pytest.param("ශ්‍රී ලංකා", id="Sinhala, ZWJ"),
        pytest.param("שלום!\u200f (abc)\u200e", id="Hebrew, direction marks"),
        pytest.param("ខ្ញុំ\u200bស្រលាញ់", id="Khmer, ZWSP"),
        pytest.param("ᠰᠠᠢᠨ ᠪᠠᠢᠨ᠎ᠠ", id="Mongolian, vowel separator"),
        pytest.param("Donau\xaddampf\xadschiff", id="German, soft hyphens"),
        pytest.param("葛\U000e0100城 芦\ufe00", id="Japanese, variants"),
        pytest.param("❤\ufe0f ❤\ufe0f\u200d🔥 1\ufe0f\u20e3 ©\ufe0f", id="emoji, variants and keycap"),
        pytest.param("👨\u200d👩\u200d👧 👋🏽 🏳\ufe0f\u200d🌈 🇳🇱", id="emoji, sequences"),
        pytest.param("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f!", id="England"),
        pytest.param("e\u0301 \U0001f3f4 ที่", id="marks"),
    ],
)
def test_text_keeps_what_its_script_needs(text: str) -> None:
    assert shown(text) == text


@pytest.mark.promise("client-terminal")
@pytest.mark.parametrize(
    ("came", "stands"),
    [
        ("\ufeff/quit", "<U+FEFF>/quit"),
        ("he\u200bllo\u200dx", "he<U+200B>llo<U+200D>x"),
        ("при\u200bвет", "при<U+200B>вет"),
        ("a\n\u200f/who", "a\n<U+200F>/who"),
        ("م\u200c\u200c\u200cم", "م\u200c<U+200C><U+200C>م"),
        ("a\u200e\u200fb", "a\u200e<U+200F>b"),
        ("abc \u202etxt\u2066", "abc <U+202E>txt<U+2066>"),
        ("one\u2028two\x85three", "one<U+2028>two<U+0085>three"),
        ("\u3164\u115f\uffa0", "<U+3164><U+115F><U+FFA0>"),
        ("x\U000e0068\U000e0069\U000e007f", "x<U+E0068><U+E0069><U+E007F>"),
        ("\U0001f3f4\U000e0067\U000e0062", "\U0001f3f4<U+E0067><U+E0062>"),
        ("\U0001f3f4" + 7 * "\U000e0061" + "\U000e007f", "\U0001f3f4" + 7 * "<U+E0061>" + "<U+E007F>"),
        ("a\ufe0fb\n\ufe0f", "a<U+FE0F>b\n<U+FE0F>"),
        ("\u0301a\n\u20ddb\n\u0e34c", "<U+0301>a\n<U+20DD>b\n<U+0E34>c"),
    ],
)
def test_what_hides_or_moves_text_is_named(came: str, stands: str) -> None:
    assert shown(came) == stands


def test_every_mark_is_named_at_the_start_of_a_line() -> None:
    marks = [char for char in map(chr, range(0x110000)) if is_mark(char)]
    assert len(marks) > 2000
    assert [char for char in marks if not shown(f"\n{char}").startswith("\n<U+")] == []


def test_every_format_character_is_seen_or_named() -> None:
    """Those that stay behind a Latin letter have a shape, but for hyphens and direction marks."""
    bare = [char for char in map(chr, range(0x110000)) if unicodedata.category(char) == "Cf"]
    seen = {unicodedata.name(char).split()[0] for char in bare if shown(f"a{char}"[:2]) == f"a{char}"}
    assert seen <= {"ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN", "SOFT", "LEFT-TO-RIGHT", "RIGHT-TO-LEFT"}
