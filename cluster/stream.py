"""The stream of one cluster, on one connection: the questions of a member as requests to JetStream.

A refusal, a missing stream and a silent broker are told apart here. No answer at all is no event: the member
asks again. Facts of the server are from the documentation of NATS (ADR-8, ADR-31: direct get in batches).
"""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, NoRespondersError, TimeoutError
from nats.js.api import DiscardPolicy, RePublish, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from cluster.envelope import Refused, Rules, unpacked
from cluster.fold import Name, Origin, Stored
from cluster.fork import Seen
from cluster.member import Acked, Denied, Event, Fetched, HeadIs, Looked, OursIs
from cluster.outbox import Publish

WRONG_LAST_SEQUENCE: Final = 10071
MOST_MESSAGE_BYTES: Final = 256 * 1024
MOST_BYTES: Final = 1 << 30
MOST_AGE_S: Final = 3600.0
REQUEST_S: Final = 2.0
PENDING_BYTES: Final = 64 << 20
"""Live messages that wait for this thread; beyond it nats-py drops them, and the fold fetches them."""


class StreamGone(Exception):
    """The stream is not the one that this connection found."""


class Place(NamedTuple):
    """Where a hub is: the cluster, and which life of which hub this is. The parts are tokens of subjects."""

    cluster: str
    origin: Origin

    @property
    def stream(self) -> str:
        """The name of the stream."""
        return f"hubbub-{self.cluster}-0"

    @property
    def ours(self) -> str:
        """The subject that this hub alone publishes on."""
        return self.subject("in", *self.origin)

    def subject(self, *tokens: str) -> str:
        """A subject of this cluster's stream."""
        return ".".join(["hubbub", self.cluster, "0", *tokens])


class Stream:
    """Requests and events of one connection. `post` takes events, from this thread."""

    def __init__(self, nats: Client, place: Place, rules: Rules, post: Callable[[Event], None]) -> None:
        self._nats, self._place, self._rules, self._post = nats, place, rules, post
        self._js: Any = nats.jetstream(timeout=REQUEST_S)
        self._seen = Seen("", 0, 0)

    async def open(self, replicas: int) -> Seen:
        """Make the stream if need be, hear what comes, and see where it stands. Raises nats' Error."""
        try:
            await self._js.stream_info(self._place.stream)
        except NotFoundError:
            await self._js.add_stream(self._config(replicas))
        out = self._place.subject("out", ">")
        await self._nats.subscribe(out, cb=self._live, pending_bytes_limit=PENDING_BYTES)
        await self._nats.flush(timeout=int(REQUEST_S))  # From here on all that is stored is heard.
        self._seen = await self._look_around()
        return self._seen

    async def check(self) -> None:
        """Is it still the same stream, and longer? Raises StreamGone. A busy broker is no news."""
        before = self._seen
        try:
            self._seen = await self._look_around()
        except NotFoundError:
            raise StreamGone("the stream was deleted") from None
        except (APIError, NoRespondersError, NoStreamResponseError, TimeoutError):
            return
        if self._seen.created != before.created or self._seen.last < before.last:
            raise StreamGone("the stream is another one, or went back")
        self._post(HeadIs(self._seen.last))

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
        """What the stream has from `first` on, from any server that has it."""
        inbox = self._nats.new_inbox()
        answers = await self._nats.subscribe(inbox)
        request = {"seq": first, "batch": last - first + 1, "max_bytes": 4 << 20}
        subject = f"$JS.API.DIRECT.GET.{self._place.stream}"
        found = list[Stored]()
        try:
            await self._nats.publish(subject, json.dumps(request).encode(), reply=inbox)
            while (
                stored := self._stored(await answers.next_msg(timeout=REQUEST_S), "Nats-Subject")
            ) is not None:
                found.append(stored)
        finally:
            await answers.unsubscribe()
        begins = found[0].sequence if found else (await self._look_around()).first
        self._post(Fetched(first, last, found, begins))

    async def look(self, sequence: int) -> None:
        """Whose message stands there, as the leader knows it: a follower may lag."""
        try:
            raw = await self._js.get_msg(self._place.stream, sequence)
        except NotFoundError:
            self._post(Looked(sequence, None))
            return
        self._post(Looked(sequence, self._name(_origin(raw.subject), raw.data or b"")))

    async def look_at_ours(self) -> None:
        """The last message on our subject."""
        try:
            raw = await self._js.get_last_msg(self._place.stream, self._place.ours)
        except NotFoundError:
            self._post(OursIs(0, 0))
            return
        self._post(OursIs(self._name(self._place.origin, raw.data or b"").number, raw.seq))

    async def _look_around(self) -> Seen:
        info = await self._js.stream_info(self._place.stream)
        return Seen(str(info.created), info.state.first_seq, info.state.last_seq)

    async def _live(self, message: Msg) -> None:
        stored = self._stored(message)
        if stored is not None:
            self._post(stored)

    def _stored(self, message: Msg, subject_header: str = "") -> Stored | None:
        """A message with the place that the server says it has; None for the end of an answer."""
        headers = message.headers or {}
        try:
            sequence = int(headers.get("Nats-Sequence", ""))
        except ValueError:
            return None
        subject = headers.get(subject_header, "") if subject_header else message.subject
        return Stored(sequence, _origin(subject), message.data)

    def _name(self, origin: Origin, message: bytes) -> Name:
        try:
            return Name(origin, unpacked(message, self._rules).number)
        except Refused:
            return Name(origin, 0)

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


def _origin(subject: str) -> Origin:
    """The hub and its start, which are the last two tokens of a subject."""
    hub, start = subject.split(".")[-2:]
    return Origin(hub, start)


def reason_of(error: Exception) -> str:
    """An error of the link in a few words, without an address or a secret."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, StreamGone):
        return str(error)
    text = str(error).removeprefix("nats: ").strip("'\"")
    return text if isinstance(error, Error) and text else type(error).__name__
