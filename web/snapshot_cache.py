"""What all open pages share: a snapshot of the hub for each beat, and every page of rows in it made once.

However many pages are open, the hub is asked for its rows and its close log once a beat, and only while a
page is open; each view is sorted, filtered and encoded once for all pages that have it.

Two rules of schema.py bind here as well. The last owner of ten thousand rows frees them in one C call, so
a snapshot that has had its time gives its runs back one by one. And the side thread must never hold the
interpreter for long: after each page of rows that was made, none is made for REST times as long. Time
spent waiting for the interpreter counts as well, so the busier the hub is, the longer the cache rests.
Many expensive views make the page slower, not the hub.
"""

import asyncio
import math
from collections.abc import Sequence

import msgspec

from hub.control.snapshots import ClosedClient, Record, Summary
from web.history import History, Rates
from web.hub_gateway import HubGateway, HubSilent
from web.schema import ClientsQuery, ClosedPage, Run, clients_page

CLOSED_SHOWN = 20
CLOSED_BYTES_MAX = 5_000
"""With fifty rows and the totals an update stays under 25 KB; /api/closed has the whole close log."""
SILENT_S = 2.0
"""The hub publishes once a second; a hub that missed two is not asked, because questions would pile up."""
REST = 4
REST_MAX_S = 0.5


class ShownClosed(Record, frozen=True, kw_only=True):
    """What the live page shows of an entry of the close log."""

    id: int
    peer: str
    transport: str
    nick: str
    room: str
    reason: str
    detail: str
    closed_wall_s: float
    age_s: float
    lateness_ms: float | None
    unsent_bytes: int
    unsent_outbox_bytes: int


class Snapshot:
    """The hub as it was at one beat. `trouble` says in one line why both lists are missing."""

    def __init__(
        self,
        summary: Summary | None,
        rates: Rates,
        *,
        runs: list[Run] | None = None,
        closed: msgspec.Raw | None = None,
        trouble: str = "",
    ) -> None:
        self.summary = None if summary is None else msgspec.Raw(msgspec.json.encode(summary))
        self.rates = rates
        self.closed = closed
        self.trouble = trouble
        self._runs = runs or []
        self._pages: dict[ClientsQuery, msgspec.Raw] = {}

    def has(self, query: ClientsQuery) -> bool:
        """Whether this page costs nothing any more."""
        return bool(self.trouble) or query in self._pages

    def clients(self, query: ClientsQuery) -> msgspec.Raw | None:
        """The page of clients as JSON, made now unless another session has asked for it."""
        if self.trouble:
            return None
        if query not in self._pages:
            self._pages[query] = msgspec.Raw(msgspec.json.encode(clients_page(self._runs, query)))
        return self._pages[query]

    def release(self) -> None:
        """Give the rows back, a run at a time. No page is made of this snapshot afterwards."""
        while self._runs:
            self._runs.pop()


class SnapshotCache:
    """Takes a snapshot for each beat in which a session asks for one."""

    def __init__(self, gateway: HubGateway, history: History) -> None:
        self._gateway = gateway
        self._history = history
        self._beat = 0
        self._now: tuple[int, Snapshot] | None = None
        self._taking: asyncio.Task[None] | None = None
        self._making = asyncio.Lock()
        self._rest_until_s = -math.inf

    def beat(self) -> None:
        """Have the next session that asks get a new snapshot."""
        self._beat += 1

    def forget(self) -> None:
        """Ask for nothing and keep nothing, because no page is open."""
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None
        self._replace(None)

    async def see(self, query: ClientsQuery) -> tuple[Snapshot, msgspec.Raw | None]:
        """The newest snapshot, and in it the clients that are asked for."""
        if self._now is None or self._now[0] != self._beat:
            await self._take()
        snapshot = self._newest()
        if snapshot.has(query):
            return snapshot, snapshot.clients(query)
        async with self._making:
            return await self._make(query)

    async def _make(self, query: ClientsQuery) -> tuple[Snapshot, msgspec.Raw | None]:
        loop = asyncio.get_running_loop()
        rest_s = self._rest_until_s - loop.time()
        if rest_s > 0:
            await asyncio.sleep(rest_s)
        snapshot = self._newest()  # A snapshot from before the wait may have lost its rows.
        started_s = loop.time()
        page = snapshot.clients(query)
        ended_s = loop.time()
        self._rest_until_s = ended_s + min(REST * (ended_s - started_s), REST_MAX_S)
        return snapshot, page

    def _newest(self) -> Snapshot:
        assert self._now is not None
        return self._now[1]

    def _replace(self, now: tuple[int, Snapshot] | None) -> None:
        before, self._now = self._now, now
        if before is not None:
            before[1].release()

    async def _take(self) -> None:
        """Take a snapshot, or wait for the one that is being taken; its beat may be over by then."""
        if self._taking is None:
            self._taking = asyncio.create_task(self._take_now())
        await asyncio.shield(self._taking)

    async def _take_now(self) -> None:
        beat = self._beat
        try:
            self._replace((beat, await self._ask()))
        finally:
            if self._taking is asyncio.current_task():
                self._taking = None

    async def _ask(self) -> Snapshot:
        gateway, rates = self._gateway, self._history.rates
        if gateway.age_s > SILENT_S:
            return Snapshot(gateway.latest, rates, trouble=silence(gateway.age_s))
        try:
            runs = await gateway.rows()
            entries, kept = await gateway.closed(0, CLOSED_SHOWN)
        except HubSilent as error:
            return Snapshot(gateway.latest, rates, trouble=str(error))
        closed = ClosedPage(kept=kept, closed=shown_closed(entries))
        return Snapshot(gateway.latest, rates, runs=runs, closed=msgspec.Raw(msgspec.json.encode(closed)))


def shown_closed(entries: Sequence[ClosedClient]) -> list[msgspec.Raw]:
    """The newest of these entries as JSON, as many as fit."""
    shown: list[msgspec.Raw] = []
    left = CLOSED_BYTES_MAX
    for entry in entries:
        line = msgspec.json.encode(as_shown(entry))
        left -= len(line)
        if left < 0:
            break
        shown.append(msgspec.Raw(line))
    return shown


def as_shown(entry: ClosedClient) -> ShownClosed:
    """An entry of the close log in the words of the live page's protocol."""
    return ShownClosed(
        id=entry.id,
        peer=entry.peer,
        transport=entry.transport,
        nick=entry.nick,
        room=entry.room,
        reason=entry.reason,
        detail=entry.detail,
        closed_wall_s=entry.closed_wall_s,
        age_s=entry.age_s,
        lateness_ms=entry.lateness_ms,
        unsent_bytes=entry.unsent_bytes,
        unsent_outbox_bytes=entry.unsent_outbox_bytes,
    )


def silence(age_s: float) -> str:
    """The trouble of a hub that published so long ago, in words."""
    if math.isinf(age_s):
        return "the hub has not published anything yet"
    return f"the hub has published nothing for {age_s:.0f} s"
