"""The look at each line that a reader receives."""

import pytest

from bench.load.result import LoadError
from bench.load.verify import LEAST_BYTES, Verifier, line_of, numbered_line

SIZE, READER = 32, 7


def lines(*which: tuple[int, int], before: bytes = b"") -> bytes:
    return b"".join(before + numbered_line(writer, number, SIZE) for writer, number in which)


def test_lines_have_the_size_that_was_asked_for() -> None:
    for size in (LEAST_BYTES, 64, 1000):
        line = numbered_line(99_999, 999_999_999_999, size)
        assert len(line) == len(line_of(size)) == size
        assert line.index(b"\n") == line_of(size).index(b"\n") == size - 1


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(LoadError, match=r"--size: 19: with --verify at least 20"):
        numbered_line(0, 0, LEAST_BYTES - 1)


@pytest.mark.parametrize("before", [b"", b"<b00001> "])
@pytest.mark.parametrize("part", [1, 7, 1000])
def test_order_of_each_writer_passes_in_any_parts(before: bytes, part: int) -> None:
    verifier = Verifier(2, SIZE, [READER])
    data = lines((0, 0), (1, 0), (1, 1), (0, 1), before=before)
    for at in range(0, len(data), part):
        verifier.take(READER, data[at : at + part])
    assert verifier.lines == 4


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ([(0, 1)], "line 1 of writer 0 came where line 0 was next"),
        ([(0, 0), (0, 0)], "line 0 of writer 0 came where line 1 was next"),
        ([(1, 0), (0, 0), (1, 2)], "line 2 of writer 1 came where line 1 was next"),
    ],
)
def test_a_gap_a_double_or_another_order_is_named(which: list[tuple[int, int]], said: str) -> None:
    with pytest.raises(LoadError, match=said):
        Verifier(2, SIZE, [READER]).take(READER, lines(*which))


@pytest.mark.parametrize("line", [b"* bye\n", b"\n", lines((5, 0)), b"x" * 100 + b"\n"])
def test_a_line_that_nobody_sent_is_named(line: bytes) -> None:
    with pytest.raises(LoadError, match="not a line that was sent"):
        Verifier(2, SIZE, [READER]).take(READER, line)
