import re
import sys
import unicodedata
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.modes.sanitize import (
    MARKS_IN_A_ROW,
    NAME_LENGTH,
    NameRefused,
    check_name,
    clean,
    clean_text,
    name_key,
)

EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1)]
LONGEST = "\u1f82" * NAME_LENGTH
"""Greek alpha with three marks each."""
DIRECTIONS = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


OTHER_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u2065\u3164\uffa0\ufff0-\ufff8\U000e0000\U000e0002-\U000e001f"
    "\U000e0080-\U000e00ff\U000e01f0-\U000e0fff]"
)
"""Other_Default_Ignorable_Code_Point of PropList.txt."""
VISIBLE_FORMAT = re.compile(
    "[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\ufff9-\ufffb\U00013430-\U00013440]"
)
"""Prepended concatenation marks, interlinear annotation, and the controls of hieroglyphs."""
NEEDED = re.compile("[\u00ad\u034f\u061c\u180b-\u180f\u200c-\u200f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def is_ignorable(char: str) -> bool:
    """Default_Ignorable_Code_Point, as the head of DerivedCoreProperties.txt derives it."""
    if VISIBLE_FORMAT.match(char):
        return False
    selects = "VARIATION SELECTOR" in unicodedata.name(char, "")
    return unicodedata.category(char) == "Cf" or selects or OTHER_IGNORABLE.match(char) is not None


def is_obeyed(char: str) -> bool:
    """What a terminal obeys, or is no text at all, in the words of the Unicode character database."""
    return (
        (unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} and char != "\t")
        or unicodedata.bidirectional(char) in DIRECTIONS
        or char in "\ufff9\ufffa\ufffb\ufffc\ufffe\uffff\U0001d159"
    )


def is_forbidden(char: str) -> bool:
    """What never reaches another client, but for the tags of a flag and some U+200B."""
    return is_obeyed(char) or (is_ignorable(char) and not NEEDED.match(char))


@pytest.mark.promise("chat-clean")
def test_no_character_without_a_place_piles_up() -> None:
    """Whatever block it is in, and whatever stands around."""
    for char in EVERY_CHARACTER:
        if unicodedata.category(char) in {"Mn", "Me", "Cf"}:
            assert "\ufffd" in clean_text(f"😀a{char * (MARKS_IN_A_ROW + 1)}—"), ascii(char)


@pytest.mark.parametrize("text", ["😀", "❤\ufe0f", "👩\u200d👧", "─", "。", "\ue0b0", "е\u0301"], ids=ascii)
def test_ordinary_text_is_not_looked_at_one_by_one(text: str) -> None:
    events = list[str]()
    sys.setprofile(lambda frame, event, argument: events.append(event))
    try:
        clean_text(text * 1000)
    finally:
        sys.setprofile(None)
    assert 0 < sum(event in ("call", "c_call") for event in events) < 10


