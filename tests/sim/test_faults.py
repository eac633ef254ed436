"""A simulator that never goes red proves nothing: here the hub is broken on purpose, one fault at a time.

Each fault is put in place of one step of the real hub, and the runs of a few hundred seeds have to find it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest

from tests.sim import faults_of_endings as endings
from tests.sim import faults_of_lines as lines
from tests.sim import faults_of_turns as turns
from tests.sim.plan import VISITS_EACH, make_plan
from tests.sim.world import World

Patch = pytest.MonkeyPatch
Fault = Callable[[Patch], None]
SEEDS = range(150)
"""So many runs may miss a fault before it counts as not found."""
_MISTAKES = re.compile("NameError|TypeError|AttributeError")

FAULTS: list[Fault] = [
    turns.leave_epollout_armed, turns.close_inside_a_batch, lines.say_a_line_twice,
    lines.miscount_what_is_owed, lines.miscount_what_was_skipped, turns.never_wait_for_room,
    turns.ignore_a_hangup_while_paused, turns.take_a_broken_pipe_for_a_full_one,
    turns.measure_time_in_turns, lines.miscount_what_was_delivered, turns.take_a_hangup_for_the_end,
    turns.forget_the_rest_of_an_edge, turns.stop_at_a_short_read, turns.no_pause_without_descriptors,
    turns.leave_an_eof_armed, turns.no_budget_of_sends, turns.no_budget_of_reads, turns.wake_up_late,
    turns.forget_that_the_door_is_shut, turns.end_the_idle_early, turns.wait_for_ever_for_the_slow,
    turns.never_cut, turns.close_without_a_word_to_epoll, endings.forget_to_close, lines.skip_without_a_word,
    turns.let_an_error_escape, endings.keep_the_dead_in_their_room, lines.give_room_lines_out_of_order,
    lines.miscount_what_was_unsent, endings.close_behind_the_farewell, endings.give_up_who_lingers,
    endings.forget_that_nobody_lingers_any_more, endings.let_all_linger,
    endings.never_read_again_who_took_its_answers, endings.keep_every_line,
    endings.keep_the_address_of_the_gone, endings.keep_the_nick_of_the_gone, endings.keep_empty_rooms,
]  # fmt: skip
"""Those that no test below has to itself."""


def found_by(fault: Fault, patch: Patch, seeds: Iterable[int] = SEEDS) -> str:
    """What the first run says that goes wrong; without the fault it goes right."""
    fault(patch)
    for seed in seeds:
        try:
            World(make_plan(seed)).run()
        except Exception as found:
            print(f"{fault.__name__}: seed {seed}: {type(found).__name__}: {str(found)[:150]}")
            patch.undo()
            World(make_plan(seed)).run()
            said = f"{type(found).__name__} {found}"
            return pytest.fail(f"the fault itself is wrong: {said}") if _MISTAKES.search(said) else str(found)
    pytest.fail("no run was wrong")


@pytest.mark.promise("simulation-checks")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_simulation_finds_a_planted_fault(fault: Fault, monkeypatch: Patch) -> None:
    assert found_by(fault, monkeypatch)


@pytest.mark.promise("order-balance")
def test_a_lost_line_on_purpose_turns_the_conservation_check_red(monkeypatch: Patch) -> None:
    assert found_by(lines.lose_a_line_and_its_account, monkeypatch).startswith("owed and replayed")


@pytest.mark.promise("order-balance")
def test_a_lost_line_that_is_counted_as_delivered_turns_it_red_too(monkeypatch: Patch) -> None:
    """The hub's two sides agree then; what the kernels took does not."""
    assert re.match("delivered .* kernels took|.* in place of", found_by(lines.lose_a_line, monkeypatch))


@pytest.mark.promise("close-one-reason")
def test_a_miscounted_close_turns_the_account_of_endings_red(monkeypatch: Patch) -> None:
    assert re.match(r"accepted \d+, open \d+, closed \d+", found_by(lines.miscount_a_close, monkeypatch))


@pytest.mark.promise("turn-timers")
def test_what_timers_keep_of_the_gone_turns_the_bound_of_their_size_red(monkeypatch: Patch) -> None:
    seeds = range(VISITS_EACH - 1, 10 * VISITS_EACH, VISITS_EACH)
    assert re.search(
        r"keeps \d+ entries of", found_by(turns.keep_what_is_left_of_the_gone, monkeypatch, seeds)
    )


@pytest.mark.promise("turn-time-limits")
@pytest.mark.parametrize(
    ("fault", "said"), [(turns.decide_late, "s late as"), (turns.decide_early, "s early as")]
)
def test_a_decision_at_the_wrong_time_turns_the_bound_of_lateness_red(
    fault: Fault, said: str, monkeypatch: Patch
) -> None:
    assert said in found_by(fault, monkeypatch)


@pytest.mark.promise("turn-progress")
def test_a_turn_for_nothing_turns_the_check_of_progress_red(monkeypatch: Patch) -> None:
    assert found_by(turns.turn_once_more_for_nothing, monkeypatch).startswith("two waits of no time")
