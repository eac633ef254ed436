"""The page's one connection: when it comes back, and how old it says its figures are.

The module as the browser loads it, on a network, a clock and a dice that the test moves; so nothing waits.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.page.support import Tab, open_tab
from tests.support import HubProcess

pytestmark = pytest.mark.browser

STAGE = """async () => {
    const { Live } = await import("/static/live.js");
    window.nowS = 1000;
    performance.now = () => nowS * 1000;
    window.setInterval = () => 0;  // Only the test looks at the clock.
    window.sockets = [];
    window.WebSocket = class extends EventTarget {
        static OPEN = 1;
        static CLOSED = 3;
        constructor() { super(); this.readyState = 0; this.sent = []; sockets.push(this); }
        send(text) { this.sent.push(JSON.parse(text)); }
        close() { this.readyState = 2; }
        opens() { this.readyState = 1; this.dispatchEvent(new Event("open")); }
        breaks() { this.readyState = 3; this.dispatchEvent(new Event("close")); }
        tells(message) { this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(message) })); }
    };
    window.state = (name, seconds) => { window.told = [name, seconds]; };
    window.live = new Live({ hello() {}, update() {}, error() {}, state }, () => ({ sort: "id" }));
    window.at = (seconds) => { nowS = seconds; live.tick(); return told[0]; };
    window.hide = (hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    };
    window.comeLive = () => { sockets.at(-1).opens(); sockets.at(-1).tells({ kind: "update", age_s: 0 }); };
    live.start();
}"""


@pytest.fixture(scope="module")
def blank(browser: Browser) -> Iterator[Tab]:
    """A page of the hub's origin that runs no script of its own."""
    with HubProcess() as hub, open_tab(browser) as tab:
        tab.page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        tab.page.goto(f"{hub.url}livez")
        yield tab


@pytest.fixture
def stage(blank: Tab) -> Tab:
    blank.page.reload()
    blank.page.evaluate(STAGE)
    return blank


def play(stage: Tab, script: str) -> Any:
    """What this JavaScript says on the stage."""
    return stage.page.evaluate(f"() => {{ {script} }}")


WAITS = """
    const waits = [];
    for (let time = 0; time < 8; time += 1) {
        sockets.at(-1).breaks();
        waits.push(told[1]);
        const end = live.retryAt;
        if (at(end - 0.001) !== "reconnecting" || sockets.at(-1).readyState !== 3) waits.push("too soon");
        at(end + 0.001);
    }
    return waits;
"""


@pytest.mark.promise("page-reconnect")
@pytest.mark.parametrize(("dice", "share"), [("0", 0.75), ("0.5", 1.0), ("1 - 2 ** -53", 1.25)])
def test_retries_wait_half_a_second_first_and_ten_at_most(stage: Tab, dice: str, share: float) -> None:
    waits = play(stage, f"Math.random = () => {dice}; {WAITS}")
    assert waits == [pytest.approx(each * share) for each in (0.5, 1, 2, 4, 8, 10, 10, 10)]
    again = play(stage, f"comeLive(); {WAITS}")
    assert again == waits, "once it was there, it begins anew"


@pytest.mark.promise("page-stale")
def test_it_is_stale_after_three_seconds_without_news(stage: Tab) -> None:
    seen = play(stage, "comeLive(); return [1000, 1003, 1003.01, 1010].map(at);")
    assert seen == ["live", "live", "stale", "stale"]
    assert play(stage, "sockets[0].tells({ kind: 'update', age_s: 0 }); return told[0];") == "live"


@pytest.mark.promise("page-stale")
def test_the_page_is_stale_when_the_hub_is_silent_for_four(stage: Tab) -> None:
    """A publication is due each second, so one of a second ago is as new as can be."""
    seen = play(
        stage,
        """comeLive();
        return [[1001.5, 1.5], [1002.5, 2.5], [1003.5, 3.5], [1004.5, 4.5]].map(([now, age]) => {
            nowS = now;
            sockets[0].tells({ kind: "update", age_s: age });
            return [told[0], at(now + 0.49), at(now + 0.51)];
        });""",
    )
    assert seen == [["live"] * 3, ["live"] * 3, ["live", "live", "stale"], ["stale"] * 3]


@pytest.mark.promise("page-hidden")
@pytest.mark.parametrize(
    ("rest", "go_on"), [("live.setPaused(true)", "live.setPaused(false)"), ("hide(true)", "hide(false)")]
)
@pytest.mark.parametrize(("away_s", "connections"), [(2.5, 1), (2.51, 2)])
def test_a_page_back_after_two_and_a_half_seconds_reconnects(
    stage: Tab, rest: str, go_on: str, away_s: float, connections: int
) -> None:
    """That comes with the first message of a connection."""
    sent = play(
        stage,
        f"""comeLive();
        {rest};
        if (at(1000 + {away_s}) !== "paused") return told;
        {go_on};
        if (sockets.length === 2) sockets[1].opens();
        return sockets.map((socket) => socket.sent.map((view) => view.paused));""",
    )
    assert sent == ([[False, True, False]] if connections == 1 else [[False, True], [False]])


def test_there_is_one_connection_at_a_time(stage: Tab) -> None:
    states = play(
        stage,
        """comeLive();
        hide(true); nowS += 100; hide(false); comeLive();
        sockets[1].breaks(); at(live.retryAt + 0.001); comeLive();
        return sockets.map((socket) => socket.readyState);""",
    )
    assert states == [2, 3, 1], "let go, broken, open"


@pytest.mark.promise("page-hidden")
def test_what_is_hidden_or_paused_stays_so_on_a_new_connection(stage: Tab) -> None:
    sent = play(
        stage,
        """comeLive(); hide(true); sockets[0].breaks(); at(live.retryAt + 0.001); sockets[1].opens();
        return sockets[1].sent;""",
    )
    assert sent == [{"sort": "id", "paused": True}]


@pytest.mark.promise("page-hidden")
def test_a_tab_that_merely_lost_the_focus_goes_on(stage: Tab) -> None:
    assert play(
        stage,
        """comeLive(); window.dispatchEvent(new Event("blur")); document.dispatchEvent(new Event("blur"));
        return [at(1001), sockets[0].sent.length];""",
    ) == ["live", 1]
