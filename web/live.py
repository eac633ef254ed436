"""The sessions of all open pages, and the beat that they share.

A beat is a publication of the hub; when none comes, a timer takes over, so that the pages are told of the
silence. A beat marks every session. While no page is open there are no beats to send, and nothing is made
but the history.

A WebSocket is not bound by the same-origin policy: any page of any site may try to open one, and the
browser tells only in Origin which site it belongs to. So Origin is compared against our own names, and a
client without one is refused (RFC 6455, 10.2). Host was checked before (guard.py).
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

from hub import __version__
from hub.control.snapshots import Summary
from web.guard import is_from_own_page
from web.history import History
from web.hub_gateway import HubGateway
from web.page_session import PageSession
from web.schema import View, problem
from web.snapshot_cache import SnapshotCache

PROTOCOL: Final = 1
SESSIONS_MAX: Final = 64
BEAT_S: Final = 1.0
LATE_S: Final = 1.5
"""A publication is due every second; without one in this time the timer beats."""


class Live:
    """The sessions and what they share."""

    def __init__(self, gateway: HubGateway, files: str, public_ws: str) -> None:
        self._gateway = gateway
        self._files = files
        self._public_ws = public_ws
        self._history = History()
        self._snapshots = SnapshotCache(gateway, self._history)
        self._boot = secrets.token_hex(8)
        self._sessions: set[PageSession] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, _app: web.Application) -> None:
        """Listen to the hub; on the running loop."""
        self._gateway.on_publish(self._published)

    async def stop(self, _app: web.Application) -> None:
        """Close every session, each after a last update: how the hub ended."""
        self._stop_timer()
        self._snapshots.beat()
        for session in self._sessions:
            session.close()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve a page's WebSocket from its handshake to its end."""
        if len(self._sessions) >= SESSIONS_MAX:
            return problem(503, f"{SESSIONS_MAX} pages are open already")
        session = PageSession(self._hello(), self._update)
        self._sessions.add(session)
        if self._timer is None:
            self._set_timer(LATE_S)
        try:
            return await session.serve(request)
        finally:
            self._sessions.discard(session)
            if not self._sessions:
                self._stop_timer()
                self._snapshots.forget()

    def _published(self, summaries: Sequence[Summary]) -> None:
        for summary in summaries:
            self._history.add(summary)
        self._beat(LATE_S)

    def _beat(self, next_s: float = BEAT_S) -> None:
        self._stop_timer()
        self._snapshots.beat()
        for session in self._sessions:
            session.nudge()
        if self._sessions:
            self._set_timer(next_s)

    def _set_timer(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._beat)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hello(self) -> bytes:
        """The first message to a session.

        `boot` is another one after each start of the process, `files` when any file of the page is.
        """
        hello = {
            "kind": "hello",
            "protocol": PROTOCOL,
            "boot": self._boot,
            "version": __version__,
            "files": self._files,
            "ws_port": self._gateway.ws_port,
            "ws_url": self._public_ws,
            "series": self._history.series(),
        }
        return msgspec.json.encode(hello)

    async def _update(self, view: View) -> bytes:
        """What the view shows. With `trouble` both lists are missing and the summary may be old."""
        snapshot, clients = await self._snapshots.see(view)
        update = {
            "kind": "update",
            "boot": self._boot,
            "age_s": round(self._gateway.age_s, 2),
            "trouble": snapshot.trouble,
            "summary": snapshot.summary,
            "rates": snapshot.rates,
            "clients": clients,
            "closed": snapshot.closed,
        }
        return msgspec.json.encode(update)


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
