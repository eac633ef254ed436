"""A line of several rows in the chat pane looks like one line: names begin where no other row does."""

import pytest
from playwright.sync_api import Browser

from tests.page.support import NARROW, WIDE, open_tab, serving

pytestmark = pytest.mark.browser

NAMES = ["<eve> ", "<אבא> ", "* ", "", "\u200f"]
FILLS = [
    *("x", "W", "i", "漢", "\u3000", "\xa0", "\u2003", "\u2800", " ", "\t", "word ", "-", "ש", "ש "),
    *("👩\u200d👩\u200d👧", "a" + "\u0301" * 40, "Sil\u00adbe", "\ufdfd", "\U0001242b ", "नि", "กำ"),
    *("\u200b", "\u202e", "\x85", "\u2028"),
]
TAIL = "<ann> yes, ship it"
LINES = [name + fill * (200 if len(fill) < 9 else 30) + TAIL for name in NAMES for fill in FILLS]
LINES += [f"<eve> {'x ' * number}{TAIL}" for number in range(40)]

STRAY_ROWS = """async (lines) => {
    const { Lines } = await import("/static/lines.js");
    const log = document.getElementById("chat-log");
    const pane = new Lines(log);
    lines.forEach((line) => pane.add(line));
    pane.note(lines[0]);
    pane.draw();
    const stray = [];
    for (const line of log.children) {
        const range = document.createRange();
        range.selectNodeContents(line);
        const rects = [...range.getClientRects()].filter((rect) => rect.width > 0);
        const top = Math.min(...rects.map((rect) => rect.top));
        const { left, right } = line.getBoundingClientRect();
        const rows = rects.filter((rect) => rect.top > top + 9);
        const reaches = (rect) => rect.left < left + 10 || rect.right > right - 10;
        if (rows.some(reaches)) stray.push(line.textContent);
        if (getComputedStyle(line).overflow !== "clip") stray.push("drawn over others");
    }
    if (log.scrollWidth > log.clientWidth) stray.push("sideways");
    return [log.childElementCount, stray];
}"""
"""The lines of which a row but the first reaches an edge where names begin, the left or the right one."""


@pytest.mark.promise("page-lines")
@pytest.mark.parametrize("size", [WIDE, (800, 600), NARROW, (200, 600)])
def test_no_row_but_a_first_begins_where_names_begin(browser: Browser, size: tuple[int, int]) -> None:
    with serving(ws_listeners=("127.0.0.1:9001",)) as served, open_tab(browser, size=size) as tab:
        tab.open(served.url)
        assert tab.page.evaluate(STRAY_ROWS, LINES) == [len(LINES) + 1, []]
