"""Any bytes at all, whatever they are cut into: the checks of tests/fuzz/checks.py on three kinds of input.

The corpus is what the coverage-guided targets begin with; here each of its entries is seen every time,
without a fuzzer. The properties make up bytes of their own, and pieces that mean something to the parser.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.checks import CHECKS
from tests.fuzz.examples import Test, quick_and_long
from tests.fuzz.run import CORPUS, TARGETS

ENTRIES = sorted(path.relative_to(CORPUS) for path in CORPUS.glob("*/*"))
WORDS: dict[str, list[bytes]] = {
    "lines": [
        b"\n", b"\r", b"\0", b"\r\n", b"x" * 8, b"\x1b[", b"\x9b", b"\xc2\x9b", b"\xf0\x9f\x98", b"\xff",
        "e\u0301".encode(), "\u202e".encode(), "\u2028".encode(), "\u3164".encode(), b"GET / HTTP/1.1",
        b"SSH-2.0-", b"\x16\x03\x01", "\ufdfa".encode(), b"guest-1", "\u0430".encode(), b"\r\r\n", b"\n\r",
        b"PROXY UNKNOWN",
    ],
    "telnet": [
        b"\xff", b"\xff\xff", b"\xff\xfa", b"\xff\xf0", b"\xff\xfd", b"\xff\xfb", b"\xff\xfe", b"\xff\xfc",
        b"\xff\xf6", b"\x06", b"\x01", b"a", b"x" * 100, b"\xff\xff" * 60, b"\r\n", b"\xffa", b"\xff\xeb",
        b"\xff\xec",
    ],
    "websocket": [
        b"\x00", b"\x40", b"\x80", b"\x81\x01a", b"\xc1\x01a", b"\x80\x01b", b"\xc0\x02\xf0\x9f", b"\x82\x00",
        b"\x89\x01p", b"\x8a\x00", b"\x88\x02\x03\xe8", b"\x88\x01x", b"\x81\x02a\n",
        b"\x81\xff" + b"\x7f" * 8,
        b"GET / HTTP/1.1\r\n", b"Host: localhost:9001\r\n", b"Upgrade: websocket\r\n", b"\r\n",
    ],
    "page": [
        b"\x00", b"\x60", b"\xb0", b"{", b"}", b'"sort":', b'"id"', b'"limit":', b'"q":', b",", b"1e999",
        b"NaN",
        b"-1", b"9" * 20, b"null", b"[", b"limit=", b"sort=", b"&", b"%ff", b"\n", b"localhost:80", b"http://",
        b"//[", b"]", b"@", b":", b"evil.example", b'"\\ud800"', "\u0661".encode(),
    ],
}  # fmt: skip


def inputs(target: str) -> st.SearchStrategy[bytes]:
    """Bytes, or a first byte that chooses and then words of this target, many of them twice."""
    words = st.lists(st.sampled_from(WORDS[target]) | st.binary(max_size=3), max_size=30).map(b"".join)
    return st.binary(max_size=400) | st.builds(bytes.__add__, st.binary(min_size=1, max_size=2), words)


@pytest.mark.promise("hostile-bytes")
@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_nothing_of_the_corpus_breaks_anything(entry: Path) -> None:
    CHECKS[entry.parts[0]]((CORPUS / entry).read_bytes())


def test_every_target_has_a_check_and_a_small_corpus() -> None:
    assert sorted(CHECKS) == sorted(TARGETS) == sorted(path.name for path in CORPUS.iterdir())
    for target in TARGETS:
        sizes = [path.stat().st_size for path in (CORPUS / target).iterdir()]
        assert 10 <= len(sizes) <= 100
        assert sum(sizes) < 16_384


@pytest.mark.promise("hostile-bytes")
@quick_and_long(100, 5000)
@pytest.mark.parametrize("target", TARGETS)
def test_no_bytes_break_a_parser_and_no_cut_changes_the_result(
    target: str, examples: Callable[[Test], Test]
) -> None:
    examples(given(data=inputs(target))(CHECKS[target]))()
