"""Make a failing run shorter: leave steps out for as long as it still fails in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.sim.plan import Plan, Step

MOST_RUNS = 1500


def shrink(plan: Plan, failure: Exception, failure_of: Callable[[Plan], Exception | None]) -> Plan:
    """The shortest list of steps that is found by leaving out ever smaller parts (delta debugging)."""
    wanted, runs = _kind(failure), MOST_RUNS
    steps, size = plan.steps, max(1, len(plan.steps) // 2)

    def fails(fewer: list[Step]) -> bool:
        found = failure_of(plan.without(fewer))
        return found is not None and _kind(found) == wanted

    while runs > 0:
        at, before = 0, len(steps)
        while at < len(steps) and runs > 0:
            fewer = steps[:at] + steps[at + size :]
            runs -= 1
            if fails(fewer):
                steps = fewer
            else:
                at += size
        if size == 1 and len(steps) == before:
            break
        size = max(1, size // 2)
    return plan.without(steps)


def _kind(failure: Exception) -> tuple[str, str]:
    """What is alike in two failures of one cause: the words, and not the numbers."""
    return type(failure).__name__, re.sub(r"[^a-z ]+", "", str(failure).lower())[:40]
