"""What all tabs share: one picture of the hub a second, and every page of it made once.

However many tabs are open, the hub is asked for its rows and its latest endings once a beat, and only
while somebody watches; each view is sorted, filtered and encoded once for all tabs that have it.

Two rules of wire.py bind here as well. Whoever lets go of ten thousand rows last frees them in one C call,
so a picture that has had its time gives its runs back one by one. And the page must never take the
interpreter for long: after each page that was made, none is made for REST times as long. Time spent
waiting for the interpreter counts as well, so the busier the hub is, the longer the page keeps away. Many
expensive views make the page slower, not the hub.
"""

import asyncio
import math
from collections.abc import Sequence

import msgspec

from hub.control.snapshots import Ending, Record, Summary
from web.feed import Feed, HubSilent
from web.history import History, Rates
from web.wire import ClientsQuery, ClosedPage, Run, clients_page

ENDINGS = 20
ENDINGS_BYTES_MAX = 5_000
"""With fifty rows and the totals an update stays under 25 KB; /api/closed has all of the endings."""
SILENT_S = 2.0
"""The hub publishes once a second; one that missed two is not asked, it would only pile up questions."""
REST = 4
REST_MAX_S = 0.5


class ShownEnding(Record, frozen=True, kw_only=True):
    """What the live page shows of an ending; the same names as in records.Ending."""

    id: int
    peer: str
    transport: str
    nick: str
    room: str
    reason: str
    detail: str
    ended_wall_s: float
    age_s: float
    lateness_ms: float | None
    unsent_bytes: int
    unsent_private_bytes: int


class Moment:
    """The hub as it was at one beat. `trouble` says in one line why there are no rows and no endings."""

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
        """The page of clients as JSON, made now if nobody else has asked for it."""
        if self.trouble:
            return None
        if query not in self._pages:
            self._pages[query] = msgspec.Raw(msgspec.json.encode(clients_page(self._runs, query)))
        return self._pages[query]

    def release(self) -> None:
        """Give the rows back, a run at a time. No page is made of this moment afterwards."""
        while self._runs:
            self._runs.pop()


class Moments:
    """Takes one moment for each beat in which somebody asks."""

    def __init__(self, feed: Feed, history: History) -> None:
        self._feed = feed
        self._history = history
        self._beat = 0
        self._now: tuple[int, Moment] | None = None
        self._taking: asyncio.Task[None] | None = None
        self._making = asyncio.Lock()
        self._rest_until_s = -math.inf

    def beat(self) -> None:
        """The moment there is has had its time."""
        self._beat += 1

    def forget(self) -> None:
        """Nobody watches: ask for nothing, and keep nothing."""
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None
        self._replace(None)

    async def see(self, query: ClientsQuery) -> tuple[Moment, msgspec.Raw | None]:
        """The newest moment, and in it the clients that are asked for."""
        if self._now is None or self._now[0] != self._beat:
            await self._take()
        moment = self._newest()
        if moment.has(query):
            return moment, moment.clients(query)
        async with self._making:
            return await self._make(query)

    async def _make(self, query: ClientsQuery) -> tuple[Moment, msgspec.Raw | None]:
        loop = asyncio.get_running_loop()
        rest_s = self._rest_until_s - loop.time()
        if rest_s > 0:
            await asyncio.sleep(rest_s)
        moment = self._newest()  # Not one from before a wait: its rows may be gone.
        started_s = loop.time()
        page = moment.clients(query)
        ended_s = loop.time()
        self._rest_until_s = ended_s + min(REST * (ended_s - started_s), REST_MAX_S)
        return moment, page

    def _newest(self) -> Moment:
        assert self._now is not None
        return self._now[1]

    def _replace(self, now: tuple[int, Moment] | None) -> None:
        before, self._now = self._now, now
        if before is not None:
            before[1].release()

    async def _take(self) -> None:
        """Take a moment, or wait for the one that is being taken; its beat may be over by then."""
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

    async def _ask(self) -> Moment:
        feed, rates = self._feed, self._history.rates
        if feed.age_s > SILENT_S:
            return Moment(feed.latest, rates, trouble=silence(feed.age_s))
        try:
            runs = await feed.rows()
            endings, kept = await feed.endings(0, ENDINGS)
        except HubSilent as error:
            return Moment(feed.latest, rates, trouble=str(error))
        closed = ClosedPage(kept=kept, closed=shown_endings(endings))
        return Moment(feed.latest, rates, runs=runs, closed=msgspec.Raw(msgspec.json.encode(closed)))


def shown_endings(endings: Sequence[Ending]) -> list[msgspec.Raw]:
    """The newest of them as JSON, as many as fit."""
    shown: list[msgspec.Raw] = []
    left = ENDINGS_BYTES_MAX
    for ending in endings:
        line = msgspec.json.encode(msgspec.convert(ending, ShownEnding, from_attributes=True))
        left -= len(line)
        if left < 0:
            break
        shown.append(msgspec.Raw(line))
    return shown


def silence(age_s: float) -> str:
    """What is the matter with a hub that published so long ago."""
    if math.isinf(age_s):
        return "the hub has not published anything yet"
    return f"the hub has published nothing for {age_s:.0f} s"
