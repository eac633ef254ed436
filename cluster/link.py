"""The link: the connection of one hub to NATS, on a thread of its own, kept up for ever.

Each connection is a new client of nats-py that never reconnects by itself: so nothing is buffered while there
is none, and nothing of an old one arrives on a new one. What a member asks while there is no connection is
dropped, and it asks again when it hears of the next one.

nats-py does not notice a connection that is half open while much is written, so the watchdog here does: it
asks for a pong each half second, and ends a connection that has none for two.
"""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import NoServersError

from cluster.beside import Beside
from cluster.durability import refuse_unsynced
from cluster.envelope import Rules
from cluster.events import Down, Event, Up
from cluster.fold import Origin
from cluster.outbox import Publish
from cluster.presence import Answer, Beat, Question
from cluster.stream import Place, Stream, StreamGone, reason_of

CONNECT_S: Final = 2
PING_EVERY_S: Final = 0.5
PONG_S: Final = 2
CLOSE_S: Final = 0.5
BACK_OFF_S: Final = (0.05, 1.0)
"""The first pause between two connections, and the longest; each is twice the one before, with jitter."""
ELECTION_S: Final = 12.0
"""Nobody answers for the stream while its servers elect a leader, 4 to 9 s. What lasts longer is something
else: a server that is cut off from the others, or a reader of nats-py that has ended."""
STOP_S: Final = 3.0
NEVER_S: Final = 1 << 30

Tell = Callable[[str], None]


