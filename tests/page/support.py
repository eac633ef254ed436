"""A browser's tab with the live page in it, and what a test asks of it.

The sync interface of playwright keeps an asyncio loop running in the test's thread for as long as the
browser lives, so nothing in these tests may call asyncio.run in that thread.
"""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, WebSocket, expect

from tests.support import PATIENCE_S, until
from tests.unit.web import support

PATIENCE_MS: Final = PATIENCE_S * 1000
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    "--disable-component-update",
)
WIDE: Final = (1440, 900)
NARROW: Final = (320, 800)
HUB_IS_GONE: Final = re.compile(r"WebSocket connection to '.*' failed|net::ERR_(CONNECTION_|EMPTY_RESPONSE)")
"""What the browser itself writes into the console when nobody listens; no page can prevent that."""

NETWORK_CHANGED: Final = "net::ERR_NETWORK_CHANGED"
"""Chromium gives up all that is under way, loopback included, when any interface comes or goes; a container
engine that starts beside the tests does that. Then the page is loaded again."""
LOADS_MAX: Final = 4


class Tab:
    """One tab. Everything that its console was told as an error is in `errors`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.sent: list[str] = []
        """The messages that the page sent on /live."""
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("websocket", self._connected)

    def _told(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _connected(self, opened: WebSocket) -> None:
        if opened.url.endswith("/live"):
            opened.on("framesent", lambda data: self.sent.append(str(data)))

    def open(self, url: str) -> "Tab":
        """Load the page and wait until it is live."""
        return self._load(lambda: self.page.goto(url))

    def reload(self) -> "Tab":
        """Load it anew and wait until it is live."""
        return self._load(self.page.reload)

    def _load(self, load: Callable[[], object]) -> "Tab":
        for _ in range(LOADS_MAX):
            before = len(self.errors)
            load()
            try:
                self.wait_for_pill("live")
            except AssertionError:
                if not any(NETWORK_CHANGED in text for text in self.errors[before:]):
                    raise
            else:
                return self
        raise AssertionError(f"the network of this machine would not hold still: {self.errors}")

    def __getitem__(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def wait_for_pill(self, text: str) -> None:
        expect(self["#pill"]).to_contain_text(text, timeout=PATIENCE_MS)

    def figure(self, name: str) -> Locator:
        """The number of one figure."""
        return self[f'[data-figure="{name}"] .value']

    def row(self, client_id: int) -> Locator:
        return self[f'#clients tbody tr[data-id="{client_id}"]']

    def column(self, key: str) -> list[str]:
        """What stands in one column, from the top."""
        return self[f'#clients tbody td[data-key="{key}"] bdi'].all_inner_texts()

    def wait_for_column(self, key: str, wanted: list[str]) -> None:
        expect(self[f'#clients tbody td[data-key="{key}"] bdi']).to_have_text(wanted, timeout=PATIENCE_MS)

    def sort_by(self, key: str) -> None:
        self[f'#clients th[data-key="{key}"] button'].click()

    def say(self, line: str) -> None:
        """Type a line into the chat pane and press Enter."""
        self["#chat-line"].fill(line)
        self["#chat-line"].press("Enter")

    def chat_lines(self) -> list[str]:
        return self["#chat-log p"].all_inner_texts()

    def until(self, expression: str) -> Any:
        """Wait until this JavaScript is true in the page."""
        return until(lambda: self.page.evaluate(expression))


class Served(support.Served):
    """The real page over a stand-in hub."""

    def publish(self, **changed: Any) -> None:
        """A second later: the rows there were are old, and the page is never stale."""
        self.clock.now_s += 1.0
        super().publish(**{"taken_s": self.clock.now_s, **changed})


@contextmanager
def serving(port: int = 0, public_ws: str = "", **published: Any) -> Iterator[Served]:
    """One that has published once."""
    served = Served(port, public_ws)
    served.publish(**published)
    with served:
        yield served


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that two hubs may have in turn, and nobody else meanwhile.

    A listener may take what another socket merely holds, if both allow it (SO_REUSEADDR, socket(7)).
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def open_tab(browser: Browser, **options: Any) -> Iterator[Tab]:
    """A tab in a context of its own: nothing remembered, and nothing wrong in its console at the end."""
    width, height = options.pop("size", WIDE)
    expected = options.pop("expected", None)
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    try:
        tab = Tab(context.new_page())
        yield tab
        wrong = [
            text
            for text in tab.errors
            if NETWORK_CHANGED not in text and not (expected and expected.search(text))
        ]
        assert not wrong, wrong
    finally:
        context.close()
