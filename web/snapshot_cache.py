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
from dataclasses import dataclass, field

import msgspec

from hub.control.snapshots import ClosedClient, Summary
from web.history import History, Rates
from web.hub_gateway import HubGateway, HubSilent
from web.schema import Run, View, clients_page

CLOSED_SHOWN = 20
CLOSED_BYTES_MAX = 5_000
"""With fifty rows and the totals an update stays under 25 KB; /api/closed has the whole close log."""
SILENT_S = 2.0
"""The hub publishes once a second; a hub that missed two is not asked, because questions would pile up."""
REST = 4
REST_MAX_S = 0.5


CLOSED_FIELDS = (
    "id", "peer", "transport", "nick", "room", "reason", "detail", "closed_wall_s", "age_s", "lateness_ms",
    "unsent_bytes",
)  # fmt: skip
"""What the live page shows of an entry of the close log."""


@dataclass
class Snapshot:
    """The hub as it was at one beat. `trouble` says in one line why both lists are missing."""

    beat: int
    summary: Summary | None
    rates: Rates
    runs: list[Run]
    closed: dict[str, object] | None
    trouble: str
    pages: dict[View, msgspec.Raw] = field(default_factory=dict)

    def has(self, view: View) -> bool:
        """Whether this page costs nothing any more."""
        return bool(self.trouble) or view in self.pages

    def clients(self, view: View) -> msgspec.Raw | None:
        """The page of clients as JSON, made now unless another session has asked for it."""
        if not self.has(view):
            self.pages[view] = msgspec.Raw(msgspec.json.encode(clients_page(self.runs, view)))
        return self.pages.get(view)


class SnapshotCache:
    """Takes a snapshot for each beat in which a session asks for one."""

    def __init__(self, gateway: HubGateway, history: History) -> None:
        self._gateway = gateway
        self._history = history
        self._beat = 0
        self._now: Snapshot | None = None
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

    async def see(self, view: View) -> tuple[Snapshot, msgspec.Raw | None]:
        """The newest snapshot, and in it the clients that are asked for."""
        if self._now is None or self._now.beat != self._beat:
            await self._take()
        snapshot = self._newest()
        if snapshot.has(view):
            return snapshot, snapshot.clients(view)
        async with self._making:
            loop = asyncio.get_running_loop()
            rest_s = self._rest_until_s - loop.time()
            if rest_s > 0:
                await asyncio.sleep(rest_s)
            snapshot = self._newest()  # A snapshot from before the wait may have lost its rows.
            started_s = loop.time()
            page = snapshot.clients(view)
            ended_s = loop.time()
            self._rest_until_s = ended_s + min(REST * (ended_s - started_s), REST_MAX_S)
            return snapshot, page

    def _newest(self) -> Snapshot:
        assert self._now is not None
        return self._now

    def _replace(self, now: Snapshot | None) -> None:
        before, self._now = self._now, now
        while before is not None and before.runs:  # No page is made of it afterwards.
            before.runs.pop()

    async def _take(self) -> None:
        """Take a snapshot, or wait for the one that is being taken; its beat may be over by then."""
        if self._taking is None or self._taking.done():
            self._taking = asyncio.create_task(self._take_now())
        await asyncio.shield(self._taking)

    async def _take_now(self) -> None:
        gateway, beat, rates = self._gateway, self._beat, self._history.rates
        runs: list[Run] = []
        closed, trouble = None, ""
        if math.isinf(gateway.age_s):
            trouble = "the hub has not published anything yet"
        elif gateway.age_s > SILENT_S:
            trouble = f"the hub has published nothing for {gateway.age_s:.0f} s"
        else:
            try:
                runs = await gateway.rows()
                entries, kept = await gateway.closed(0, CLOSED_SHOWN)
                closed = {"kept": kept, "closed": shown_closed(entries)}
            except HubSilent as error:
                trouble = str(error)
        self._replace(Snapshot(beat, gateway.latest, rates, runs, closed, trouble))


def shown_closed(entries: Sequence[ClosedClient]) -> list[msgspec.Raw]:
    """The newest of these entries as JSON, as many as fit."""
    shown: list[msgspec.Raw] = []
    left = CLOSED_BYTES_MAX
    for entry in entries:
        line = msgspec.json.encode({name: getattr(entry, name) for name in CLOSED_FIELDS})
        left -= len(line)
        if left < 0:
            break
        shown.append(msgspec.Raw(line))
    return shown
