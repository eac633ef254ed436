"""What `hubbub client` asks its terminal and its environment."""

import os
from collections.abc import Iterator

import pytest

from hub.cli.screen import TerminalScreen


@pytest.fixture
def terminal_fd(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal of unknown size and kind, whose other side has hung up."""
    monkeypatch.setenv("TERM", "unheard-of")
    fd, terminal_fd = os.openpty()
    os.close(fd)
    yield terminal_fd
    os.close(terminal_fd)


def test_a_terminal_without_a_size_has_eighty_columns(terminal_fd: int) -> None:
    assert TerminalScreen(terminal_fd).show(b"x" * 81) == b"x" * 80 + b"\n    x"


@pytest.mark.parametrize(("name", "rows"), [("ja_JP.UTF-8", 2), ("ru_RU.UTF-8", 1), ("C", 1)])
def test_an_east_asian_locale_counts_ambiguous_as_wide(
    terminal_fd: int, monkeypatch: pytest.MonkeyPatch, name: str, rows: int
) -> None:
    """That of the environment, though it need not be installed here."""
    monkeypatch.setenv("LC_ALL", name)
    assert TerminalScreen(terminal_fd).show(("я" * 41 + "\n").encode()).count(b"\n") == rows


def test_the_last_line_is_ended_once(terminal_fd: int) -> None:
    screen = TerminalScreen(terminal_fd)
    assert [screen.show(b"last"), screen.show(b"", final=True)] == [b"last", b"\n"]
    assert TerminalScreen(terminal_fd).show(b"whole\n", final=True) == b"whole\n"
