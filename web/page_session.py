"""The session of an open page: a WebSocket, the view that the browser asked for, and two tasks.

The hub's pace is not the browser's. Nothing is ever queued for a page: a beat only marks that an update is
due, and the update is made when the one before it has left this process, so a slow browser skips updates.
A browser that does not take an update within TAKE_S is closed with 1013. The writing task alone sends, and
a ping is answered with the newest ping's payload (RFC 6455, 5.5.3).

A browser that floods is slowed down: of more than VIEWS_PER_S views a second only the newest is read, and
after MESSAGES_PER_S messages no more are taken from the socket in that second.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from web.schema import View, read_view

MESSAGE_BYTES_MAX: Final = 4096
VIEWS_PER_S: Final = 20
MESSAGES_PER_S: Final = 200
UPDATES_PER_S: Final = 4
HEARTBEAT_S: Final = 20.0
TAKE_S: Final = 10.0
LINGER_S: Final = 2.0
"""How long a close frame and the answer to it may take."""
LEAVE_S: Final = 0.1
"""The same when the page stops; aiohttp reads no answer any more then."""
LAST_S: Final = 0.2
"""How long the last update may take, from question to kernel."""
ERROR_CHARACTERS: Final = 300
SEND_BUFFER_BYTES: Final = 64 * 1024
"""In the kernel, which books twice that; its default would take minutes of updates for a page that sleeps."""

Update = Callable[[View], Awaitable[bytes]]


class PageSession:
    """A page's connection. `hello` is its first message, `update` makes what a view shows at this moment."""

    def __init__(self, hello: bytes, update: Update) -> None:
        self._hello = hello
        self._update = update
        # No compression: over loopback it costs both sides time, and aiohttp would do it on more threads.
        self._ws = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S,
            timeout=LINGER_S,
            max_msg_size=MESSAGE_BYTES_MAX + 1,
            compress=False,
            autoping=False,
            writer_limit=0,  # Each send waits until the kernel has taken all of it.
        )
        self._view = View()
        self._unread: str | None = None
        self._views_at_s = 0.0
        self._wake = asyncio.Event()
        self._due = False
        self._updates_at_s = 0.0
        self._problem = ""
        self._ping: bytes | None = None
        self._leaving = False
        self._writing: asyncio.Task[int] | None = None

    def nudge(self) -> None:
        """Mark that an update is due; a paused page gets none."""
        self._due = True
        self._wake.set()

    def close(self) -> None:
        """Send a last update, say that the server goes away, and close, whatever is being waited for."""
        self._leaving = True
        self.nudge()
        if self._writing is not None:
            asyncio.get_running_loop().call_later(LAST_S, self._writing.cancel)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve until either side closes. Raises HTTPBadRequest for what is no WebSocket handshake."""
        try:
            await self._ws.prepare(request)
        except ValueError as error:  # A key that is no ASCII: aiohttp does not foresee it.
            raise web.HTTPBadRequest from error
        transport = request.transport
        if transport is None:
            return self._ws
        transport.set_write_buffer_limits(high=0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        reading, writing = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        self._writing = writing
        try:
            ended, _ = await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            await self._close(code_of(request, ended.pop()), reading)
        finally:
            await end(reading, writing)
            if transport.get_extra_info("socket").fileno() >= 0:  # On a closed one asyncio's abort() fails.
                transport.abort()  # The browser does not take what is still unsent.
        return self._ws

    async def _close(self, code: int, reading: asyncio.Task[int]) -> None:
        await end(reading)  # Only then can close() itself read the other side's close frame.
        closing = asyncio.create_task(self._ws.close(code=code))
        closing.add_done_callback(swallow)
        await asyncio.wait({closing}, timeout=LEAVE_S if self._leaving else LINGER_S)

    # From the browser.

    async def _read(self) -> int:
        """Take messages; returns the code to close with."""
        while True:
            for _ in range(MESSAGES_PER_S):
                message = await self._ws.receive()
                if message.type is WSMsgType.TEXT:
                    self._take_text(message.data)
                elif message.type is WSMsgType.BINARY:
                    return WSCloseCode.UNSUPPORTED_DATA
                elif message.type is WSMsgType.PING:
                    self._ping = message.data
                    self._wake.set()
                elif message.type is not WSMsgType.PONG:
                    return WSCloseCode.OK  # Closed already, by the browser or for a broken rule.
            await asyncio.sleep(1.0)

    def _take_text(self, text: str) -> None:
        """Read it at once, or with the others that come before the next view may be read."""
        waits, self._unread = self._unread is not None, text
        if waits:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._views_at_s:
            self._read_view()
        else:
            loop.call_at(self._views_at_s, self._read_view)

    def _read_view(self) -> None:
        text, self._unread = self._unread, None
        assert text is not None
        self._views_at_s = asyncio.get_running_loop().time() + 1 / VIEWS_PER_S
        try:
            self._view = read_view(text)
        except msgspec.MsgspecError as error:
            self._problem = str(error)[:ERROR_CHARACTERS]
            self._wake.set()
        else:
            self.nudge()

    # To the browser.

    async def _write(self) -> int:
        """Send what is due; returns the code to close with."""
        try:
            await self._send(self._hello)
            while not self._leaving:
                await self._wait()
                await self._send_small()
                if self._due and asyncio.get_running_loop().time() >= self._updates_at_s:
                    await self._send_update()
            await self._send_update()
            return WSCloseCode.GOING_AWAY
        except TimeoutError:
            return WSCloseCode.TRY_AGAIN_LATER
        except ConnectionError:
            return WSCloseCode.OK  # The connection is gone.

    async def _wait(self) -> None:
        """Wait for work; when an update is due, no longer than until it may go."""
        wait_s = self._updates_at_s - asyncio.get_running_loop().time() if self._due else None
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        self._wake.clear()

    async def _send_small(self) -> None:
        ping, self._ping = self._ping, None
        if ping is not None:
            await self._send(ping, WSMsgType.PONG)
        problem, self._problem = self._problem, ""
        if problem:
            await self._send(msgspec.json.encode({"kind": "error", "error": problem}))

    async def _send_update(self) -> None:
        self._due = False
        if self._view.paused:
            return
        update = await self._update(self._view)
        self._updates_at_s = asyncio.get_running_loop().time() + 1 / UPDATES_PER_S
        await self._send(update)

    async def _send(self, payload: bytes, kind: WSMsgType = WSMsgType.TEXT) -> None:
        """Send; returns when the kernel has it. Raises TimeoutError, and ConnectionError on a lost socket."""
        # Not cancelled at the end of the time: aiohttp shares one future among all who wait for room.
        sending = asyncio.create_task(self._ws.send_frame(payload, kind))
        sending.add_done_callback(swallow)
        if not (await asyncio.wait({sending}, timeout=TAKE_S))[0]:
            raise TimeoutError
        sending.result()


async def end(*tasks: asyncio.Task[int]) -> None:
    """Cancel these tasks, and wait until they are over, however they end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def swallow(task: asyncio.Task[Any]) -> None:
    """Take a task's exception, which was handled elsewhere, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()


def code_of(request: web.Request, task: asyncio.Task[int]) -> int:
    """The code that a task ended with; 1011, and a record of it, when it failed."""
    if task.cancelled():
        return WSCloseCode.GOING_AWAY
    error = task.exception()
    if error is None:
        return task.result()
    request.app.logger.error("a live connection failed", exc_info=error)
    return WSCloseCode.INTERNAL_ERROR
