"""However the network cuts what a client sends, the hub reads the same: transcripts, cut at every byte.

What is compared is the whole way of a byte into a line: the telnet layer, line ends, cleaning, and what each
of them tells besides. tests/e2e/test_transcripts.py does the same over real sockets.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest

from hub.modes.sanitize import clean
from hub.protocol.line_decoder import LineDecoder
from hub.protocol.telnet import TelnetFilter
from tests.fuzz.examples import long_random, quick_random, split

LIMIT = 4096
SMALL_LIMIT = 48
PARTS: list[Callable[[random.Random, int], bytes]] = [
    lambda rng, limit: rng.choice([b"\n", b"\r\n", b"\r\0", b"\r", b"\r\r\n", b"\0"]),
    lambda rng, limit: rng.choice([b"\n\n", b"\r\n\r\n", b"\r\0\r\0"]),
    lambda rng, limit: "".join(rng.choices("až日\N{GRINNING FACE}\t ", k=rng.randint(1, 9))).encode(),
    lambda rng, limit: b"\xff" + rng.choice([b"\xff", b"\xf1", b"\xf6", b"\xf4\xff\xfd\x06"]),
    lambda rng, limit: b"\xff" + bytes([rng.randint(0xFB, 0xFE), rng.choice([0, 1, 3, 6, 10, 13, 31, 255])]),
    lambda rng, limit: b"\xff\xfa" + rng.randbytes(rng.randint(0, 9)).replace(b"\xff", b"") + b"\xff\xf0",
    lambda rng, limit: b"x" * (limit - rng.randint(0, 9)),
    lambda rng, limit: rng.randbytes(rng.randint(1, 6)),
]
LAST = (-1, 0, 1)
"""The last line is so much longer than the limit: the first two are lines, the third ends it."""


def transcript(rng: random.Random, limit: int) -> bytes:
    parts = b"".join(rng.choice(PARTS)(rng, limit) for _ in range(rng.randint(3, 25)))
    return parts + b"\r\n" + b"y" * (limit + rng.choice(LAST)) + rng.choice([b"\n", b"\r\n", b"\r\0", b""])


def told(pieces: Iterable[bytes], limit: int) -> tuple[object, ...]:
    """Everything that the hub makes of these pieces before a mode sees it."""
    telnet, buffer = TelnetFilter(), LineDecoder(limit)
    lines, replies = [], b""
    for piece in pieces:
        lines += buffer.feed(telnet.feed(piece))
        replies += telnet.take_replies()
    last = buffer.finish()
    lines += [] if last is None else [last]
    state = buffer.too_long, buffer.crlf_seen, telnet.seen, telnet.violation, telnet.take_are_you_there()
    return lines, [clean(line) for line in lines], replies, state


def cut_at(data: bytes, places: Iterable[int]) -> list[bytes]:
    borders = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


def compare(
    rng: random.Random, *, transcripts: int, limit: int, places: int | None, random_cuts: int
) -> Counter[bool]:
    """How many ways to cut were tried, by whether a line was too long: at every byte, or at so many places,
    and at random ones.
    """
    cuts = Counter[bool]()
    for _ in range(transcripts):
        data = transcript(rng, limit)
        whole = told([data], limit)
        everywhere = range(len(data) + 1)
        at = everywhere if places is None else rng.sample(everywhere, min(places, len(everywhere)))
        ways = [[place] for place in at]
        ways += [rng.choices(everywhere, k=rng.randint(2, 8)) for _ in range(random_cuts)]
        for way in ways:
            assert told(cut_at(data, way), limit) == whole, (data, way)
        assert told(split(data, 1), limit) == whole, data
        too_long = whole[3][0]  # type: ignore[index]
        cuts[too_long] += len(ways) + 1
    return cuts


@pytest.mark.promise("lines-verbatim")
def test_a_sample_of_cuts_of_a_transcript_changes_nothing() -> None:
    rng = quick_random()
    cuts = compare(rng, transcripts=200, limit=SMALL_LIMIT, places=8, random_cuts=3)
    cuts += compare(rng, transcripts=10, limit=LIMIT, places=8, random_cuts=3)
    assert cuts.total() == 210 * 12
    assert cuts[True]
    assert cuts[False]


@pytest.mark.promise("lines-verbatim")
@pytest.mark.long
@pytest.mark.timeout(290)
def test_no_way_to_cut_a_transcript_changes_anything(
    record_property: Callable[[str, object], None],
) -> None:
    rng = long_random()
    cuts = compare(rng, transcripts=240, limit=SMALL_LIMIT, places=None, random_cuts=100)
    cuts += compare(rng, transcripts=4, limit=LIMIT, places=None, random_cuts=100)
    print(f"{cuts.total()} ways to cut")
    record_property("ways to cut 244 transcripts", f"{cuts.total()}")
    assert cuts.total() >= 50_000
    assert cuts[True]
    assert cuts[False]
