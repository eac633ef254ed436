"""What tabs share: a real mailbox, and a stand-in hub or the test itself on the other side."""

import asyncio
import json
from typing import Any

import pytest

import web.snapshot_cache
from hub.control.mailbox import Mailbox
from tests.unit.web.support import Clock, StandInHub, make_closed, make_row, make_summary
from web.history import History
from web.hub_gateway import HubGateway
from web.schema import RUN_ROWS, ClientsQuery, View
from web.snapshot_cache import CLOSED_BYTES_MAX, CLOSED_SHOWN, SILENT_S, SnapshotCache, silence

ALL = View().query


@pytest.fixture
def gateway(mailbox: Mailbox, clock: Clock) -> HubGateway:
    made = HubGateway(mailbox, clock)
    made.publish(make_summary())
    return made


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[ClientsQuery]:
    """Every page that is made."""
    made: list[ClientsQuery] = []
    really = web.snapshot_cache.clients_page

    def noting(runs: Any, query: ClientsQuery) -> Any:
        made.append(query)
        return really(runs, query)

    monkeypatch.setattr(web.snapshot_cache, "clients_page", noting)
    return made


def test_many_tabs_with_two_views_cost_two_pages(
    gateway: HubGateway, hub: StandInHub, pages: list[ClientsQuery]
) -> None:
    hub.rows = [make_row(number) for number in range(3)]
    other = View(sort="nick", order="desc").query

    async def look() -> None:
        snapshots = SnapshotCache(gateway, History())
        seen = await asyncio.gather(*[snapshots.see(query) for query in [ALL, other] * 20])
        assert len({id(page) for _, page in seen}) == 2

    asyncio.run(look())
    assert hub.asked == ["WantRows", "WantClosed"]
    assert sorted(query.sort for query in pages) == ["id", "nick"]


def test_a_new_view_asks_the_hub_nothing_within_a_beat(
    gateway: HubGateway, hub: StandInHub, clock: Clock
) -> None:
    async def look() -> list[list[int]]:
        snapshots, seen = SnapshotCache(gateway, History()), []
        for number, beats in ((1, False), (2, False), (3, True)):
            hub.rows = [make_row(number)]
            clock.now_s += 0.5
            if beats:
                snapshots.beat()
            _, page = await snapshots.see(View(offset=0, limit=number).query)
            assert page is not None
            seen.append([row["id"] for row in json.loads(bytes(page))["clients"]])
        return seen

    assert asyncio.run(look()) == [[1], [1], [3]]
    assert hub.asked == ["WantRows", "WantClosed"] * 2


