"""How numbers, sizes and times are written; the modules as the browser loads them."""

import unicodedata

import pytest

from tests.page.support import Served, Tab

pytestmark = pytest.mark.browser

CASES = [
    ("number", 0, "0"), ("number", 999, "999"), ("number", 1000, "1 000"), ("number", 1234567, "1 234 567"),
    ("brief", 0, "0"), ("brief", 0.04, "0.0"), ("brief", 9.96, "10.0"), ("brief", 12.5, "13"),
    ("brief", 999_999, "999 999"), ("brief", 1_234_567, "1.23 M"), ("brief", 2_500_000_000, "2.50 G"),
    ("bytes", 0, "0 B"), ("bytes", 999, "999 B"), ("bytes", 1000, "1.0 KiB"), ("bytes", 10_240, "10 KiB"),
    ("bytes", 1_048_576, "1.0 MiB"), ("bytes", 10**18, "888 PiB"), ("duration", -1, "0 s"),
    ("duration", 59.9, "59 s"), ("duration", 60, "1 min"), ("duration", 200, "3 min 20 s"),
    ("duration", 3599, "59 min 59 s"), ("duration", 7500, "2 h 5 min"), ("duration", 90_000, "1 d 1 h"),
    ("milliseconds", 0.04, "0.04 ms"), ("milliseconds", 4.23, "4.2 ms"), ("milliseconds", 120, "120 ms"),
    ("milliseconds", 1250, "1.3 s"), ("percent", 0, "0.0 %"), ("percent", 0.031, "3.1 %"),
    ("percent", 0.5, "50 %"), ("percent", 1, "100 %"),
]  # fmt: skip

DRAWN = {
    0x09, 0x6DD, 0x70F, 0x8E2, 0x110BD, 0x110CD, 0x890, 0x891, *range(0x600, 0x606), *range(0x13430, 0x13440),
}  # fmt: skip
"""The tab, signs before numbers that have a picture, and what joins Egyptian hieroglyphs."""


def test_figures_are_written_as_people_read_them(tab: Tab, served: Served) -> None:
    tab.open(served.url)
    written = tab.page.evaluate(
        """async cases => {
            const format = await import("/static/format.js");
            return cases.map(([name, value]) => format[name](value));
        }""",
        [[name, value] for name, value, _ in CASES],
    )
    assert [text.replace("\u202f", " ") for text in written] == [text for _, _, text in CASES]


ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
ORDINARY = [
    *("héllo\tשלום", "می\u200cخواهم", "ه\u200d", "क्\u200dष", "ᠮᠣᠩ\u180eᠭ", "សួស្តី\u200bពិភព", "Auf\u200clage"),
    *("Sil\u00adbe", "שלום!\u200f", "\u115f\u1161\u1100\u1160\u11ab", "葛\U000e0100", "\u0600٣"),
    *("❤\ufe0f 1\ufe0f\u20e3", "👩🏽\u200d💻 🏳\ufe0f\u200d🌈", ENGLAND, "\U00013000\U00013430\U00013001"),
    *("\xa0\u3000\u2800⠓", "\u0378 \U0001fbfa"),
]
"""Text with what draws nothing by itself, where scripts and emoji need it; blanks; what no font may have."""
NAMED = {
    **{"\x00\x1b[2J\r\x7f": "^@^[[2J^M^?", "\x9b": "<U+009B>", "a\u2028b\u0085": "a<U+2028>b<U+0085>"},
    **{"\u202egpj.exe": "<U+202E>gpj.exe", "\ufeffhi": "<U+FEFF>hi", "\u200e<x>": "<U+200E><x>"},
    **{"a\u200db": "a<U+200D>b", "कa\u200c": "कa<U+200C>", "👨\u200d\u200d": "👨<U+200D><U+200D>"},
    **{"x\u200f\u200f": "x\u200f<U+200F>", " \ufe0f": " <U+FE0F>", "a\ufe0f\ufe0f": "a\ufe0f<U+FE0F>"},
    **{"\u3164": "<U+3164>", "\u2062": "<U+2062>", "\U0001d159": "<U+1D159>", "\ue000": "<U+E000>"},
    **{"\ufff9\ufffc": "<U+FFF9><U+FFFC>", "\uffff\U0001fffe": "<U+FFFF><U+1FFFE>"},
    **{ENGLAND[:3]: "🏴<U+E0067><U+E0062>", f"x{ENGLAND[-2:]}": "x<U+E0067><U+E007F>"},
    "🏴" + "\U000e0061" * 9 + "\U000e007f": "🏴" + "<U+E0061>" * 9 + "<U+E007F>",
}
PLAIN = 'async texts => { const { plain } = await import("/static/format.js"); return texts.map(plain); }'


