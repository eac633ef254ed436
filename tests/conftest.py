"""What holds for every test: their order, and how examples are made up and from which seed.

The order is a new one each run (pytest-randomly), but those of the page stay together: they share one
browser, and it has to be gone before others run event loops of their own.

The quick tests of hypothesis try the same examples each time, so that a
change that breaks nothing sees nothing break; those that draw by themselves print their seed.
What is marked long tries others each time; the seed stands in the first lines of the run, and FUZZ_SEED=N
makes the same ones again. HYPOTHESIS_PROFILE=long does that to the quick tests as well.

What tests measured (`record_property`) is printed at the end of the run.
"""

import os
import random
import signal
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import HealthCheck, settings

from hub import BUILD
from tests import figures

# In the environment, because workers of pytest-xdist are processes of their own.
SEED = int(os.environ.setdefault("FUZZ_SEED", str(random.SystemRandom().randrange(1 << 32))))

# How long an example takes says nothing on a machine that is shared.
SLOW = [HealthCheck.too_slow]
settings.register_profile("quick", deadline=None, suppress_health_check=SLOW, derandomize=True)
settings.register_profile("long", deadline=None, suppress_health_check=SLOW, print_blob=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """--slice."""
    parser.addoption("--slice", type=slice_of, help="N/M: the Nth of M parts of what was selected")


def slice_of(text: str) -> tuple[int, int]:
    """`2/4` is (2, 4). Raises UsageError."""
    number, _, parts = text.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise pytest.UsageError(f"--slice: {text!r}: a part such as 1/4 to 4/4")
    return int(number), int(parts)


def pytest_configure() -> None:
    """Refuse to test another build than the one that was asked for.

    A script that starts tests in the background ignores SIGINT, and so would all children: no Ctrl-C.
    """
    wanted = os.environ.get("TESTED_BUILD", "pure")
    if wanted != BUILD:
        raise pytest.UsageError(f"TESTED_BUILD: {wanted}: these packages are {BUILD}")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    """The seed of the run, which repeats it."""
    return f"fuzz seed: {SEED} (FUZZ_SEED={SEED} repeats it)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of the run."""
    found = list(figures.lines(chain.from_iterable(terminalreporter.stats.values())))
    if found:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(found))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """After everybody else has had their say, the shuffling too."""
    yield
    items.sort(key=lambda item: not item.nodeid.startswith("tests/page/"))
    if config.option.slice:
        number, parts = config.option.slice
        mine = set(sorted(item.nodeid for item in items)[number - 1 :: parts])
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in mine])
        items[:] = [item for item in items if item.nodeid in mine]
