"""One browser for all tests of the page, and a tab for each."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.e2e.programs import require
from tests.page.support import FLAGS, Served, Tab, open_tab, serving
from tests.support import HubProcess


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """What drives browsers. Playwright ends with this package: other tests run event loops of their own."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium."""
    chromium = playwright.chromium.launch(executable_path=require("chromium"), args=list(FLAGS))
    yield chromium
    chromium.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A wide window, nothing loaded yet. A test fails when its console was told of an error."""
    with open_tab(browser) as opened:
        yield opened


@pytest.fixture
def hub() -> Iterator[HubProcess]:
    """A chat hub as a process of its own."""
    with HubProcess() as process:
        yield process


@pytest.fixture
def served() -> Iterator[Served]:
    """The page over a stand-in hub, which starts much sooner than a real one."""
    with serving() as page:
        yield page
