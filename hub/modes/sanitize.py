"""What may reach another person's terminal, a log or a page, and which names a person or a room may have.

A terminal obeys what it is shown: an escape sequence sets its title, clears it or types into it, a
carriage return lets one client write over another's line, a direction override turns a line round. Other
characters draw nothing, so that a reader does not see what is there. So every such character becomes U+FFFD,
visibly. Nothing is taken out silently, and ordinary text of any script passes unchanged, with the joiners,
variation selectors, hyphenation and direction marks that it cannot be written without, inside a line.

What draws nothing is the property Default_Ignorable_Code_Point (UAX #44, DerivedCoreProperties.txt), which
`unicodedata` does not have: its ranges are below. They hold unassigned code points too, so later versions of
Unicode change them hardly ever; a test derives them anew from the categories that `unicodedata` has.

A compiled character class does the replacing. `str.translate` with a table of the same characters gives
the same answer and costs five to seven times as much for text beyond ASCII (10 us against 1.4 us for 80
characters), because a table is asked about each character, and answers most of them with an exception.
"""

import re
from typing import Final
from unicodedata import category, normalize
from unicodedata import name as name_of

NAME_LENGTH: Final = 32
"""The most characters (code points after NFKC) that a nick or the name of a room may have."""

MARKS_IN_A_ROW: Final = 8
"""So many characters in a row may take no place of their own: no language stacks more marks, and a long
stack is drawn over the lines of others."""

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_PLAIN: Final = bytes([0x09, *range(0x20, 0x7F)])

