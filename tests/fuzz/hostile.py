"""What would do harm on a terminal, in a log or on a page; and what is nobody's harm in any script.

All of it is made here from the pieces that terminals know (ECMA-48, xterm's ctlseqs), so that each introducer
meets each way to write it: as ESC and a letter, as one C1 byte, and as that C1 character in UTF-8.
"""

import random
from itertools import product
from typing import Final

from tests.unit.modes.test_sanitize import is_forbidden


def _ways(letter: str) -> list[bytes]:
    """ESC and the letter, the C1 byte, the C1 character: CSI is [, OSC ], DCS P, APC _, PM ^, SOS X."""
    c1 = chr(ord(letter) + 0x40)
    return [b"\x1b" + letter.encode(), c1.encode("latin-1"), c1.encode()]


_CSI = b"2J H 31m ?1000h ?1049h 6n c 5i 20h 1;1r 2K 10A !p 8m".split()
_OSC = b"0;owned 2;owned 8;;http://evil.example 52;c;b3duZWQ= 777;notify;a;b 4;1;? 9;x".split()
_OTHER = [b"q1;2", b'$q"p']

SEQUENCES: Final = [
    *(start + body for start, body in product(_ways("["), _CSI)),
    *(
        start + body + end
        for start, body, end in product(_ways("]"), _OSC, [b"\x07", b"\x1b\\", b"\xc2\x9c", b"\x9c"])
    ),
    *(start + body + b"\x1b\\" for kind in "P_^X" for start, body in product(_ways(kind), _OTHER)),
    b"\x1bc", b"\x1bZ", b"\x1b7", b"\x1b(0", b"\x1b#8", b"\x1b]", b"\x1b", b"\x9b", b"\x1bN", b"\x1b%G",
]  # fmt: skip
CONTROLS: Final = [
    *(bytes([code]) for code in [*range(1, 9), 11, 12, *range(14, 32), 127]),
    *(chr(code).encode() for code in range(0x80, 0xA0)),
    b"good\r<root> forged", b"good\x08\x08\x08\x08evil", b"a\0b", b"bell\x07\x07",
]  # fmt: skip
CHARACTERS: Final = [
    *(chr(code).encode() for code in [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, 0x85]),
    *(chr(0xE0000 + code).encode() for code in (1, 0x41, 0x7F)),
    *(char.encode() for char in "\ufeff\u200b\u2060\u2063\u3164\u17b4\ufffa\ufffc"),
    "\ufffe".encode(), "\uffff".encode(), b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80",
    b"\xf0\x9f\x98", b"\xc3", b"\x80", b"\xc0\x9b2J", b"\xe0\x82\x9b2J",
]  # fmt: skip
MARKUP: Final = [
    b"<script>alert(1)</script>", b"<img src=x onerror=alert(1)>", b"' onmouseover='x", b"{{7*7}}",
    b"%s%n%00", b"time=0 event=forged", b'","forged":"', b"\\u001b[2J", b"\\x1b[2J", b"* hubbub: said",
]  # fmt: skip
"""No terminal obeys these; they may stand on a screen as they are, and nowhere else as anything but text."""

PAYLOADS: Final = list(dict.fromkeys([*SEQUENCES, *CONTROLS, *CHARACTERS, *MARKUP]))


def shown(line: bytes) -> str:
    """What a line of these bytes has to look like to others, by the Unicode character database."""
    text = ""
    for char in line.decode(errors="replace"):
        text = text[:-1] if char in "\b\x7f" else text + char
    return "".join("\N{REPLACEMENT CHARACTER}" if is_forbidden(char) else char for char in text)


_SCRIPTS: Final = [
    "hello world naïve façade Zoë Straße Łódź",
    "日本語のテキスト 漢字 かな 葛\U000e0100城",
    "안녕하세요 여러분",
    "مرحبا بالعالم نامه\u200cای abc\u200e\u200f\u061c",
    "שָׁלוֹם עולם",
    "क्\u200dष नमस्ते दुनिया",
    "สวัสดีน้ำ ครับ ភាសា\u200bខ្មែរ",
    "Привет мир Ёж",
    "Γειά σου Κόσμε",
    "👩\u200d👩\u200d👧\u200d👦 👍🏽 ❤\ufe0f 🇯🇵 🏴",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "e\u0301\u0323 a\u0308 o\u0302\u0301",
    "𝕏 𠀀 🀄 ∀x∈ℝ: ⌈x⌉ ≠ −x",
    "tab\there\t and {[(<>)]} ~!@#$%^&*",
]


def clean_lines(count: int) -> list[str]:
    """So many lines in many scripts, all of which have to pass as they are."""
    rng = random.Random(count)
    words = [text.split(" ") for text in _SCRIPTS]
    lines = (" ".join(rng.choices(rng.choice(words), k=rng.randint(1, 9))) for _ in range(count))
    return [line.lstrip("/") or "-" for line in lines]
