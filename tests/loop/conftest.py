"""What holds for every simulated hub of these tests, as for the others: its books balance."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sim.stage import Stage


@pytest.fixture(autouse=True)
def books(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Promise 6 of all stages, at the end of the test."""
    made, begin = list[Stage](), Stage.__init__

    def noted(stage: Stage, **options: Any) -> None:
        begin(stage, **options)
        made.append(stage)

    monkeypatch.setattr(Stage, "__init__", noted)
    yield
    assert all(stage.balances() for stage in made)
