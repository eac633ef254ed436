"""One tab: what a browser may send and how often, how it ends, and one that does not read."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from aiohttp import WSMessage, WSMsgType
from websockets.frames import Opcode

import web.page_session
from tests.support import until
from tests.support_ws import WsPeer
from tests.unit.protocol.support import masked
from tests.unit.web.support import LiveTab, Records, Served, ask, make_row, port_of
from tests.unit.web.test_schema import BAD_VIEWS
from web.page_session import ERROR_CHARACTERS, MESSAGE_BYTES_MAX, UPDATES_PER_S, PageSession
from web.schema import View


def raw_tab(url: str) -> WsPeer:
    """A tab that reads only when it is told to, into a small buffer."""
    return WsPeer(port_of(url), "/live", origin=url.rstrip("/"), receive_buffer=4096)


def close_code_of(tab: WsPeer) -> int:
    """What the server closes with; it may be gone when our answer comes."""
    with suppress(ConnectionResetError):
        tab.rest()
    assert tab.protocol.close_rcvd is not None
    return tab.protocol.close_rcvd.code


# What a browser may send.


@pytest.mark.promise("page-views")
def test_a_bad_view_is_an_error_and_the_one_before_it_stays(fresh: Served, tab: LiveTab) -> None:
    fresh.hub.rows = [make_row(number) for number in range(9)]
    tab.send(sort="id", order="desc", limit=2)
    tab.next()
    for text in BAD_VIEWS[::5]:
        tab.ws.send(text)
        error = tab.until(lambda message: True, kind="error")["error"]
        assert 0 < len(error) <= ERROR_CHARACTERS
    fresh.publish(turns=800)
    update = tab.until(lambda update: update["summary"]["turns"] == 800)
    assert [row["id"] for row in update["clients"]["clients"]] == [8, 7]


def test_a_message_of_the_greatest_size_is_taken_and_no_greater(tab: LiveTab) -> None:
    frame = len('{"q":""}')
    tab.send()
    tab.ws.send('{"q":"' + "x" * (MESSAGE_BYTES_MAX - frame) + '"}')
    tab.until(lambda update: True)
    tab.ws.send('{"q":"' + "x" * (MESSAGE_BYTES_MAX - frame + 1) + '"}')
    assert tab.close_code() == 1009


@pytest.mark.promise("page-tabs")
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (masked(Opcode.BINARY, b"{}"), 1003),
        (masked(Opcode.TEXT, b"\xff\xfe"), 1007),
        (masked(Opcode.TEXT, b'{"q":"\xed\xa0\x80"}'), 1007),
        (masked(Opcode.CONT, b"{}"), 1002),
        (masked(Opcode.TEXT, b"{", fin=False) + masked(Opcode.TEXT, b"}"), 1002),
        (masked(Opcode.TEXT, b"x" * 3000, fin=False) + masked(Opcode.CONT, b"x" * 3000), 1009),
        (masked(Opcode.PING, b"x" * 126), 1002),
        (masked(Opcode.PING, b"", fin=False), 1002),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
        (b"\xff" * 100, 1002),
    ],
)
def test_broken_rules_of_the_protocol_close_only_that_tab(url: str, frames: bytes, code: int) -> None:
    with raw_tab(url) as raw, LiveTab(url) as tab:
        raw.sock.sendall(frames)
        assert close_code_of(raw) == code
        tab.send()
        tab.next()


def test_of_a_flood_of_pings_the_newest_is_answered(tab: LiveTab) -> None:
    *_, newest = [tab.ws.ping(str(number)) for number in range(199)]
    assert newest.wait(10)


@pytest.mark.promise("page-update-size")
def test_no_tab_gets_more_updates_than_the_limit(tab: LiveTab) -> None:
    """Of many views at once the newest counts."""
    updates, started_s = 0, time.monotonic()
    for offset in range(150):
        tab.send(offset=offset)
    for offset in (150, 151, 152):
        tab.send(offset=offset)
        shown = -1
        while shown != offset:
            shown = tab.next()["clients"]["offset"]
            updates += 1
    assert updates < 20
    assert updates <= 1 + (time.monotonic() - started_s) * UPDATES_PER_S / 0.95


# How it ends.


def test_a_tab_that_vanishes_in_the_middle_disturbs_nobody(fresh: Served, tab: LiveTab) -> None:
    for _ in range(20):
        with raw_tab(fresh.url) as raw:
            raw.say("{}")
    fresh.publish(turns=77)
    tab.until(lambda update: update["summary"]["turns"] == 77)


def test_when_the_page_stops_its_tabs_are_told(fresh: Served) -> None:
    with LiveTab(fresh.url) as watching, LiveTab(fresh.url) as paused:
        watching.send()
        paused.send(paused=True)
        watching.next()
        fresh.page.stop()
        assert (watching.close_code(), paused.close_code()) == (1001, 1001)


def test_a_fault_of_ours_closes_with_1011_and_is_logged() -> None:
    log = Records()
    with Served(log=log) as served:
        served.publish()
        served.hub.rows = [make_row(1, nick="\ud800")]  # No UTF-8 for this: an error that nobody foresees.
        with LiveTab(served.url) as tab:
            tab.send()
            assert tab.close_code() == 1011
        served.hub.rows = []
        with LiveTab(served.url) as tab:
            tab.send(q="after")
            tab.next()
    assert set(log.messages) == {"a live connection failed"}


# One that does not read.


@contextmanager
def stuck_tab(fresh: Served) -> Iterator[WsPeer]:
    """A tab that asks for about 100 KB at a time and reads only when it is told to."""
    fresh.hub.rows = [make_row(number, nick="x" * 32) for number in range(500)]
    with raw_tab(fresh.url) as raw:
        raw.say('{"limit":500}')
        yield raw


def publish_and_see(fresh: Served, tab: LiveTab, times: int) -> None:
    """So many publications, each of which the tab has to see."""
    tab.send(limit=1)
    for turns in range(2000, 2000 + times):
        fresh.publish(turns=turns)
        tab.until(lambda update, turns=turns: update["summary"]["turns"] == turns)


@pytest.mark.promise("page-tabs")
def test_a_tab_that_does_not_read_skips_and_others_do_not_wait(
    fresh: Served, tab: LiveTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.page_session, "UPDATES_PER_S", 40)
    seen: list[int] = []
    with stuck_tab(fresh) as stuck:
        publish_and_see(fresh, tab, 12)
        while 2011 not in seen:
            message = json.loads(stuck.message())
            seen += [message["summary"]["turns"]] if message["kind"] == "update" else []
    assert seen == sorted(seen)
    assert len(seen) < 8, "it was to skip"


@pytest.mark.promise("page-tabs")
def test_a_tab_that_takes_nothing_in_time_is_closed_with_1013(
    fresh: Served, tab: LiveTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.page_session, "TAKE_S", 0.1)
    monkeypatch.setattr(web.page_session, "LINGER_S", 30.0)
    with stuck_tab(fresh) as stuck:
        publish_and_see(fresh, tab, 4)
        assert close_code_of(stuck) == 1013


def test_one_that_never_reads_again_is_dropped_all_the_same(
    fresh: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.page_session, "TAKE_S", 0.2)
    monkeypatch.setattr(web.page_session, "LINGER_S", 0.2)

    def dropped() -> bool:
        fresh.publish()
        try:
            stuck.sock.sendall(masked(Opcode.PONG))
        except OSError:
            return True
        return False

    with stuck_tab(fresh) as stuck:
        until(dropped)
    assert ask(fresh.url, "/livez").status == 200


# How much it may ask for, and how often it is asked whether it is there.


async def no_update(_view: View) -> bytes:
    raise AssertionError("nobody writes here")


class SteppedLoop:
    """What reading asks of an event loop: a time that the test moves, and calls for later."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.later: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, when_s: float, call: Callable[[], None]) -> None:
        self.later.append((when_s, call))

    def go_to(self, now_s: float) -> None:
        self.now_s = now_s
        due = [(when_s, call) for when_s, call in self.later if when_s <= now_s]
        self.later = [each for each in self.later if each not in due]
        for _, call in due:
            call()


