"""Text of strangers for a person's terminal: what draws nothing or moves text is shown by its name.

A control character comes out as `^[` or `<U+009B>`, an invisible one as `<U+200B>`, a byte that is not UTF-8
as `\\xff`. An invisible character that a script or an emoji needs passes where it is needed: directly behind
a character that can carry it (a joiner behind a Persian letter, a variation selector behind a heart). So
ordinary text of any script comes out unchanged, and hidden characters never stand in a row.
"""

import codecs
import re
import unicodedata
from typing import Final

from hub.modes.sanitize import UNSEEN

_SEEN: Final = f"(?<![{UNSEEN}])"
"""Directly behind something that is seen: not at the start of a line, nor behind another hidden character."""

# The flag of a region, say of Scotland, is a black flag and letters of the tag block (UTS 51, annex C).
_FLAG: Final = ("\U0001f3f4", "[\U000e0030-\U000e0039\U000e0061-\U000e007a]", "\U000e007f")

_NEEDED: Final = "|".join(
    (
        f"{_FLAG[0]}{_FLAG[1]}{{3,6}}{_FLAG[2]}",
        # A soft hyphen behind a letter or mark; a direction mark behind anything that is seen.
        f"(?<=[A-Za-z\xc0-\U0010ffff]){_SEEN}\xad",
        f"{_SEEN}[\u061c\u200e\u200f]",
        # Joiners and variation selectors, from Hebrew on; U+FE0F also in keycaps and behind two signs of law.
        f"(?<=[\u0590-\U0010ffff]){_SEEN}"
        "[\u034f\u1160\u180b-\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]",
        "(?<=[#*0-9\xa9\xae])[\ufe0e\ufe0f]",
        "(?<=[\xa9\xae\u0590-\U0010ffff]\ufe0f)\u200d",
        # Scripts without blanks between words mark where a line may break: Thai to Burmese, Khmer and others.
        f"(?<=[\u0e00-\u109f\u1780-\u17ff\u1950-\u1aaf\ua9e0-\uaadf]){_SEEN}\u200b",
    )
)
_HIDDEN: Final = re.compile(f"[{UNSEEN}](?<!\n)")
_PARTS: Final = re.compile(f"({_NEEDED})|{_HIDDEN.pattern}")
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_FIRST_OF_LINE: Final = re.compile("\n([\u0300-\U0010ffff])")

# What only the next characters decide. A held CR costs nothing to see: at the most it is named later.
_UNDECIDED: Final = re.compile(f"(?:\r|{_FLAG[0]}{_FLAG[1]}{{0,6}})\\Z")
_UNDECIDED_LENGTH: Final = 7
_CONTEXT_LENGTH: Final = 2
"""How many characters before the first one of `_PARTS` a look behind may read."""


class VisibleText:
    """Makes bytes from a stranger safe for a UTF-8 terminal, the same however the stream is cut.

    What comes out has no control character but TAB and LF. CR directly before LF is part of the line end and
    left out; any other CR is `^M`.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""
        self._context = "\n" * _CONTEXT_LENGTH

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """What to show for `data`. What was cut in two waits for its rest, until `final`."""
        text = self._held + self._decoder.decode(data, final)
        held = None if final else _UNDECIDED.search(text, max(0, len(text) - _UNDECIDED_LENGTH))
        self._held = held[0] if held else ""
        text = text[: len(text) - len(self._held)].replace("\r\n", "\n")
        before, self._context = self._context, (self._context + text)[-_CONTEXT_LENGTH:]
        if text.isascii():
            return _CONTROLS.sub(lambda part: name(part[0]), text)
        if _HIDDEN.search(text):
            text = _PARTS.sub(_shown, before + text)[_CONTEXT_LENGTH:]
        return _FIRST_OF_LINE.sub(_first_shown, before[-1] + text)[1:]


def _shown(part: re.Match[str]) -> str:
    return part[0] if part[1] or part.start() < _CONTEXT_LENGTH else name(part[0])


def _first_shown(part: re.Match[str]) -> str:
    """The first character of a line. A mark has nothing to stand on there."""
    return f"\n{name(part[1])}" if is_mark(part[1]) else part[0]


def name(char: str) -> str:
    """A character that is not drawn by itself, in ASCII."""
    code = ord(char)
    return f"^{chr(code ^ 0x40)}" if code < 0x80 else f"<U+{code:04X}>"


def is_mark(char: str) -> bool:
    """Whether a character is drawn upon the one before it."""
    return unicodedata.category(char).startswith("M")
