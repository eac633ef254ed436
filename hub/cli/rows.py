"""Lines of strangers as rows of a terminal: only the first row of a line begins where names begin.

A terminal breaks a long line at its last column, so the sender of a line could choose what the next row
begins with: `<ann> ` or `* `. Therefore the client breaks lines itself, and each further row begins with
blanks.

For that the client must know how many columns a text takes at most. Terminals do not agree (marks, joined
emoji, flags, characters younger than the terminal), so the largest of their answers is counted: a row that
was counted too long ends a little early, and nothing else happens. The largest answer needs no table of
widths but that of `unicodedata`; packages such as wcwidth know the usual answer, which is 0 for a mark that
the Linux console gives a column.
"""

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache, partial
from itertools import accumulate
from typing import Final

from hub.cli.visible_text import is_mark

TAB_COLUMNS: Final = 8
FEWEST_COLUMNS: Final = 3
"""A blank and the widest character. What is narrower breaks rows as it likes."""
INDENT, NARROW_INDENT, NARROW_COLUMNS = 4, 1, 24

_ALWAYS_WIDE: Final = re.compile("[\u1160-\u11ff\u3248-\u324f\ud7b0-\ud7fb]")
_MAYBE_WIDE: Final = frozenset({"So", "Sm", "Sk", "Sc", "No", "Cn"})


def most_columns(char: str, ambiguous: int) -> int:
    """The most columns that a terminal gives to a character: 1 or 2 (Unicode Standard Annex 11).

    `ambiguous` is what a terminal gives to those that are wide in East Asian fonts only, such as Cyrillic
    letters. Nothing else before the Hangul letters (U+1100) is wide. Behind them neutral symbols and numerals
    may be wide to a newer terminal, and unassigned characters as well. Measured by cursor reports: xterm,
    urxvt, tmux and others give two columns to the ambiguous U+3248 to U+324F, Konsole to each Hangul vowel.
    """
    width = unicodedata.east_asian_width(char)
    if _ALWAYS_WIDE.match(char):
        return 2
    if width == "A":
        return ambiguous
    if char < "\u1100" or width in {"Na", "H"}:
        return 1
    return 2 if width in {"W", "F"} or unicodedata.category(char) in _MAYBE_WIDE else 1


def _is_joined(text: str, at: int) -> bool:
    """Whether a character is drawn as one with that before it, about as in Unicode Standard Annex 29."""
    char = text[at]
    return not char.isascii() and (
        is_mark(char)
        or unicodedata.category(char) == "Cf"
        or "\N{EMOJI MODIFIER FITZPATRICK TYPE-1-2}" <= char <= "\N{EMOJI MODIFIER FITZPATRICK TYPE-6}"
        or text[at - 1] == "\N{ZERO WIDTH JOINER}"
    )


class Rows:
    """Breaks visible text into rows of a window that may change its width.

    The work is linear in the text, and nothing of it is kept.
    """

    def __init__(self, *, ambiguous: int = 1) -> None:
        self.column = 0
        """Where the unfinished line ends, at most; 0 between lines."""
        self._columns = self._indent = 0
        self._most_columns = lru_cache(4096)(partial(most_columns, ambiguous=ambiguous))
        self._maybe_wide = re.compile("[\u1100-\U0010ffff]" if ambiguous == 1 else "[^\0-~]")

    def feed(self, text: str, columns: int) -> str:
        """`text`, which has no control character but TAB and LF, for a window that is `columns` wide.

        A line that is unfinished when the width changes goes on in a new row, because nobody knows how the
        terminal rearranged it.
        """
        columns = max(columns, FEWEST_COLUMNS)
        if columns != self._columns:
            self._columns = columns
            self._indent = INDENT if columns >= NARROW_COLUMNS else NARROW_INDENT
            self.column = columns if self.column else 0
        lines = text.split("\n")
        if "\t" not in text and self._is_narrow(text) and self.column + max(map(len, lines)) <= columns:
            self.column = len(lines[-1]) + (self.column if len(lines) == 1 else 0)
            return text
        shown = [self._line(lines[0])]
        for line in lines[1:]:
            self.column = 0
            shown.append(self._line(line))
        return "\n".join(shown)

    def _line(self, line: str) -> str:
        """The rest or the whole of a line, with blanks for a TAB."""
        if "\t" in line:
            line = self._without_tabs(line)
        columns = self._columns_of(line)
        if self.column + columns > self._columns:
            return self._broken(line)
        self.column += columns
        return line

    def _without_tabs(self, line: str) -> str:
        first, *others = line.split("\t")
        column = self.column + self._columns_of(first)
        parts = [first]
        for part in others:
            parts += " " * (TAB_COLUMNS - column % TAB_COLUMNS), part
            column = self._columns_of(part)
        return "".join(parts)

    def _broken(self, text: str) -> str:
        """Cut where each row is full, not through what is drawn as one unless no row can hold it."""
        narrow = self._is_narrow(text)
        ends = range(1, len(text) + 1) if narrow else [*accumulate(map(self._most_columns, text))]
        full = self._columns - self._indent
        rows, start, taken, room = [], 0, 0, self._columns - self.column
        while ends[-1] - taken > room:
            most = end = bisect_right(ends, taken + room, start)
            while end > start and _is_joined(text, end):
                end -= 1
            if end == start and room >= full:
                end = most
            rows.append(text[start:end])
            start, taken, room = end, ends[end - 1] if end else 0, full
        self.column = self._indent + ends[-1] - taken
        return f"\n{' ' * self._indent}".join((*rows, text[start:]))

    def _columns_of(self, text: str) -> int:
        return len(text) if self._is_narrow(text) else sum(map(self._most_columns, text))

    def _is_narrow(self, text: str) -> bool:
        """Whether each character takes one column: the quick answer for most of what is shown."""
        return text.isascii() or self._maybe_wide.search(text) is None
