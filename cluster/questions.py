"""Questions to the living hubs: each has 300 ms, and those that are silent are named."""

from collections.abc import Callable
from itertools import count
from math import inf
from typing import Final

from cluster.fold import Origin
from cluster.presence import Answer, Question

ANSWER_S: Final = 0.3
MOST: Final = 64
"""So many are open at a time; whoever asks more is answered by this hub alone."""

Then = Callable[[list[list[str]], list[str]], None]
"""The answers, and the names of the hubs that gave none."""


class _Open:
    """A question that waits for answers."""

    def __init__(self, asked: set[Origin], then: Then, by: float) -> None:
        self.asked, self.then, self.by = asked, then, by
        self.answers: list[list[str]] = []

    def end(self) -> None:
        """Tell what came."""
        self.then(self.answers, sorted(origin.hub for origin in self.asked))


class Questions:
    """Times are seconds on the loop's clock."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, _Open] = {}

    def ask(
        self, what: str, arguments: list[str], hubs: list[Origin], then: Then, now: float
    ) -> Question | None:
        """The question to be sent to these hubs; None where nobody is asked, and `then` was called."""
        if not hubs or len(self._open) >= MOST:
            then([], [origin.hub for origin in hubs])
            return None
        number = next(self._numbers)
        self._open[number] = _Open(set(hubs), then, now + ANSWER_S)
        return Question(number, what, arguments)

    def answered(self, origin: Origin, answer: Answer) -> None:
        """A hub answered; one that was not asked, or answers again, is not heard."""
        question = self._open.get(answer.number)
        if question is None or origin not in question.asked:
            return
        question.asked.remove(origin)
        question.answers.append(answer.values)
        if not question.asked:
            del self._open[answer.number]
            question.end()

    def step(self, now: float) -> None:
        """End those whose time is over."""
        for number in [number for number, question in self._open.items() if now >= question.by]:
            self._open.pop(number).end()

    def timeout(self, now: float) -> float:
        """Seconds until a question ends by time alone."""
        return max(0.0, min((question.by for question in self._open.values()), default=inf) - now)
