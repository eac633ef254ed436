"""The close log: the connections that ended, and why; of clients the newest 10,000 are kept.

An entry is written when the connection's descriptor closes, because only then is it known what was left
unsent and whether the farewell got through. Ids are never reused.

Strangers (`CloseRecord.is_stranger`) can end as often as they like, so their ends may push out nobody else's:
of each address and reason only the newest is kept, of few addresses, and the log counts them together. Silent
ends are of probes: the hub counts them, and tells them at debug level, unless they held a place for long.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple, Protocol

import msgspec

from hub.close_reasons import CloseReason
from hub.config.settings import LogLevel
from hub.control.snapshots import ClosedClient
from hub.session.client import Client

KEPT: Final = 10_000
STRANGERS_KEPT: Final = 500
PROBE_S: Final = 60.0
"""What stays longer and says nothing is no probe: it holds a place that others may be refused for."""


class Log(Protocol):
    """Where structured records go. Never blocks. Records with the same `like` are counted together."""

    def __call__(
        self,
        event: str,
        *,
        level: LogLevel = "info",
        like: Mapping[str, object] | None = None,
        **fields: object,
    ) -> None: ...


class Dates(Protocol):
    """What keeps a moment and turns it into wall time (hub/loop/core.py, Status)."""

    def steady_clock(self) -> float:
        """This moment, as it is kept."""

    def wall_s(self, steady_s: float) -> float:
        """A moment that was kept, in seconds since 1970."""


class Kept(NamedTuple):
    """An entry with when it was made, and behind how many clients' entries since the start."""

    steady_s: float
    place: int
    entry: ClosedClient


class CloseLog:
    """Closed connections, newest first. Each is written to the log as well."""

    def __init__(self, log: Log, dates: Dates) -> None:
        self._log, self._dates = log, dates
        self._clients: deque[Kept] = deque(maxlen=KEPT)
        self._recorded = 0
        """Clients' entries since the start."""
        self._strangers: dict[tuple[str, str], Kept] = {}
        """By counted address and reason, the oldest first."""

    def __len__(self) -> int:
        return len(self._clients) + len(self._strangers)

    def record(self, client: Client, now: float) -> None:
        """Write one entry; past the limit the oldest of its kind goes."""
        steady_s = self._dates.steady_clock()
        entry = entry_of(client, self._dates.wall_s(steady_s), now)
        fields = msgspec.structs.asdict(entry)
        if client.close.reason is CloseReason.SILENT and now - client.accepted_at <= PROBE_S:
            self._log("closed", level="debug", **fields)
        elif client.close.is_stranger:
            self._log("closed", like={"reason": entry.reason}, **fields)
            self._keep_stranger((client.address, entry.reason), Kept(steady_s, self._recorded, entry))
        else:
            self._log("closed", **fields)
            self._clients.appendleft(Kept(steady_s, self._recorded, entry))
            self._recorded += 1

    def page(self, offset: int, limit: int) -> Sequence[ClosedClient]:
        """At most `limit` entries after skipping the `offset` newest, with wall times as of now."""
        length = len(self._clients)
        strangers = {
            number + min(self._recorded - kept.place, length): kept
            for number, kept in enumerate(reversed(self._strangers.values()))
        }
        first = offset - sum(place < offset for place in strangers)
        clients = islice(self._clients, first, first + limit)
        places = range(offset, min(offset + limit, len(self)))
        return tuple(self._dated(strangers.get(place) or next(clients)) for place in places)

    def _keep_stranger(self, key: tuple[str, str], kept: Kept) -> None:
        self._strangers.pop(key, None)
        self._strangers[key] = kept
        if len(self._strangers) > STRANGERS_KEPT:
            del self._strangers[next(iter(self._strangers))]

    def _dated(self, kept: Kept) -> ClosedClient:
        wall_s = self._dates.wall_s(kept.steady_s)
        return msgspec.structs.replace(kept.entry, closed_wall_s=round(wall_s, 3))


def entry_of(client: Client, wall_s: float, now: float) -> ClosedClient:
    """The entry for a connection that is about to be closed for good."""
    close, inbox, outbox, lateness_ms = client.close, client.inbox, client.outbox, None
    assert close.reason is not None
    if close.due is not None and close.decided is not None:
        lateness_ms = round((close.decided - close.due) * 1000, 3)
    return ClosedClient(
        id=client.id,
        peer=client.peer,
        transport=client.transport,
        nick=close.nick,
        room=close.room,
        reason=close.reason.value,
        detail=close.detail,
        closed_wall_s=round(wall_s, 3),
        age_s=round(now - client.accepted_at, 3),
        due_s=close.due,
        decided_s=close.decided,
        lateness_ms=lateness_ms,
        lines_in=inbox.lines_in,
        lines_out=outbox.lines_out,
        bytes_in=inbox.bytes_in,
        bytes_out=outbox.bytes_out,
        unsent_bytes=outbox.losses.unsent_bytes,
        unsent_own_bytes=outbox.losses.unsent_own_bytes,
        unsent_outbox_bytes=outbox.losses.unsent_item_bytes,
        skipped_lines=outbox.losses.skipped_lines,
        skipped_bytes=outbox.losses.skipped_bytes,
        farewell=outbox.farewell_sent,
    )
