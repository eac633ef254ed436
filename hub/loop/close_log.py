"""The close log: every connection that ended, and why; the newest 10,000 are kept.

An entry is written when the connection's descriptor closes, because only then is it known what was left
unsent and whether the farewell got through. Ids are never reused.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final, Protocol

import msgspec

from hub.control.snapshots import ClosedClient
from hub.session.client import Client

KEPT: Final = 10_000


class Log(Protocol):
    """Where structured records go. Never blocks."""

    def __call__(self, event: str, **fields: object) -> None: ...


class CloseLog:
    """Closed clients, newest first. Each is written to the log as well."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._entries: deque[ClosedClient] = deque(maxlen=KEPT)

    def __len__(self) -> int:
        return len(self._entries)

    def record(self, client: Client, wall_s: float, now: float) -> None:
        """Write one entry; past the limit the oldest goes."""
        entry = entry_of(client, wall_s, now)
        self._entries.appendleft(entry)
        self._log("closed", **msgspec.structs.asdict(entry))

    def page(self, offset: int, limit: int) -> Sequence[ClosedClient]:
        """At most `limit` entries after skipping the `offset` newest."""
        return tuple(islice(self._entries, offset, offset + limit))


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
        unsent_bytes=outbox.unsent_bytes,
        unsent_outbox_bytes=outbox.unsent_item_bytes,
        skipped_lines=outbox.skipped_lines,
        skipped_bytes=outbox.skipped_bytes,
        farewell=outbox.farewell_sent,
    )
