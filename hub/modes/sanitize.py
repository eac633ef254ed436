"""What may reach another person's terminal, a log or a page, and which names a person or a room may have.

A terminal obeys what it is shown: an escape sequence sets its title, clears it or types into it, a
carriage return lets one client write over another's line, a direction override turns a line round. So
every such character becomes U+FFFD, visibly: the reader sees that something was there. Nothing is taken
out silently, and ordinary text of any script passes unchanged, with the joiners, variation selectors and
direction marks (ZWJ, ZWNJ, LRM, RLM) that it cannot be written without.

A compiled character class does the replacing. `str.translate` with a table of the same characters gives
the same answer and costs five to seven times as much for text beyond ASCII (10 us against 1.4 us for 80
characters), because a table is asked about each character, and answers most of them with an exception.
"""

import re
import unicodedata
from typing import Final

NAME_LENGTH: Final = 32
"""The most characters (code points after NFKC) that a nick or the name of a room may have."""

_NOT_PLAIN: Final = re.compile(rb"[^\t -~]")

_FORBIDDEN: Final = re.compile(
    "["
    "\x00-\x08\x0a-\x1f"  # C0 with ESC, without TAB
    "\x7f-\x9f"  # DEL and C1: to many a terminal U+009B is ESC [, and U+0085 a line end
    "\u2028\u2029"  # line and paragraph separator: line ends to logs and to JavaScript
    "\u202a-\u202e\u2066-\u2069"  # direction embeddings, overrides and isolates (UAX #9)
    r"\ud800-\udfff"  # lone surrogates, which UTF-8 cannot carry (RFC 3629, section 3)
    "\ufffe\uffff"  # a byte order mark the wrong way round, and what many programs take for "no character"
    "\U000e0000-\U000e007f"  # tags: ASCII that nobody sees
    "]"
)

_NAME_CATEGORIES: Final = frozenset({"Ll", "Lu", "Lt", "Lo", "Lm", "Mn", "Mc", "Nd"})
_LOOK_ALIKE_SCRIPTS: Final = frozenset({"LATIN", "GREEK", "CYRILLIC"})
_THREE_MARKS: Final = 3 * "Mn"

# Letters and marks by category that draw nothing, so that two names would look like one. (Joiners, spaces
# and direction marks are neither letters nor marks, and so refused already.)
_INVISIBLE: Final = re.compile(
    "["
    "\u034f"  # combining grapheme joiner
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers
    "\u17b4\u17b5"  # Khmer inherent vowels
    "\u180b-\u180d\u180f"  # Mongolian variation selectors
    "\ufe00-\ufe0f\U000e0100-\U000e01ef"  # variation selectors
    "\u2d7f\U0001107f\U00016fe4"  # Tifinagh and Brahmi joiner, Khitan filler
    "]"
)

# NFKC shrinks a text at most to a quarter of its length (a Greek letter with three marks becomes one
# character), and its cost grows with the square of a run of marks: what is longer is not even normalised.
_RAW_NAME_LENGTH: Final = 4 * NAME_LENGTH


class NameRefused(ValueError):
    """A name that nobody may have. The message is one sentence for the user, without the name in it."""


def clean(line: bytes) -> bytes:
    """The content of a line, without its end, as valid UTF-8 that no terminal obeys.

    Printable ASCII and TAB come back as the same object. Anything else may grow, at most threefold: a
    forbidden character and each maximal wrong part of invalid UTF-8 (Unicode 3.9, "U+FFFD Substitution
    of Maximal Subparts") become one U+FFFD, which takes three bytes.
    """
    if _NOT_PLAIN.search(line) is None:
        return line
    return clean_text(line.decode(errors="replace")).encode()


def clean_text(text: str) -> str:
    """The same for text: as many characters as before, each forbidden one as U+FFFD; encodable as UTF-8."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def check_name(text: str, what: str) -> str:
    """The name in the form (NFKC) in which it is shown, or NameRefused with what is allowed.

    `what` says what the name is for, "nick" or "room", and stands in the message. The repertoire is the
    letters and digits of RFC 8264 (PRECIS), section 9.1, with `-_.`, less what draws nothing. Latin, Greek
    and Cyrillic share many shapes, so one name takes letters from one of them. Two whole words that look
    alike in two scripts remain two names: to know them takes the tables of UTS #39.
    """
    name = unicodedata.normalize("NFKC", text) if may_be_name(text) else ""
    if not 1 <= len(name) <= NAME_LENGTH:
        raise NameRefused(f"a {what} has 1 to {NAME_LENGTH} characters: letters, digits, and any of - _ .")
    others = {unicodedata.category(char) for char in name if char not in "-_."} - _NAME_CATEGORIES
    if others or _INVISIBLE.search(text):
        allowed = "only visible letters, marks and digits of any script, and any of - _ ."
        raise NameRefused(f"a {what} has {allowed}")
    categories = [unicodedata.category(char) for char in name]
    if categories[0][0] not in "LN":
        raise NameRefused(f"a {what} begins with a letter or a digit")
    if _THREE_MARKS in "".join(categories):
        raise NameRefused(f"a {what} has at most two combining marks in a row")
    first_words = {unicodedata.name(char, "").partition(" ")[0] for char in name}  # LATIN, and the like
    if len(_LOOK_ALIKE_SCRIPTS & first_words) > 1:
        raise NameRefused(f"a {what} has letters from only one of Latin, Greek and Cyrillic")
    return name


def may_be_name(text: str) -> bool:
    """Whether this is short enough to be looked at: the cost of `name_key` grows with its square."""
    return len(text) <= _RAW_NAME_LENGTH


def name_key(name: str) -> str:
    """What must be unique among names: the same for all spellings that differ in case or in encoding.

    NFKC, case folding, and NFKC again because folding can undo the first (Unicode 3.13, "Default Caseless
    Matching"). The key is for comparing, never for showing, and may be longer than the name.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)
