"""Lines that somebody does not get, and how it is told: the one way in which a stream has a gap.

Two kinds of client miss lines: who sends in bulk, and so is not sent its own lines (hub/loop/writer.py),
and under --slow skip who does not keep up (hub/loop/flow_control.py). Both go on at the head of their room,
and before anything else they get one line, `* skipped N lines`, at a line border: the rest of a line that
was begun goes first. N is exact. While that line has not begun to go out, a further gap only makes its
number larger, so who never reads is owed one such line and not one for each gap.
"""

from __future__ import annotations

from hub.rooms.accounting import Account
from hub.rooms.room import Room
from hub.session.client import Client, Piece


def skip(client: Client, room: Room, account: Account) -> None:
    """The client goes on at the head of its room; what it misses is counted."""
    lines, size = room.head - client.position - client.own_lines, client.owed_bytes
    account.skipped += size
    client.skipped_bytes += size
    client.skipped_lines += lines
    client.untold_lines += lines
    client.go_to_head()


def tell_skipped(client: Client) -> None:
    """Put the notice where the gap is, or bring the one that waits there up to date.

    That is before everything else that waits, but for lines of rooms that became private output: these were
    owed before the gap.
    """
    place = max((index + 1 for index, piece in enumerate(client.private) if piece.owed), default=0)
    waiting = client.private[place] if place < len(client.private) and client.private[place].skipped else None
    if waiting is not None:
        client.private_bytes -= len(waiting.data)
        del client.private[place]
    count = client.untold_lines + (waiting.skipped if waiting else 0)
    client.untold_lines = 0
    notice = Piece(-1, f"* skipped {count} lines\n".encode(), skipped=count)
    client.private.insert(place, notice)
    client.private_bytes += len(notice.data)
