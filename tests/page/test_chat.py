"""The chat pane is a client like any other: it and telnet see the same lines in the same order."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread

import pytest
from playwright.sync_api import Browser, expect
from websockets.sync.server import ServerConnection, serve

from tests.e2e.programs import telnet_window
from tests.page.support import HUB_IS_GONE, PATIENCE_MS, Tab, open_tab, serving
from tests.page.test_hostile import MISLEADING, PAYLOADS
from tests.support import HubProcess, until

pytestmark = pytest.mark.browser


def connect(tab: Tab, hub: HubProcess) -> None:
    tab.open(hub.url)
    tab["#chat-connect"].click()
    wait_for_state(tab, "connected")


def wait_for_state(tab: Tab, text: str) -> None:
    expect(tab["#chat-state"]).to_have_text(text, timeout=PATIENCE_MS)


def wait_for_line(tab: Tab, text: str) -> None:
    expect(tab["#chat-log"]).to_contain_text(text, timeout=PATIENCE_MS)


def said(tab: Tab) -> list[str]:
    """The lines of people in the pane, without the hub's and the page's own."""
    return [line for line in tab.chat_lines() if line.startswith("<")]


def test_pane_and_line_client_see_the_same_lines_in_order(tab: Tab, hub: HubProcess) -> None:
    with hub.peer() as peer:
        peer.send(b"/nick ada\n")
        peer.read_until(b"ada\n")
        connect(tab, hub)
        tab.say("/nick grace")
        wait_for_line(tab, "grace")
        for number in range(20):
            tab.say(f"from the page {number}")
            peer.send(f"from the line {number}\n".encode())
        until(lambda: len(said(tab)) == 40)
        seen = []
        while len(seen) < 40:
            line = peer.line().decode().rstrip("\n")
            if line.startswith("<"):
                seen.append(line)
        assert said(tab) == seen
        expect(tab["#chat-log .own"]).to_have_count(0)
        assert [line for line in seen if "page" in line] == [f"<grace> from the page {n}" for n in range(20)]


def test_the_pane_talks_with_a_telnet_window(tab: Tab, hub: HubProcess) -> None:
    with telnet_window(hub.port) as window:
        window.type("/nick tel\n")
        window.wait_for("tel")
        connect(tab, hub)
        tab.say("/nick page")
        window.wait_for("page")
        window.type("hello page\n")
        wait_for_line(tab, "<tel> hello page")
        tab.say("hello telnet")
        window.wait_for("<page> hello telnet")
        window.type("last word\n")
        window.wait_for("<tel> last word")
        wait_for_line(tab, "<tel> last word")
        shown = re.findall(r"<(?:tel|page)> [a-z ]+", window.printed.decode())
        assert shown == said(tab) == ["<tel> hello page", "<page> hello telnet", "<tel> last word"]


def test_the_own_row_is_marked_as_long_as_one_is_connected(tab: Tab, hub: HubProcess) -> None:
    with hub.peer():
        connect(tab, hub)
        mine = tab["#clients tr.own"]
        expect(mine).to_have_count(1, timeout=PATIENCE_MS)
        expect(mine.locator(".you")).to_be_visible()
        expect(mine.locator('[data-key="transport"]')).to_have_text("websocket")
        expect(tab["#clients .you:visible"]).to_have_count(1)
        tab.say("/nick " + "W" * 32)
        until(lambda: "W" * 32 in tab.column("nick"))
        right = "element => element.getBoundingClientRect().right"
        mark, cell = mine.locator(".you"), mine.locator('[data-key="nick"]')
        assert mark.evaluate(right) < cell.evaluate(right)
        tab["#chat-connect"].click()
        until(lambda: tab["#chat-connect"].inner_text() == "connect")
        expect(mine).to_have_count(0, timeout=PATIENCE_MS)


def test_enter_connects_first_and_says_it_then(tab: Tab, hub: HubProcess) -> None:
    tab.open(hub.url)
    tab.page.keyboard.press("c")
    expect(tab["#chat-line"]).to_be_focused()
    tab.say("first words")
    wait_for_line(tab, "> first words")
    expect(tab["#chat-line"]).to_have_value("")


@pytest.mark.promise("page-chat")
def test_a_close_says_why(tab: Tab) -> None:
    with HubProcess("--idle-timeout", "2", "--idle-warning", "0") as hub:
        connect(tab, hub)
        wait_for_line(tab, "reason=idle")
        wait_for_state(tab, "closed: idle")
        wait_for_line(tab, "closed: nothing came from you for too long (1000 reason=idle")
        expect(tab["#chat-connect"]).to_have_text("connect")
        expect(tab['#closed [data-reason="idle"]']).to_have_count(1, timeout=PATIENCE_MS)
        tab["#chat-connect"].click()
        wait_for_state(tab, "connected")
        tab.say("/quit")
        wait_for_line(tab, "reason=quit")
        expect(tab["#chat-connect"]).to_have_text("connect")


def test_without_a_port_the_pane_says_so(tab: Tab) -> None:
    with HubProcess("--no-ws") as hub:
        tab.open(hub.url)
        wait_for_state(tab, "off: no WebSocket port")
        for control in ("#chat-connect", "#chat-line", "#chat-form button"):
            expect(tab[control]).to_be_disabled()
        expect(tab["#chat-line"]).to_have_attribute("placeholder", "this hub has no WebSocket port")
        expect(tab["#empty"]).to_have_text("No client is connected. telnet to the address above.")


def test_a_hub_that_dies_ends_the_conversation(browser: Browser, hub: HubProcess) -> None:
    with open_tab(browser, expected=HUB_IS_GONE) as tab:
        connect(tab, hub)
        hub.process.kill()
        wait_for_state(tab, "closed: 1006")


@pytest.mark.parametrize("mode", ["broadcast", "echo"])
def test_relay_modes_show_what_was_sent(tab: Tab, mode: str) -> None:
    with HubProcess("--mode", mode) as hub, hub.peer() as peer:
        connect(tab, hub)
        tab.say("verbatim")
        wait_for_line(tab, "verbatim")
        if mode == "broadcast":
            assert peer.line() == b"verbatim\n"
            peer.send("* not the hub, \N{RIGHT-TO-LEFT OVERRIDE}me\x1b[2J\n".encode())
            wait_for_line(tab, "* not the hub, <U+202E>me^[[2J")


@contextmanager
def relay(*, self_echo: bool) -> Iterator[tuple[int, list[str]]]:
    """A port for browsers, and the lines that came to it; they go back only with `self_echo`."""
    taken: list[str] = []

    def talk(connection: ServerConnection) -> None:
        for line in connection:
            taken.append(str(line))
            if self_echo:
                connection.send(line)

    with serve(talk, "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1], taken
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("self_echo", "shown_as"), [(False, ["own", "own"]), (True, ["", ""])])
def test_own_lines_are_shown_once_whatever_the_hub_sends_back(
    tab: Tab, self_echo: bool, shown_as: list[str]
) -> None:
    with ExitStack() as stack:
        port, taken = stack.enter_context(relay(self_echo=self_echo))
        listeners = (f"127.0.0.1:{port}",)
        served = stack.enter_context(serving(mode="broadcast", ws_listeners=listeners, self_echo=self_echo))
        tab.open(served.url)
        expect(tab["#chat-connect"]).to_be_enabled(timeout=PATIENCE_MS)
        tab.say("typed before there is a connection")
        wait_for_state(tab, "connected")
        tab.say("* typed \N{RIGHT-TO-LEFT OVERRIDE}<b>later</b>")
        lines = tab["#chat-log p"]
        expect(lines).to_have_text(
            ["typed before there is a connection", "* typed <U+202E><b>later</b>"], timeout=PATIENCE_MS
        )
        until(lambda: len(taken) == 2)
        classes = lines.evaluate_all("lines => lines.map(line => line.className)")
        assert [name.replace("hub", "") for name in classes] == shown_as
        tab["#chat-connect"].click()
        wait_for_state(tab, "not connected")


@pytest.mark.promise("page-text")
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_hostile_lines_are_text(tab: Tab, mode: str) -> None:
    with HubProcess("--mode", mode) as hub, hub.peer() as peer:
        connect(tab, hub)
        for payload in [*PAYLOADS, *MISLEADING]:
            peer.send(payload.encode() + b"\n")
        peer.send(b"the end\n")
        wait_for_line(tab, "the end")
        shown = "\n".join(tab.chat_lines())
        for payload in PAYLOADS:
            assert payload in shown
        assert not any(character in shown for character in "\x1b\x07\u202e\u2066\u2069\u2028")
        assert "owned" not in tab.page.title()
        assert tab["#chat-log *:not(p)"].count() == 0


@pytest.mark.promise("page-chat")
def test_the_pane_is_bounded_and_stays_where_its_reader_is(tab: Tab) -> None:
    with HubProcess("--mode", "broadcast") as hub, hub.peer() as peer:
        connect(tab, hub)
        peer.send(b"".join(b"line %d\n" % number for number in range(2000)))
        wait_for_line(tab, "line 1999")
        assert tab["#chat-log p"].count() == 500
        at_end = "(() => { const l = document.querySelector('#chat-log');"
        at_end += " return l.scrollHeight - l.scrollTop - l.clientHeight < 8; })()"
        assert tab.page.evaluate(at_end)
        tab["#chat-line"].fill("a\nfield\nthat\ngrows")
        tab.until(at_end)
        tab.page.evaluate("document.querySelector('#chat-log').scrollTop = 0")
        peer.send(b"one more\n")
        wait_for_line(tab, "one more")
        assert not tab.page.evaluate(at_end)


@pytest.mark.promise("page-chat")
def test_odd_lines_are_shown_as_far_as_possible(tab: Tab) -> None:
    """An empty one is as high as any, and a very long one is cut for the eye and says so."""
    with HubProcess("--mode", "broadcast") as hub, hub.peer() as peer:
        connect(tab, hub)
        peer.send(b"\none\ncaf\xe9 \x80 au lait\n" + b"y" * 5000 + b"\n")
        wait_for_line(tab, "caf\ufffd \ufffd au lait")
        wait_for_line(tab, "y… (3\u202f000 more)")
        heights = "lines => lines.map(line => line.getBoundingClientRect().height)"
        first, second, *_ = tab["#chat-log p"].evaluate_all(heights)
        assert first == second
