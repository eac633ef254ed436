"""What an idle timer needs of a client, and the list through the clients themselves that it keeps them in."""

from math import inf


class Timed:
    """A client as its idle timer sees it. Seconds are those of the loop's clock."""

    __slots__ = ("active_at", "earlier", "id", "later")

    def __init__(self, id: int, now: float) -> None:
        self.id = id
        self.active_at = now
        self.earlier: Timed | None = None
        self.later: Timed | None = None
        """The neighbours in a list; None outside of one, so that a client that has left holds no other."""


class TimedList:
    """A doubly linked list whose links stand in the clients: two pointers for each, and nothing else.

    No verb depends on how many there are, and no table grows, so no turn pays for a million at once. `end`
    stands behind the last and before the first, so no verb has a special case; as it is active for ever, its
    time is never up, and a search for clients whose time is up stops there.
    """

    __slots__ = ("end",)

    def __init__(self) -> None:
        self.end = Timed(0, inf)
        self.end.earlier = self.end.later = self.end

    @property
    def is_empty(self) -> bool:
        """Nobody is in it."""
        return self.end.later is self.end

    @property
    def first(self) -> Timed:
        """The client at the front, or `end` where there is none."""
        return after(self.end)

    def move_to_end(self, timed: Timed) -> None:
        """Put a client behind the last, whether it is in the list or in none."""
        end, earlier, later = self.end, timed.earlier, timed.later
        if later is end:
            return
        if earlier is not None and later is not None:
            earlier.later, later.earlier = later, earlier
        last = end.earlier
        assert last is not None
        timed.earlier, timed.later = last, end
        last.later = end.earlier = timed

    def remove(self, timed: Timed) -> None:
        """Take a client out; nothing happens to one that is in no list."""
        earlier, later = timed.earlier, timed.later
        if earlier is not None and later is not None:
            earlier.later, later.earlier = later, earlier
            timed.earlier = timed.later = None


def after(timed: Timed) -> Timed:
    """The next in the list that this one is in."""
    later = timed.later
    assert later is not None
    return later


def before(timed: Timed) -> Timed:
    """The one in front of it there."""
    earlier = timed.earlier
    assert earlier is not None
    return earlier
