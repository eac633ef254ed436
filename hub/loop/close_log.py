"""The ledger: every connection that ended, and why; the newest 10,000 are kept.

An ending is written when the connection's descriptor closes, because only then is it known what was
left unsent and whether the farewell got through. Ids are never reused.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from hub.control.snapshots import Ending
from hub.session.client import Client


class Ledger:
    """Endings, newest first."""

    KEPT = 10_000

    def __init__(self) -> None:
        self._endings: deque[Ending] = deque(maxlen=self.KEPT)

    def __len__(self) -> int:
        return len(self._endings)

    def add(self, ending: Ending) -> None:
        """Write one ending; past the limit the oldest goes."""
        self._endings.appendleft(ending)

    def page(self, offset: int, limit: int) -> Sequence[Ending]:
        """At most `limit` endings after skipping the `offset` newest."""
        return tuple(islice(self._endings, offset, offset + limit))


def ending_of(client: Client, wall_s: float, now: float) -> Ending:
    """The ledger's line for a connection that is about to be closed for good."""
    assert client.reason is not None
    lateness = None
    if client.due is not None and client.decided is not None:
        lateness = round((client.decided - client.due) * 1000, 3)
    return Ending(
        id=client.id,
        peer=client.peer,
        transport=client.transport,
        nick=client.nick,
        room=client.last_room,
        reason=client.reason.value,
        detail=client.detail,
        ended_wall_s=round(wall_s, 3),
        age_s=round(now - client.joined_at, 3),
        due_s=client.due,
        decided_s=client.decided,
        lateness_ms=lateness,
        lines_in=client.lines_in,
        lines_out=client.lines_out,
        bytes_in=client.bytes_in,
        bytes_out=client.bytes_out,
        unsent_bytes=client.unsent_bytes,
        unsent_private_bytes=client.unsent_private_bytes,
        skipped_lines=client.skipped_lines,
        skipped_bytes=client.skipped_bytes,
        farewell=client.farewell_sent,
    )
