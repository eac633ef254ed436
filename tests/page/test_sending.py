"""What is typed into the chat pane is sent when Enter asks for it, or stays there; and the pane says why."""

import socket
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, expect

from tests.page.support import HUB_IS_GONE, PATIENCE_MS, Served, Tab, open_tab, serving
from tests.page.test_chat import connect, relay, said, wait_for_line, wait_for_state
from tests.support import HubProcess, until

pytestmark = pytest.mark.browser
NO_SUCH_HUB = ("127.0.0.1:1",)


def expect_field(tab: Tab, text: str) -> None:
    expect(tab["#chat-line"]).to_have_value(text, timeout=PATIENCE_MS)


@pytest.mark.promise("page-typed")
def test_lines_for_a_full_hub_stay_and_are_never_said_later(browser: Browser) -> None:
    with (
        HubProcess("--max-clients", "1") as hub,
        open_tab(browser, expected=HUB_IS_GONE) as tab,
        hub.peer() as peer,
    ):
        peer.read_until(b"\n")
        tab.open(hub.url)
        expect(tab.figure("open")).to_have_text("1", timeout=PATIENCE_MS)
        for line in ("one", "two"):
            tab.say(line)
            wait_for_line(tab, "the hub is full (--max-clients)")
            wait_for_state(tab, "not connected")
            expect_field(tab, line)
        peer.close()
        expect(tab.figure("open")).to_have_text("0", timeout=PATIENCE_MS)
        tab["#chat-connect"].click()
        wait_for_state(tab, "connected")
        tab["#chat-line"].press("End")
        tab.page.keyboard.insert_text(", now asked for")
        tab["#chat-line"].press("Enter")
        wait_for_line(tab, "> two, now asked for")
        assert len(said(tab)) == 1
        expect_field(tab, "")


@pytest.mark.promise("page-typed")
@pytest.mark.parametrize(
    ("presses", "later", "taken"),
    [(1, "", ["a line"]), (3, "", ["a line"]), (1, " that goes on", []), (0, "", [])],
)
def test_a_line_goes_out_on_opening_once_if_asked_for(
    tab: Tab, presses: int, later: str, taken: list[str]
) -> None:
    """The field is emptied only of what was sent: more that was typed meanwhile was not asked for."""
    with relay(self_echo=True) as (port, lines), serving(ws_listeners=(f"127.0.0.1:{port}",)) as served:
        tab.open(served.url)
        tab.page.evaluate(HELD_BACK)
        field = tab["#chat-line"]
        field.fill("a line")
        for _ in range(presses):
            field.press("Enter")
        if not presses:
            tab["#chat-connect"].click()
        wait_for_state(tab, "connecting")
        field.press("End")
        tab.page.keyboard.insert_text(later)
        tab.until("isOpen()")
        tab.page.evaluate("letOpen()")
        wait_for_state(tab, "connected")
        field.press("End")
        tab.page.keyboard.insert_text("!")
        field.press("Enter")
        until(lambda: len(lines) == len(taken) + 1)
        assert lines == [*taken, "!" if taken else f"a line{later}!"]


HELD_BACK = """() => {
    const Real = WebSocket;
    const opening = [];
    let held = true;
    WebSocket = class extends Real {
        addEventListener(name, heard) {
            const later = (event) => opening.push(() => heard(event));
            super.addEventListener(name, name === "open" ? later : heard);
        }
        get readyState() { return held ? 0 : super.readyState; }
    };
    window.isOpen = () => opening.length;
    window.letOpen = () => { held = false; opening.forEach((open) => open()); };
}"""
"""The page hears that its next connection is open only when the test says so."""


