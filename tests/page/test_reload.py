"""A page that is not whole, or not of this hub's files, loads itself anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from hub.mailbox import Mailbox
from hub.settings import Settings
from tests.page.support import HUB_IS_GONE, PATIENCE_MS, Tab, open_tab
from tests.support import ROOT, HubProcess, until
from tests.web.support import StandInHub, make_summary
from web.thread import WebThread

pytestmark = pytest.mark.browser


def break_loading(page: Page, name: str, times: int) -> Callable[[], int]:
    """Let the browser give up this file so many times; returns how often it asked for it."""
    asked = 0

    def give_up(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked <= times:
            route.abort("connectionfailed")
        else:
            route.continue_()

    page.route(f"**/static/{name}*", give_up)
    return lambda: asked


@contextmanager
def serving(port: int) -> Iterator[str]:
    """The real page over a hub that stands still."""
    mailbox = Mailbox()
    hub = StandInHub(mailbox)
    hub.start()
    page = WebThread(Settings(web_port=port), mailbox, clock=lambda: 1000.0)  # Never stale.
    page.feed.publish(make_summary())
    try:
        yield page.start()
    finally:
        page.stop()
        hub.stop()
        mailbox.close()


@pytest.mark.parametrize("name", ["rows.js", "app.js", "live.css", "theme.js"])
def test_a_page_with_a_file_missing_loads_itself_anew(browser: Browser, hub: HubProcess, name: str) -> None:
    with open_tab(browser) as tab:
        asked = break_loading(tab.page, name, times=2)
        tab.page.goto(hub.url)
        until(lambda: is_true(tab, "true") and asked() == 3)
        expect(tab["#pill"]).to_have_text("live", timeout=PATIENCE_MS)
        assert tab.page.evaluate("sessionStorage.getItem('hubbub.loads')") is None
        tab.errors.clear()  # The browser's own lines about what it gave up.


def test_after_some_times_it_gives_up_and_says_so(browser: Browser, hub: HubProcess) -> None:
    with open_tab(browser) as tab:
        asked = break_loading(tab.page, "rows.js", times=1000)
        tab.page.goto(hub.url)
        expect(tab["#pill"]).to_have_text("loading failed: reload the page", timeout=PATIENCE_MS)
        assert asked() == 6
        tab.errors.clear()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, to be changed."""
    for name in ("static", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.setattr("web.app.find_files", lambda name: tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("changed", ["static/rows.js", "templates/page.html", ""])
def test_a_hub_with_other_files_is_noticed_and_one_with_the_same_is_no_reason(
    browser: Browser, files: Path, changed: str
) -> None:
    with open_tab(browser, expected=HUB_IS_GONE) as tab:
        with serving(0) as url:
            tab.open(url)
            tab.page.evaluate("window.before = true")
        tab.wait_for_pill("reconnecting")
        if changed:
            with (files / changed).open("a") as file:
                file.write("\n")
        with serving(int(url.rstrip("/").rpartition(":")[2])):
            expect(tab["#notice"]).to_contain_text("The hub restarted at", timeout=PATIENCE_MS)
            gone = "window.before === undefined"
            if changed:
                until(lambda: is_true(tab, gone))
                expect(tab["#notice"]).to_contain_text("The hub restarted at", timeout=PATIENCE_MS)
            else:
                assert not is_true(tab, gone)


def is_true(tab: Tab, expression: str) -> bool:
    """Whether this JavaScript is true; in the middle of a navigation nothing is."""
    with suppress(Error):
        return bool(tab.page.evaluate(expression))
    return False
