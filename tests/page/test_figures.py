"""The page is alive: what happens in the hub is seen on it, and it says how fresh that is."""

import json
import re

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.page.support import HUB_IS_GONE, PATIENCE_MS, Tab, open_tab, reserved_port, serving
from tests.support import HubProcess, Peer, closing, until

pytestmark = pytest.mark.browser

HIDE = """hidden => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_the_header_says_what_runs_here(tab: Tab, hub: HubProcess) -> None:
    summary = hub.get("/api/summary")
    tab.open(hub.url)
    header = tab["header"]
    lines = f"127.0.0.1:{hub.port}"
    for fact in (summary["version"], "chat", "level + drain", "idle: deadline 5\u202fmin", lines):
        expect(header).to_contain_text(fact)
    expect(header).to_contain_text(re.compile(r"up \d+\u202fs"))
    expect(header).not_to_contain_text("viewers")
    expect(tab["footer"]).to_contain_text(summary["build"])
    expect(tab['[data-pairs="totals"] [data-key="lines_discarded"]']).to_be_hidden()


def test_viewers_are_told_of_where_they_have_a_port(tab: Tab) -> None:
    with HubProcess("--read-only-port", "0") as hub, Peer(hub.read_only_port) as viewer:
        viewer.send(b"nobody\nhears this\n")
        tab.open(hub.url)
        expect(tab["header"]).to_contain_text(f"viewers on 127.0.0.1:{hub.read_only_port}")
        discarded = tab['[data-pairs="totals"] [data-key="lines_discarded"]']
        expect(discarded.locator("dd")).to_have_text("2", timeout=PATIENCE_MS)
        assert hub.get("/api/summary")["lines"]["in"] == 0


def test_figures_move_with_what_happens(tab: Tab, hub: HubProcess) -> None:
    tab.open(hub.url)
    expect(tab.figure("open")).to_have_text("0")
    expect(tab["[role=status]"]).to_have_count(1)
    expect(tab["[role=status]"]).to_have_text("0 open")
    with closing([hub.peer() for _ in range(3)]) as peers:
        expect(tab.figure("open")).to_have_text("3", timeout=PATIENCE_MS)
        expect(tab.page).to_have_title("3 open · hubbub")
        peers[0].send(b"one\ntwo\n" * 50)
        expect(tab.figure("lines_in")).not_to_have_text(re.compile(r"^0(\.0)?$"), timeout=PATIENCE_MS)
        expect(tab['[data-figure="lines_in"] .range']).to_contain_text("max")
        tab.until(
            "Number(document.querySelector('[data-pairs=totals] [data-key=accepted] dd').textContent) == 3"
        )
        assert "L" in (tab['[data-figure="open"] .stroke'].get_attribute("d") or "")
    expect(tab.figure("open")).to_have_text("0", timeout=PATIENCE_MS)
    expect(tab["[data-books]"]).to_contain_text("adds up")
    expect(tab["[data-balance]"]).not_to_contain_text("off by")


def test_events_are_shown_by_kind(tab: Tab, hub: HubProcess) -> None:
    tab.open(hub.url)
    for kind in ("in", "out", "rdhup", "hup", "err", "accept"):
        expect(tab[f'[data-pairs="events"] [data-key="{kind}"] dt']).to_have_text(kind.upper())
    with hub.peer():
        accepted = tab['[data-pairs="events"] [data-key="accept"] dt']
        expect(accepted).to_have_attribute("title", "1 since start", timeout=PATIENCE_MS)


def test_a_reload_brings_the_past_along(tab: Tab, hub: HubProcess) -> None:
    tab.open(hub.url)
    lines = tab["[data-figure] .stroke"]
    short = """lines => lines.filter(line => (line.getAttribute("d") ?? "").split("L").length < 4)
        .map(line => line.closest("figure").dataset.figure)"""
    until(lambda: not lines.evaluate_all(short))
    tab.reload()
    assert lines.evaluate_all(short) == []


@pytest.mark.promise("page-hidden")
def test_pause_holds_everything_and_going_on_catches_up(tab: Tab, hub: HubProcess) -> None:
    tab.open(hub.url)
    tab.page.keyboard.press("p")
    tab.wait_for_pill("paused")
    expect(tab["#pause"]).to_have_attribute("aria-pressed", "true")
    assert json.loads(tab.sent[-1])["paused"] is True
    with hub.peer():
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 1)
        tab.page.wait_for_timeout(1500)  # Longer than an update takes, to see that none comes.
        expect(tab.figure("open")).to_have_text("0")
        tab["#pause"].click()
        expect(tab.figure("open")).to_have_text("1", timeout=PATIENCE_MS)
    tab.wait_for_pill("live")


def steps(path: Locator) -> int:
    """How many seconds a line shows, but for its first."""
    return (path.get_attribute("d") or "").count("L")


@pytest.mark.promise("page-hidden")
def test_a_tab_that_comes_back_gets_each_missed_second_once(tab: Tab) -> None:
    with serving() as served:
        for _ in range(3):
            served.publish()
        tab.open(served.url)
        path = tab['[data-figure="open"] .stroke']
        until(lambda: steps(path) == 2)
        tab.page.evaluate(HIDE, True)
        tab.wait_for_pill("paused")
        for _ in range(40):
            served.publish()
        tab.page.evaluate("const now = performance.now(); performance.now = () => now + 3000")
        tab.page.evaluate(HIDE, False)
        until(lambda: steps(path) == 42)
        assert (path.get_attribute("d") or "").count("M") == 1, "and no gap"
        served.publish()
        until(lambda: steps(path) == 43)


@pytest.mark.promise("page-stale")
def test_a_hub_that_hangs_makes_the_page_stale_and_live_again(tab: Tab, hub: HubProcess) -> None:
    tab.open(hub.url)
    hub.stand_still()
    try:
        tab.wait_for_pill("stale")
        assert "stale" in tab.page.title()
        expect(tab["body"]).to_have_class("old")
        assert tab["main"].evaluate("main => getComputedStyle(main).filter") == "grayscale(1)"
    finally:
        hub.go_on()
    tab.wait_for_pill("live")
    expect(tab["body"]).not_to_have_class("old")


@pytest.mark.promise("page-stale")
def test_a_killed_hub_is_noticed_and_so_is_the_new_one(browser: Browser) -> None:
    with open_tab(browser, expected=HUB_IS_GONE) as tab, reserved_port() as port:
        with HubProcess("--web-port", str(port)) as hub:
            tab.open(hub.url)
            with hub.peer():
                expect(tab.figure("open")).to_have_text("1", timeout=PATIENCE_MS)
            hub.process.kill()
            tab.wait_for_pill("reconnecting in")
        with HubProcess("--web-port", str(port)):
            expect(tab["#notice"]).to_contain_text("The hub restarted at", timeout=PATIENCE_MS)
            # The new hub has another port for WebSockets, so the page loads itself anew meanwhile.
            expect(tab["#pill"]).to_have_text(re.compile("live|hub restarted"), timeout=PATIENCE_MS)
            expect(tab.figure("open")).to_have_text("0", timeout=PATIENCE_MS)
            tab["#notice button"].click()
            expect(tab["#notice"]).to_be_hidden()