class _Client(Client):
    """nats-py, but that no message can end its reader, which it would not notice.

    A hub may publish on a subject or with headers that are no UTF-8. Neither is needed: the server says whose
    a message is in headers of its own.
    """

    async def _process_headers(self, headers: Any) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except Exception:
            found: dict[str, str] = self._parse_header_lines(bytes(headers).partition(b"\r\n")[2])
            return found or None

    def _build_message(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> Any:
        return super()._build_message(sid, subject.decode(errors="replace").encode(), reply, data, headers)


class NatsLink:
    """What a member asks of (cluster/member.py), from the loop's thread; events go to `post`, from its own.

    `servers` are addresses such as nats://host:4222; `options` are those of nats-py's connect that say who
    we are. `tell` gets a line when the link comes or goes, from the link's thread.
    """

    def __init__(
        self, servers: list[str], place: Place, rules: Rules, post: Callable[[Event], None], tell: Tell,
        options: Mapping[str, Any] | None = None, replicas: int = 1,
    ) -> None:  # fmt: skip
        self._servers, self._place, self._rules = servers, place, rules
        self._post, self._tell, self._options, self._replicas = post, tell, options or {}, replicas
        self._stream: Stream | None = None
        self._beside: Beside | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="cluster-link", daemon=True)

    def start(self) -> None:
        """Connect, and go on doing so."""
        self._thread.start()

    def stop(self) -> None:
        """End the connection and the thread; a name that is looked up just now may take longer than this."""
        with suppress(RuntimeError):  # Stopped already.
            self._loop.call_soon_threadsafe(self._end)
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    # What a member asks. Each is carried out on the link's thread, or dropped where there is no connection.

    def publish(self, batch: Publish) -> None:
        """Store a batch."""
        self._do(lambda stream: stream.publish(batch))

    def fetch(self, first: int, last: int) -> None:
        """Ask for messages."""
        self._do(lambda stream: stream.fetch(first, last))

    def look(self, sequence: int) -> None:
        """Ask whose message stands there."""
        self._do(lambda stream: stream.look(sequence))

    def look_at_ours(self) -> None:
        """Ask for the last message on our subject."""
        self._do(lambda stream: stream.look_at_ours())

    # What a company asks, beside the stream.

    def beat(self, beat: Beat) -> None:
        """Tell all hubs that this one is alive."""
        self._do_beside(lambda beside: beside.beat(beat))

    def ask(self, question: Question) -> None:
        """Ask all hubs."""
        self._do_beside(lambda beside: beside.ask(question))

    def answer(self, to: Origin, answer: Answer) -> None:
        """Answer the hub that asked."""
        self._do_beside(lambda beside: beside.answer(to, answer))

    def claim(self, key: str, revision: int) -> None:
        """Make a key of the table ours, if it still stands at this revision."""
        self._do_beside(lambda beside: beside.claim(key, revision))

    def release(self, key: str, revision: int) -> None:
        """Drop our key."""
        self._do_beside(lambda beside: beside.release(key, revision))

    def look_up(self, key: str) -> None:
        """Ask whose a key is."""
        self._do_beside(lambda beside: beside.look_up(key))

    # The link's thread.

    def _do(self, ask: Callable[[Stream], Coroutine[Any, Any, None]]) -> None:
        self._begin(lambda: ask(self._stream) if self._stream is not None else None)

    def _do_beside(self, ask: Callable[[Beside], Coroutine[Any, Any, None]]) -> None:
        self._begin(lambda: ask(self._beside) if self._beside is not None else None)

    def _begin(self, asking: Callable[[], Coroutine[Any, Any, None] | None]) -> None:
        def begin() -> None:
            coroutine = asking()
            if coroutine is not None:
                task = self._loop.create_task(_quietly(coroutine))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        with suppress(RuntimeError):  # Stopped.
            self._loop.call_soon_threadsafe(begin)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._keep_up())

    def _end(self) -> None:
        self._over.set()
        if self._connecting is not None:
            self._connecting.cancel()

    async def _keep_up(self) -> None:
        pause_s, told = BACK_OFF_S[0], ""
        while not self._over.is_set():
            self._connecting = self._loop.create_task(self._connection())
            try:
                await self._connecting
            except (Exception, asyncio.CancelledError) as error:
                reason = reason_of(error) if isinstance(error, Exception) else "cancelled"
                if self._stream is not None:
                    pause_s, told = BACK_OFF_S[0], ""
                    self._post(Down())
                self._stream = self._beside = None
                for task in self._tasks:
                    task.cancel()
                if reason != told and not self._over.is_set():
                    self._tell(f"no link to the cluster: {reason}")
                    told = reason
            await self._pause(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, BACK_OFF_S[1])

    async def _connection(self) -> None:
        """A connection from its beginning to its end, which is an exception or `stop`."""
        client, heard = _Client(), list[Exception]()

        async def hear(error: Exception) -> None:
            heard[:] = [error]

        try:
            try:
                await client.connect(
                    self._servers, name=f"hubbub {self._place.origin.hub}", error_cb=hear,
                    allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0,
                    connect_timeout=CONNECT_S, ping_interval=NEVER_S,
                    inbox_prefix=f"_INBOX.{self._place.origin.hub}", **self._options,
                )  # fmt: skip
            except NoServersError:  # What became of the last of them says more.
                raise (heard or [NoServersError()])[-1] from None
            await refuse_unsynced(client)
            stream = Stream(client, self._place, self._rules, self._post)
            seen = await stream.open(self._replicas)
            beside = Beside(client, self._place, self._post)
            await beside.open(self._replicas, has_nicks=self._rules.is_chat)
            self._stream, self._beside = stream, beside
            self._post(Up(seen))
            self._tell(f"linked to the cluster, at message {seen.last}")
            await self._watch(client, stream)
        finally:
            with suppress(Exception, asyncio.CancelledError):
                await asyncio.wait_for(client.close(), CLOSE_S)

    async def _watch(self, client: Client, stream: Stream) -> None:
        """Until the link is stopped. Raises what ends the connection.

        The two looks do not wait for each other, or a connection that is half open would be noticed late.
        """
        looks = [self._loop.create_task(each) for each in (self._ping(client), self._look(stream))]
        try:
            await asyncio.gather(*looks)
        finally:
            for look in looks:
                look.cancel()

    async def _ping(self, client: Client) -> None:
        while not self._over.is_set():
            await client.flush(timeout=PONG_S)
            await self._pause(PING_EVERY_S)

    async def _look(self, stream: Stream) -> None:
        answered_s = self._loop.time()
        while not self._over.is_set():
            if await stream.check():
                answered_s = self._loop.time()
            elif self._loop.time() > answered_s + ELECTION_S:
                raise StreamGone("the broker does not answer for the stream")
            await self._pause(PING_EVERY_S)

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until the link is stopped."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


async def _quietly(asking: Coroutine[Any, Any, None]) -> None:
    """No answer is no event: whoever asked asks again, and the watchdog sees to the connection."""
    with suppress(Exception, asyncio.CancelledError):
        await asking
