"""The order of the tests: a new one each run (pytest-randomly), but those of the page stay together.

They share one browser, and it has to be gone before others run event loops of their own.
"""

from collections.abc import Iterator

import pytest


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """After everybody else has had their say, the shuffling too."""
    yield
    items.sort(key=lambda item: not item.nodeid.startswith("tests/page/"))
