"""What tabs share: a real mailbox, and a stand-in hub or the test itself on the other side."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

import web.snapshot_cache
from hub.control.mailbox import Mailbox
from tests.unit.web.support import Clock, StandInHub, make_closed, make_row
from web.history import History
from web.hub_gateway import HubGateway
from web.schema import View
from web.snapshot_cache import CLOSED_BYTES_MAX, CLOSED_SHOWN, SnapshotCache

ALL = View()


@pytest.fixture
def snapshots(gateway: HubGateway) -> SnapshotCache:
    return SnapshotCache(gateway, History())


class Making:
    """Notes every page that is made, and how long none is made; the test says how long making takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages: list[View] = []
        self.rests: list[float] = []
        self.takes_s = 0.0
        self.now_s = 1000.0
        self._sleep, self._make = asyncio.sleep, web.snapshot_cache.clients_page
        monkeypatch.setattr(web.snapshot_cache, "clients_page", self.make)
        monkeypatch.setattr(web.snapshot_cache.asyncio, "sleep", self.sleep)

    def make(self, runs: Any, view: View) -> Any:
        self.pages.append(view)
        self.now_s += self.takes_s
        return self._make(runs, view)

    async def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        await self._sleep(0)


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Making:
    return Making(monkeypatch)


def ids(page: msgspec.Raw | None) -> list[int]:
    return [row["id"] for row in json.loads(bytes(page or b""))["clients"]]


@pytest.mark.promise("page-unwatched")
def test_many_tabs_with_two_views_cost_two_pages(
    snapshots: SnapshotCache, hub: StandInHub, making: Making
) -> None:
    hub.rows = [make_row(number) for number in range(3)]

    async def look() -> None:
        views = [ALL, View(sort="nick", order="desc")] * 20
        seen = await asyncio.gather(*[snapshots.see(view) for view in views])
        assert len({id(page) for _, page in seen}) == 2

    asyncio.run(look())
    assert hub.asked == ["WantRows", "WantClosed"]
    assert sorted(view.sort for view in making.pages) == ["id", "nick"]


def test_a_new_view_asks_the_hub_nothing_within_a_beat(
    snapshots: SnapshotCache, hub: StandInHub, clock: Clock
) -> None:
    async def look() -> list[list[int]]:
        seen = []
        for number, beats in ((1, False), (2, False), (3, True)):
            hub.rows = [make_row(number)]
            clock.now_s += 0.5
            if beats:
                snapshots.beat()
            seen.append(ids((await snapshots.see(View(limit=number)))[1]))
        return seen

    assert asyncio.run(look()) == [[1], [1], [3]]
    assert hub.asked == ["WantRows", "WantClosed"] * 2


@pytest.mark.promise("page-pace")
@pytest.mark.parametrize(("made_s", "rest_s"), [(0.01, 0.04), (0.1, 0.4), (0.125, 0.5), (3.0, 0.5)])
def test_the_rest_is_four_times_the_page_and_at_most_half_a_s(
    snapshots: SnapshotCache, hub: StandInHub, making: Making, made_s: float, rest_s: float
) -> None:
    async def look() -> None:
        asyncio.get_running_loop().time = lambda: making.now_s  # type: ignore[method-assign]
        for view in (ALL, View(sort="nick"), ALL):  # The last is made already, so it has nothing to wait for.
            await snapshots.see(view)

    making.takes_s = made_s
    asyncio.run(look())
    assert making.rests == [pytest.approx(rest_s)]


def test_without_open_pages_nothing_is_kept(snapshots: SnapshotCache, hub: StandInHub, clock: Clock) -> None:
    async def look() -> None:
        hub.rows = [make_row(1)]
        first, _ = await snapshots.see(ALL)
        snapshots.forget()
        assert first.runs == []
        clock.now_s += 1
        hub.rows = [make_row(2)]
        assert ids((await snapshots.see(ALL))[1]) == [2]

    asyncio.run(look())


def test_leaving_while_the_hub_is_asked_disturbs_no_later_page(
    snapshots: SnapshotCache, mailbox: Mailbox
) -> None:
    async def look() -> None:
        leaving = asyncio.create_task(snapshots.see(ALL))
        while not mailbox.has_commands:  # Until the hub is asked.
            await asyncio.sleep(0)
        leaving.cancel()
        snapshots.forget()
        stand_in = StandInHub(mailbox)
        for _ in range(9):
            await asyncio.sleep(0)
            stand_in.answer_all()
        assert snapshots._now is None and stand_in.asked == ["WantRows"]
        coming = asyncio.create_task(snapshots.see(ALL))
        while not coming.done():
            await asyncio.sleep(0)
            stand_in.answer_all()
        snapshot, page = coming.result()
        assert snapshot.trouble == "" and ids(page) == []

    asyncio.run(look())


@pytest.mark.promise("page-stale")
@pytest.mark.parametrize(
    ("silent_s", "trouble"),
    [
        (2.0, ""),
        (2.01, "the hub has published nothing for 2 s"),
        (3.0, "the hub has published nothing for 3 s"),
    ],
)
def test_a_hub_that_fell_silent_is_not_even_asked(
    snapshots: SnapshotCache, hub: StandInHub, clock: Clock, silent_s: float, trouble: str
) -> None:
    clock.now_s += silent_s
    snapshot, page = asyncio.run(snapshots.see(ALL))
    assert (snapshot.trouble, page is None) == (trouble, bool(trouble))
    assert hub.asked == ([] if trouble else ["WantRows", "WantClosed"])


@pytest.mark.promise("page-shows")
def test_closed_clients_are_the_newest_that_fit(gateway: HubGateway, hub: StandInHub) -> None:
    def closed(nick: str) -> list[int]:
        hub.closed = [make_closed(number, nick=nick) for number in range(50, 0, -1)]
        snapshot, _ = asyncio.run(SnapshotCache(gateway, History()).see(ALL))
        assert snapshot.closed is not None and snapshot.closed["kept"] == 50
        entries: Any = snapshot.closed["closed"]
        assert sum(map(len, map(bytes, entries))) <= CLOSED_BYTES_MAX
        return [json.loads(bytes(entry))["id"] for entry in entries]

    assert closed("short") == list(range(50, 50 - CLOSED_SHOWN, -1))
    assert closed("x" * 1000) == [50, 49, 48, 47]
