"""Whatever is done to the page from outside or comes to it cut short, it goes on or says that it does not."""

import pytest
from playwright.sync_api import Browser, expect

from hub.control.snapshots import ClientCounts
from tests.page.support import HUB_IS_GONE, PATIENCE_MS, Served, Tab, open_tab, serving
from tests.unit.web.support import make_row

pytestmark = pytest.mark.browser

STOPPING = "The hub is stopping and takes no new clients."
TRANSLATE = """() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) texts.push(walker.currentNode);
    for (const text of texts.filter((text) => text.data.trim())) {
        const [outer, inner] = [document.createElement("font"), document.createElement("font")];
        inner.textContent = text.data;
        outer.append(inner);
        text.replaceWith(outer);
    }
}"""
"""As Chromium does it; a reader may ask for it even where the page says `translate="no"`."""


@pytest.mark.promise("page-goes-on")
def test_a_translated_page_goes_on_showing_what_is(tab: Tab, served: Served) -> None:
    served.hub.rows = [make_row(1, nick="before")]
    tab.open(served.url)
    tab.wait_for_column("nick", ["before"])
    expect(tab["html"]).to_have_attribute("translate", "no")
    tab.page.evaluate(TRANSLATE)
    served.hub.rows = [make_row(1, nick="after")]
    served.publish(clients=ClientCounts(open=77, accepted=80, peak=78))
    tab.wait_for_column("nick", ["after"])
    expect(tab.figure("open")).to_have_text("77", timeout=PATIENCE_MS)


@pytest.mark.promise("page-goes-on")
@pytest.mark.parametrize(
    "removed", ['[data-pairs="account"]', '[data-fact="mode"]', "#window", "#pause", "#kept", "#no-reasons"]
)
def test_without_one_element_the_others_go_on(browser: Browser, served: Served, removed: str) -> None:
    with open_tab(browser) as tab:
        tab.open(served.url)
        tab[removed].evaluate("element => element.remove()")
        served.hub.rows = [make_row(7)]
        served.publish(clients=ClientCounts(open=77, accepted=80, peak=78), closed={"idle": 4})
        tab.wait_for_column("id", ["7"])
        expect(tab.figure("open")).to_have_text("77", timeout=PATIENCE_MS)
        expect(tab["#chat-line"]).to_have_attribute("placeholder", "this hub has no WebSocket port")
        if removed not in ("#no-reasons", "#kept"):  # The first is held; the second has nothing to say.
            expect(tab["#notice"]).to_contain_text("does not go on", timeout=PATIENCE_MS)
            assert len(tab.errors) == 1, "told once"
        tab.errors.clear()


@pytest.mark.promise("page-goes-on")
@pytest.mark.parametrize(
    ("name", "cut", "why"),
    [("rows.js", 500, "SyntaxError"), ("app.js", 900, "SyntaxError"), ("chat_address.js", 0, "SyntaxError"),
     ("lines.js", None, "ResizeObserver is not defined")],
)  # fmt: skip
def test_a_page_that_cannot_start_says_so(
    browser: Browser, served: Served, name: str, cut: int | None, why: str
) -> None:
    with open_tab(browser) as tab:
        if cut is None:
            tab.page.add_init_script("delete window.ResizeObserver")
        else:
            tab.page.route(
                f"**/static/{name}*",
                lambda route: route.fulfill(body=route.fetch().text()[:cut], content_type="text/javascript"),
            )
        tab.page.goto(served.url)
        expect(tab["#pill"]).to_have_text("could not start: reload the page", timeout=PATIENCE_MS)
        expect(tab["#notice"]).to_contain_text(why)
        tab.errors.clear()


@pytest.mark.promise("page-goes-on")
def test_a_page_whose_file_never_ends_says_so(browser: Browser, served: Served) -> None:
    with open_tab(browser) as tab:
        tab.page.clock.install()
        tab.page.route("**/static/rows.js*", lambda _: None)
        tab.page.goto(served.url, wait_until="commit")
        tab["footer"].wait_for()
        tab.page.clock.fast_forward(15_000)
        expect(tab["#pill"]).to_have_text("could not start: reload the page", timeout=PATIENCE_MS)


def test_a_stopping_hub_and_a_gone_one_offer_no_chat(browser: Browser) -> None:
    with open_tab(browser, expected=HUB_IS_GONE) as tab:
        with serving(ws_listeners=("127.0.0.1:9001",)) as served:
            tab.open(served.url)
            expect(tab["#empty"]).to_contain_text("or connect the chat")
            served.publish(draining=True, clients=ClientCounts(open=61, accepted=61, peak=61))
            expect(tab["#empty"]).to_have_text(STOPPING, timeout=PATIENCE_MS)
        expect(tab["#empty"]).to_contain_text("this page does not reach the hub", timeout=PATIENCE_MS)