@pytest.mark.promise("page-typed")
@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("readyState", "2", "not sent: the connection is closing"),
        ("readyState", "3", "not sent: the connection is closing"),
        ("bufferedAmount", "(1 << 20) + 1", "not sent: the hub takes no more at the moment"),
    ],
)
def test_a_line_that_cannot_go_out_stays_in_the_field(tab: Tab, name: str, value: str, why: str) -> None:
    with relay(self_echo=True) as (port, lines), serving(ws_listeners=(f"127.0.0.1:{port}",)) as served:
        tab.open(served.url)
        tab["#chat-connect"].click()
        wait_for_state(tab, "connected")
        tab.page.evaluate(f"Object.defineProperty(WebSocket.prototype, '{name}', {{ get: () => {value} }})")
        tab.say("still here")
        wait_for_line(tab, why)
        expect_field(tab, "still here")
        assert lines == []


def test_a_connection_that_is_given_up_says_nothing_later(tab: Tab) -> None:
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = silent.getsockname()[1]
        served = stack.enter_context(serving(ws_listeners=(f"127.0.0.1:{port}",)))
        tab.open(served.url)
        tab.say("never mind")
        wait_for_state(tab, "connecting")
        tab["#chat-connect"].click()
        wait_for_state(tab, "not connected")
        expect_field(tab, "never mind")
        tab.errors.clear()  # The browser's own line about it.


def test_enter_before_the_page_is_live_is_answered(tab: Tab, served: Served) -> None:
    tab.page.route_web_socket("**/live", lambda _: None)  # Accepted, and mute.
    tab.page.goto(served.url)
    tab.say("too early")
    wait_for_line(tab, "not connected: this page has not heard of the hub yet")
    expect_field(tab, "too early")


LIMIT = "too long, 256 are allowed (--max-line)"


@pytest.mark.promise("page-typed")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("'x'.repeat(9000)", f"the line is 8\u202f744 bytes {LIMIT}"),
        ("'é'.repeat(129)", f"the line is 2 bytes {LIMIT}"),
        ("'👩‍👩‍👧'.repeat(15)", f"the line is 14 bytes {LIMIT}"),
        ("'\\ud800'.repeat(86)", f"the line is 2 bytes {LIMIT}"),
        ("'ok\\n' + 'x'.repeat(257) + '\\nok'", f"line 2 is 1 byte {LIMIT}"),
    ],
)
def test_a_line_of_too_many_bytes_stays_and_the_pane_connected(tab: Tab, text: str, why: str) -> None:
    with HubProcess("--max-line", "256", "--mode", "broadcast") as hub:
        connect(tab, hub)
        tab.page.evaluate(f"document.querySelector('#chat-line').value = {text}")
        tab["#chat-line"].press("Enter")
        wait_for_line(tab, f"not sent: {why}")
        assert tab.page.evaluate(f"document.querySelector('#chat-line').value === {text}")
        tab.say("é" * 128)
        wait_for_line(tab, "é" * 128)
        wait_for_state(tab, "connected")


@pytest.mark.promise("page-typed")
def test_a_text_of_several_lines_is_sent_as_lines(tab: Tab) -> None:
    with HubProcess("--mode", "broadcast", "--no-self-echo") as hub, hub.peer() as peer:
        connect(tab, hub)
        tab["#chat-line"].focus()
        tab.page.keyboard.insert_text("one\r\ntwo\n\nthree\n")
        expect_field(tab, "one\ntwo\n\nthree\n")
        tab["#chat-line"].press("Shift+Enter")
        tab["#chat-line"].press("Backspace")
        tab["#chat-line"].press("Enter")
        assert peer.read_until(b"three\n") == b"one\ntwo\n\nthree\n"
        expect(tab["#chat-log .own"]).to_have_text(["one", "two", "", "three"], timeout=PATIENCE_MS)
        expect_field(tab, "")


