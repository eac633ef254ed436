"""The page's gateway to the hub: totals come in from the hub's thread, questions go out through its mailbox.

The hub's thread touches this object in two places only: `publish`, which stores a reference and wakes the
page's loop, and the reply callables inside the questions, which hand the answer to that loop and return.
Neither waits and neither raises, so a page that is slow, stuck or gone costs the hub nothing. The gateway
wakes the loop again only after the loop has fetched, and forgets what was not fetched beyond UNFETCHED_MAX.

The gateway holds ten thousand rows as one list only until it has split them into runs, because the last
owner of a list of ten thousand records frees them all in one C call: 1.5 to 2.4 ms with the GIL held, in
which the hub stands still. A run of 500 takes 0.1 ms (schema.py has the other measurements).
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from aiohttp import web

from hub.control.mailbox import Command, Mailbox, WantClient, WantClosed, WantRooms, WantRows
from hub.control.snapshots import ClientRow, ClosedClient, RoomRow, Summary
from web.schema import Run, into_runs

ANSWER_LIMIT_S = 2.0
ROWS_FRESH_S = 0.25
UNANSWERED_MAX = 64
UNFETCHED_MAX = 300

Answer = TypeVar("Answer")


class HubSilent(Exception):
    """The hub did not answer a question in time. HTTP: 503."""


class HubGateway:
    """The newest totals, and a way to ask the hub's thread for more. `clock` gives monotonic seconds."""

    def __init__(self, mailbox: Mailbox, clock: Callable[[], float]) -> None:
        self._mailbox = mailbox
        self._clock = clock
        # This tuple is replaced whole, so that the summary and its age always belong together.
        self._published: tuple[Summary | None, float] = (None, -math.inf)
        self._unfetched: deque[Summary] = deque(maxlen=UNFETCHED_MAX)
        self._wake: Callable[[], object] | None = None
        self._woken = False
        self._unanswered = 0
        self._asking: asyncio.Task[str] | None = None
        self._runs: list[Run] = []
        self._runs_taken_s = -math.inf

    def publish(self, summary: Summary) -> None:
        """Take the hub's newest totals. The only method for the hub's thread; never waits, never raises."""
        self._published = (summary, self._clock())
        self._unfetched.append(summary)
        if self._wake is not None and not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # The page's loop is closed: nothing is left to wake.
                self._wake()

    def on_publish(self, heard: Callable[[Sequence[Summary]], None]) -> None:
        """Have the running loop call `heard` with all summaries that were published since its last call."""
        loop = asyncio.get_running_loop()

        def fetch() -> None:
            self._woken = False  # First, so that what is published from here on wakes again.
            heard([self._unfetched.popleft() for _ in range(len(self._unfetched))])

        self._wake = partial(loop.call_soon_threadsafe, fetch)
        self._woken = True
        loop.call_soon(fetch)

    @property
    def latest(self) -> Summary | None:
        """The newest totals, or None before the first."""
        return self._published[0]

    @property
    def age_s(self) -> float:
        """How long ago the hub published last; infinite before the first time."""
        return self._clock() - self._published[1]

    @property
    def ws_port(self) -> int:
        """The port where browsers connect to the hub itself; 0 where there is none."""
        latest = self.latest
        return int(latest.ws_listeners[0].rpartition(":")[2]) if latest and latest.ws_listeners else 0

    async def rows(self) -> list[Run]:
        """The rows of all open clients in the hub's order, split into runs; raises HubSilent.

        All callers that ask while a question is under way share its answer, and rows taken less than
        ROWS_FRESH_S ago are served again: ten open pages cost the hub what one does. Rows from before the
        newest totals are not, since both are shown side by side.
        """
        if self._asking is None or self._asking.done():
            if self._clock() - self._runs_taken_s < ROWS_FRESH_S and self._runs_taken_s >= self._published[1]:
                return list(self._runs)
            self._asking = asyncio.create_task(self._renew_rows())
        if trouble := await asyncio.shield(self._asking):
            raise HubSilent(trouble)
        return list(self._runs)

    async def client(self, client_id: int) -> ClientRow | None:
        """The row of one open client, or None when it is closed; raises HubSilent."""
        return await self._ask(partial(WantClient, client_id))

    async def closed(self, offset: int, limit: int) -> tuple[Sequence[ClosedClient], int]:
        """A window on the close log, newest first, and how many entries it keeps; raises HubSilent."""
        return await self._ask(partial(WantClosed, offset, limit))

    async def rooms(self, offset: int, limit: int) -> tuple[Sequence[RoomRow], int]:
        """A window on the rooms, largest first, and how many there are; raises HubSilent."""
        return await self._ask(partial(WantRooms, offset, limit))

    async def _renew_rows(self) -> str:
        """Ask for the rows; what came in the way, or "". An error would be reported where all askers left."""
        try:
            rows = await self._ask(WantRows)
        except HubSilent as silent:
            return str(silent)
        stale, self._runs = self._runs, into_runs(rows)
        self._runs_taken_s = self._clock()
        while stale:
            stale.pop()  # A run at a time: Python releases the GIL between two bytecodes, not within a call.
        return ""

    async def _ask(self, question: Callable[[Callable[[Answer], None]], Command]) -> Answer:
        # A question counts until the hub replies, not until we give up: a stuck hub's mailbox must not grow.
        if self._unanswered >= UNANSWERED_MAX:
            raise HubSilent(f"the hub does not answer: {self._unanswered} questions are waiting for it")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()

        def reply(answer: Answer) -> None:
            with contextlib.suppress(RuntimeError):  # The page's loop is closed: no request waits any more.
                loop.call_soon_threadsafe(self._settle, answered, answer)

        self._unanswered += 1
        self._mailbox.post(question(reply))
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await answered
        except TimeoutError:
            raise HubSilent(f"the hub does not answer: waited {ANSWER_LIMIT_S:g} s") from None

    def _settle(self, answered: asyncio.Future[Answer], answer: Answer) -> None:
        self._unanswered -= 1
        if not answered.done():
            answered.set_result(answer)


HUB_GATEWAY = web.AppKey("gateway", HubGateway)
