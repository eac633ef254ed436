"""Which lines of a chunk are whose, where a sender does not get its own lines back.

A chunk then keeps for each sender the runs of its lines, as offsets of the log. A subscriber that said
nothing in a chunk, and that is nearly every one, is handed the shared bytes as ever; only a sender gets the
parts between its runs. A sender is not owed its own lines, so they are on no side of the account, and its
offset passes them without anything being sent. Under --self-echo no runs are kept and nothing here is
called.
"""

from collections.abc import Iterator

Run = tuple[int, int, int]
"""Where lines of one sender begin and end, and how many they are."""

SenderRuns = dict[int, list[Run]]
"""By the id of the sender its runs, in order."""


def note(runs: SenderRuns, sender: int, start: int, end: int, lines: int) -> None:
    """Record that these lines are this sender's; lines right behind its last run make that run longer."""
    mine = runs.setdefault(sender, [])
    if mine and mine[-1][1] == start:
        start, _, before = mine.pop()
        lines += before
    mine.append((start, end, lines))


def spans(runs: SenderRuns | None, client_id: int, start: int, stop: int) -> Iterator[tuple[int, int, bool]]:
    """All from `start` to `stop`, in order: where a span begins and ends, and whether it is the client's
    own."""
    for first, end, _ in runs.get(client_id, ()) if runs else ():
        if end <= start or stop <= max(start, first):
            continue
        if first > start:
            yield start, first, False
        yield max(start, first), min(end, stop), True
        start = min(end, stop)
    if start < stop:
        yield start, stop, False
