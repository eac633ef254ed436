"""A client that is closed leaves the table and stands in the list of closed ones, with the reason."""

import pytest
from playwright.sync_api import expect

from hub.close_reasons import CloseReason
from tests.page.support import PATIENCE_MS, Tab, serving
from tests.support import HubProcess, closing
from tests.unit.web.support import make_closed
from web.history import NOT_EVICTED

pytestmark = pytest.mark.browser


def test_an_evicted_client_leaves_the_table_for_the_closed_list(tab: Tab) -> None:
    with HubProcess("--max-line", "256") as hub, closing([hub.peer(), hub.peer()]) as (abuser, quitter):
        abuser.send(b"/nick mallory\n")
        tab.open(hub.url)
        tab.wait_for_column("nick", ["mallory", "guest-2"])
        abuser.send(b"x" * 300 + b"\n")
        tab.wait_for_column("nick", ["guest-2"])
        closed = tab['#closed li[data-id="1"]']
        for text in ("mallory", "line too long", "{}:{}".format(*abuser.sock.getsockname())):
            expect(closed).to_contain_text(text)
        expect(closed).to_have_class("evicted new")
        expect(tab['#reasons [data-key="line_too_long"] dd'].first).to_have_text("1")
        expect(tab.figure("evicted")).to_have_text("1")
        expect(tab["#no-closed"]).to_be_hidden()
        quitter.send(b"/quit\n")
        expect(tab["#closed li"]).to_have_count(2, timeout=PATIENCE_MS)
        tab["#evicted-only"].check()
        expect(tab["#closed li"]).to_have_count(1)
        expect(tab["#closed li strong"]).to_have_text("line too long")
        expect(tab.figure("evicted")).to_have_text("1")
        expect(tab["#kept"]).to_have_text("1 listed, 2 kept by the hub")


def test_an_idle_client_is_shown_with_how_late_that_was(tab: Tab) -> None:
    with HubProcess("--idle-timeout", "1", "--idle-warning", "0") as hub, hub.peer():
        tab.open(hub.url)
        closed = tab['#closed li[data-reason="idle"]']
        expect(closed).to_contain_text("idle", timeout=PATIENCE_MS)
        expect(closed).to_contain_text("late")


@pytest.mark.promise("page-shows")
def test_the_closed_list_remembers_two_hundred_and_shows_forty(tab: Tab) -> None:
    with serving() as served:
        tab.open(served.url)
        lists = tab.page.evaluate(
            """async () => {
                const { ClosedList } = await import("/static/closed.js");
                const list = new ClosedList();
                const listed = () => [...list.list.children].map((item) => Number(item.dataset.id));
                const ended = { closed_wall_s: 0, age_s: 1, lateness_ms: null, unsent_bytes: 0,
                    peer: "p", nick: "n", room: "r", transport: "t", detail: "" };
                let id = 0;
                const end = (reason) => list.update({ kept: 1, closed: [{ ...ended, id: ++id, reason }] }, 0);
                const only = (evicted) => {
                    list.evictedOnly.checked = evicted;
                    list.evictedOnly.dispatchEvent(new Event("change"));
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
def test_closes_are_dated_anew_once_the_wall_clock_is_set(tab: Tab) -> None:
    """The server tells the newest twenty; the older ones that the page remembers go along."""
    with serving() as served:
        tab.open(served.url)
        times = tab["#closed time"]
        for newest, shown in ((20, 20), (30, 30)):
            served.hub.closed = [make_closed(number) for number in range(newest, newest - 20, -1)]
            served.publish()
            expect(times).to_have_count(shown)
        before = times.all_inner_texts()
        served.hub.closed = [
            make_closed(number, closed_wall_s=make_closed(number).closed_wall_s - 3600)
            for number in range(30, 10, -1)
        ]
        served.publish()
        expect(times.last).not_to_have_text(before[-1])
        after = times.all_inner_texts()
        assert [text[2:] for text in after] == [text[2:] for text in before]
        assert len({text[:2] for text in after}) == 1


@pytest.mark.promise("page-shows")
def test_a_closed_client_is_shown_with_unsent_bytes_and_lateness(tab: Tab) -> None:
    with serving() as served:
        served.hub.closed = [
            make_closed(2, reason="peer_reset", lateness_ms=None),
            make_closed(
                1, reason="slow_consumer", unsent_bytes=3072, unsent_own_bytes=9, unsent_outbox_bytes=1024
            ),
        ]
        tab.open(served.url)
        evicted, left = tab['#closed li[data-id="1"]'], tab['#closed li[data-id="2"]']
        expect(evicted.locator(".detail")).to_contain_text("4.2\u202fms late · 3.0\u202fKiB unsent")
        expect(left.locator(".detail")).not_to_contain_text("late")
        expect(left.locator(".detail")).not_to_contain_text("unsent")
        before = "item => getComputedStyle(item.querySelector('strong'), '::before').content"
        assert [evicted.evaluate(before), left.evaluate(before)] == ['"▲ "', "none"]


@pytest.mark.promise("page-shows")
def test_page_and_server_agree_on_what_is_an_eviction(tab: Tab) -> None:
    with serving() as served:
        tab.open(served.url)
        evictions = tab.page.evaluate(
            """async every => {
                const { isEviction } = await import("/static/close_reasons.js");
                return every.filter(isEviction);
            }""",
            [reason.value for reason in CloseReason],
        )
        assert set(evictions) == set(CloseReason) - NOT_EVICTED


@pytest.mark.promise("page-shows")
def test_the_list_says_how_many_it_leaves_out(tab: Tab) -> None:
    """The totals count a close once it is decided, the list once it is done; twenty are told at a time."""
    with serving() as served:
        served.hub.closed = [make_closed(number) for number in range(50, 0, -1)]
        served.publish(lingering=1, closed={"idle": 51})
        tab.open(served.url)
        expect(tab["#kept"]).to_have_text("20 listed, 50 kept by the hub, 1 lingering", timeout=PATIENCE_MS)