def test_after_a_page_none_is_made_for_a_multiple_of_its_time(
    gateway: HubGateway, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent_s: list[float] = []
    really = asyncio.sleep

    async def noting(seconds: float) -> None:
        spent_s.append(seconds)
        await really(0)

    hub.rows = [make_row(number, lag_bytes=number * 7919 % 10_007) for number in range(20 * RUN_ROWS)]
    monkeypatch.setattr(web.snapshot_cache.asyncio, "sleep", noting)

    async def look() -> None:
        snapshots = SnapshotCache(gateway, History())
        for sort in ("lag_bytes", "nick", "peer"):
            await snapshots.see(View(sort=sort).query)

    asyncio.run(look())
    assert len(spent_s) == 2
    assert all(0 < seconds <= web.snapshot_cache.REST_MAX_S for seconds in spent_s)


@pytest.mark.promise("page-pace")
@pytest.mark.parametrize(("made_s", "rest_s"), [(0.01, 0.04), (0.1, 0.4), (0.125, 0.5), (3.0, 0.5)])
def test_the_rest_is_four_times_the_page_and_at_most_half_a_s(
    gateway: HubGateway, hub: StandInHub, monkeypatch: pytest.MonkeyPatch, made_s: float, rest_s: float
) -> None:
    now_s, rests = 1000.0, []
    sleep, make = asyncio.sleep, web.snapshot_cache.clients_page

    async def noting(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    def taking_long(runs: Any, query: ClientsQuery) -> Any:
        nonlocal now_s
        now_s += made_s
        return make(runs, query)

    async def look() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)
        monkeypatch.setattr(web.snapshot_cache, "clients_page", taking_long)
        monkeypatch.setattr(web.snapshot_cache.asyncio, "sleep", noting)
        snapshots = SnapshotCache(gateway, History())
        await snapshots.see(ALL)
        await snapshots.see(View(sort="nick").query)
        await snapshots.see(ALL)  # Made already, so it has nothing to wait for.

    asyncio.run(look())
    assert rests == [pytest.approx(rest_s)]


def test_without_open_pages_nothing_is_kept(gateway: HubGateway, hub: StandInHub, clock: Clock) -> None:
    async def look() -> None:
        snapshots = SnapshotCache(gateway, History())
        hub.rows = [make_row(1)]
        first, _ = await snapshots.see(ALL)
        snapshots.forget()
        assert first.clients(View(limit=2).query) != first.clients(ALL)  # Its rows are gone.
        clock.now_s += 1
        hub.rows = [make_row(2)]
        _, page = await snapshots.see(ALL)
        assert page is not None and b'"id":2' in bytes(page)

    asyncio.run(look())


def test_leaving_while_the_hub_is_asked_disturbs_no_later_page(gateway: HubGateway, mailbox: Mailbox) -> None:
    async def look() -> None:
        snapshots = SnapshotCache(gateway, History())
        leaving = asyncio.create_task(snapshots.see(ALL))
        while not mailbox._commands:  # Until the hub is asked.
            await asyncio.sleep(0)
        leaving.cancel()
        snapshots.forget()
        coming = asyncio.create_task(snapshots.see(ALL))
        stand_in = StandInHub(mailbox)
        stand_in.rows = [make_row(1)]
        while not coming.done():
            await asyncio.sleep(0.001)
            stand_in.answer_all()
        snapshot, page = coming.result()
        assert snapshot.trouble == "" and page is not None

    asyncio.run(look())


def test_a_hub_that_does_not_answer_is_trouble_and_not_an_error(
    gateway: HubGateway, mailbox: Mailbox
) -> None:
    snapshot, page = asyncio.run(SnapshotCache(gateway, History()).see(ALL))
    assert page is None and snapshot.closed is None
    assert snapshot.trouble.startswith("the hub does not answer")
    assert "\n" not in snapshot.trouble
    assert snapshot.summary is not None


def test_a_hub_that_fell_silent_is_not_even_asked(gateway: HubGateway, hub: StandInHub, clock: Clock) -> None:
    clock.now_s += SILENT_S + 1
    snapshot, page = asyncio.run(SnapshotCache(gateway, History()).see(ALL))
    assert (snapshot.trouble, page) == ("the hub has published nothing for 3 s", None)
    assert hub.asked == []


@pytest.mark.promise("page-stale")
def test_it_has_fallen_silent_after_two_seconds_and_not_before(
    gateway: HubGateway, hub: StandInHub, clock: Clock
) -> None:
    clock.now_s += 2.0
    snapshot, _ = asyncio.run(SnapshotCache(gateway, History()).see(ALL))
    assert snapshot.trouble == ""
    clock.now_s += 0.01
    snapshot, _ = asyncio.run(SnapshotCache(gateway, History()).see(ALL))
    assert snapshot.trouble == "the hub has published nothing for 2 s"


def test_a_hub_that_never_published_is_trouble_of_its_own(mailbox: Mailbox, clock: Clock) -> None:
    snapshot, _ = asyncio.run(SnapshotCache(HubGateway(mailbox, clock), History()).see(ALL))
    assert snapshot.summary is None
    assert snapshot.trouble == silence(float("inf")) == "the hub has not published anything yet"


@pytest.mark.promise("page-shows")
def test_closed_clients_are_the_newest_that_fit(gateway: HubGateway, hub: StandInHub) -> None:
    async def closed() -> Any:
        snapshot, _ = await SnapshotCache(gateway, History()).see(ALL)
        assert snapshot.closed is not None
        return json.loads(bytes(snapshot.closed))

    hub.closed = [make_closed(number) for number in range(50, 0, -1)]
    short = asyncio.run(closed())
    assert short["kept"] == 50
    assert [entry["id"] for entry in short["closed"]] == list(range(50, 50 - CLOSED_SHOWN, -1))
    hub.closed = [make_closed(number, nick="x" * 1000) for number in range(50, 0, -1)]
    long = asyncio.run(closed())["closed"]
    assert [entry["id"] for entry in long] == [50, 49, 48, 47]
    assert len(json.dumps(long, separators=(",", ":"))) <= CLOSED_BYTES_MAX + 10
