"""A bad link: a TCP proxy before a hub that does to the bytes what real networks do.

    with Proxy(hub.port) as proxy:
        peer = Peer(proxy.port)
        proxy.poison(to_hub=Toxic(slice_bytes=8))

Some of it is a `Toxic`, one for each direction, which may be changed while links are up. The rest is done at
once to all links: `reset`, and `cut`, after which nobody gets through until `restore`. A link passes on what
happens to it: an end of stream as an end of stream, a reset as a reset. The proxy runs on asyncio on a thread
of its own, and keeps little: small buffers in both kernels and 32 KiB between them, so that the hub feels it
when a client behind the proxy stops reading.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Self

from tests.support import PATIENCE_S

READ_BYTES, QUEUED = 4096, 8
BUFFER_BYTES = 16 * 1024
Pieces = asyncio.Queue[tuple[float, bytes]]
"""When each is due; the end of stream is a piece without bytes."""


@dataclass(frozen=True, kw_only=True)
class Toxic:
    """What a link does to the bytes of one direction; at the defaults nothing."""

    latency_s: float = 0.0
    """Everything comes so much later."""
    jitter_s: float = 0.0
    """And up to so much sooner or later than that; the order stays."""
    slice_bytes: int = 0
    """Pieces of 1 to so many bytes, each a send of its own."""
    slice_pause_s: float = 0.0
    """So that nobody joins the pieces again."""
    limit_bytes: int = 0
    """After so many bytes, counted from when the toxic came, the whole link ends in order."""
    stopped: bool = False
    """Nothing passes, and nothing is lost: it goes on when this toxic goes."""


CLEAR = Toxic()


class Link:
    """A client's connection and ours to the hub. For each direction one task reads, another sends."""

    def __init__(self, client: socket.socket, hub: socket.socket, proxy: "Proxy") -> None:
        self._socks = (client, hub)
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._over = False
        """It reached its limit: both have their end of stream, what still comes is thrown away."""
        self._work = []
        for way in (0, 1):
            pieces: Pieces = asyncio.Queue(QUEUED)
            self._work += [
                asyncio.ensure_future(work) for work in (self._read(way, pieces), self._write(way, pieces))
            ]

    async def run(self) -> None:
        """Until both directions have ended, or one of them broke: then both sides are reset."""
        try:
            done, _ = await asyncio.wait(self._work, return_when=asyncio.FIRST_EXCEPTION)
            broken = any(not task.cancelled() and task.exception() for task in done)
        except asyncio.CancelledError:
            return  # `end` goes on from here.
        await self.end(reset=broken)

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

    async def _read(self, way: int, pieces: Pieces) -> None:
        due, data = 0.0, b"more"
        while data:
            data = await self._loop.sock_recv(self._socks[way], READ_BYTES)
            toxic = self._proxy.toxics[way]
            late = toxic.latency_s + self._proxy.chance.uniform(-1, 1) * toxic.jitter_s
            due = max(due, self._loop.time() + late)
            await pieces.put((due, data))

    async def _write(self, way: int, pieces: Pieces) -> None:
        passed, passed_of = 0, CLEAR
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            while self._proxy.toxics[way].stopped:
                await asyncio.sleep(0.01)
            if not data:
                return self._end_stream(1 - way)
            while data and not self._over:
                toxic = self._proxy.toxics[way]
                if toxic is not passed_of:
                    passed, passed_of = 0, toxic
                size = self._proxy.chance.randint(1, toxic.slice_bytes) if toxic.slice_bytes else len(data)
                if toxic.limit_bytes:
                    size = min(size, toxic.limit_bytes - passed)
                piece, data = data[:size], data[size:]
                await self._loop.sock_sendall(self._socks[1 - way], piece)
                passed += len(piece)
                if passed == toxic.limit_bytes:
                    self._over = True
                    self._end_stream(0)
                    self._end_stream(1)
                if toxic.slice_pause_s:
                    await asyncio.sleep(toxic.slice_pause_s)

    def _end_stream(self, side: int) -> None:
        with contextlib.suppress(OSError):
            self._socks[side].shutdown(socket.SHUT_WR)


class Proxy:
    """Links to one port of a hub; what is done to them is done when the call returns."""

    def __init__(self, hub_port: int, seed: int = 0) -> None:
        self._hub_port = hub_port
        self.chance = random.Random(seed)
        self.toxics = (CLEAR, CLEAR)
        """To the hub, and to the client."""
        # Bound and never listening: it keeps the port ours while nobody gets through.
        self._place = _bound(0)
        self.port: int = self._place.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._door: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
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
        self.toxics = (to_hub, to_client)

    def reset(self) -> None:
        """Both sides of every link get a RST."""
        self._do(self._end_all(reset=True))

    def cut(self) -> None:
        """All links are closed, and nobody gets through."""
        self._do(self._close())

    def restore(self) -> None:
        """New links may come."""
        listener = _bound(self.port)
        listener.listen(1024)
        listener.setblocking(False)
        self._do(self._open(listener))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _open(self, listener: socket.socket) -> None:
        self._door = asyncio.ensure_future(self._accept(listener))

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                client, _ = await self._loop.sock_accept(listener)
                hub = _small(socket.socket())
                hub.setblocking(False)
                await self._loop.sock_connect(hub, ("127.0.0.1", self._hub_port))
                link = Link(client, hub, self)
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


def _bound(port: int) -> socket.socket:
    sock = _small(socket.socket())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _small(sock: socket.socket) -> socket.socket:
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # A listener's are inherited.
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
