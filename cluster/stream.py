"""The stream of one cluster, on one connection: the questions of a member as requests to JetStream.

A refusal, a missing stream and a silent broker are told apart here. No answer at all is no event: the member
asks again. Facts of the server are from the documentation of NATS (ADR-8, ADR-31: direct get in batches).
"""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, NoRespondersError, TimeoutError
from nats.js.api import DiscardPolicy, RePublish, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from cluster.envelope import Refused, Rules, unpacked
from cluster.events import Acked, Denied, Event, Fetched, HeadIs, Looked, OursIs
from cluster.fold import NOBODY, Name, Origin, Stored
from cluster.fork import Seen
from cluster.outbox import Publish

WRONG_LAST_SEQUENCE: Final = 10071
NO_MESSAGE: Final = 10037
MOST_MESSAGE_BYTES: Final = 256 * 1024
MOST_BYTES: Final = 1 << 30
MOST_AGE_S: Final = 3600.0
REQUEST_S: Final = 2.0
FETCHED_BYTES: Final = 512 * 1024
"""As much as one answer may be, so that a pong does not wait behind it for long."""
PENDING_BYTES: Final = 64 << 20
"""Live messages that wait for this thread; beyond it nats-py drops them, and the fold fetches them."""


TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
"""A part of a subject that is the name of a hub, or its start."""


class StreamGone(Exception):
    """The stream is not the one that this connection found, or none that a hub can follow."""


class Place(NamedTuple):
    """Where a hub is: the cluster, and which life of which hub this is. The parts are tokens of subjects."""

    cluster: str
    origin: Origin

    @property
    def stream(self) -> str:
        """The name of the stream."""
        return f"hubbub-{self.cluster}-0"

    @property
    def table(self) -> str:
        """The name of the table of nicks."""
        return f"hubbub-{self.cluster}-nicks"

    @property
    def ours(self) -> str:
        """The subject that this hub alone publishes on."""
        return self.subject("in", *self.origin)

    def subject(self, *tokens: str) -> str:
        """A subject of this cluster's stream."""
        return ".".join(["hubbub", self.cluster, "0", *tokens])

    def origin_of(self, subject: str) -> Origin:
        """Whose subject this is; nobody's, unless it has just the form that hubs publish on, or are heard on.

        The part before the hub's name is what a hub may not choose (the permissions of its account).
        """
        for way in ("in", "out"):
            prefix = self.subject(way, "")
            hub, dot, start = subject.removeprefix(prefix).partition(".")
            if subject.startswith(prefix) and dot and TOKEN.fullmatch(hub) and TOKEN.fullmatch(start):
                return Origin(hub, start)
        return NOBODY


