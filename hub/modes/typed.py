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
_NO_CONTROL: Final = r"[^\x00-\x1f\x7f-\x9f]"
_KEY: Final = (
    r"\x1b\[M[ -#][!-.0-~]{2}"  # A mouse button, as xterm reports it at first.
    r"|(?:\x1b\[|\x9b)(?:\[[0-?]*+[@-~]|[0-?]*+(?:[!-.]*+[@-~]|\$))"  # CSI; F1 of a console; rxvt's $.
    r"|(?:\x1bO|\x8f)[0-?]*+[@-~]|(?:\x1bN|\x8e)[!-.0-~]"  # SS3 and SS2
    rf"|(?:\x1b[]PX^_]|[\x9d\x90\x98\x9e\x9f]){_NO_CONTROL}*+(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC
)
"""What a terminal sends for a key, a paste, or as an answer (ECMA-48, section 5; ctlseqs of xterm).

No part is looked at twice, so the cost is linear. Neither blank nor slash is an intermediate byte here: no
terminal sends those, and people do.
"""
_KEYS: Final = re.compile(_KEY)
_KEY_OR_CHARACTER: Final = re.compile(f"{_KEY}|.", re.DOTALL)
_LEAD: Final = re.compile(
    rf"(?:{_KEY}"
    r"|\x1b[!-.]*+[0-~](?=.)"  # ESC and a letter, as of Alt; at the end somebody may mean the letter.
    rf"|[{_BLANKS}{UNSEEN}\ufffd])++",  # U+FFFD: what was no UTF-8.
    re.DOTALL,
)
_UNSEEN_ALONE: Final = frozenset(("Mn", "Mc", "Me", "Cc", "Cf", "Cs"))
"""Not Co and Cn: a private character or a new emoji is drawn, be it as a box."""
_JOINER: Final = "\N{ZERO WIDTH JOINER}"


def erase(text: str) -> str:
    """The text as its Backspaces (BS, DEL) leave it: each takes back one character with its marks.

    An emoji that joiners make of several is one character, and so is what a key sent. At the beginning there
    is nothing to take back.
    Each character is kept once and taken back once, so the cost is linear.
    """
    if "\b" not in text and "\x7f" not in text:
        return text
    kept: list[str] = []
    for char in _KEY_OR_CHARACTER.findall(text):
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
        elif category(text[at]) in _UNSEEN_ALONE:
            at += 1
        else:
            break
    return at


def without_keys(command: str) -> str:
    """The command without what keys sent, as a terminal brackets a paste, or an arrow behind it."""
    return _KEYS.sub("", command)


def has_blank(lead: str) -> bool:
    """Whether a person who looks at this lead sees that something is there."""
    return _BLANK.search(without_keys(lead)) is not None


def _is_mark(char: str) -> bool:
    """Whether the character belongs to the one before it: marks, joiners, selectors, tags, skin tones."""
    if len(char) > 1:
        return False
    return category(char)[0] == "M" or category(char) == "Cf" or "\U0001f3fb" <= char <= "\U0001f3ff"
