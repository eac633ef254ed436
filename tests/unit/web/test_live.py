"""The live page's protocol over real sockets, with a stand-in hub behind it."""

import re
from contextlib import ExitStack

import pytest
from websockets.exceptions import InvalidStatus

import web.hub_gateway
import web.live
from hub.control.snapshots import InOut
from tests.support import until
from tests.unit.web.support import (
    LiveTab,
    Served,
    StandInHub,
    ask,
    ask_raw,
    handshake,
    make_closed,
    make_row,
    port_of,
)

# What comes.


def test_hello_comes_first_and_says_whose_page_it_is(fresh: Served) -> None:
    with LiveTab(fresh.url) as tab, LiveTab(fresh.url) as second, Served() as other:
        hello = tab.hello
        with LiveTab(other.url) as elsewhere:
            assert hello["boot"] == second.hello["boot"] != elsewhere.hello["boot"]
    assert (hello["protocol"], hello["ws_port"], hello["ws_url"]) == (1, 0, "")
    assert re.fullmatch("[0-9a-f]{16}", hello["boot"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", hello["version"])
    assert re.fullmatch("[0-9a-f]{16}", hello["files"])
    assert hello["series"] == {
        "taken_s": 12.5, "interval_s": 1.0, "lines_in": [], "lines_out": [], "bytes_in": [], "bytes_out": [],
        "open": [], "turns": [], "turn_p99_ms": [], "busy": [], "evicted": [],
    }  # fmt: skip


def test_hello_brings_the_past_and_the_port_for_browsers(fresh: Served) -> None:
    for second in range(13, 18):
        lines = InOut(in_=100 + 10 * second, out=300)
        fresh.publish(taken_s=float(second), lines=lines, ws_listeners=("127.0.0.1:9001",))

    def hello() -> dict[str, object] | None:
        with LiveTab(fresh.url) as opened:
            return opened.hello if opened.hello["series"]["lines_in"][-4:] == [10] * 4 else None

    assert until(hello)["ws_port"] == 9001


def test_an_update_has_all_that_was_promised(fresh: Served, tab: LiveTab) -> None:
    fresh.hub.rows = [make_row(1, tag="k3"), make_row(2)]
    fresh.hub.closed = [make_closed(9)]
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
        "lateness_ms", "unsent_bytes",
    }  # fmt: skip


def test_a_view_shows_what_the_same_query_shows_at_the_address(fresh: Served, tab: LiveTab) -> None:
    fresh.hub.rows = [
        make_row(number, lag_bytes=number % 7, room="red" if number % 2 else "blue") for number in range(40)
    ]
    tab.send(sort="lag_bytes", order="desc", q="RED", offset=1, limit=3)
    shown = tab.next()["clients"]
    assert shown == ask(fresh.url, "/api/clients?q=RED&sort=lag_bytes&order=desc&limit=3&offset=1").json()
    assert [row["id"] for row in shown.pop("clients")] == [27, 5, 19]
    assert shown == {"total": 40, "matched": 20, "offset": 1, "limit": 3}
    tab.send(offset=5)  # Another view replaces the first whole.
    clients = tab.until(lambda update: update["clients"]["limit"] == 50)["clients"]
    assert [row["id"] for row in clients["clients"]] == list(range(5, 40))


def fill(hub: StandInHub, nick: str, room: str) -> None:
    """A hundred clients and closed clients with figures and names as long as they get."""
    peer = "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:54321"
    long = {"peer": peer, "transport": "websocket", "nick": nick, "room": room, "age_s": 86399.123}
    long |= {"lines_in": 10**5, "lines_out": 10**7, "bytes_in": 10**8, "bytes_out": 10**9}
    why = {"reason": "slow_consumer", "detail": "lag=1048577 limit=1048576", "lateness_ms": 12.345}
    amounts = {"lag_bytes": 10**6, "outbox_bytes": 10**5, "idle_s": 299.123}
    hub.rows = [make_row(10**6 + number, **long, **amounts) for number in range(100)]
    hub.closed = [make_closed(number, **long, **why) for number in range(100)]


WIDE = "\N{CUNEIFORM SIGN A}" * 32  # Four bytes each.


@pytest.mark.promise("page-update-size")
@pytest.mark.parametrize(
    ("nick", "room", "least", "most"),
    [
        ("Großherzogin-Wilhelmina_van.Dyck", "international-lounge.2nd-floor_x", 20_000, 25_000),
        pytest.param(WIDE, WIDE, 32_500, 33_500, id="wide"),
    ],
)
def test_an_update_of_a_full_hub_stays_small(
    fresh: Served, tab: LiveTab, nick: str, room: str, least: int, most: int
) -> None:
    fill(fresh.hub, nick, room)
    tab.send(sort="lag_bytes", limit=50)
    text = str(tab.ws.recv(timeout=10))
    assert '"matched":100,' in text
    assert least < len(text.encode()) < most


# Who may come.


OURS = [
    "Origin: http://127.0.0.1:{port}\r\n", "Origin: http://[::1]:{port}\r\n", "Origin: http://hub.example\r\n",
    "{own}Sec-Fetch-Site: same-origin\r\n", "{own}Sec-Fetch-Site: none\r\n",
]  # fmt: skip
FOREIGN = [
    "", "Origin: null\r\n", "Origin: \r\n", "Origin: http://evil.example\r\n", "Origin: http://localhost:1\r\n",
    "Origin: https://localhost\r\n", "{own}{own}", "{own}Sec-Fetch-Site: same-site\r\n",
    "{own}Sec-Fetch-Site: cross-site\r\n", "{own}Sec-Fetch-Site: \r\n",
    "{own}Sec-Fetch-Site: SAME-ORIGIN\r\n",
]  # fmt: skip


@pytest.mark.promise("page-names")
@pytest.mark.parametrize(
    ("lines", "status"), [*[(lines, 101) for lines in OURS], *[(lines, 403) for lines in FOREIGN]]
)
def test_only_pages_of_ours_may_connect(url: str, lines: str, status: int) -> None:
    port = port_of(url)
    lines = lines.format(own=f"Origin: http://localhost:{port}\r\n", port=port)
    assert ask_raw(url, handshake(url, lines)).status == status


def test_what_is_no_handshake_is_told_so(url: str) -> None:
    own = f"Origin: http://localhost:{port_of(url)}\r\n"
    assert ask_raw(url, handshake(url, own, host="evil.example")).status == 421
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


@pytest.mark.promise("page-limits")
def test_more_tabs_than_the_limit_are_refused_until_one_leaves(
    fresh: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.live, "SESSIONS_MAX", 3)
    with ExitStack() as tabs:
        first, *_ = [tabs.enter_context(LiveTab(fresh.url)) for _ in range(3)]
        with pytest.raises(InvalidStatus) as caught:
            LiveTab(fresh.url)
        assert caught.value.response.status_code == 503
        assert ask(fresh.url, "/livez").status == 200
        first.ws.close()

        def comes_in() -> bool:
            try:
                tabs.enter_context(LiveTab(fresh.url))
            except InvalidStatus:
                return False
            return True

        until(comes_in)


# Nobody watches, the hub is silent, the hub is another.


def let_the_end_be_seen(served: Served) -> None:
    """Many turns of the page's loop, more than the end of a tab or a publication takes."""
    for _ in range(10):
        assert ask(served.url, "/livez").status == 200


@pytest.mark.promise("page-unwatched")
def test_while_nobody_watches_the_hub_is_asked_for_nothing(fresh: Served) -> None:
    for turns in range(20):
        fresh.publish(turns=turns)
    with LiveTab(fresh.url) as tab:
        tab.send(paused=True)
        tab.send(sort="fd")
        tab.next("error")  # So the view before it has been read.
        for turns in range(20):
            fresh.publish(turns=turns)
        tab.send(sort="fd")
        tab.next("error")
        assert fresh.hub.asked == []
        tab.send(paused=False)
        tab.next()
        tab.ws.close()
        assert tab.close_code() == 1000
    let_the_end_be_seen(fresh)
    assert fresh.hub.asked == ["WantRows", "WantClosed"]
    with LiveTab(fresh.url) as tab:
        tab.send()
        tab.next()
    let_the_end_be_seen(fresh)
    for turns in range(20):
        fresh.publish(turns=turns)
    let_the_end_be_seen(fresh)
    assert fresh.hub.asked == ["WantRows", "WantClosed", "WantClosed"], "known before, forgotten, nobody"


def test_a_paused_tab_gets_nothing_while_another_is_served(fresh: Served, tab: LiveTab) -> None:
    with LiveTab(fresh.url) as paused:
        paused.send(paused=True)
        paused.send(limit=0)
        paused.next("error")
        for turns in (502, 503):
            fresh.publish(turns=turns)
            tab.until(lambda update, turns=turns: update["summary"]["turns"] == turns)
        paused.send(limit=0)
        paused.next("error")
        paused.send()
        assert paused.next()["summary"]["turns"] == 503


@pytest.mark.promise("page-stale")
def test_a_silent_hub_is_told_of_and_so_is_its_return(fresh: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.live, "LATE_S", 0.1)
    with LiveTab(fresh.url) as tab:
        tab.send()
        tab.next()
        fresh.clock.now_s += 5.25
        silent = tab.until(lambda update: update["trouble"])
        assert silent["trouble"] == "the hub has published nothing for 5 s"
        assert silent["age_s"] == 5.25
        assert (silent["clients"], silent["closed"]) == (None, None)
        assert silent["summary"]["turns"] == 7
        asked = len(fresh.hub.asked)
        fresh.clock.now_s += 1
        assert tab.until(lambda update: update["age_s"] == 6.25)[
            "trouble"
        ]  # It goes on without the hub's beat.
        assert len(fresh.hub.asked) == asked
        fresh.publish(turns=8)
        back = tab.until(lambda update: not update["trouble"])
        assert (back["age_s"], back["summary"]["turns"]) == (0.0, 8)
        assert back["clients"]["total"] == 0


@pytest.mark.promise("page-stale")
def test_a_hub_that_publishes_and_does_not_answer_is_trouble(
    fresh: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.hub_gateway, "ANSWER_LIMIT_S", 0.05)
    monkeypatch.setattr(fresh.hub, "answer_all", lambda: fresh.mailbox.take(64))
    with LiveTab(fresh.url) as tab:
        tab.send()
        update = tab.next()
    assert update["trouble"].startswith("the hub does not answer")
    assert "\n" not in update["trouble"]
    assert (update["clients"], update["closed"], update["summary"]["turns"]) == (None, None, 7)


def test_before_the_first_publication_updates_have_no_summary() -> None:
    with Served() as silent, LiveTab(silent.url) as tab:
        tab.send()
        update = tab.next()
    assert (update["summary"], update["age_s"]) == (None, None)
    assert update["trouble"] == "the hub has not published anything yet"