@pytest.mark.promise("page-pace")
def test_of_more_than_twenty_views_a_second_the_newest_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, tab = SteppedLoop(), PageSession(b"", no_update)
    read: list[int] = []
    monkeypatch.setattr(tab, "nudge", lambda: read.append(tab._view.offset))
    monkeypatch.setattr(web.page_session.asyncio, "get_running_loop", lambda: loop)
    for number in range(200):  # A hundred a second.
        loop.go_to(100.0 + number / 100)
        tab._take_text(f'{{"offset":{number}}}')
    loop.go_to(103.0)
    assert 39 <= len(read) <= 41
    assert read[0] == 0 and read[-1] == 199
    assert all(4 <= later - sooner <= 6 for sooner, later in itertools.pairwise(read[:-1]))


@pytest.mark.promise("page-pace")
def test_after_two_hundred_messages_none_is_read_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [WSMsgType.CLOSED] + [WSMsgType.PONG] * 700
    rests: list[tuple[int, float]] = []

    class Flood:
        async def receive(self) -> WSMessage:
            return WSMessage(kinds.pop(), b"", None)

    async def noting(seconds: float) -> None:
        rests.append((701 - len(kinds), seconds))

    tab = PageSession(b"", no_update)
    tab._ws = Flood()  # type: ignore[assignment]
    monkeypatch.setattr(web.page_session.asyncio, "sleep", noting)
    assert asyncio.run(tab._read()) == 1000
    assert rests == [(200, 1.0), (400, 1.0), (600, 1.0)]


@pytest.mark.promise("page-tabs")
def test_a_tab_is_pinged_however_little_happens(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.page_session, "HEARTBEAT_S", 0.1)
    with raw_tab(url) as quiet:
        quiet.say('{"paused":true}')
        until(lambda: quiet._receive() and quiet.pings)
