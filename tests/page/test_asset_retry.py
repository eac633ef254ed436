"""A page that is not whole, or not of this hub's files, loads itself anew."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from hub.control.snapshots import ClientCounts
from tests.page.support import HUB_IS_GONE, PATIENCE_MS, Served, Tab, open_tab, reserved_port, serving
from tests.support import ROOT, HubProcess, until
from web.live import Live

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


@pytest.mark.promise("page-reconnect")
@pytest.mark.parametrize(
    ("name", "times"),
    [("rows.js", 2), *((name, 1) for name in ("app.js", "theme.js", "live.css", "hubbub.css"))],
)
def test_a_page_with_a_file_missing_loads_itself_anew(
    browser: Browser, hub: HubProcess, name: str, times: int
) -> None:
    with open_tab(browser) as tab:
        asked = break_loading(tab.page, name, times)
        tab.page.goto(hub.url, wait_until="commit")
        until(lambda: is_true(tab, "true") and asked() > times)
        expect(tab["#pill"]).to_have_text("live", timeout=PATIENCE_MS)
        # The page forgets once all of it is loaded, which may be later than it is live.
        until(lambda: is_true(tab, "sessionStorage.getItem('hubbub.loads /') === null"))
        tab.errors.clear()  # The browser's own lines about what it gave up.


@pytest.mark.promise("page-reconnect")
def test_after_five_times_it_gives_up_and_says_so(browser: Browser, hub: HubProcess) -> None:
    with open_tab(browser) as tab:
        asked = break_loading(tab.page, "rows.js", times=1000)
        tab.page.goto(f"{hub.url}livez")
        tab.page.evaluate("sessionStorage.setItem('hubbub.loads /', '4')")
        tab.page.goto(hub.url, wait_until="commit")
        expect(tab["#pill"]).to_have_text("loading failed: reload the page", timeout=PATIENCE_MS)
        assert asked() == 2
        tab.errors.clear()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, to be changed."""
    for name in ("static", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.setattr("web.app.find_files", lambda name: tmp_path / name)
    return tmp_path


@pytest.mark.promise("page-reconnect")
@pytest.mark.parametrize(
    ("changed", "ws_port", "public_ws"),
    [
        ("static/rows.js", 9001, ""),
        ("templates/page.html", 9001, ""),
        ("", 9002, ""),
        ("", 9001, "wss://hub.example/ws"),
        ("", 9001, ""),
    ],
)
def test_a_hub_with_other_files_or_port_reloads_an_equal_one_not(
    browser: Browser, files: Path, changed: str, ws_port: int, public_ws: str
) -> None:
    with open_tab(browser, expected=HUB_IS_GONE) as tab, reserved_port() as port:
        with serving(port, ws_listeners=("127.0.0.1:9001",)) as served:
            tab.open(served.url)
            tab.page.evaluate("window.before = true")
            tab["#chat-line"].fill("typed")
        tab.wait_for_pill("reconnecting")
        if changed:
            with (files / changed).open("a") as file:
                file.write("\n")
        with serving(port, public_ws, ws_listeners=(f"127.0.0.1:{ws_port}",)):
            expect(tab["#notice"]).to_contain_text("The hub restarted at", timeout=PATIENCE_MS)
            gone = "window.before === undefined"
            if changed or public_ws or ws_port == 9002:
                until(lambda: is_true(tab, gone))
                until(lambda: is_true(tab, f"document.documentElement.dataset.wsPort === '{ws_port}'"))
                expect(tab["#notice"]).to_contain_text("The hub restarted at", timeout=PATIENCE_MS)
            else:
                assert not is_true(tab, gone)
            expect(tab["#chat-line"]).to_have_value("typed")


@pytest.mark.promise("page-reconnect")
def test_an_outdated_page_reloads_once_for_each_start_of_the_hub(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a cache that keeps an old page: whatever is loaded, it is not of the hub's files."""
    monkeypatch.setattr("web.app.Live", lambda gateway, files, url: Live(gateway, f"not {files}", url))
    with open_tab(browser, expected=HUB_IS_GONE) as tab, reserved_port() as port:
        loads: list[str] = []
        tab.page.on("domcontentloaded", lambda page: loads.append(page.url))
        for count in (2, 3):
            with serving(port) as served:
                if count == 2:
                    tab.page.goto(served.url, wait_until="commit")
                until(lambda count=count: is_true(tab, "true") and len(loads) == count)
                see_an_update(tab, served)
                assert len(loads) == count
            tab.wait_for_pill("reconnecting")


def see_an_update(tab: Tab, served: Served) -> None:
    """Not the first one, which a page that loads itself anew may show as well."""
    expect(tab["#pill"]).to_have_attribute("data-state", "live", timeout=PATIENCE_MS)
    served.publish(clients=ClientCounts(open=42, accepted=50, peak=42))
    expect(tab.figure("open")).to_have_text("42", timeout=PATIENCE_MS)


@pytest.mark.promise("page-typed")
@pytest.mark.parametrize(("focused", "typed"), [("chat-line", "dr_aft"), ("filter", "draft"), ("", "draft")])
def test_a_reload_gives_the_focus_to_who_had_it(tab: Tab, served: Served, focused: str, typed: str) -> None:
    served.publish(ws_listeners=("127.0.0.1:9001",))
    tab.open(served.url)
    expect(tab["#chat-line"]).to_be_enabled(timeout=PATIENCE_MS)
    tab["#chat-line"].fill("draft")
    tab["#chat-line"].evaluate("line => { line.setSelectionRange(2, 2); line.blur(); }")
    if focused:
        tab[f"#{focused}"].focus()
    tab.reload()
    expect(tab["#chat-line"]).to_be_enabled(timeout=PATIENCE_MS)
    tab.page.keyboard.insert_text("_")
    expect(tab["#chat-line"]).to_have_value(typed)
    expect(tab["#filter"]).to_have_value("_" if focused == "filter" else "")
    kept = "Object.keys(sessionStorage).filter((key) => key.startsWith('hubbub.typed')).length"
    assert tab.page.evaluate(kept) == 0, "a tab that is made of this one would get it too"


@pytest.mark.promise("page-typed")
def test_hubs_behind_one_name_remember_apart(tab: Tab, served: Served) -> None:
    tab.page.route(
        "**/two/**", lambda route: route.fulfill(response=route.fetch(url=below(route.request.url)))
    )
    tab.open(served.url)
    tab["#chat-line"].evaluate("line => { line.value = 'of the first'; }")
    tab.page.goto(f"{served.url}two/", wait_until="domcontentloaded")
    expect(tab["#chat-line"]).to_have_value("")
    tab.open(served.url)
    expect(tab["#chat-line"]).to_have_value("of the first")
    tab.errors.clear()


def below(url: str) -> str:
    return url.replace("/two/", "/")


NO_ANSWER = """
    window.looks = 0;
    window.fetched = window.fetch;
    window.fetch = () => { looks += 1; return NONE; };
"""
NONE = ["Promise.reject(new TypeError('nobody'))", "Promise.resolve(new Response('', { status: 502 }))"]
"""Nobody there, and a proxy before nobody."""


@pytest.mark.promise("page-reconnect")
@pytest.mark.parametrize("none", NONE)
def test_a_reload_comes_two_seconds_later_if_there_is_an_answer(browser: Browser, none: str) -> None:
    with serving(ws_listeners=("127.0.0.1:9001",)) as served, open_tab(browser) as tab:
        asked = break_loading(tab.page, "rows.js", times=1)
        tab.page.add_init_script(NO_ANSWER.replace("NONE", none))
        tab.page.clock.install(time=0)
        tab.page.clock.pause_at(1000)
        tab.page.goto(served.url, wait_until="commit")
        expect(tab["#pill"]).to_have_text("loading failed, trying again", timeout=PATIENCE_MS)
        looks = []
        for milliseconds in (1999, 1, 1999, 1):
            tab.page.clock.run_for(milliseconds)
            looks.append(tab.page.evaluate("looks"))
        assert looks == [0, 1, 1, 2]
        assert asked() == 1, "while nobody answers it stays what it is"
        tab["#chat-line"].fill("typed")
        tab.page.evaluate("window.fetch = window.fetched")
        tab.page.clock.run_for(2000)
        until(lambda: is_true(tab, "true") and asked() == 2)
        expect(tab["#chat-line"]).to_have_value("typed", timeout=PATIENCE_MS)
        tab.errors.clear()


def is_true(tab: Tab, expression: str) -> bool:
    """Whether this JavaScript is true; in the middle of a navigation nothing is."""
    with suppress(Error):
        return bool(tab.page.evaluate(expression))
    return False
