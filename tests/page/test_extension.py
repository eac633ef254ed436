"""A browser's extension adds elements that may fail to load: the page stays, and what was typed."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, BrowserType, Error, Page, Playwright, Request

from tests.e2e.programs import require
from tests.page.support import FLAGS, PATIENCE_MS, serving

pytestmark = pytest.mark.browser

MANIFEST = {
    "manifest_version": 3,
    "name": "adds elements",
    "version": "1",
    "content_scripts": [{"matches": ["http://127.0.0.1/*"], "js": ["adds.js"], "run_at": "document_start"}],
}
ADDS = """
const random = () => (state = (state * 1103515245 + 12345) % 2 ** 31) / 2 ** 31;
const one = (list) => list[Math.floor(random() * list.length)];
let state = Number(new URLSearchParams(location.search).get("seed"));
const KINDS = [
  ["link", "href", { rel: "preload", as: "font", crossOrigin: "" }],  // The first three are in every run.
  ["script", "src", {}],
  ["img", "src", {}],
  ["link", "href", { rel: "stylesheet" }],
  ["script", "src", { type: "module" }],
  ["link", "href", { rel: "modulepreload" }],
  ["video", "src", {}],
  ["iframe", "src", {}],
  ["link", "href", { rel: "prefetch" }],
  ["object", "data", {}],
];
const PLACES = ["http://127.0.0.1:1/x", "/static/other.js", "/x", "data:x", chrome.runtime.getURL("missing")];
let missing = 0;
function add([name, address, fields]) {
  const element = Object.assign(document.createElement(name), fields);
  for (const event of ["error", "load"]) element.addEventListener(event, () => (missing -= 1));
  element.setAttribute(address, one(PLACES));
  (document.body ?? document.head ?? document.documentElement).append(element);
}
const some = [...KINDS.slice(0, 3), ...Array.from({ length: random() * 20 }, () => one(KINDS))];
for (const kind of some) {
  const wait = random() < 0.2 ? 0 : random() * 1000;
  if (wait) setTimeout(add, wait, kind);
  else add(kind);
}
setTimeout(() => (document.documentElement.dataset.added = String(some.length)), 1000);
"""
"""Some elements at random times, from the first moment on; some never tell that they failed."""
TYPED = "typed and not sent"


@contextmanager
def extended(chromium: BrowserType, folder: Path) -> Iterator[BrowserContext]:
    """A browser with the extension. Its profile is in this folder."""
    extension = folder / "extension"
    extension.mkdir()
    (extension / "manifest.json").write_text(json.dumps(MANIFEST))
    (extension / "adds.js").write_text(ADDS)
    flags = [*FLAGS, f"--load-extension={extension}", f"--disable-extensions-except={extension}"]
    context = chromium.launch_persistent_context(
        folder / "profile",
        executable_path=require("chromium"),
        ignore_default_args=["--disable-extensions"],
        args=flags,
    )
    try:
        yield context
    finally:
        context.close()


def visit(page: Page, url: str) -> tuple[int, str]:
    """How often the page was asked for in a visit, and what is left of what was typed at once."""
    asked: list[Request] = []
    page.clock.install()
    page.on("request", lambda request: asked.append(request) if request.url.split("#")[0] == url else None)
    page.goto(url, wait_until="commit")
    page.locator("#chat-line").fill(TYPED, timeout=PATIENCE_MS)
    page.locator("html[data-added]").wait_for(timeout=PATIENCE_MS)
    # The page would try again after two seconds, and asks first whether the server answers.
    page.clock.fast_forward(5000)
    with suppress(Error):  # The page is being loaded anew, and is counted so.
        page.evaluate("fetch('livez').then((answer) => answer.text())")
    left = page.locator("#chat-line").input_value()
    page.close()
    return len(asked), left


@pytest.mark.promise("page-own-files")
@pytest.mark.parametrize("visits", [3, pytest.param(20, marks=pytest.mark.long)])
def test_elements_of_an_extension_never_reload_the_page(
    playwright: Playwright, tmp_path: Path, visits: int
) -> None:
    first = random.randrange(1 << 30)
    print(f"seeds {first} to {first + visits - 1}")
    with (
        serving(ws_listeners=("127.0.0.1:9001",)) as served,
        extended(playwright.chromium, tmp_path) as chromium,
    ):
        seen = [
            visit(chromium.new_page(), f"{served.url}?seed={seed}") for seed in range(first, first + visits)
        ]
    assert seen == [(1, TYPED)] * visits
