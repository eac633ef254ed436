"""The table of sockets: sorted, filtered and paged by the server, and calm under the pointer."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.page.support import PATIENCE_MS, Served, Tab, serving
from tests.support import HubProcess, Peer, closing, until
from tests.unit.web.support import make_row

pytestmark = pytest.mark.browser

NAMED = ["delta", "alpha", "charlie", "bravo"]
LINES = [1, 4, 2, 3]


@pytest.fixture
def people(hub: HubProcess) -> Iterator[list[Peer]]:
    """Thirty clients, ids 1 to 30 in this order; the first four have names and have said some lines."""
    with closing([hub.peer() for _ in range(30)]) as peers:
        until(lambda: hub.get("/api/summary")["clients"]["open"] == 30)
        for peer, nick, lines in zip(peers, NAMED, LINES, strict=False):
            peer.send(f"/nick {nick}\n".encode() + b"word\n" * lines)
            for _ in range(lines):
                peer.read_until(f"<{nick}> word\n".encode())
        yield list(peers)


def ids(*numbers: int) -> list[str]:
    return [str(number) for number in numbers]


@pytest.mark.promise("page-shows")
def test_every_client_has_a_row_with_what_is_known_of_it(
    tab: Tab, hub: HubProcess, people: list[Peer]
) -> None:
    tab.open(hub.url)
    tab.wait_for_column("id", ids(*range(1, 31)))
    row = tab.row(2)
    peer = "{}:{}".format(*people[1].sock.getsockname())
    for key, shown in {
        "peer": peer, "transport": "line", "nick": "alpha", "room": "lobby", "state": "reading",
        "lines_in": "5", "bytes_in": "32\u202fB", "lag_bytes": "0", "outbox_bytes": "0",
    }.items():  # fmt: skip
        expect(row.locator(f'[data-key="{key}"]')).to_contain_text(shown)
    for key in ("age_s", "idle_s"):
        expect(row.locator(f'[data-key="{key}"]')).to_contain_text(re.compile(r"^\d+\u202fs"))
    expect(tab["#matched"]).to_have_text("30 open")
    expect(tab["#clients"]).to_have_attribute("aria-rowcount", "31")


def test_a_column_head_sorts_and_sorts_the_other_way(tab: Tab, hub: HubProcess, people: list[Peer]) -> None:
    tab.open(hub.url)
    tab.sort_by("lines_in")
    head = tab['#clients th[data-key="lines_in"]']
    expect(head).to_have_attribute("aria-sort", "descending")
    until(lambda: tab.column("nick")[:4] == ["alpha", "bravo", "charlie", "delta"])
    tab.sort_by("lines_in")
    expect(head).to_have_attribute("aria-sort", "ascending")
    until(lambda: tab.column("nick")[-4:] == ["delta", "charlie", "bravo", "alpha"])
    expect(tab["#clients th[aria-sort]"]).to_have_count(1)


def test_the_filter_leaves_those_that_fit(tab: Tab, hub: HubProcess, people: list[Peer]) -> None:
    tab.open(hub.url)
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("ALPH")
    tab.wait_for_column("nick", ["alpha"])
    expect(tab["#matched"]).to_have_text("1 of 30")
    tab["#filter"].fill("nobody is called so")
    expect(tab["#empty"]).to_have_text("None of the 30 fits the filter.")
    expect(tab["#clients tbody tr"]).to_have_count(0)
    tab["#reset"].click()
    tab.wait_for_column("id", ids(*range(1, 31)))
    expect(tab["#reset"]).to_be_hidden()


def test_pages_are_turned(tab: Tab, hub: HubProcess, people: list[Peer]) -> None:
    tab.open(hub.url)
    expect(tab["#next"]).to_be_disabled()
    tab["#limit"].select_option("25")
    tab.wait_for_column("id", ids(*range(1, 26)))
    tab["#next"].click()
    tab.wait_for_column("id", ids(*range(26, 31)))
    expect(tab["#window"]).to_have_text("26–30")
    expect(tab["#next"]).to_be_disabled()
    expect(tab.row(26)).to_have_attribute("aria-rowindex", "27")
    tab["#previous"].click()
    tab.wait_for_column("id", ids(*range(1, 26)))


def test_a_page_that_everybody_left_gives_way_to_the_last_one(
    tab: Tab, hub: HubProcess, people: list[Peer]
) -> None:
    tab.open(f"{hub.url}#limit=25&offset=25")
    tab.wait_for_column("id", ids(*range(26, 31)))
    for peer in people[20:]:
        peer.close()
    tab.wait_for_column("id", ids(*range(1, 21)))


def test_the_view_stands_in_the_address(tab: Tab, hub: HubProcess, people: list[Peer]) -> None:
    tab.open(hub.url)
    tab["#filter"].fill("a")
    tab.sort_by("nick")
    tab["#limit"].select_option("25")
    tab.until("location.hash == '#sort=nick&q=a&limit=25'")
    tab.reload()
    until(lambda: tab.column("nick")[:4] == ["alpha", "bravo", "charlie", "delta"])
    expect(tab["#filter"]).to_have_value("a")
    expect(tab["#limit"]).to_have_value("25")
    tab["#reset"].click()
    tab.until("!location.href.includes('#')")


@pytest.mark.promise("page-views")
@pytest.mark.parametrize(
    "wrong",
    ["sort=__proto__&order=x", "limit=7&offset=-1", "offset=1e99", "q=%00%ff&limit=NaN", "offset=2.5"],
)
def test_an_address_that_somebody_made_up_is_no_fault(tab: Tab, served: Served, wrong: str) -> None:
    tab.open(f"{served.url}#{wrong}")
    expect(tab["#notice"]).to_be_hidden()
    expect(tab["#limit"]).to_have_value("50")
    asked = json.loads(tab.sent[0])
    assert asked.pop("q") == ("\0\ufffd" if "q=" in wrong else "")
    assert asked == {"sort": "id", "order": "asc", "offset": 0, "limit": 50, "paused": False}


@pytest.mark.promise("page-views")
def test_a_preset_is_an_order_that_the_server_is_asked_for(tab: Tab, served: Served) -> None:
    tab.open(served.url)
    for preset, sort, order in (
        ("slow readers", "lag_bytes", "desc"),
        ("talkers", "lines_in", "desc"),
        ("idle", "idle_s", "desc"),
        ("new", "age_s", "asc"),
    ):
        button = tab[".presets"].get_by_role("button", name=preset, exact=True)
        button.click()
        view = {"sort": sort, "order": order}
        until(lambda view=view: tab.page.evaluate("1") and view.items() <= json.loads(tab.sent[-1]).items())
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(tab['.presets [aria-pressed="true"]']).to_have_count(1)


@pytest.mark.promise("page-usable")
def test_nothing_moves_under_the_pointer(tab: Tab, hub: HubProcess) -> None:
    with closing([hub.peer() for _ in range(3)]) as peers:
        tab.open(f"{hub.url}#sort=lines_in&order=desc")
        until(lambda: len(tab.column("id")) == 3)
        before = tab.column("id")
        tab["#clients tbody tr"].nth(1).hover()
        last = int(before[2])
        peers[last - 1].send(b"word\n" * 7)
        expect(tab.row(last).locator('[data-key="lines_in"]')).to_have_text("7", timeout=PATIENCE_MS)
        assert tab.column("id") == before
        expect(tab["#held"]).to_contain_text("order held · 3 places changed")
        tab.page.mouse.move(5, 5)
        until(lambda: tab.column("id")[0] == str(last))
        expect(tab["#held"]).to_be_hidden()


def test_who_ends_under_the_pointer_stays_until_it_leaves(tab: Tab, hub: HubProcess) -> None:
    with closing([hub.peer() for _ in range(3)]) as peers:
        tab.open(hub.url)
        tab.wait_for_column("id", ids(1, 2, 3))
        tab.row(2).hover()
        peers[1].send(b"/quit\n")
        expect(tab.row(2).locator('[data-key="state"]')).to_contain_text("quit", timeout=PATIENCE_MS)
        expect(tab.row(2)).to_have_class(re.compile("gone"))
        tab.page.mouse.move(5, 5)
        tab.wait_for_column("id", ids(1, 3))


@pytest.mark.promise("page-usable")
def test_a_client_off_the_page_under_the_pointer_is_marked_so(tab: Tab) -> None:
    with serving() as served:
        served.hub.rows = [make_row(number, lag_bytes=number) for number in range(1, 27)]
        tab.open(f"{served.url}#sort=lag_bytes&limit=25")
        tab.wait_for_column("id", ids(*range(1, 26)))
        tab.row(3).hover()
        served.hub.rows = [make_row(number, lag_bytes=number % 26 * 1000) for number in range(1, 27)]
        served.publish()
        last = tab.row(25).locator('[data-key="state"]')
        expect(last).to_have_text("off page", timeout=PATIENCE_MS)
        assert tab.column("id") == ids(*range(1, 26))
        tab.page.mouse.move(5, 5)
        tab.wait_for_column("id", ids(26, *range(1, 25)))


@pytest.mark.promise("page-usable")
def test_another_view_is_shown_even_under_the_pointer(tab: Tab) -> None:
    with serving() as served:
        served.hub.rows = [make_row(number, lines_in=number) for number in range(1, 31)]
        tab.open(f"{served.url}#limit=25")
        tab.wait_for_column("id", ids(*range(1, 26)))
        tab["#clients tbody tr"].first.hover()
        tab["#next"].press("Enter")  # By the keyboard, so that the pointer stays where it is.
        tab.wait_for_column("id", ids(*range(26, 31)))
        tab['#clients th[data-key="lines_in"] button'].press("Enter")
        tab.wait_for_column("id", ids(*range(30, 5, -1)))
        tab["#filter"].fill("guest-7")
        tab.wait_for_column("id", ids(7))
        assert tab["#clients tbody"].evaluate("rows => rows.matches(':hover')")
        served.publish()
        expect(tab["#held"]).to_be_visible(timeout=PATIENCE_MS)


@pytest.mark.promise("page-usable")
def test_the_keyboard_goes_from_row_to_row_and_holds_the_order(tab: Tab, hub: HubProcess) -> None:
    with closing([hub.peer() for _ in range(3)]):
        tab.open(f"{hub.url}#sort=age_s&order=asc")
        until(lambda: len(tab.column("id")) == 3)
        first, second, third = tab.column("id")
        tab.page.keyboard.press("j")
        expect(tab.row(int(first))).to_be_focused()
        tab.page.keyboard.press("ArrowDown")
        expect(tab.row(int(second))).to_be_focused()
        tab.page.keyboard.press("End")
        expect(tab.row(int(third))).to_be_focused()
        with hub.peer():
            expect(tab["#held"]).to_contain_text("places changed", timeout=PATIENCE_MS)
            assert tab.column("id") == [first, second, third]
            tab["#held button"].click()
            until(lambda: tab.column("id")[1:] == [first, second, third])
        tab.page.keyboard.press("Escape")


def test_nobody_there_is_said_so(tab: Tab, served: Served) -> None:
    tab.open(served.url)
    expect(tab["#empty"]).to_contain_text("No client is connected")


def test_single_keys_can_be_switched_off_and_stay_so(tab: Tab, served: Served) -> None:
    tab.open(served.url)
    tab.page.keyboard.press("?")
    expect(tab["#keys"]).to_be_visible()
    tab["#keys-on"].uncheck()
    tab.page.keyboard.press("Escape")
    expect(tab["#keys"]).to_be_hidden()
    for _ in range(2):
        tab.page.keyboard.press("p")
        expect(tab["#pause"]).to_have_attribute("aria-pressed", "false")
        tab.reload()


def test_keys_are_letters_inside_a_field(tab: Tab, served: Served) -> None:
    tab.open(served.url)
    tab["#filter"].press_sequentially("pc/?")
    expect(tab["#filter"]).to_have_value("pc/?")
    tab.wait_for_pill("live")
    tab.page.keyboard.press("Escape")
    expect(tab["#filter"]).not_to_be_focused()


def test_a_client_keeps_its_row_while_others_come_and_go(tab: Tab, hub: HubProcess) -> None:
    with closing([hub.peer() for _ in range(3)]) as peers:
        tab.open(hub.url)
        tab.wait_for_column("id", ids(1, 2, 3))
        tab.row(3).evaluate("row => row.marked = true")
        peers[0].send(b"/quit\n")
        with hub.peer():
            tab.wait_for_column("id", ids(2, 3, 4))
            marked = tab["#clients tbody tr"].evaluate_all("rows => rows.map(row => row.marked === true)")
            assert marked == [False, True, False]


def test_a_state_is_shown_whole_and_styled_by_its_first_word(tab: Tab, served: Served) -> None:
    states = [
        ("reading", "reading", "none"),
        ("blocked for 3 s", "blocked", '"■ "'),
        ("paused: rate", "paused", '"‖ "'),
        ("paused: room", "paused", '"‖ "'),
        ("paused: outbox", "paused", '"‖ "'),
        ("opening", "opening", "none"),
        ("closing", "closing", "none"),
        ("a state of <b>tomorrow</b>", "a", "none"),
    ]
    served.hub.rows = [make_row(number, state=state) for number, (state, _, _) in enumerate(states, 1)]
    tab.open(served.url)
    for number, (state, kind, mark) in enumerate(states, 1):
        cell = tab.row(number).locator('[data-key="state"]')
        expect(cell).to_have_text(state)
        expect(cell.locator("bdi")).to_have_attribute("title", state)
        expect(tab.row(number)).to_have_attribute("data-state", kind)
        assert cell.evaluate("cell => getComputedStyle(cell, '::before').content") == mark
    tab.sort_by("state")
    tab.wait_for_column("state", sorted(state for state, _, _ in states))


def test_a_client_paused_for_its_line_rate_is_marked(tab: Tab) -> None:
    with HubProcess("--line-rate", "1/s:1") as hub, hub.peer() as peer:
        peer.send(b"x\n" * 60)
        tab.open(hub.url)
        state = tab['#clients tbody td[data-key="state"]']
        expect(state).to_have_text("paused: rate", timeout=PATIENCE_MS)
        mark, fits = state.evaluate(
            "cell => [getComputedStyle(cell, '::before').content, cell.scrollWidth <= cell.clientWidth]"
        )
        assert mark == '"‖ "' and fits
