"""For everybody: axe-core in light and dark, wide and narrow; themes; nothing sideways."""

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from hub.close_reasons import CloseReason
from tests.page.support import NARROW, PATIENCE_MS, WIDE, Served, Tab, open_tab, serving
from tests.support import HubProcess, closing, until
from tests.unit.web.support import make_closed, make_row

pytestmark = pytest.mark.browser

SIZES = [WIDE, (800, 600), NARROW]


def serious(tab: Tab) -> list[str]:
    """What axe-core calls serious or critical on the page as it stands."""
    violations: list[dict[str, Any]] = Axe().run(tab.page).response["violations"]
    return [
        f"{found['id']}: {[node['html'] for node in found['nodes']]}"
        for found in violations
        if found["impact"] in ("serious", "critical")
    ]


@pytest.mark.promise("page-usable")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_serious(
    browser: Browser, hub: HubProcess, size: tuple[int, int], scheme: str
) -> None:
    with (
        open_tab(browser, size=size, color_scheme=scheme) as tab,
        closing([hub.peer() for _ in range(5)]) as peers,
    ):
        tab.open(hub.url)
        assert serious(tab) == []
        peers[0].send(b"/quit\n")
        tab['#closed li[data-id="1"]'].wait_for()
        tab["#clients tbody tr"].first.hover()
        tab["#clients tbody tr"].first.focus()
        tab["#held"].wait_for()
        assert serious(tab) == []
        tab["#help"].click()
        tab["#keys"].wait_for()
        assert serious(tab) == []


@pytest.mark.promise("page-usable")
@pytest.mark.parametrize("size", SIZES)
def test_the_page_never_scrolls_sideways(browser: Browser, hub: HubProcess, size: tuple[int, int]) -> None:
    with open_tab(browser, size=size) as tab, closing([hub.peer() for _ in range(3)]) as peers:
        peers[0].send(b"/nick " + b"W" * 32 + b"\n/join " + b"M" * 32 + b"\n")
        tab.open(hub.url)
        until(lambda: "W" * 32 in tab.column("nick"))
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_wide_screen_shows_all_of_it_at_once(tab: Tab, hub: HubProcess) -> None:
    with closing([hub.peer() for _ in range(60)]):
        tab.open(hub.url)
        until(lambda: len(tab.column("id")) == 50)
        assert tab.page.evaluate("document.documentElement.scrollHeight <= innerHeight")


@pytest.mark.promise("page-usable")
@pytest.mark.parametrize("height", [300, 704, 740, 1000])
def test_nothing_overlaps_however_low_the_screen_is(browser: Browser, height: int) -> None:
    with (
        serving(ws_listeners=("127.0.0.1:9001",)) as served,
        open_tab(browser, size=(1280, height)) as tab,
    ):
        served.hub.rows = [make_row(number) for number in range(1, 51)]
        served.hub.closed = [make_closed(number) for number in range(20, 0, -1)]
        tab.open(served.url)
        expect(tab["#closed li"]).to_have_count(20, timeout=PATIENCE_MS)
        expect(tab["#chat-line"]).to_be_enabled(timeout=PATIENCE_MS)
        tab["#chat-line"].fill("a long text\n" * 30)
        boxes = [tab[name].bounding_box() for name in (".panels", ".closed", ".chat", "footer")]
        edges = [edge for box in boxes if box for edge in (box["y"], box["y"] + box["height"])]
        assert len(edges) == 8 and edges == sorted(edges)
        field, pane = tab["#chat-line"].bounding_box(), boxes[2]
        assert field and pane and field["height"] <= pane["height"] / 2


def test_a_theme_that_was_chosen_stays(browser: Browser, served: Served) -> None:
    with open_tab(browser, color_scheme="light") as tab:
        ground = "getComputedStyle(document.body).backgroundColor"
        tab.open(served.url)
        light = tab.page.evaluate(ground)
        tab["#theme"].select_option("dark")
        dark = tab.page.evaluate(ground)
        assert dark != light
        tab.reload()
        expect(tab["#theme"]).to_have_value("dark")
        assert tab.page.evaluate(ground) == dark
        tab["#theme"].select_option("auto")
        assert tab.page.evaluate(ground) == light


def test_nothing_is_animated_for_who_asked_for_that(browser: Browser, hub: HubProcess) -> None:
    with open_tab(browser, reduced_motion="reduce") as tab, hub.peer() as peer:
        tab.open(hub.url)
        peer.send(b"/quit\n")
        tab["#closed li"].wait_for()
        assert tab.page.evaluate("document.getAnimations().length") == 0


def test_forced_colours_keep_the_lines_of_the_figures(browser: Browser, served: Served) -> None:
    with open_tab(browser, forced_colors="active") as tab:
        tab.open(served.url)
        stroke = "getComputedStyle(document.querySelector('.stroke')).stroke"
        text = "getComputedStyle(document.body).color"
        assert tab.page.evaluate(stroke) == tab.page.evaluate(text)


def test_without_scripts_the_page_points_to_the_json(browser: Browser, served: Served) -> None:
    with open_tab(browser, java_script_enabled=False) as tab:
        tab.page.goto(served.url)
        expect(tab["noscript a"]).to_have_count(4)
        assert "needs JavaScript" in (tab["noscript p"].text_content() or "")


CUT = """() => [...document.querySelectorAll("main, main *")].filter((element) => {
    const { overflowX, overflowY } = getComputedStyle(element);
    const cuts = [overflowX, overflowY].some((value) => value === "auto" || value === "scroll");
    return cuts && (element.scrollHeight > element.clientHeight || element.scrollWidth > element.clientWidth);
}).map((element) => element.outerHTML.slice(0, 80))"""


@pytest.mark.promise("page-print")
@pytest.mark.parametrize("size", SIZES)
def test_on_paper_every_row_is_there(browser: Browser, size: tuple[int, int]) -> None:
    with serving() as served, open_tab(browser, size=size) as tab:
        served.hub.rows = [make_row(number) for number in range(1, 101)]
        served.hub.closed = [make_closed(number) for number in range(20, 0, -1)]
        served.publish(closed=dict.fromkeys(map(str, CloseReason), 1))
        tab.open(f"{served.url}#limit=100")
        tab.wait_for_column("id", [str(number) for number in range(1, 101)])
        expect(tab["#closed li"]).to_have_count(20, timeout=PATIENCE_MS)
        assert tab.page.evaluate(CUT) != []
        tab.page.emulate_media(media="print")
        tab.page.set_viewport_size({"width": 1047, "height": 718})
        assert tab.page.evaluate(CUT) == []
        head = "getComputedStyle(document.querySelector('th button')).display"
        assert tab.page.evaluate(head) == "contents", "else Chromium draws it on the first page alone"
        last = tab.row(100).bounding_box()
        below = tab["section.closed"].bounding_box()
        assert last and below and last["y"] + last["height"] <= below["y"]
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert len(re.findall(rb"/Type\s*/Page\b", tab.page.pdf(prefer_css_page_size=True))) > 2
