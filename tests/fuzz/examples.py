"""Where the made-up input of these tests comes from: the same each time, but for the tests marked long."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import seed, settings

from tests.conftest import SEED

Test = Callable[..., Any]
QUICK_SEED = 20


def quick_and_long(quick: int, long: int) -> pytest.MarkDecorator:
    """`examples` makes a test try so many; the long ones are from this run's seed, which is printed."""

    def many(test: Test) -> Test:
        return seed(SEED)(settings(settings.get_profile("long"), max_examples=long)(test))

    marks = [pytest.mark.long, pytest.mark.timeout(600)]
    few = pytest.param(settings(max_examples=quick), id="quick")
    return pytest.mark.parametrize("examples", [few, pytest.param(many, id="long", marks=marks)])


def split(data: bytes, step: int) -> list[bytes]:
    """In pieces of `step` bytes each; 0 leaves it whole."""
    return [data[at : at + step] for at in range(0, len(data), step)] if step else [data]