REASONS = [
    (
        "ws://h:9001",
        "",
        False,
        False,
        "http:",
        "no connection to ws://h:9001/: full (--max-clients, --max-per-ip)",
    ),
    ("ws://h:9001", "", True, False, "http:", "the hub is full (--max-clients)"),
    ("wss://h:9001", "", False, False, "https:", "--public-ws has to say where browsers find port 9001"),
    (
        "wss://h/ws",
        "wss://h/ws",
        False,
        False,
        "https:",
        "to port 9001, and does --allowed-host",
    ),
    ("ws://h/ws", "ws://h/ws", False, False, "https:", "an https page may not open ws://h/ws"),
    ("wss://h/ws", "wss://h/ws", False, True, "https:", "this page may not open wss://h/ws"),
]


@pytest.mark.parametrize(("url", "public", "full", "forbidden", "page", "why"), REASONS)
def test_a_connection_that_fails_names_the_setting(
    tab: Tab, served: Served, url: str, public: str, full: bool, forbidden: bool, page: str, why: str
) -> None:
    tab.open(served.url)
    said = tab.page.evaluate(
        """async ([url, publicUrl, full, forbidden, page]) => {
            const { chatAddress, whyNotConnected } = await import("/static/chat_address.js");
            const place = { port: 9001, publicUrl, full };
            const made = chatAddress({ ...place, publicUrl: publicUrl || url }, "me", page);
            return [made.href, whyNotConnected(made, place, forbidden, "", page)];
        }""",
        [url, public, full, forbidden, page],
    )
    assert said[0] == f"{url}{'' if public else '/'}?tag=me"
    assert why in said[1] and "--" in said[1]


@pytest.mark.parametrize(("page", "address"), [("http:", "ws:"), ("https:", "wss:")])
def test_the_pane_uses_the_scheme_of_the_page(tab: Tab, served: Served, page: str, address: str) -> None:
    tab.open(served.url)
    made = tab.page.evaluate(
        """async page => {
            const { chatAddress } = await import("/static/chat_address.js");
            return chatAddress({ port: 9001, publicUrl: "", full: false }, "me", page).href;
        }""",
        page,
    )
    assert made == f"{address}//127.0.0.1:9001/?tag=me"


OBSTACLES = {
    "policy": """void document.head.append(Object.assign(document.createElement("meta"),
        { httpEquiv: "Content-Security-Policy", content: "connect-src 'self'" }))""",
    "constructor": "void (WebSocket = class { static OPEN = 1; constructor() { throw Error('no luck'); } })",
    "other policy": """void document.dispatchEvent(
        new SecurityPolicyViolationEvent("securitypolicyviolation", { blockedURI: "wss://127.0.0.1:1/" }))""",
    "closed port": "0",
}
"""The first is as behind a proxy that changes Host: the page's policy does not name the page's own host."""


@pytest.mark.parametrize(
    ("obstacle", "why"),
    [
        ("policy", "this page may not open ws://127.0.0.1:1/: --public-ws has to name it"),
        ("closed port", "no connection to ws://127.0.0.1:1/: full (--max-clients"),
        ("constructor", "no connection to ws://127.0.0.1:1/: Error: no luck"),
        ("other policy", "no connection to ws://127.0.0.1:1/: full (--max-clients"),
    ],
)
def test_a_browser_that_will_not_connect_is_told_of(browser: Browser, obstacle: str, why: str) -> None:
    with serving(ws_listeners=NO_SUCH_HUB) as served, open_tab(browser) as tab:
        tab.open(served.url)
        tab.page.evaluate(OBSTACLES[obstacle])
        tab.say("kept")
        wait_for_state(tab, "not connected")
        wait_for_line(tab, why)
        expect_field(tab, "kept")
        expect(tab["#chat-connect"]).to_have_text("connect")
        tab.errors.clear()  # The browser's own lines.


