"""The command in the process of the test, up to where a hub would begin to run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from hub.cli import main
from hub.config.settings import Settings


class Said(NamedTuple):
    """What came out of a command, and what a hub would have run with."""

    code: int
    out: str
    err: str
    settings: Settings | None


Hubbub = Callable[..., Said]


@pytest.fixture(autouse=True)
def _no_settings_of_the_person_who_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HUBBUB_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def hubbub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Hubbub:
    """`hubbub ARGUMENTS` in an empty directory, with these variables and no others."""
    ran: list[Settings] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "_serve", lambda settings, company: ran.append(settings))

    def call(*arguments: str, **variables: str) -> Said:
        ran.clear()
        code = main.run(arguments, variables)
        return Said(code, *capfd.readouterr(), ran[0] if ran else None)

    return call
