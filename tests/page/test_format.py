"""How numbers, sizes and times are written; the modules as the browser loads them."""

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
    ("plain", "héllo \u200d\tשלום", "héllo \u200d\tשלום"),
    ("plain", "\x00\x1b\x7f\x9b", "\u2400\u241b\ufffd\ufffd"),
]  # fmt: skip


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


@pytest.mark.parametrize("text", ["\\ud800x", "x\\udc00"])
def test_half_a_character_is_made_visible(tab: Tab, served: Served, text: str) -> None:
    tab.open(served.url)
    shown = tab.page.evaluate(f'async () => (await import("/static/format.js")).plain("{text}")')
    assert shown == text.replace("\\ud800", "\ufffd").replace("\\udc00", "\ufffd")


@pytest.mark.promise("page-text")
def test_invisible_and_turning_characters_are_made_visible(tab: Tab, served: Served) -> None:
    tab.open(served.url)
    pictures = [number for number in range(0x20) if number != 0x09]  # A tab is seen.
    replaced = [
        *range(0x7F, 0xA0),  # DEL and C1.
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        *range(0xE0000, 0xE0080),
        *range(0xD800, 0xE000),
    ]
    seen = tab.page.evaluate(
        """async numbers => {
            const { plain } = await import("/static/format.js");
            return numbers.map((number) => plain(`a${String.fromCodePoint(number)}b`));
        }""",
        pictures + replaced,
    )
    assert seen == [f"a{chr(0x2400 + number)}b" for number in pictures] + ["a\ufffdb"] * len(replaced)


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
