"""A bad link: a TCP proxy before a hub that does to the bytes what real networks do.

    with Proxy(("127.0.0.1", hub.port)) as proxy:
        peer = Peer(proxy.port)
        proxy.poison(to_hub=Toxic(slice_bytes=8))

Some of it is a `Toxic`, one for each direction, which may be changed while links are up: latency, jitter,
bandwidth, slicer, slow close, a limit of bytes, and a stop (what others call a timeout). The rest is done at
once to all links: `reset`, and `cut`, after which nobody gets through until `restore`.

A link passes on what happens to it: an end of stream as an end of stream, a reset as a reset. It runs on
asyncio on a thread of its own, and keeps little: small buffers in both kernels and 32 KiB between them, so
that who stops reading behind it is felt by the hub.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

from tests.e2e.toxics import CLEAR, Toxic, Way
from tests.support import PATIENCE_S

READ_BYTES, QUEUED = 4096, 8
BUFFER_BYTES = 16 * 1024
DISCARD_S = 2.0
"""How long a link that was ended at its limit throws away what still comes."""


class Pipe:
    """One direction of one link: one task reads and stamps, another sends when the time has come."""

    def __init__(
        self, source: socket.socket, sink: socket.socket, way: Way, link: Link, chance: random.Random
    ) -> None:
        self._source, self._sink, self._way, self._link = source, sink, way, link
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED)
        self._passed, self._passed_of = 0, 0

    async def read(self) -> None:
        """Until the end of stream, which is a piece without bytes."""
        due = 0.0
        while True:
            data = await self._loop.sock_recv(self._source, READ_BYTES)
            toxic = self._way.toxic
            late = toxic.latency_s + self._chance.uniform(-1, 1) * toxic.jitter_s
            due = max(due, self._loop.time() + late)
            await self._pieces.put((due, data))
            if not data:
                return

    async def write(self) -> None:
        """What was read, in order, and then our end of stream."""
        while True:
            due, data = await self._pieces.get()
            if (wait := due - self._loop.time()) > 0:
                await asyncio.sleep(wait)
            if not data:
                break
            for piece in self._sliced(data):
                await self._pass(piece)
        await self._way.flows.wait()
        await asyncio.sleep(self._way.toxic.close_delay_s)  # The end that comes late.
        self._link.end_stream(self._sink)

    def _sliced(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            most = self._way.toxic.slice_bytes
            size = self._chance.randint(1, most) if most else len(data)
            yield data[at : at + size]
            at += size

    async def _pass(self, piece: bytes) -> None:
        await self._way.flows.wait()
        toxic = self._way.toxic
        if self._passed_of != self._way.count:
            self._passed, self._passed_of = 0, self._way.count
        if toxic.limit_bytes:
            piece = piece[: toxic.limit_bytes - self._passed]
        if self._link.over:
            return
        await self._loop.sock_sendall(self._sink, piece)
        self._passed += len(piece)
        if toxic.limit_bytes and self._passed >= toxic.limit_bytes:
            self._link.end_both()
        if toxic.bytes_per_s:
            await asyncio.sleep(len(piece) / toxic.bytes_per_s)  # What it takes on the line.
        if toxic.slice_pause_s:
            await asyncio.sleep(toxic.slice_pause_s)  # So that nobody joins the pieces again.


class Link:
    """One client's connection and ours to the hub."""

    def __init__(
        self, client: socket.socket, hub: socket.socket, ways: tuple[Way, Way], chance: random.Random
    ) -> None:
        self._socks = (client, hub)
        self.over = False
        """It reached its limit: both have their end of stream, what still comes is thrown away."""
        pipes = Pipe(client, hub, ways[0], self, chance), Pipe(hub, client, ways[1], self, chance)
        self._work = [asyncio.ensure_future(step) for pipe in pipes for step in (pipe.read(), pipe.write())]

    async def run(self) -> None:
        """Until both directions have ended, or one of them broke: then both sides are reset."""
        try:
            done, _ = await asyncio.wait(self._work, return_when=asyncio.FIRST_EXCEPTION)
            broken = any(not task.cancelled() and task.exception() for task in done)
        except asyncio.CancelledError:
            return  # `end` goes on from here.
        await self.end(reset=broken)

    def end_stream(self, sink: socket.socket) -> None:
        """Our end of stream."""
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def end_both(self) -> None:
        """An end of stream to either side, in order."""
        self.over = True
        for sock in self._socks:
            self.end_stream(sock)

    async def end(self, *, reset: bool) -> None:
        """Close both sides; with a RST, or with a FIN where nothing is unread."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        for sock in self._socks:
            if reset:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()


class Proxy:
    """Links to one hub address; what is done to them is done when the call returns."""

    def __init__(self, target: tuple[str, int], seed: int = 0) -> None:
        self._target = target
        self._chance = random.Random(seed)
        # Bound and never listening: it keeps the port ours while nobody gets through.
        self._place = self._bound(0)
        self.port: int = self._place.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._ways = Way(), Way()
        self._door: asyncio.Task[None] | None = None

    def __enter__(self) -> Proxy:
        self._thread.start()
        self.poison()
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()
        self._place.close()

    def poison(self, *, to_hub: Toxic = CLEAR, to_client: Toxic = CLEAR) -> None:
        """From now on all links do this; with no argument they are good links."""
        self._do(self._change((to_hub, to_client)))

    def reset(self) -> None:
        """Both sides of every link get a RST."""
        self._do(self._end_all(reset=True))

    def cut(self) -> None:
        """All links are closed, and nobody gets through."""
        self._do(self._close())

    def restore(self) -> None:
        """New links may come."""
        listener = self._bound(self.port)
        listener.listen(1024)
        listener.setblocking(False)
        self._do(self._open(listener))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _change(self, toxics: tuple[Toxic, Toxic]) -> None:
        for way, toxic in zip(self._ways, toxics, strict=True):
            way.change(toxic)

    async def _open(self, listener: socket.socket) -> None:
        self._door = asyncio.ensure_future(self._accept(listener))

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                client, _ = await self._loop.sock_accept(listener)
                hub = _small(socket.socket())
                hub.setblocking(False)
                await self._loop.sock_connect(hub, self._target)
                link = Link(client, hub, self._ways, self._chance)
                self._links[link] = asyncio.ensure_future(link.run())

    async def _close(self) -> None:
        if self._door is not None:
            self._door.cancel()
            await asyncio.gather(self._door, return_exceptions=True)
        await self._end_all(reset=False)

    async def _end_all(self, *, reset: bool) -> None:
        links, self._links = self._links, {}
        for link, run in links.items():
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            await link.end(reset=reset)

    def _bound(self, port: int) -> socket.socket:
        sock = _small(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return sock


def _small(sock: socket.socket) -> socket.socket:
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # A listener's are inherited.
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
