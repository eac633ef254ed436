"""Who is gone leaves the table and stands in the endings, with the reason."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from hub.close_reasons import CloseReason
from tests.page.support import PATIENCE_MS, Tab, serving
from tests.support import HubProcess, closing
from tests.web.support import make_closed

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


@pytest.mark.promise("page-shows")
def test_the_page_remembers_two_hundred_endings_that_it_saw_and_lists_forty(tab: Tab) -> None:
    with serving() as served:
        tab.open(served.url)
        lists = tab.page.evaluate(
            """async () => {
                const { Endings } = await import("/static/endings.js");
                const endings = new Endings();
                const listed = () => [...endings.list.children].map((item) => Number(item.dataset.id));
                const ended = { ended_wall_s: 0, age_s: 1, lateness_ms: null, unsent_bytes: 0,
                    unsent_private_bytes: 0, peer: "p", nick: "n", room: "r", transport: "t", detail: "" };
                let id = 0;
                const end = (reason) => endings.update({ kept: 1, closed: [{ ...ended, id: ++id, reason }] });
                const only = (chosen) => {
                    endings.chosenOnly.checked = chosen;
                    endings.chosenOnly.dispatchEvent(new Event("change"));
                    return listed();
                };
                end("idle");
                for (let time = 0; time < 199; time += 1) end("quit");
                const seen = [listed(), only(true), only(false)];
                end("quit");
                return [...seen, only(true)];
            }"""
        )
        newest = list(range(200, 160, -1))
        assert lists == [newest, [1], newest, []]


@pytest.mark.promise("page-shows")
def test_what_was_lost_with_an_ending_and_how_late_it_came_stand_with_it(tab: Tab) -> None:
    with serving() as served:
        served.hub.closed = [
            make_closed(2, reason="peer_reset", lateness_ms=None),
            make_closed(1, reason="slow_consumer", unsent_bytes=2048, unsent_private_bytes=1024),
        ]
        tab.open(served.url)
        chosen, left = tab['#endings li[data-id="1"]'], tab['#endings li[data-id="2"]']
        expect(chosen.locator(".detail")).to_contain_text("4.2\u202fms late · 3.0\u202fKiB unsent")
        expect(left.locator(".detail")).not_to_contain_text("late")
        expect(left.locator(".detail")).not_to_contain_text("unsent")
        before = "item => getComputedStyle(item.querySelector('strong'), '::before').content"
        assert [chosen.evaluate(before), left.evaluate(before)] == ['"▲ "', "none"]


@pytest.mark.promise("page-shows")
def test_the_page_calls_the_same_endings_the_hubs_choice_as_the_server_does(tab: Tab) -> None:
    with serving() as served:
        tab.open(served.url)
        others = tab.page.evaluate(
            """async every => {
                const { chosenByHub } = await import("/static/reasons.js");
                return every.filter((reason) => !chosenByHub(reason));
            }""",
            [reason.value for reason in CloseReason],
        )
        assert set(others) == {
            "peer_closed", "peer_reset", "peer_timeout", "io_error", "quit", "server_shutdown",
        }  # fmt: skip
