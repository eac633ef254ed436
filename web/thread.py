"""The side thread: an asyncio loop that serves the page, started loudly and stopped politely.

`start` returns when the page can be asked for, or raises what went wrong in the thread: the caller reports
a port that is taken. Afterwards nothing of this thread reaches the caller again; the page may fail and the
hub goes on. The thread is a daemon, so a page that will not stop cannot keep the process.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from hub.config.allowed_hosts import ALL_ADDRESSES, in_url, reachable
from hub.config.settings import PAGE_CONNECTIONS, Settings
from hub.control.mailbox import Mailbox
from web.app import build_app
from web.guard import HttpConnection
from web.hub_gateway import HubGateway

LOGGERS = ("aiohttp", "asyncio", __name__)
TOLD_BY_PEERS = ("aiohttp.access", "aiohttp.websocket")
"""These repeat what a peer asked for, so that anybody could fill the log."""
FAULTS_OF_PEERS = (ConnectionError, HttpProcessingError, web.RequestPayloadError)
"""A connection that was lost, and a body that cannot be read."""
HANDLERS_END_WITHIN_S = 0.5
ANSWER_EVERY_S = 0.01
BACKLOG = 100
"""Connections that may wait to be accepted. asyncio takes it for how often to accept in a row as well, and
with no descriptor left it fails as often, each time with a log record, each second. So asyncio is told 1."""


class WebThread:
    """The page and its thread. `gateway` is where the hub publishes; `log` is told what goes wrong here.

    Without a `log` nothing is told: these libraries would otherwise write to stderr themselves, and a full
    pipe would stop the page. `connections` is how many there may be at a time. `clock` gives
    monotonic seconds. The caller stops this before it closes the mailbox.
    """

    def __init__(
        self,
        settings: Settings,
        mailbox: Mailbox,
        *,
        connections: int = PAGE_CONNECTIONS,
        clock: Callable[[], float] = time.monotonic,
        log: logging.Handler | None = None,
    ) -> None:
        self.gateway = HubGateway(mailbox, clock)
        self._settings = settings
        self._connections = connections
        self._log = log or logging.NullHandler()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._started: Future[str] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    def start(self, timeout_s: float = 10.0) -> str:
        """Serve; returns the page's URL. Once only.

        Raises OSError when the address cannot be listened on, TimeoutError when it takes too long, and
        whatever else went wrong on the way.
        """
        route_logs(self._log)
        self._thread.start()
        try:
            return self._started.result(timeout_s)
        except TimeoutError:
            if self._started.cancel():
                raise TimeoutError(f"the page did not start within {timeout_s:g} s") from None
            return self._started.result()  # The page was ready between the two looks.

    def stop(self, timeout_s: float = 2.0, answer: Callable[[], object] = lambda: None) -> None:
        """Close the page's connections and wait for the thread, but no longer. Harmless when repeated.

        A hub that has ended says to open pages how it ended: `answer` is called meanwhile, to answer what
        they ask in the hub's place.
        """
        if self._loop is None:
            return
        with contextlib.suppress(RuntimeError):  # The loop is closed already.
            self._loop.call_soon_threadsafe(self._stopping.set)
        end_s = time.monotonic() + timeout_s
        while self._thread.is_alive() and time.monotonic() < end_s:
            answer()
            self._thread.join(ANSWER_EVERY_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                logging.getLogger(__name__).exception("the page has ended")
            else:
                self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        runner = web.AppRunner(
            build_app(self._settings, self.gateway),
            handle_signals=False,
            shutdown_timeout=HANDLERS_END_WITHIN_S,
        )
        await runner.setup()
        try:
            await self._listen(runner)
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        assert runner.server is not None and self._loop is not None
        connect = partial(HttpConnection, runner.server, self._loop, self._connections)
        settings = self._settings
        if settings.web_host == ALL_ADDRESSES:  # By itself asyncio takes another free port for each family.
            sock = _on_all_addresses(settings.web_port)
            listener = await self._loop.create_server(connect, sock=sock, backlog=1)
        else:
            listener = await self._loop.create_server(
                connect, settings.web_host, settings.web_port, backlog=1
            )
        try:
            for sock in listener.sockets:  # How often asyncio tries is how many wait. Not for the kernel.
                with sock.dup() as same:
                    same.listen(BACKLOG)
            port = listener.sockets[0].getsockname()[1]
            if self._started.set_running_or_notify_cancel():  # False when `start` has given up.
                self._started.set_result(f"http://{in_url(reachable(settings.web_host))}:{port}/")
                await self._stopping.wait()
        finally:
            listener.close()  # Not `async with`: that waits for open connections, which the runner ends.


def _on_all_addresses(port: int) -> socket.socket:
    """A socket for both families, or for IPv4 where the machine has no IPv6 (ipv6(7), IPV6_V6ONLY)."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    return socket.create_server(("", port), family=family, dualstack_ipv6=both)


def route_logs(handler: logging.Handler) -> None:
    """Let what this thread's libraries report go to `handler` and nowhere else, stderr included."""
    handler.addFilter(is_fault)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    for name in TOLD_BY_PEERS:
        logging.getLogger(name).disabled = True


def is_fault(record: logging.LogRecord) -> bool:
    """Whether a record tells of a fault of ours. A peer may leave at any moment, and that is none.

    Judged by the class of the error, because the libraries report a lost connection in many places and words.
    This thread connects to nobody, so an error of a connection is always about one that a peer made.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], FAULTS_OF_PEERS))
