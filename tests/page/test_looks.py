"""For everybody: axe-core in light and dark, wide and narrow; themes; nothing sideways."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.page.support import NARROW, WIDE, Served, Tab, open_tab
from tests.support import HubProcess, closing, until

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