class Stream:
    """Requests and events of one connection. `post` takes events, from this thread."""

    def __init__(self, nats: Client, place: Place, rules: Rules, post: Callable[[Event], None]) -> None:
        self._nats, self._place, self._rules, self._post = nats, place, rules, post
        self._js: Any = nats.jetstream(timeout=REQUEST_S)
        self._seen = Seen("", 0, 0)
        self._is_fetching = False

    async def open(self, replicas: int) -> Seen:
        """Make the stream if need be, hear what comes, and see where it stands. Raises nats' Error."""
        try:
            config = (await self._js.stream_info(self._place.stream)).config
        except NotFoundError:
            config = await self._make(replicas)
        if not (config.allow_direct and config.republish):
            raise StreamGone(
                f"the stream {self._place.stream} was not made by a hub: no direct get or republish"
            )
        out = self._place.subject("out", ">")
        await self._nats.subscribe(out, cb=self._live, pending_bytes_limit=PENDING_BYTES)
        await self._nats.flush(timeout=int(REQUEST_S))  # From here on all that is stored is heard.
        self._seen = await self._look_around()
        return self._seen

    async def _make(self, replicas: int) -> StreamConfig:
        try:
            made = await self._js.add_stream(self._config(replicas))
        except TimeoutError:
            raise StreamGone(
                f"the stream {self._place.stream} is missing, and the server does not let this hub make it"
            ) from None
        config: StreamConfig = made.config
        return config

    async def check(self) -> bool:
        """Is it still the same stream, and longer? Raises StreamGone. False where nobody answers that now."""
        before = self._seen
        try:
            self._seen = await self._look_around()
        except NotFoundError:
            raise StreamGone("the stream was deleted") from None
        except (APIError, NoRespondersError, NoStreamResponseError, TimeoutError):
            return False
        if self._seen.created != before.created or self._seen.last < before.last:
            raise StreamGone("the stream is another one, or went back")
        self._post(HeadIs(self._seen.last))
        return True

    async def publish(self, batch: Publish) -> None:
        """Store a batch by compare-and-set."""
        headers = {"Nats-Expected-Last-Subject-Sequence": str(batch.expected)}
        try:
            ack = await self._js.publish(
                self._place.ours, batch.message, headers=headers, stream=self._place.stream, timeout=REQUEST_S
            )
        except APIError as refusal:
            self._post(Denied(is_busy=refusal.err_code != WRONG_LAST_SEQUENCE))
        except (NoStreamResponseError, NoRespondersError):
            self._post(Denied(is_busy=True))
        else:
            self._post(Acked(batch.number, ack.seq))

    async def fetch(self, first: int, last: int) -> None:
        """What the stream has from `first` on, from any server that has it; one question at a time."""
        if self._is_fetching:
            return
        self._is_fetching = True
        try:
            found = await self._fetched(first, last)
            begins = found[0].sequence if found else (await self._look_around()).first
            self._post(Fetched(first, last, found, begins))
        finally:
            self._is_fetching = False

    async def _fetched(self, first: int, last: int) -> list[Stored]:
        """The messages of an answer; those that came, where its end did not."""
        inbox = self._nats.new_inbox()
        answers = await self._nats.subscribe(inbox)
        request = {"seq": first, "batch": last - first + 1, "max_bytes": FETCHED_BYTES}
        found = list[Stored]()
        try:
            subject = f"$JS.API.DIRECT.GET.{self._place.stream}"
            await self._nats.publish(subject, json.dumps(request).encode(), reply=inbox)
            with suppress(TimeoutError):
                while (stored := self._stored(await answers.next_msg(timeout=REQUEST_S))) is not None:
                    found.append(stored)
        finally:
            await answers.unsubscribe()
        return found

    async def look(self, sequence: int) -> None:
        """Whose message stands there, as the leader knows it: a follower may lag."""
        try:
            raw = await self._js.get_msg(self._place.stream, sequence)
        except NotFoundError as missing:
            if missing.err_code == NO_MESSAGE:
                self._post(Looked(sequence, None))
            return
        origin, stored_us = self._place.origin_of(raw.subject), _microseconds(raw.time)
        self._post(Looked(sequence, Name(origin, self._number(raw.data or b""), stored_us)))

    async def look_at_ours(self) -> None:
        """The last message on our subject."""
        try:
            raw = await self._js.get_last_msg(self._place.stream, self._place.ours)
        except NotFoundError as missing:
            if missing.err_code == NO_MESSAGE:
                self._post(OursIs(0, 0))
            return
        self._post(OursIs(self._number(raw.data or b""), raw.seq))

    async def _look_around(self) -> Seen:
        info = await self._js.stream_info(self._place.stream)
        return Seen(str(info.created), info.state.first_seq, info.state.last_seq)

    async def _live(self, message: Msg) -> None:
        stored = self._stored(message)
        if stored is not None:
            self._post(stored)

    def _stored(self, message: Msg) -> Stored | None:
        """A message with what the server says of it; None for the end of an answer.

        The server's own headers come behind those of the publisher, and so they count.
        """
        headers = message.headers or {}
        try:
            sequence = int(headers.get("Nats-Sequence", ""))
            stored_us = _microseconds(datetime.fromisoformat(headers.get("Nats-Time-Stamp", "")))
        except ValueError:
            return None
        origin = self._place.origin_of(headers.get("Nats-Subject", ""))
        return Stored(sequence, origin, message.data, stored_us)

    def _number(self, message: bytes) -> int:
        """The number of a batch; 0 where it is none that is taken."""
        try:
            return unpacked(message, self._rules).number
        except Refused:
            return 0

    def _config(self, replicas: int) -> StreamConfig:
        """Limits, no deletions, and each message sent to everybody once it is stored."""
        return StreamConfig(
            name=self._place.stream,
            subjects=[self._place.subject("in", ">")],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=replicas,
            discard=DiscardPolicy.OLD,
            max_age=MOST_AGE_S,
            max_bytes=MOST_BYTES,
            max_msg_size=MOST_MESSAGE_BYTES,
            duplicate_window=0.1,
            allow_direct=True,
            deny_delete=True,
            deny_purge=True,
            republish=RePublish(src=self._place.subject("in", ">"), dest=self._place.subject("out", ">")),
        )


def _microseconds(moment: datetime) -> int:
    """Since 1970. The server counts nanoseconds in one place, and nats-py cuts them to this in another."""
    whole = moment.replace(microsecond=0, tzinfo=moment.tzinfo or UTC)
    return int(whole.timestamp()) * 1_000_000 + moment.microsecond


def reason_of(error: Exception) -> str:
    """An error of the link in a few words, without an address or a secret."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(error, StreamGone):
        return str(error)
    text = str(error).removeprefix("nats: ").strip("'\"")
    return text if isinstance(error, Error) and text else type(error).__name__
