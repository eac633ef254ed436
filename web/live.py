"""All tabs of the live page, and the beat that they share.

A beat is a publication of the hub; when none comes, a timer takes over, so that tabs are told of the
silence. A beat marks every tab that is not paused. While nobody watches there are no beats to send, and
nothing is made but the history.

A WebSocket is not bound by the same-origin policy: any page of any site may try to open one, and the
browser tells only in Origin whose it is. So Origin is compared against our own names, and that is also why
a client without one is refused (RFC 6455, 10.2). Host was looked at before (guard.py).
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

from hub import __version__
from hub.control.snapshots import Record, Summary
from web.feed import Feed
from web.guard import is_from_own_page
from web.history import History, Rates, Series
from web.moments import Moments
from web.tab import Tab
from web.wire import View, problem

PROTOCOL: Final = 1
TABS_MAX: Final = 64
BEAT_S: Final = 1.0
LATE_S: Final = 1.5
"""A publication is due every second; without one in this time the timer beats."""


class Hello(Record, frozen=True, kw_only=True, tag_field="kind", tag="hello"):
    """The first message to a tab. `boot` is another one after each start of the process.

    `files` is another one when any file of the page is.
    """

    protocol: int
    boot: str
    version: str
    files: str
    ws_port: int
    series: Series


class Update(Record, frozen=True, kw_only=True, tag_field="kind", tag="update"):
    """What a view shows. With `trouble` there are no clients and no endings, and the summary may be old."""

    boot: str
    age_s: float
    trouble: str
    summary: msgspec.Raw | None
    rates: Rates
    clients: msgspec.Raw | None
    closed: msgspec.Raw | None


class Live:
    """The tabs and what they share."""

    def __init__(self, feed: Feed, files: str) -> None:
        self._feed = feed
        self._files = files
        self._history = History()
        self._moments = Moments(feed, self._history)
        self._boot = secrets.token_hex(8)
        self._tabs: set[Tab] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, _app: web.Application) -> None:
        """Listen to the hub; on the running loop."""
        self._feed.on_publish(self._published)

    async def stop(self, _app: web.Application) -> None:
        """Let every tab go."""
        self._stop_timer()
        for tab in self._tabs:
            tab.leave()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One tab, from its handshake to its end."""
        if len(self._tabs) >= TABS_MAX:
            return problem(503, f"{TABS_MAX} pages are open already")
        tab = Tab(self._hello(), self._update)
        self._tabs.add(tab)
        if self._timer is None:
            self._set_timer(LATE_S)
        try:
            return await tab.serve(request)
        finally:
            self._tabs.discard(tab)
            if not self._tabs:
                self._stop_timer()
                self._moments.forget()

    def _published(self, summaries: Sequence[Summary]) -> None:
        for summary in summaries:
            self._history.add(summary)
        self._beat(LATE_S)

    def _beat(self, next_s: float = BEAT_S) -> None:
        self._stop_timer()
        self._moments.beat()
        for tab in self._tabs:
            tab.nudge()
        if self._tabs:
            self._set_timer(next_s)

    def _set_timer(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._beat)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hello(self) -> bytes:
        return msgspec.json.encode(
            Hello(
                protocol=PROTOCOL,
                boot=self._boot,
                version=__version__,
                files=self._files,
                ws_port=self._feed.ws_port,
                series=self._history.series(),
            )
        )

    async def _update(self, view: View) -> bytes:
        moment, clients = await self._moments.see(view.query)
        return msgspec.json.encode(
            Update(
                boot=self._boot,
                age_s=round(self._feed.age_s, 2),
                trouble=moment.trouble,
                summary=moment.summary,
                rates=moment.rates,
                clients=clients,
                closed=moment.closed,
            )
        )


LIVE = web.AppKey("live", Live)


async def live(request: web.Request) -> web.StreamResponse:
    """GET /live: the WebSocket of the live page."""
    if request.method != "GET" or request.headers.get("Upgrade", "").lower() != "websocket":
        return problem(
            426, "this address speaks WebSocket", {"Upgrade": "websocket", "Connection": "Upgrade"}
        )
    if not is_from_own_page(request):
        return problem(403, "only pages of this server may connect here")
    return await request.app[LIVE].serve(request)
