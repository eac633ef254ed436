"""Those who speak here: what each has on its way to the stream, and what it is told about that."""

from collections.abc import Callable
from math import inf
from typing import Final

from cluster.outbox import Outbox
from hub.session.client import Client

SILENT_S: Final = 1.0
"""A stream that took nothing for so long does not answer: senders are told, and /readyz says degraded."""
END_S: Final = 10.0
"""So long a client whose input has ended waits for its own lines at most."""
TELL_EVERY_S: Final = 1.0

Tell = Callable[[Client, str], None]


class Speaker:
    """A client with lines on their way."""

    __slots__ = ("client", "flying", "is_told", "refused_lines", "said_at")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.flying = self.refused_lines = 0
        """Entries that were said and not heard yet; lines that were refused and not told yet."""
        self.said_at = -inf
        self.is_told = False
        """The client knows that the stream does not answer."""


class Speakers:
    """Times are seconds on the loop's clock."""

    def __init__(self, outbox: Outbox, tell: Tell) -> None:
        self._outbox, self._tell = outbox, tell
        self._by_id: dict[int, Speaker] = {}
        self._untold = self._refusing = 0
        """How many would have to be told that the stream does not answer; that lines were refused."""
        self._refused_told_at = -inf

    def said(self, client: Client, entries: int, refused_lines: int, now: float) -> None:
        """So many entries are on their way, and for so many lines there was no place."""
        speaker = self._by_id.get(client.id)
        if speaker is None:
            speaker = self._by_id[client.id] = Speaker(client)
            self._untold += 1
        self._refusing += refused_lines > 0 and speaker.refused_lines == 0
        speaker.flying += entries
        speaker.refused_lines += refused_lines
        speaker.said_at = now

    def heard(self, id: int) -> None:
        """An entry of this client came through the stream."""
        speaker = self._by_id.get(id)
        if speaker is not None and speaker.flying:
            speaker.flying -= 1

    def waits(self, id: int, now: float) -> bool:
        """Whether a client has lines on their way, so that it should not end yet."""
        speaker = self._by_id.get(id)
        return speaker is not None and speaker.flying > 0 and now < speaker.said_at + END_S

    def step(self, now: float, *, is_behind: bool) -> None:
        """Tell once that lines wait and once that they do no more; and of lines that were refused, how many.

        `is_behind`: the stream has something that this hub did not hear yet.
        """
        if self._outbox.is_empty and self._by_id:
            self._answers_again(is_behind=is_behind)
        elif self._untold and self._outbox.unheard_s(now) >= SILENT_S:
            self._untold = 0
            for speaker in self._by_id.values():
                if not speaker.is_told:
                    speaker.is_told = True
                    self._tell(speaker.client, "the cluster does not answer; lines wait")
        if self._refusing and now >= self._refused_told_at + TELL_EVERY_S:
            self._tell_of_refused(now)

    def timeout(self, now: float) -> float:
        """Seconds until somebody has to be told by time alone."""
        refused_s = max(0.0, self._refused_told_at + TELL_EVERY_S - now) if self._refusing else inf
        if not self._untold or self._outbox.is_empty:
            return refused_s
        return min(refused_s, max(0.0, SILENT_S - self._outbox.unheard_s(now)))

    def _answers_again(self, *, is_behind: bool) -> None:
        """All is stored. A client that has heard its own is forgotten; what has not come is lost."""
        for id, speaker in list(self._by_id.items()):
            if speaker.is_told:
                self._tell(speaker.client, "the cluster answers again; what waited is sent")
                speaker.is_told = False
                self._untold += 1
            if not speaker.refused_lines and (not speaker.flying or not is_behind):
                del self._by_id[id]
                self._untold -= 1

    def _tell_of_refused(self, now: float) -> None:
        self._refused_told_at, self._refusing = now, 0
        for id, speaker in list(self._by_id.items()):
            if speaker.refused_lines:
                count, speaker.refused_lines = speaker.refused_lines, 0
                self._tell(speaker.client, f"not sent: {count} line{'s' if count != 1 else ''}")
                if not speaker.flying and not speaker.is_told:
                    self._untold -= 1
                    del self._by_id[id]
