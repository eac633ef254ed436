"""What was said in rooms in which nobody is here: a room's history does not end with its last member here."""

from collections import OrderedDict
from typing import Final

from hub.rooms.history import History

ROOMS: Final = 256
"""So many are kept, those heard last: 64 MiB at most, with 256 KiB each."""
HISTORY_BYTES: Final = 256 * 1024


class Past:
    """Histories by the key of their room. `lines` is how many may be shown; 0: none is kept."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._histories: OrderedDict[str, History] = OrderedDict()
        self._heads: dict[str, int] = {}

    def add(self, key: str, lines: list[bytes], said_at: float) -> None:
        """Lines that were said in a room on other hubs; the time is on a clock that does not stand still."""
        if not self._lines:
            return
        history = self._histories.get(key) or History()
        head = self._heads.get(key, 0)
        history.add(lines, -1, head, said_at, self._lines, HISTORY_BYTES)
        self._put(key, history)
        self._heads[key] = head + sum(map(len, lines)) + len(lines)

    def take(self, key: str) -> History:
        """The history for a room that is made here."""
        self._heads.pop(key, None)
        history = self._histories.pop(key, None) or History()
        history.precede()
        return history

    def keep(self, key: str, history: History) -> None:
        """The room has lost its last member here."""
        if self._lines:
            history.precede()
            self._heads[key] = 0
            self._put(key, history)

    def _put(self, key: str, history: History) -> None:
        self._histories[key] = history
        self._histories.move_to_end(key)
        while len(self._histories) > ROOMS:
            oldest, _ = self._histories.popitem(last=False)
            self._heads.pop(oldest, None)