@pytest.mark.promise("chat-clean")
@pytest.mark.parametrize("place", ["first", "inside"])
def test_characters_that_are_unseen_become_u_fffd(place: str) -> None:
    wrong_at_first = place == "first"
    expected = [
        "\ufffd" if is_forbidden(char) or (wrong_at_first and NEEDED.match(char)) else char
        for char in EVERY_CHARACTER
    ]
    if wrong_at_first:
        shown = [clean_text(char) for char in EVERY_CHARACTER]
    else:
        shown = [*clean_text("".join(f"a{char}" for char in EVERY_CHARACTER))[1::2]]
    wrong = [char for char, one, other in zip(EVERY_CHARACTER, shown, expected, strict=True) if one != other]
    assert list(map(ascii, wrong)) == []


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"\x1b]52;c;aGk=\x1b\\", "�]52;c;aGk=�\\"),
        (b"\xc2\x9b2J", "�2J"),
        (b"\x9b2J", "�2J"),
        (b"back\x08\x08\x7f", "back���"),
        (b"\r<root> hello", "�<root> hello"),
        (b"one\ntwo", "one�two"),
        ("hi\U000e0068\U000e0069".encode(), "hi��"),
        ("\u200e\u200dhi".encode(), "�\u200dhi"),
        ("a\u200b\u0e01".encode() + "a\u200ba".encode(), "a\u200b\u0e01a�a"),
        ("x" + "\u0301" * 10, f"x{MARKS_IN_A_ROW * chr(0x301)}��"),
        ("\u0e01" + "\u0e47" * 10, f"\u0e01{MARKS_IN_A_ROW * chr(0xE47)}��"),
        ("x" + "\u200d\u0301" * 5 + "y", f"x{4 * (chr(0x200D) + chr(0x301))}��y"),
        # Tags that are no flag: not ended, on another base, none, too many, foreign, apart, behind a flag.
        ("🏴\U000e0067\U000e0062", "🏴��"),
        ("🏁\U000e0067\U000e007f", "🏁��"),
        ("🏴\U000e007f", "🏴�"),
        ("🏴" + "\U000e0061" * 8 + "\U000e007f", "🏴" + "�" * 9),
        ("🏴\U000e0001\U000e0067\U000e007f", "🏴���"),
        ("🏴a\U000e0067\U000e007f", "🏴a��"),
        ("🏴\U000e0067\U000e007f\U000e0067\U000e007f", "🏴\U000e0067\U000e007f��"),
        # Invalid UTF-8.
        (b"\xff", "�"),
        (b"\xc3", "�"),
        (b"\xc0\xaf", "��"),  # overlong
        (b"\xed\xa0\x80", "���"),  # a surrogate
        (b"\xf4\x90\x80\x80", "����"),  # beyond U+10FFFF
        (b"\xf0\x9f\x98", "�"),  # cut off: one maximal subpart
        (b"a\xe2\x82b", "a�b"),
    ],
)
def test_what_is_obeyed_unseen_or_no_text_is_replaced(line: bytes | str, shown: str) -> None:
    assert clean(line if isinstance(line, bytes) else line.encode()).decode() == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Zoë naïve façade e\u0301\u0323",
        "안녕하세요 שָׁלוֹם",
        "نامه‌ای",  # Persian with ZWNJ
        "abc\u200e\u200f\u061c",  # direction marks
        "क्‍ष สวัสดีน้ำ",  # Devanagari with ZWJ
        "👩‍👩‍👧‍👦 👍🏽 ❤️ 🇯🇵",
        "葛\U000e0100",  # ideographic variation sequence
        "ភាសា\u200bខ្មែរ ภาษา\u200bไทย",  # Khmer and Thai with the borders of their words
        "ᠠ\u180e ᠪ\u180b",  # Mongolian
        "co\xadop \u2800\u2801 a\u3000b",
        "བ\u0f90\u0fb5\u0fa8\u0fb3\u0fba\u0fbb\u0f83",  # the tallest stack of Tibetan
        "שָּׁ֖ל",
        "😀" * 20 + "█" * 20 + "…" * 20,
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f" * 2 + "\u200d🏴!",  # England
        "🏴\U000e0075\U000e0073\U000e0063\U000e0061\U000e007f🏴\u200d☠\ufe0f",  # California, pirates
    ],
)
def test_ordinary_text_of_any_script_passes_unchanged(text: str) -> None:
    assert clean(text.encode()).decode() == clean_text(text) == text


def test_printable_ascii_and_tab_come_back_as_the_same_object() -> None:
    line = b"\t" + bytes(range(0x20, 0x7F))
    assert clean(line) is line


@given(st.binary())
def test_cleaned_bytes_are_allowed_utf8_at_most_thrice_as_long(line: bytes) -> None:
    cleaned = clean(line)
    assert not any(map(is_forbidden, cleaned.decode()))
    assert len(cleaned) <= 3 * len(line)
    assert clean(cleaned) == cleaned


@given(st.text())
def test_text_and_its_bytes_are_cleaned_alike(text: str) -> None:
    assert clean(text.encode()) == clean_text(text).encode()


