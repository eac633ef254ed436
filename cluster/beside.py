"""What hubs do beside the stream, on one connection: beats, questions and answers, and the table of nicks.

The subject of a message ends with who sent it, which is what the permissions of its account allow, so no hub
can speak as another. The table is a key-value bucket; its values say which life of which hub owns a key.
"""

from collections.abc import Callable
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError, BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError

from cluster.envelope import Refused
from cluster.events import Event, Garbled, Ordered, Owned, Spoke
from cluster.fold import NOBODY, Origin
from cluster.presence import Answer, Beat, Question, Said, order_of, packed, unpacked
from cluster.stream import TOKEN, Place

REQUEST_S: Final = 2.0
ALL: Final = "-all"
"""Stands for every hub, and is the name of none."""
TABLE_BYTES = 64 << 20


class Beside:
    """All that goes over a connection beside the stream. `post` takes events, from this thread."""

    def __init__(self, nats: Client, place: Place, post: Callable[[Event], None]) -> None:
        self._nats, self._place, self._post = nats, place, post
        self._table: Any = None

    async def open(self, replicas: int, *, has_nicks: bool) -> None:
        """Hear the others, and make the table if need be. Raises nats' Error."""
        me = self._place.origin
        for subject in (
            self._place.subject("beat", ">"),
            self._place.subject("ask", ">"),
            self._place.subject("to", *me, ">"),
        ):
            await self._nats.subscribe(subject, cb=self._heard)
        for whom in (ALL, me.hub):
            await self._nats.subscribe(self._place.subject("ctl", whom), cb=self._ordered)
        if has_nicks:
            js = self._nats.jetstream(timeout=REQUEST_S)
            try:
                self._table = await js.key_value(self._place.table)
            except BucketNotFoundError:
                self._table = await js.create_key_value(
                    bucket=self._place.table, history=1, max_bytes=TABLE_BYTES, replicas=replicas
                )

    async def beat(self, beat: Beat) -> None:
        """To all hubs."""
        await self._send(beat, "beat")

    async def ask(self, question: Question) -> None:
        """To all hubs."""
        await self._send(question, "ask")

    async def answer(self, to: Origin, answer: Answer) -> None:
        """To the hub that asked."""
        await self._send(answer, "to", *to)

    async def claim(self, key: str, revision: int) -> None:
        """Make a key ours by compare-and-set, and tell whose it is now."""
        value = ".".join(self._place.origin).encode()
        try:
            if revision:
                now_at = await self._table.update(key, value, last=revision)
            else:
                now_at = await self._table.create(key, value)
        except KeyWrongLastSequenceError:
            await self.look_up(key)
        else:
            self._post(Owned(key, self._place.origin, now_at))

    async def release(self, key: str, revision: int) -> None:
        """Drop a key, unless it is another's by now, and tell whose it is."""
        try:
            await self._table.delete(key, last=revision)
        except APIError:
            await self.look_up(key)
        else:
            self._post(Owned(key, None, 0))

    async def look_up(self, key: str) -> None:
        """Tell whose a key is."""
        try:
            found = await self._table.get(key)
        except KeyNotFoundError:
            self._post(Owned(key, None, 0))
        else:
            hub, _, start = (found.value or b"").decode(errors="replace").partition(".")
            self._post(Owned(key, Origin(hub, start), found.revision))

    async def _send(self, said: Said, *way: str) -> None:
        await self._nats.publish(self._place.subject(*way, *self._place.origin), packed(said))

    async def _heard(self, message: Msg) -> None:
        origin = self._sender(message.subject)
        if origin == self._place.origin:
            return
        try:
            # Hubs send no headers. An answer of the stream has some, and its way can be chosen by who asks.
            if origin == NOBODY or message.headers:
                raise Refused("a message of no hub")
            self._post(Spoke(origin, unpacked(message.data)))
        except Refused:
            self._post(Garbled())

    async def _ordered(self, message: Msg) -> None:
        try:
            order = order_of(message.data)
        except Refused:
            self._post(Garbled())
            return
        self._post(Ordered(order, message.subject.endswith(f".{ALL}")))
        if message.reply:
            await self._nats.publish(message.reply, self._place.origin.hub.encode())

    def _sender(self, subject: str) -> Origin:
        hub, start = (["", "", *subject.split(".")])[-2:]
        return Origin(hub, start) if TOKEN.fullmatch(hub) and TOKEN.fullmatch(start) else NOBODY