@pytest.mark.promise("page-text")
def test_what_cannot_be_seen_has_a_name_unless_text_needs_it(tab: Tab, served: Served) -> None:
    tab.open(served.url)
    assert tab.page.evaluate(PLAIN, ORDINARY) == ORDINARY
    assert tab.page.evaluate(PLAIN, list(NAMED)) == list(NAMED.values())
    assert tab.page.evaluate(f'({PLAIN})(["\\ud800x", "x\\udc00"])') == ["<U+D800>x", "x<U+DC00>"]


@pytest.mark.promise("page-text")
def test_no_character_by_itself_is_shown_as_nothing(tab: Tab, served: Served) -> None:
    """Alone, a character of these kinds belongs to no text; DerivedCoreProperties.txt has the last ones."""
    kinds = {"Cc", "Co", "Zl", "Zp", "Cf"}
    wanted = {code for code in range(0x110000) if unicodedata.category(chr(code)) in kinds} - DRAWN
    wanted |= {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x3164, 0xFFA0, *range(0x180B, 0x1810)}
    wanted |= {*range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000)}
    wanted |= {0xFFFC, 0x1D159, *range(0xFDD0, 0xFDF0)}
    wanted |= {plane + last for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)}
    tab.open(served.url)
    shown = tab.page.evaluate(
        """async () => {
            const { plain } = await import("/static/format.js");
            const all = Array.from({ length: 0x110000 }, (_, code) => code);
            return all.filter((code) => (code & 0xf800) !== 0xd800 || code > 0xffff)
                .filter((code) => plain(String.fromCodePoint(code)) !== String.fromCodePoint(code));
        }"""
    )
    assert set(shown) == wanted


def test_a_line_of_points_has_gaps_where_nobody_told(tab: Tab, served: Served) -> None:
    tab.open(served.url)
    drawn = tab.page.evaluate(
        """async () => {
            const { Spark, LENGTH } = await import("/static/spark.js");
            const figure = document.querySelector('[data-figure="turns"]').cloneNode(true);
            const spark = new Spark(figure, String, 1);
            spark.load([1, 2, 3]);
            spark.push(4, 2);
            for (let i = 0; i < 5; i += 1) spark.push(i);
            spark.draw("x");
            return [spark.points.length, LENGTH, figure.querySelector(".stroke").getAttribute("d")];
        }"""
    )
    length, wanted, line = drawn
    assert length == wanted == 300
    assert line.count("M") == 2
    assert line.count("L") == 2 + 5


@pytest.mark.promise("page-update-size")
def test_seconds_that_nobody_told_of_are_gaps_in_every_figure(tab: Tab, served: Served) -> None:
    tab.open(served.url)
    points = tab.page.evaluate(
        """async () => {
            const { Figures } = await import("/static/figures.js");
            const figures = new Figures();
            const names = Object.keys(figures.sparks);
            const rates = Object.fromEntries(names.map((name) => [name, 7]));
            const told = { clients: { open: 7 }, loop: { turn_p99_ms: 7 }, closed: {} };
            for (const taken_s of [10, 11, 11, 14.9, 16])
                figures.update({ summary: { ...told, taken_s }, rates });
            return names.map((name) => [...figures.sparks[name].points.slice(-9)].map((point) => point || 0));
        }"""
    )
    assert len(points) == 9
    assert all(each == [0, 0, 7, 7, 0, 0, 0, 7, 7] for each in points), points