_CONTROLS: Final = (
    "\x00-\x08\x0a-\x1f"  # C0 with ESC, without TAB
    "\x7f-\x9f"  # DEL and C1: to many a terminal U+009B is ESC [, and U+0085 a line end
    "\u2028\u2029"  # line and paragraph separator: line ends to logs and to JavaScript
    r"\ud800-\udfff"  # lone surrogates, which UTF-8 cannot carry (RFC 3629, section 3)
    "\ufff9-\ufffc"  # interlinear annotation, and the place of an object that no line has
    "\U0001d159"  # a note head that is not drawn
    "\ufffe\uffff"  # a byte order mark the wrong way round, and what many programs take for "no character"
)
_IGNORABLE: Final = (  # Default_Ignorable_Code_Point
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_NEEDED: Final = (  # Those that text is written with: they pass inside a line.
    "\u00ad\u034f"  # soft hyphen, combining grapheme joiner
    "\u061c\u200e\u200f"  # direction marks (UAX #9)
    "\u200c\u200d"  # joiners: Persian, Indic scripts, emoji
    "\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # variation selectors, Mongolian vowel separator
)
_NO_BLANKS: Final = (  # Scripts without blanks between words, UAX #14 class SA: U+200B marks their borders.
    "\u0e01-\u0edf\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aad\ua9e0-\ua9fe\uaa60-\uaadf"
    "\U00011700-\U00011746"
)
UNSEEN: Final = _CONTROLS + _IGNORABLE
"""What is obeyed or draws nothing, for a character class."""
_UNSEEN: Final = re.compile(f"[{UNSEEN}{_REPLACEMENT}]")
_FORBIDDEN: Final = (  # A class first, and its conditions behind it: so the search skips at full speed.
    f"[{UNSEEN}](?:(?<![{_NEEDED}\u200b])|(?<=\\A.)|(?<=\u200b)(?<![{_NO_BLANKS}].)(?![{_NO_BLANKS}]))"
)
_FORBIDDEN_ALONE: Final = re.compile(_FORBIDDEN, re.DOTALL)

_FLAG: Final = "\N{WAVING BLACK FLAG}"
# Flags of regions: tags, which nobody sees, between this base and U+E007F (UTS #51, ED-14a). The longest
# code of a region has 7 characters (UTS #35, unicode_subdivision_id).
_FORBIDDEN_OR_FLAG: Final = re.compile(
    f"({_FLAG}[\U000e0020-\U000e007e]{{1,7}}\U000e007f)|{_FORBIDDEN}", re.DOTALL
)

# The blocks with marks (Mn, Me) and format characters (Cf), less what most text is written with. A mark is no
# word character. So only a run like this, hardly ever met, is looked at one by one.
_MARKED: Final = (
    "\xad\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0600-\u061c\u064b-\u0670\u06d6-\u06ed\u070f-\u1dff\u200c-\u200f"
    "\u20d0-\u20f0\u2cef-\u2dff\u302a-\u302f\u3099\u309a\ua66f-\ua6f1\ua802-\uabed\ufb1e\ufe00-\ufe2f\U000101fd-\U00011fff"
    "\U00013430-\U00016fe4\U0001bc9d-\U0001d3ff\U0001da00-\U0001e94a\U000e0100-\U000e01ef"
)
_MAY_PILE_UP: Final = re.compile(
    rf"[{_MARKED}](?<!\w)(?:[{_MARKED}](?<!\w)){{{MARKS_IN_A_ROW},}}"  # A class first, as above.
)

_NAME_CATEGORIES: Final = frozenset({"Ll", "Lu", "Lt", "Lo", "Lm", "Mn", "Mc", "Nd"})
_NO_PLACE: Final = frozenset({"Mn", "Me", "Cf"})
_LOOK_ALIKE_SCRIPTS: Final = frozenset({"LATIN", "GREEK", "CYRILLIC"})
_THREE_MARKS: Final = 3 * "Mn"

# Not ignorable, and drawing nothing: Tifinagh and Brahmi joiner, Khitan filler.
_INVISIBLE: Final = re.compile(f"[{_IGNORABLE}\u2d7f\U0001107f\U00016fe4]")

# NFKC shrinks a text at most to a quarter of its length (a Greek letter with three marks becomes one
# character), and its cost grows with the square of a run of marks: what is longer is not even normalised.
_RAW_NAME_LENGTH: Final = 4 * NAME_LENGTH


class NameRefused(ValueError):
    """A name that nobody may have. The message is one sentence for the user, without the name in it."""


def is_plain(line: bytes) -> bool:
    """Whether this is printable ASCII and TAB only, so that nothing is to be cleaned."""
    return not line.translate(None, _PLAIN)  # Deleting is as fast as a regex for 8 bytes, and 10 x for 1,000.


def clean(line: bytes) -> bytes:
    """The content of a line, without its end, as valid UTF-8 that no terminal obeys.

    A plain line comes back as the same object. Anything else may grow, at most threefold: a forbidden
    character and each maximal wrong part of invalid UTF-8 (Unicode 3.9, "U+FFFD Substitution of Maximal
    Subparts") become one U+FFFD, which takes three bytes.
    """
    if is_plain(line):
        return line
    return clean_text(line.decode(errors="replace")).encode()


def clean_text(text: str) -> str:
    """The same for text: as many characters as before, each forbidden one as U+FFFD; encodable as UTF-8."""
    if _FLAG in text:
        text = _FORBIDDEN_OR_FLAG.sub(lambda found: found[1] or _REPLACEMENT, text)
    else:
        text = _FORBIDDEN_ALONE.sub(_REPLACEMENT, text)
    return _MAY_PILE_UP.sub(lambda found: _thinned(found[0]), text)


def without_unseen(word: str) -> str:
    """A cleaned word of a command without what draws nothing or was replaced: nobody meant to type that."""
    return _UNSEEN.sub("", word)


def _thinned(run: str) -> str:
    """At most MARKS_IN_A_ROW marks, joiners and the like; those beyond as U+FFFD."""
    shown, in_a_row = [], 0
    for char in run:
        in_a_row = in_a_row + 1 if category(char) in _NO_PLACE else 0
        shown.append(char if in_a_row <= MARKS_IN_A_ROW else _REPLACEMENT)
    return "".join(shown)


def check_name(text: str, what: str) -> str:
    """The name in the form (NFKC) in which it is shown, or NameRefused with what is allowed.

    `what` says what the name is for, "nick" or "room", and stands in the message. The repertoire is the
    letters and digits of RFC 8264 (PRECIS), section 9.1, with `-_.`, less what draws nothing. Latin, Greek
    and Cyrillic share many shapes, so one name takes letters from one of them. Two whole words that look
    alike in two scripts remain two names: to know them takes the tables of UTS #39.
    """
    name = normalize("NFKC", text) if may_be_name(text) else ""
    if not 1 <= len(name) <= NAME_LENGTH:
        raise NameRefused(f"a {what} has 1 to {NAME_LENGTH} characters: letters, digits, and any of - _ .")
    others = {category(char) for char in name if char not in "-_."} - _NAME_CATEGORIES
    if others or _INVISIBLE.search(text):
        allowed = "only visible letters, marks and digits of any script, and any of - _ ."
        raise NameRefused(f"a {what} has {allowed}")
    categories = [category(char) for char in name]
    if categories[0][0] not in "LN":
        raise NameRefused(f"a {what} begins with a letter or a digit")
    if _THREE_MARKS in "".join(categories):
        raise NameRefused(f"a {what} has at most two combining marks in a row")
    first_words = {name_of(char, "").partition(" ")[0] for char in name}  # LATIN, and the like
    if len(_LOOK_ALIKE_SCRIPTS & first_words) > 1:
        raise NameRefused(f"a {what} has letters from only one of Latin, Greek and Cyrillic")
    return name


def is_name(text: str) -> bool:
    """Whether this is a name of a person or a room, as it is shown."""
    try:
        return check_name(text, "name") == text
    except NameRefused:
        return False


def may_be_name(text: str) -> bool:
    """Whether this is short enough to be looked at: the cost of `name_key` grows with its square."""
    return len(text) <= _RAW_NAME_LENGTH


def name_key(name: str) -> str:
    """What must be unique among names: the same for all spellings that differ in case or in encoding.

    NFKC, case folding, and NFKC again because folding can undo the first (Unicode 3.13, "Default Caseless
    Matching"). The key is for comparing, never for showing, and may be longer than the name.
    """
    folded = normalize("NFKC", name).casefold()
    return normalize("NFKC", folded)
