"""Where the made-up input of these tests comes from: one seed for what is random, and how much of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hypothesis import seed, settings

from tests.conftest import SEED

Test = Callable[..., Any]
QUICK_SEED = 20


def quick_random() -> random.Random:
    """The same numbers in every run."""
    return random.Random(QUICK_SEED)


def long_random() -> random.Random:
    """Other numbers in every run; the seed is printed."""
    print(f"FUZZ_SEED={SEED}")
    return random.Random(SEED)


def many(examples: int) -> Callable[[Test], Test]:
    """So many examples from this run's seed, which is printed: for tests that are marked long."""

    def decorate(test: Test) -> Test:
        return seed(SEED)(settings(settings.get_profile("long"), max_examples=examples)(test))

    return decorate


def split(data: bytes, step: int) -> list[bytes]:
    """In pieces of `step` bytes each; 0 leaves it whole."""
    return [data[at : at + step] for at in range(0, len(data), step)] if step else [data]
