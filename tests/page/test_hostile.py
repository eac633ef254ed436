"""What clients choose is text on the page, whatever it looks like, and no code of theirs would run."""

import json

import pytest
from playwright.sync_api import Browser, expect

from tests.page.support import NARROW, PATIENCE_MS, WIDE, Served, Tab, open_tab, serving
from tests.support import HubProcess, until
from tests.unit.web.support import make_closed, make_row

pytestmark = pytest.mark.browser

PAYLOADS = [
    "<img src=x onerror=\"document.title='owned'\">",
    "<script>document.title='owned'</script>",
    "'\"><svg/onload=document.title='owned'>",
    "{{7*7}}${7*7}{% raw %}",
    "javascript:document.title='owned'",
    "&lt;b&gt;&amp;",
    "__proto__",
    "</td></tr></table></textarea></title>",
    "x" * 300,
]
MISLEADING = {
    "\x1b]0;owned\x07": "^[]0;owned^G",
    "\u202egpj.exe": "<U+202E>gpj.exe",
    "a\u2066b\u2069c": "a<U+2066>b<U+2069>c",
    "line\u2028end": "line<U+2028>end",
    "tag\U000e0041": "tag<U+E0041>",
}
"""What cannot be seen, or turns what stands beside it, is shown by its name."""


def assert_nothing_ran(tab: Tab) -> None:
    assert "owned" not in tab.page.title()
    assert tab["main img, main script, main iframe, main a"].count() == 0


@pytest.mark.promise("page-text")
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_hostile_names_are_text_in_the_table_and_the_closed_list(
    browser: Browser, size: tuple[int, int]
) -> None:
    shown = {payload: payload for payload in PAYLOADS} | MISLEADING
    with serving() as served, open_tab(browser, size=size) as tab:
        hub = served.hub
        hub.rows = [
            make_row(number, nick=text, room=text, peer=text, transport=text, state=text)
            for number, text in enumerate(shown)
        ]
        tab.page.goto(served.url)
        for key in ("nick", "room", "peer"):
            expect(tab[f'#clients td[data-key="{key}"] bdi']).to_have_text(list(shown.values()))
        # One at a time: an update has room for five thousand bytes of closed clients.
        for number, text in enumerate(shown):
            hub.closed = [make_closed(number, nick=text, room=text, peer=text, reason=text, detail=text)]
            item = tab[f'#closed li[data-id="{number}"]']
            expect(item.locator(".who")).to_have_text(shown[text], timeout=PATIENCE_MS)
            expect(item.locator(".detail")).to_contain_text(shown[text])
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert_nothing_ran(tab)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_hostile_filter_is_text_and_matches_as_text(tab: Tab, served: Served, payload: str) -> None:
    served.hub.rows = [make_row(1)]
    tab.open(served.url)
    tab["#filter"].fill(payload)
    expect(tab["#empty"]).to_contain_text("None of the 1 fits", timeout=PATIENCE_MS)
    until(lambda: tab.page.evaluate("1") and json.loads(tab.sent[-1])["q"] == payload[:200])
    tab.reload()
    expect(tab["#filter"]).to_have_value(payload[:200])
    assert_nothing_ran(tab)


@pytest.mark.promise("page-text")
def test_what_a_real_client_tries_as_its_name_comes_to_nothing(tab: Tab, hub: HubProcess) -> None:
    with hub.peer() as peer:
        tab.open(hub.url)
        for payload in PAYLOADS:
            peer.send(f"/nick {payload}\n/join {payload}\n{payload}\n".encode())
        peer.send(b"/quit\n")
        peer.rest()
        expect(tab["#closed li"]).to_have_count(1, timeout=PATIENCE_MS)
        assert_nothing_ran(tab)


@pytest.mark.promise("page-text")
def test_an_inline_script_would_not_run(browser: Browser, served: Served) -> None:
    with open_tab(browser) as tab:
        tab.open(served.url)
        tab.page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "document.title = 'owned'";
                document.body.append(script);
            }"""
        )
        assert "owned" not in tab.page.title()
        assert any("Content Security Policy" in text for text in tab.errors), "and nobody would hear of it"
        tab.errors.clear()