@pytest.mark.promise("chat-names")
@pytest.mark.parametrize(
    "name",
    [
        *("ann", "a", "x" * 32, "guest-17", "R2.D2_", "7of9", "Zoë", "Ελένη", "Алёна", "山田太郎", "김민수"),
        *("محمد", "שרה", "สมชาย", "सीता", "山田Taro", "e\u0323\u0302m"),
        "q\u0323\u0301x\u0323\u0301",  # two marks in a row that no letter takes in, and two once more
        "क\u093e\u093e\u093e",  # marks that stand beside their letter do not pile up
    ],
)
def test_names_of_any_script_are_allowed(name: str) -> None:
    assert check_name(name, "nick") == unicodedata.normalize("NFKC", name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Zoe\u0308", "Zoë"),
        ("Ａｎｎ²", "Ann2"),
        ("ﬁn", "fin"),
        (normalize("NFD", LONGEST), LONGEST),  # as many characters, however they are spelled
    ],
)
def test_a_name_comes_back_composed_and_in_its_plain_form(text: str, name: str) -> None:
    assert check_name(text, "nick") == name


@pytest.mark.promise("chat-names")
@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("", "1 to 32"),
        ("x" * 33, "1 to 32"),
        ("ﷺ" * 3, "1 to 32"),  # each is 18 characters after NFKC
        ("x" * 10_000_000, "1 to 32"),
        ("a" + "\u0301\u0323" * 1_000_000, "1 to 32"),
        ("two words", "only visible"),
        ("a\u00a0b", "only visible"),
        ("a/b", "only visible"),
        ("<b>", "only visible"),
        ("a\x1b[2J", "only visible"),
        ("a\u202eb", "only visible"),
        ("a\ud800", "only visible"),
        ("a\u20dd", "only visible"),  # an enclosing circle
        ("a😀", "only visible"),
        ("-a", "begins with"),
        (".", "begins with"),
        ("\u0301a", "begins with"),
        ("a\u0324\u0323\u0325", "two combining marks"),
        ("xq\u0323\u0323\u0323x", "two combining marks"),
        ("p\u0430ypal", "only one of"),  # Cyrillic a
        ("\u03bfscar", "only one of"),  # Greek omicron
        ("\u0430\u03bf", "only one of"),
        ("\u00b5x", "only one of"),  # the micro sign is Greek after NFKC
    ],
)
def test_a_refused_name_is_told_what_is_allowed_and_not_repeated(name: str, allowed: str) -> None:
    with pytest.raises(NameRefused) as caught:
        check_name(name, "room")
    message = str(caught.value)
    assert message.startswith("a room ") and allowed in message
    assert message.isascii() and message.isprintable()


@pytest.mark.promise("chat-names")
@pytest.mark.parametrize(
    "invisible",
    [
        *"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d\u200e",
        *"\u2060\u2064\u2d7f\u3164\ufe00\ufe0f\ufeff\uffa0\U00016fe4\U0001107f\U000e0020\U000e0100\U000e01ef",
    ],
    ids=ascii,
)
def test_name_with_an_invisible_character_is_refused(invisible: str) -> None:
    for name in (invisible, invisible + "ann", "an" + invisible + "n", "ann" + invisible):
        with pytest.raises(NameRefused):
            check_name(name, "nick")


@pytest.mark.promise("chat-names")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zoë", "ZOE\u0308"),
        ("Straße", "STRASSE"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("Ａｎｎ", "aNN"),
        ("\u212bngstrom", "Ångstrom"),
        ("\u0390", "\u03aa\u0301"),  # folding takes the first apart
    ],
)
def test_spellings_of_one_name_share_a_key(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


def test_different_names_have_different_keys() -> None:
    names = ["ann", "anna", "änn", "an-n", "an_n", "an.n", "анн"]
    assert len({name_key(name) for name in names}) == len(names)


NAME_ALPHABET = "aZéßİıΣςЁ0９-_.\u0301\u0323 ﬁǅก์日한"


@given(st.text(NAME_ALPHABET, max_size=8) | st.text(max_size=8))
def test_allowed_name_is_clean_and_keeps_its_key(text: str) -> None:
    try:
        name = check_name(text, "nick")
    except NameRefused:
        return
    assert 1 <= len(name) <= NAME_LENGTH
    assert clean_text(name) == name and name.isprintable() and not any(map(str.isspace, name))
    assert check_name(name, "nick") == name
    assert name_key(name_key(name)) == name_key(name) == name_key(text)
