"""Questions to the other hubs: who answered, who was silent, and that neither takes for ever."""

from collections.abc import Sequence
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from cluster.fold import Origin
from cluster.presence import Answer, Question
from cluster.questions import ANSWER_S, MOST, Questions
from tests.unit.cluster.company import AGAIN, ANN, BOB, CY


class Asking:
    """Questions, and what became of each."""

    def __init__(self) -> None:
        self.questions = Questions()
        self.ends: list[tuple[list[list[str]], list[str]]] = []

    def ask(self, *hubs: Origin, now: float = 0.0) -> Question:
        """A question that somebody is asked."""
        question = self.try_ask(hubs, now)
        assert question is not None
        return question

    def try_ask(self, hubs: Sequence[Origin], now: float = 0.0) -> Question | None:
        return self.questions.ask(
            "who", ["lobby"], list(hubs), lambda answers, silent: self.ends.append((answers, silent)), now
        )


def test_question_ends_at_once_when_all_have_answered() -> None:
    asking = Asking()
    question = asking.ask(ANN, BOB)
    assert (question.what, question.arguments) == ("who", ["lobby"])
    asking.questions.answered(BOB, Answer(question.number, ["2"]))
    assert asking.ends == []
    asking.questions.answered(ANN, Answer(question.number, []))
    assert asking.ends == [([["2"], []], [])]
    asking.questions.step(1.0)
    assert len(asking.ends) == 1 and asking.questions.timeout(1.0) == inf


def test_hubs_that_are_silent_for_300_ms_are_named() -> None:
    asking = Asking()
    question = asking.ask(CY, ANN, BOB, now=5.0)
    asking.questions.answered(BOB, Answer(question.number, ["2"]))
    assert asking.questions.timeout(5.1) == 5.0 + ANSWER_S - 5.1
    asking.questions.step(5.0 + ANSWER_S - 0.001)
    assert asking.ends == []
    asking.questions.step(5.0 + ANSWER_S)
    assert asking.ends == [([["2"]], ["ann", "cy"])]
    assert ANSWER_S == 0.3


def test_late_answer_is_not_heard() -> None:
    asking = Asking()
    question = asking.ask(ANN)
    asking.questions.step(ANSWER_S)
    asking.questions.answered(ANN, Answer(question.number, ["2"]))
    assert asking.ends == [([], ["ann"])]


def test_answers_of_hubs_not_asked_and_second_ones_are_not_heard() -> None:
    asking = Asking()
    question = asking.ask(ANN, BOB)
    asking.questions.answered(CY, Answer(question.number, ["forged"]))
    asking.questions.answered(AGAIN, Answer(question.number, ["forged"]))
    asking.questions.answered(ANN, Answer(question.number + 1, ["forged"]))
    asking.questions.answered(ANN, Answer(question.number, ["1"]))
    asking.questions.answered(ANN, Answer(question.number, ["again"]))
    assert asking.ends == []
    asking.questions.answered(BOB, Answer(question.number, ["2"]))
    assert asking.ends == [([["1"], ["2"]], [])]


def test_question_to_nobody_ends_at_once() -> None:
    asking = Asking()
    assert asking.try_ask([]) is None
    assert asking.ends == [([], [])]


def test_at_most_64_questions_are_open_and_more_ask_nobody() -> None:
    asking = Asking()
    numbers = {asking.ask(ANN).number for _ in range(MOST)}
    assert len(numbers) == MOST == 64
    assert asking.try_ask([ANN, BOB]) is None
    assert asking.ends == [([], ["ann", "bob"])], "those that would have been asked say nothing"
    asking.questions.step(ANSWER_S)
    assert len(asking.ends) == 1 + MOST
    assert asking.ask(ANN).number not in numbers


def test_question_may_be_asked_when_another_ends() -> None:
    asking, asked = Asking(), list[Question | None]()
    asking.questions.ask("a", [], [ANN], lambda *_: asked.append(asking.try_ask([ANN], ANSWER_S)), 0.0)
    asking.questions.step(ANSWER_S)
    assert len(asked) == 1 and asking.ends == []
    asking.questions.step(2 * ANSWER_S)
    assert asking.ends == [([], ["ann"])]


@given(st.lists(st.tuples(st.sampled_from([ANN, BOB, CY]), st.integers(0, 4)), max_size=30))
def test_every_question_ends_once_whatever_is_answered(answers: list[tuple[Origin, int]]) -> None:
    asking, asked = Asking(), [[ANN], [ANN, BOB], [CY, BOB]]
    for hubs in asked:
        asking.ask(*hubs)
    for origin, number in answers:
        asking.questions.answered(origin, Answer(number, [origin.hub]))
    asking.questions.step(ANSWER_S)
    heard = [sorted([*silent, *(answer[0] for answer in answers)]) for answers, silent in asking.ends]
    assert sorted(heard) == sorted([origin.hub for origin in sorted(hubs)] for hubs in asked)
    assert asking.questions.timeout(ANSWER_S) == inf
