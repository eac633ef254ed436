"""The live page's protocol over real sockets, with a stand-in hub behind it."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import InvalidStatus

from hub.config.settings import Settings
from hub.control.mailbox import Mailbox
from hub.control.snapshots import InOut
from tests.support import until
from tests.unit.web.support import (
    Clock,
    LiveTab,
    StandInHub,
    ask,
    ask_raw,
    make_closed,
    make_row,
    make_summary,
    port_of,
)
from web.live import BEAT_S, SESSIONS_MAX
from web.thread import WebThread


@pytest.fixture
def tab(url: str) -> Iterator[LiveTab]:
    with LiveTab(url) as opened:
        yield opened


# What comes.


def test_hello_comes_first_and_says_whose_page_it_is(tab: LiveTab) -> None:
    assert tab.hello["protocol"] == 1
    assert re.fullmatch("[0-9a-f]{16}", tab.hello["boot"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", tab.hello["version"])
    assert re.fullmatch("[0-9a-f]{16}", tab.hello["files"])
    assert tab.hello["ws_port"] == 0
    assert tab.hello["series"] == {
        "taken_s": 12.5, "interval_s": 1.0, "lines_in": [], "lines_out": [], "bytes_in": [], "bytes_out": [],
        "open": [], "turns": [], "turn_p99_ms": [], "busy": [], "evicted": [],
    }  # fmt: skip


def test_hello_brings_the_past_and_the_port_for_browsers(page: WebThread, url: str) -> None:
    for second in range(13, 18):
        page.gateway.publish(
            make_summary(
                taken_s=float(second),
                lines=InOut(in_=100 + 10 * second, out=300),
                ws_listeners=("127.0.0.1:9001",),
            )
        )

    def hello() -> dict[str, object] | None:
        with LiveTab(url) as opened:
            return opened.hello if opened.hello["series"]["lines_in"][-4:] == [10] * 4 else None

    assert until(hello)["ws_port"] == 9001


def test_an_update_has_all_that_was_promised(tab: LiveTab, hub: StandInHub) -> None:
    hub.rows = [make_row(1, tag="k3"), make_row(2)]
    hub.closed = [make_closed(9)]
    tab.send()
    update = tab.next()
    assert update.keys() == {
        "kind", "boot", "age_s", "trouble", "summary", "rates", "clients", "closed"
    }  # fmt: skip
    assert (update["boot"], update["age_s"], update["trouble"]) == (tab.hello["boot"], 0.0, "")
    assert update["summary"]["clients"]["open"] == 3
    assert update["summary"]["loop"] == {"busy_s": 2.5, "turn_p99_ms": 0.4, "turn_max_ms": 1.2}
    assert update["summary"]["ws_listeners"] == []
    assert update["rates"].keys() == {
        "lines_in", "lines_out", "bytes_in", "bytes_out", "turns", "busy", "evicted", "events"
    }  # fmt: skip
    assert update["rates"]["events"].keys() == {"in", "out", "rdhup", "hup", "err", "accept"}
    assert [row.get("tag") for row in update["clients"]["clients"]] == ["k3", None]
    assert update["closed"]["kept"] == 1
    assert update["closed"]["closed"][0].keys() == {
        "id", "peer", "transport", "nick", "room", "reason", "detail", "closed_wall_s", "age_s",
        "lateness_ms", "unsent_bytes", "unsent_outbox_bytes",
    }  # fmt: skip


def test_a_view_shows_what_the_same_query_shows_at_the_address(url: str, hub: StandInHub) -> None:
    hub.rows = [
        make_row(number, lag_bytes=number % 7, room="red" if number % 2 else "blue") for number in range(40)
    ]
    with LiveTab(url) as tab:
        tab.send(sort="lag_bytes", order="desc", q="RED", offset=1, limit=3)
        shown = tab.next()["clients"]
    assert shown == ask(url, "/api/clients?q=RED&sort=lag_bytes&order=desc&limit=3&offset=1").json()
    assert [row["id"] for row in shown["clients"]] == [27, 5, 19]


def test_a_second_view_replaces_the_first_whole(tab: LiveTab, hub: StandInHub) -> None:
    hub.rows = [make_row(number) for number in range(100)]
    tab.send(sort="id", order="desc", limit=2)
    assert [row["id"] for row in tab.next()["clients"]["clients"]] == [99, 98]
    tab.send(offset=5)
    clients = tab.until(lambda update: update["clients"]["limit"] == 50)["clients"]
    assert [row["id"] for row in clients["clients"]] == list(range(5, 55))


def test_each_publication_brings_an_update(tab: LiveTab, page: WebThread) -> None:
    for turns in (1001, 1002, 1003):
        page.gateway.publish(make_summary(turns=turns))
        assert tab.until(lambda update, turns=turns: update["summary"]["turns"] == turns)


def test_rates_are_those_between_the_last_two_publications(tab: LiveTab, page: WebThread) -> None:
    page.gateway.publish(make_summary(taken_s=14.5, lines=InOut(in_=120, out=1300)))
    rates = tab.until(lambda update: update["rates"]["lines_in"])["rates"]
    assert (rates["lines_in"], rates["lines_out"]) == (10, 500)


def fill(hub: StandInHub, **named: str) -> None:
    """Six thousand clients and a hundred closed clients with figures and names as long as they get."""
    names = {"peer": "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:54321", "transport": "websocket", **named}
    amounts = {
        "lines_in": 10**5,
        "lines_out": 10**7,
        "bytes_in": 10**8,
        "bytes_out": 10**9,
        "age_s": 86399.123,
    }
    late = {"due_s": 1234567.123456789, "decided_s": 1234567.125456789, "lateness_ms": 12.345}
    hub.rows = [
        make_row(
            10**6 + number, lag_bytes=10**6 - number, outbox_bytes=10**5, idle_s=299.123, **names, **amounts
        )
        for number in range(6000)
    ]
    hub.closed = [
        make_closed(
            number, reason="slow_consumer", detail="lag=1048577 limit=1048576", **names, **amounts, **late
        )
        for number in range(100)
    ]


def size_of_update(url: str) -> int:
    """With fifty of the six thousand in it."""
    with LiveTab(url) as tab:
        tab.send(sort="lag_bytes", limit=50)
        text = str(tab.ws.recv(timeout=10))
        assert '"matched":6000' in text
        return len(text.encode())


@pytest.mark.promise("page-update-size")
def test_an_update_of_a_full_hub_stays_under_25_kilobytes(
    url: str, hub: StandInHub, record_property: Callable[[str, object], None]
) -> None:
    fill(hub, nick="Großherzogin-Wilhelmina_van.Dyck", room="international-lounge.2nd-floor_x")
    size = size_of_update(url)
    record_property("an update of a full hub", f"{size} bytes")
    assert size < 25_000


@pytest.mark.promise("page-update-size")
def test_an_update_with_wide_names_is_33_kilobytes_at_most(
    url: str, hub: StandInHub, record_property: Callable[[str, object], None]
) -> None:
    wide = "\N{CUNEIFORM SIGN A}" * 32  # Four bytes each.
    fill(hub, nick=wide, room=wide)
    size = size_of_update(url)
    record_property("an update full of wide names", f"{size} bytes")
    assert 32_500 < size < 33_500


# Who may come.


@pytest.mark.promise("page-names")
@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "http://evil.example",
        "http://localhost",
        "http://localhost:1",
        "https://localhost",
        "ws://localhost:{port}",
        "http://localhost:{port}.evil.example",
        "http://evil.example:{port}",
        "http://localhost:{port}@evil.example",
        "http://127.0.0.2:{port}",
        "file://",
        "chrome-extension://abcdef",
        "http://",
        "",
    ],
)
def test_a_foreign_page_is_refused(url: str, origin: str | None) -> None:
    line = "" if origin is None else f"Origin: {origin.format(port=port_of(url))}\r\n"
    assert ask_raw(url, handshake(url, line)).status == 403


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "hub.example"])
def test_pages_of_ours_under_every_name_may_connect(url: str, host: str) -> None:
    origin = f"http://{host.format(port=port_of(url))}"
    assert ask_raw(url, handshake(url, f"Origin: {origin}\r\n")).status == 101


@pytest.mark.promise("page-names")
@pytest.mark.parametrize(
    ("site", "status"),
    [
        ("same-origin", 101),
        ("none", 101),
        ("same-site", 403),
        ("cross-site", 403),
        ("", 403),
        ("SAME-ORIGIN", 403),
    ],
)
def test_the_browsers_own_word_has_to_agree(url: str, site: str, status: int) -> None:
    lines = f"Origin: http://localhost:{port_of(url)}\r\nSec-Fetch-Site: {site}\r\n"
    assert ask_raw(url, handshake(url, lines)).status == status


@pytest.mark.promise("page-names")
def test_two_origins_are_one_too_many(url: str) -> None:
    lines = f"Origin: http://localhost:{port_of(url)}\r\n" * 2
    assert ask_raw(url, handshake(url, lines)).status == 403


def test_a_foreign_host_is_misdirected_before_anything_else(url: str) -> None:
    request = handshake(url, f"Origin: http://localhost:{port_of(url)}\r\n", host="evil.example")
    assert ask_raw(url, request).status == 421


def test_what_is_no_handshake_is_told_so(url: str) -> None:
    assert ask(url, "/live").status == 426
    assert ask(url, "/live", "HEAD").status == 426
    assert ask(url, "/live", "POST").status == 405
    own = f"Origin: http://localhost:{port_of(url)}\r\n"
    good = handshake(url, own)
    assert ask_raw(url, good.replace(b"GET", b"HEAD", 1)).status == 426
    for wrong in (
        good.replace(b"Version: 13", b"Version: 99"),
        good.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="),
        good.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"\xff\xff\xff"),
        good.replace(b"Sec-WebSocket-Key", b"X-Key"),
        good.replace(b"Connection: Upgrade", b"Connection: close"),
    ):
        assert ask_raw(url, wrong).status == 400


def handshake(url: str, lines: str, host: str = "") -> bytes:
    """RFC 6455, 1.2; `lines` are those about where it comes from."""
    return (
        f"GET /live HTTP/1.1\r\nHost: {host or f'localhost:{port_of(url)}'}\r\n{lines}"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


@pytest.mark.promise("page-limits")
def test_more_tabs_than_the_limit_are_refused_until_one_leaves(url: str) -> None:
    with ExitStack() as tabs:
        first = LiveTab(url)
        for _ in range(SESSIONS_MAX - 1):
            tabs.enter_context(LiveTab(url))
        with pytest.raises(InvalidStatus) as caught:
            LiveTab(url)
        assert caught.value.response.status_code == 503
        assert ask(url, "/livez").status == 200
        first.ws.close()

        def comes_in() -> bool:
            try:
                tabs.enter_context(LiveTab(url))
            except InvalidStatus:
                return False
            return True

        until(comes_in)


# Nobody watches, the hub is silent, the hub is another.


@pytest.mark.promise("page-unwatched")
def test_while_nobody_watches_the_hub_is_asked_for_nothing(
    page: WebThread, url: str, hub: StandInHub
) -> None:
    for turns in range(20):
        page.gateway.publish(make_summary(turns=turns))
    with LiveTab(url) as tab:
        tab.send(paused=True)
        tab.send(sort="fd")
        tab.next("error")  # So the view before it has been read.
        for turns in range(20):
            page.gateway.publish(make_summary(turns=turns))
        tab.send(sort="fd")
        tab.next("error")
        assert hub.asked == []
        tab.send(paused=False)
        tab.next()
        assert hub.asked == ["WantRows", "WantClosed"]


def test_a_paused_tab_gets_nothing_while_another_is_served(page: WebThread, url: str) -> None:
    with LiveTab(url) as paused, LiveTab(url) as watching:
        paused.send(paused=True)
        paused.send(limit=0)
        paused.next("error")
        for turns in (501, 502, 503):
            page.gateway.publish(make_summary(turns=turns))
            watching.until(lambda update, turns=turns: update["summary"]["turns"] == turns)
        paused.send(limit=0)
        paused.next("error")
        paused.send()
        assert paused.next()["summary"]["turns"] == 503


@pytest.mark.promise("page-unwatched")
def test_many_tabs_with_many_views_ask_the_hub_once_a_beat(
    url: str, hub: StandInHub, page: WebThread
) -> None:
    hub.rows = [make_row(number) for number in range(2000)]
    started_s = time.monotonic()
    with ExitStack() as stack:
        tabs = [stack.enter_context(LiveTab(url)) for _ in range(12)]
        for number, tab in enumerate(tabs):
            tab.send(offset=number)
        for number, tab in enumerate(tabs):
            tab.until(lambda update, number=number: update["clients"]["offset"] == number)
        page.gateway.publish(make_summary(turns=900))
        for tab in tabs:
            tab.until(lambda update: update["summary"]["turns"] == 900)
    beats = 3 + (time.monotonic() - started_s) / BEAT_S  # Of which some come without a publication.
    assert hub.asked.count("WantRows") <= hub.asked.count("WantClosed") <= beats


@pytest.mark.promise("page-stale")
def test_a_silent_hub_is_told_of_and_so_is_its_return(
    tab: LiveTab, page: WebThread, clock: Clock, hub: StandInHub
) -> None:
    tab.send()
    tab.next()
    clock.now_s += 5.25
    silent = tab.until(lambda update: update["trouble"])
    assert silent["trouble"] == "the hub has published nothing for 5 s"
    assert silent["age_s"] == 5.25
    assert (silent["clients"], silent["closed"]) == (None, None)
    assert silent["summary"]["turns"] == 7
    asked = len(hub.asked)
    clock.now_s += 1
    assert tab.until(lambda update: update["age_s"] == 6.25)["trouble"]  # It goes on without the hub's beat.
    assert len(hub.asked) == asked
    page.gateway.publish(make_summary(turns=8))
    back = tab.until(lambda update: not update["trouble"])
    assert (back["age_s"], back["summary"]["turns"]) == (0.0, 8)
    assert back["clients"]["total"] == 0


@pytest.mark.promise("page-stale")
def test_a_hub_that_publishes_and_does_not_answer_is_trouble(page: WebThread) -> None:
    page.gateway.publish(make_summary())
    with LiveTab(page.start()) as tab:
        tab.send()
        update = tab.next()
    assert update["trouble"].startswith("the hub does not answer")
    assert update["clients"] is None
    assert update["summary"]["turns"] == 7


def test_before_the_first_publication_updates_have_no_summary(page: WebThread) -> None:
    with LiveTab(page.start()) as tab:
        tab.send()
        update = tab.next()
    assert (update["summary"], update["age_s"]) == (None, None)
    assert update["trouble"] == "the hub has not published anything yet"


def test_every_start_is_another_boot(url: str, mailbox: Mailbox) -> None:
    other = WebThread(Settings(web_port=0), mailbox)
    with LiveTab(url) as first, LiveTab(url) as second, LiveTab(other.start()) as elsewhere:
        assert first.hello["boot"] == second.hello["boot"] != elsewhere.hello["boot"]
    other.stop()
