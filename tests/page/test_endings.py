"""Who is gone leaves the table and stands in the endings, with the reason."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.page.support import PATIENCE_MS, Tab
from tests.support import HubProcess, closing

pytestmark = pytest.mark.browser


def test_an_evicted_client_leaves_the_table_and_stands_in_the_endings(tab: Tab) -> None:
    with HubProcess("--max-line", "256") as hub, closing([hub.peer(), hub.peer()]) as (abuser, _):
        abuser.send(b"/nick mallory\n")
        tab.open(hub.url)
        tab.wait_for_column("nick", ["mallory", "guest-2"])
        abuser.send(b"x" * 300 + b"\n")
        tab.wait_for_column("nick", ["guest-2"])
        ending = tab['#endings li[data-id="1"]']
        for text in ("mallory", "line too long", "{}:{}".format(*abuser.sock.getsockname())):
            expect(ending).to_contain_text(text)
        expect(ending).to_have_class("chosen new")
        expect(tab['#reasons [data-key="line_too_long"] dd'].first).to_have_text("1")
        expect(tab.figure("evicted")).to_have_text("1")
        expect(tab["#no-endings"]).to_be_hidden()


def test_an_idle_client_is_shown_with_how_late_that_was(tab: Tab) -> None:
    with HubProcess("--idle-timeout", "1", "--idle-warning", "0") as hub, hub.peer():
        tab.open(hub.url)
        ending = tab['#endings li[data-reason="idle"]']
        expect(ending).to_contain_text("idle", timeout=PATIENCE_MS)
        expect(ending).to_contain_text("late")


def test_who_left_by_itself_is_told_from_who_was_put_out(tab: Tab) -> None:
    with HubProcess("--max-line", "256") as hub, closing([hub.peer(), hub.peer()]) as (quitter, abuser):
        tab.open(hub.url)
        quitter.send(b"/quit\n")
        abuser.send(b"x" * 300 + b"\n")
        expect(tab["#endings li"]).to_have_count(2, timeout=PATIENCE_MS)
        tab["#chosen-only"].check()
        expect(tab["#endings li"]).to_have_count(1)
        expect(tab["#endings li strong"]).to_have_text("line too long")
        expect(tab.figure("evicted")).to_have_text("1")
        expect(tab["#kept"]).to_have_text("2 kept")
