"""How much a tab may ask for, and how often it is asked whether it is there."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import closing

import pytest
from aiohttp import WSMessage, WSMsgType
from websockets.frames import Opcode

import web.page_session
from tests.unit.web.test_page_session import RawTab
from web.page_session import PageSession
from web.schema import View


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
    really = web.page_session.read_view

    def noting(text: str) -> View:
        view = really(text)
        read.append(view.offset)
        return view

    monkeypatch.setattr(web.page_session, "read_view", noting)
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
    taken = 0
    rests: list[tuple[int, float]] = []

    class Flood:
        async def receive(self) -> WSMessage:
            nonlocal taken
            taken += 1
            return WSMessage(WSMsgType.PONG if taken <= 700 else WSMsgType.CLOSED, b"", None)

    async def noting(seconds: float) -> None:
        rests.append((taken, seconds))

    tab = PageSession(b"", no_update)
    tab._ws = Flood()  # type: ignore[assignment]
    monkeypatch.setattr(web.page_session.asyncio, "sleep", noting)
    assert asyncio.run(tab._read()) == 1000
    assert rests == [(200, 1.0), (400, 1.0), (600, 1.0)]


@pytest.mark.promise("page-tabs")
def test_a_tab_is_pinged_however_little_happens(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.page_session, "HEARTBEAT_S", 0.2)
    with closing(RawTab(url)) as quiet:
        quiet.send(Opcode.TEXT, b'{"paused":true}')
        kinds = []
        while Opcode.PING not in kinds:
            frame = quiet.frame()
            assert frame is not None
            kinds.append(frame[0])