@pytest.mark.promise("page-typed")
@pytest.mark.parametrize(
    ("pressed", "taken"),
    [
        ("{ key: 'Enter', repeat: true }", []),
        ("{ key: 'Enter', keyCode: 229 }", []),
        ("{ key: 'Enter', isComposing: true }", []),
        ("{ key: 'Enter', keyCode: 13 }", ["", ""]),
    ],
)
def test_only_a_press_of_enter_of_its_own_sends(tab: Tab, pressed: str, taken: list[str]) -> None:
    """An empty line as well, which two presses ask for."""
    with relay(self_echo=True) as (port, lines), serving(ws_listeners=(f"127.0.0.1:{port}",)) as served:
        tab.open(served.url)
        tab["#chat-connect"].click()
        wait_for_state(tab, "connected")
        for _ in range(2):
            tab.page.evaluate(
                f"document.querySelector('#chat-line').dispatchEvent(new KeyboardEvent('keydown', {pressed}))"
            )
        tab.say("the end")
        until(lambda: "the end" in lines)
        assert lines == [*taken, "the end"]


@pytest.mark.promise("page-typed")
@pytest.mark.parametrize(("connected", "hangs"), [(True, False), (False, False), (True, True)])
def test_a_hub_out_of_reach_is_sent_nothing(browser: Browser, connected: bool, hangs: bool) -> None:
    with open_tab(browser, expected=HUB_IS_GONE) as tab, relay(self_echo=True) as (port, lines):
        with serving(ws_listeners=(f"127.0.0.1:{port}",)) as served:
            tab.open(served.url)
            if connected:
                tab["#chat-connect"].click()
                wait_for_state(tab, "connected")
            if hangs:
                served.clock.now_s += 60
                tab.wait_for_pill("stale")
                tab.say("kept")
                wait_for_line(tab, "not sent: the hub does not answer")
        if not hangs:
            tab.wait_for_pill("reconnecting")
            tab.say("kept")
            wait_for_line(tab, "not sent: this page does not reach the hub")
        expect_field(tab, "kept")
        assert lines == []


@pytest.mark.promise("page-typed")
@pytest.mark.parametrize(
    ("answers", "typed", "left"), [(False, "", "lost?"), (False, "more", "more"), (True, "", "")]
)
def test_a_text_without_a_sign_of_arrival_is_given_back(
    tab: Tab, answers: bool, typed: str, left: str
) -> None:
    with relay(self_echo=answers) as (port, lines), serving(ws_listeners=(f"127.0.0.1:{port}",)) as served:
        tab.open(served.url)
        tab.page.evaluate(BREAKS_OFF)
        tab["#chat-connect"].click()
        wait_for_state(tab, "connected")
        tab.say("lost?")
        until(lambda: lines == ["lost?"])
        if answers:
            wait_for_line(tab, "lost?")
        tab["#chat-line"].fill(typed)
        tab.page.evaluate("breakOff()")
        wait_for_state(tab, "closed: 1006")
        expect_field(tab, left)
        note = "not known to have arrived: lost?"
        assert [line for line in tab.chat_lines() if note in line] == [note] * (not answers)


BREAKS_OFF = """() => {
    const Real = WebSocket;
    WebSocket = class extends Real {
        constructor(url) {
            super(url);
            const end = new CloseEvent("close", { code: 1006, wasClean: false });
            window.breakOff = () => this.dispatchEvent(end);
        }
    };
}"""
"""The page hears of its next connection that it broke off when the test says so."""


@pytest.mark.parametrize(
    ("code", "reason", "shown"),
    [
        (1000, "reason=idle after=3s - too quiet", "closed: too quiet (1000 reason=idle after=3s)"),
        (1001, "reason=server_shutdown", "closed: 1001 reason=server_shutdown"),
        (1000, "x - a - b\u202e", "closed: a - b<U+202E> (1000 x)"),
        (1006, "", "closed: 1006 the connection broke off"),
    ],
)  # fmt: skip
def test_a_farewell_begins_with_its_sentence(
    tab: Tab, served: Served, code: int, reason: str, shown: str
) -> None:
    tab.open(served.url)
    why = 'async event => (await import("/static/chat_address.js")).whyClosed(event)'
    assert tab.page.evaluate(why, {"code": code, "reason": reason}) == shown
