"""Who said what, for --no-self-echo: nobody gets its own lines back.

A chunk then keeps for each speaker the runs of its lines, as offsets of the room. Whoever said nothing in a
chunk, and that is nearly everybody, is handed the shared bytes as ever; only a speaker gets the parts between
its runs. It is not owed its own lines, so they are in no side of the account, and its position passes them
without anything being sent. Without the flag no runs are kept and nothing here is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

Runs = dict[int, list[tuple[int, int]]]
"""By the id of the speaker, where its lines begin and end, in order."""


class Own(NamedTuple):
    """Lines that their speaker passes without getting them."""

    lines: int
    size: int


def note(runs: Runs, speaker: int, start: int, end: int) -> None:
    """These lines are this speaker's; what follows on from its last run makes that longer."""
    mine = runs.setdefault(speaker, [])
    if mine and mine[-1][1] == start:
        start = mine.pop()[0]
    mine.append((start, end))


def spans(runs: Runs | None, client_id: int, start: int, stop: int) -> Iterator[tuple[int, int, bool]]:
    """All from `start` to `stop`, in order: where it begins and ends, and whether it is the client's own."""
    for first, end in runs.get(client_id, ()) if runs else ():
        if end <= start or stop <= max(start, first):
            continue
        if first > start:
            yield start, first, False
        yield max(start, first), min(end, stop), True
        start = min(end, stop)
    if start < stop:
        yield start, stop, False
