"""What a client typed, before it is taken as a command or as something to say.

Terminals in character mode send what their keys mean: a Backspace comes as BS or DEL, behind the character
that it takes back. Editors, shells and keyboards put characters before a line that the person who typed it
does not see: a byte order mark, a direction mark, NUL bytes, the sequence of an arrow key. None of these may
turn a command into speech. So what stands before a slash is a lead, and counts for nothing.
"""

import re
from typing import Final
from unicodedata import category

from hub.modes.sanitize import UNSEEN

_ERASERS: Final = ("\b", "\x7f")
_BLANKS: Final = "\t \xa0\u1680\u2000-\u200a\u202f\u205f\u3000\u2800"
"""TAB, every space separator (Zs), and the braille pattern without a dot."""
_BLANK: Final = re.compile(f"[{_BLANKS}]")
_LEAD: Final = re.compile(
    r"(?:(?:\x1b\[|\x9b)[0-?]*[@-~]|\x1bO[@-~]"  # A key: CSI (ECMA-48), or SS3 in application mode.
    rf"|[{_BLANKS}{UNSEEN}\ufffd])+"  # U+FFFD: what was no UTF-8.
)
_JOINER: Final = "\N{ZERO WIDTH JOINER}"


def erase(text: str) -> str:
    """The text as its Backspaces (BS, DEL) leave it: each takes back one character with its marks.

    An emoji that joiners make of several is one character. At the beginning there is nothing to take back.
    Each character is kept once and taken back once, so the cost is linear.
    """
    if "\b" not in text and "\x7f" not in text:
        return text
    kept: list[str] = []
    for char in text:
        if char not in _ERASERS:
            kept.append(char)
            continue
        while kept and (_is_mark(kept.pop()) or (kept and kept[-1] == _JOINER)):
            pass
    return "".join(kept)


def lead_of(text: str) -> int:
    """How many characters stand before the first that a person would see and mean.

    Blanks, what draws nothing, the sequences of keys, and marks that have no character to stand on.
    """
    at = 0
    while at < len(text):
        if found := _LEAD.match(text, at):
            at = found.end()
        elif category(text[at])[0] in "CM":
            at += 1
        else:
            break
    return at


def has_blank(lead: str) -> bool:
    """Whether a person who looks at this lead sees that something is there."""
    return _BLANK.search(lead) is not None


def _is_mark(char: str) -> bool:
    """Whether the character belongs to the one before it: marks, joiners, selectors, tags, skin tones."""
    return category(char)[0] == "M" or category(char) == "Cf" or "\U0001f3fb" <= char <= "\U0001f3ff"
