"""A terminal on which `hubbub client` shows what strangers say, between what its own person types."""

import os
from typing import Final

from hub.cli.rows import Rows
from hub.cli.visible_text import VisibleText

USUAL_COLUMNS: Final = 80
"""Taken where a terminal does not say its size, as on a serial line."""

# Where terminals may be set to draw what is wide in East Asian fonts only in two columns.
_WIDE_LOCALES: Final = ("ja", "ko", "zh")


class TerminalScreen:
    """Turns bytes from a stranger into what may be written to the terminal that `fd` is open on."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._visible = VisibleText()
        self._rows = Rows(ambiguous=2 if _wanted_locale().startswith(_WIDE_LOCALES) else 1)
        self._erase = _erase_sequence(fd)

    def show(self, data: bytes, *, final: bool = False) -> bytes:
        """What to write for `data`. With `final` the last line is ended, so that another can follow."""
        columns = self._columns()
        text = self._visible.feed(data, final=final)
        fresh = self._fresh_row(columns) if (text or final) and not self._rows.column else ""
        shown = fresh + self._rows.feed(text, columns)
        return (f"{shown}\n" if final and self._rows.column else shown).encode()

    def _columns(self) -> int:
        """How wide the window is now; looking each time takes a microsecond and needs no SIGWINCH."""
        try:
            return os.get_terminal_size(self._fd).columns or USUAL_COLUMNS
        except OSError:  # The terminal hung up, as the next write will tell.
            return USUAL_COLUMNS

    def _fresh_row(self, columns: int) -> str:
        """Go to the start of an empty row, wherever the echo of typed characters has put the cursor.

        In column 0 so many blanks fill the row, and the cursor stays in it; elsewhere the cursor comes to the
        next row, and what was typed stays in view. CR and the erasing leave an empty row either way.
        """
        return "" if self._erase is None else f"{' ' * columns}\r{self._erase}"


def _wanted_locale() -> str:
    """The locale of characters, locale(7). That of the process is another one where this is not installed."""
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    return next((value for name in names if (value := os.environ.get(name))), "")


def _erase_sequence(fd: int) -> str | None:
    """What erases the rest of a row (terminfo(5), el), or None where no row is filled without a line feed.

    None also where the terminal is not known.
    """
    try:
        import curses  # Not every build of Python has it.
    except ImportError:
        return None
    try:
        curses.setupterm(fd=fd)
    except curses.error:
        return None
    erase = curses.tigetstr("el")
    if erase is None or not curses.tigetflag("am") or not curses.tigetflag("xenl"):
        return None
    return erase.partition(b"$<")[0].decode()  # A padding time may follow.
