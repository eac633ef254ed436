"""The log: what one record looks like, and that nobody ever waits for its reader."""

import json
import logging
import math
import os
import string
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.logs import (
    LIKE_RECORDS,
    QUEUE_RECORDS,
    Entry,
    Form,
    Formatter,
    Forward,
    Limiter,
    LogThread,
    own_line,
)
from hub.config.settings import LogLevel

WALL_S = 1_700_000_000.25
HOSTILE = 'a "quoted" \x1b[2J\r\n\x00\x7f\x85\x9b\u2028\u2029\u202e\ud800\N{TAG SPACE}é end'
WITHIN_S = 5.0
STRANGERS: dict[str, object] = {"reason": "per_ip_limit"}
"""What counts their records together."""


def a_stranger(wall_s: float, event: str = "closed") -> Entry:
    return Entry(wall_s, event, {"id": 1, **STRANGERS}, like=STRANGERS)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with suppress(OSError):
            os.close(descriptor)


@contextmanager
def logging_to(descriptor: int, form: Form = "text", *, errors: int = 0) -> Iterator[LogThread]:
    """A log that is stopped at the end, with all that was left in it written but for so many records."""
    log = LogThread(form, descriptor)
    log.start()
    yield log
    assert log.stop(WITHIN_S)
    assert (log.dropped, log.errors) == (0, errors)


def lines_of(reader: int) -> list[str]:
    os.set_blocking(reader, False)
    return os.read(reader, 1 << 20).decode("ascii").splitlines()


def test_text_is_one_logfmt_line_with_a_utc_stamp() -> None:
    entry = Entry(
        WALL_S, "closed", {"id": 7, "reason": "idle", "nick": "a b", "farewell": True, "due_s": None}
    )
    assert Formatter("text").line(entry) == (
        b"time=2023-11-14T22:13:20.250Z event=closed level=info "
        b'id=7 reason=idle nick="a b" farewell=true due_s=\n'
    )


def test_json_is_one_object_with_the_values_as_they_were() -> None:
    fields: dict[str, object] = {"id": 7, "nick": HOSTILE, "age_s": 1.5, "farewell": False, "due_s": None}
    line = Formatter("json").line(Entry(WALL_S, "closed", fields))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z", "event": "closed", "level": "info", **fields
    }  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_json_has_no_number_that_is_none(value: float) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(text)

    line = Formatter("json").line(Entry(WALL_S, "closed", {"age_s": value}))
    assert json.loads(line, parse_constant=refuse)["age_s"] == str(value)


@pytest.mark.parametrize("form", ["text", "json"])
@given(text=st.one_of(st.text(), st.just(HOSTILE)))
def test_nothing_but_printable_ascii_reaches_the_log(form: Form, text: str) -> None:
    line = Formatter(form).line(Entry(WALL_S, "closed", {"nick": text, "nested": [text, {"key": text}]}))
    assert line.endswith(b"\n")
    assert set(line[:-1].decode("ascii")) <= set(string.printable) - set("\t\n\r\x0b\x0c")


@pytest.mark.promise("cli-log")
def test_a_value_cannot_forge_a_field() -> None:
    line = Formatter("text").line(Entry(WALL_S, "closed", {"nick": 'x" reason=idle y="'}))
    assert line.endswith(b'event=closed level=info nick="x\\" reason=idle y=\\""\n')


def test_what_the_command_says_is_one_line_whatever_was_typed() -> None:
    assert own_line("--a\nb\x1b[2J\u202e: no") == "hubbub: --a\\nb\\x1b[2J\\u202e: no\n"


@pytest.mark.promise("cli-log")
def test_twenty_like_records_pass_and_the_rest_become_a_count() -> None:
    limiter = Limiter()
    entries = [a_stranger(WALL_S + n / 100) for n in range(50)]
    assert [limiter.take(entry) for entry in entries] == [[e] for e in entries[:LIKE_RECORDS]] + [[]] * 30
    assert limiter.due(WALL_S + 0.75) == []
    count = Entry(WALL_S + 1.0, "closed", {**STRANGERS, "repeated": 30})
    after = a_stranger(WALL_S + 1.0)
    assert limiter.take(after) == [count, after]
    assert limiter.due(WALL_S + 9.0) == []


@pytest.mark.promise("cli-log")
def test_records_that_are_not_alike_all_pass_amid_a_storm() -> None:
    limiter = Limiter()
    for n in range(1000):
        limiter.take(a_stranger(WALL_S))
        entry = Entry(WALL_S, "closed", {"id": n, "reason": "per_ip_limit"})
        assert limiter.take(entry) == [entry]


@pytest.mark.parametrize(
    "other",
    [
        Entry(WALL_S, "fault", STRANGERS, like=STRANGERS),
        Entry(WALL_S, "closed", {"reason": "idle"}, like={"reason": "idle"}),
        Entry(WALL_S, "closed", STRANGERS, "error", like=STRANGERS),
    ],
    ids=["event", "reason", "level"],
)
def test_what_differs_is_counted_apart_and_few_without_count(other: Entry) -> None:
    limiter = Limiter()
    for entry in [a_stranger(WALL_S), other] * LIKE_RECORDS:
        assert limiter.take(entry) == [entry]
    assert limiter.due(WALL_S + 1) == []


@pytest.mark.parametrize("now_s", [WALL_S - 3600, math.inf])
def test_a_clock_set_back_and_the_end_of_the_log_close_a_second(now_s: float) -> None:
    limiter = Limiter()
    for _ in range(LIKE_RECORDS + 1):
        limiter.take(a_stranger(WALL_S))
    assert [entry.fields for entry in limiter.due(now_s)] == [{**STRANGERS, "repeated": 1}]


def test_the_next_count_is_awaited_no_longer_than_its_second() -> None:
    limiter = Limiter()
    assert limiter.wait_s(WALL_S) is None
    limiter.take(a_stranger(WALL_S))
    assert limiter.wait_s(WALL_S + 0.25) == 0.75
    assert limiter.wait_s(WALL_S + 5) == 0
    assert limiter.wait_s(WALL_S - 3600) == 1


def test_stop_writes_what_is_queued_and_what_was_held_back(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with logging_to(writer) as log:
        for number in range(30):
            log.log("closed", like=STRANGERS, id=number)
    lines = lines_of(reader)
    assert sum("repeated=" not in line for line in lines) >= LIKE_RECORDS
    counts = [int(line.partition("repeated=")[2]) for line in lines if "repeated=" in line]
    assert len(lines) - len(counts) + sum(counts) == 30


def test_a_count_is_written_when_its_second_ends(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with logging_to(writer) as log:
        for _ in range(LIKE_RECORDS + 5):
            log.log("closed", like=STRANGERS)
        seen = b""
        while b"repeated=" not in seen:
            seen += os.read(reader, 65536)  # Blocks until the thread writes; the test's time limit ends it.


@pytest.mark.promise("cli-log-level")
@pytest.mark.parametrize("least", get_args(LogLevel))
def test_records_below_the_level_are_left_out(pipe: tuple[int, int], least: LogLevel) -> None:
    reader, writer = pipe
    log = LogThread(descriptor=writer, level=least)
    log.start()
    for level in reversed(get_args(LogLevel)):
        log.log("tried", level=level)
    assert log.stop(WITHIN_S)
    order = ["error", "warning", "info", "debug"]
    found = [line.partition(" level=")[2] for line in lines_of(reader)]
    assert found == order[: order.index(least) + 1]


def test_a_pipe_that_nobody_reads_drops_records_at_once(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    log = LogThread("text", writer, capacity=100)
    log.start()
    began = time.monotonic()
    for _ in range(5000):
        log.log("closed")
    assert not log.stop(0.05)
    assert time.monotonic() - began < 2
    assert 5000 - 101 <= log.dropped <= 5000 - 100  # The thread holds one record more than the queue.
    os.close(reader)
    assert log.stop(WITHIN_S)


@pytest.mark.promise("cli-log-stop")
@pytest.mark.parametrize(("limit_s", "all_is_written"), [(60.0, True), (0.1, False)])
def test_a_stop_waits_for_a_reader_that_goes_on(
    pipe: tuple[int, int], limit_s: float, all_is_written: bool
) -> None:
    patience_s, text, seen = 0.3, "x" * 20_000, [b""]
    log = LogThread(descriptor=pipe[1])
    reading = threading.Thread(target=lambda: [None for seen[0] in iter(lambda: os.read(pipe[0], 1024), b"")])
    for _ in range(QUEUE_RECORDS):
        log.log("closed", text=text)
    reading.start()
    log.start()
    began = time.monotonic()
    assert log.stop(patience_s, limit_s) == all_is_written
    assert time.monotonic() - began > min(patience_s, limit_s)
    assert log.stop(WITHIN_S)
    os.close(pipe[1])
    reading.join()
    assert seen[0].endswith(b"x\n") and not log.lost()


def test_a_full_disk_is_counted_and_the_thread_goes_on() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with logging_to(full, errors=3) as log:
        for _ in range(3):
            log.log("closed")
    os.close(full)


@pytest.mark.parametrize("side", [0, 1], ids=["reader", "writer"])
def test_a_descriptor_that_takes_no_more_is_counted(pipe: tuple[int, int], side: int) -> None:
    os.close(pipe[side])
    with logging_to(pipe[1], errors=1) as log:
        log.log("closed")


def test_a_field_that_cannot_be_shown_costs_its_record_only(pipe: tuple[int, int]) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    reader, writer = pipe
    with logging_to(writer, errors=1) as log:
        log.log("closed", value=Broken())
        log.log("next")
    assert [line.split()[1] for line in lines_of(reader)] == ["event=next"]
    assert log.lost() == 1


def test_a_slow_reader_gets_long_records_whole(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with logging_to(writer, "json") as log:
        log.log("closed", text="x" * 300_000)  # More than a pipe holds: the write comes up short.
        seen = b""
        while not seen.endswith(b"\n"):
            seen += os.read(reader, 4096)
    assert len(json.loads(seen)["text"]) == 300_000


@pytest.mark.parametrize(
    ("number", "level"),
    [(0, "debug"), (10, "debug"), (20, "info"), (25, "info"), (30, "warning"), (40, "error"), (50, "error")],
)
def test_what_libraries_report_becomes_a_page_record(pipe: tuple[int, int], number: int, level: str) -> None:
    reader, writer = pipe
    log = LogThread("json", writer, level="debug")
    log.start()
    Forward(log).emit(logging.makeLogRecord({"levelno": number, "msg": "bad %s", "args": ("\x1b",)}))
    assert log.stop(WITHIN_S)
    said = json.loads(lines_of(reader)[0])
    assert (said["event"], said["level"], said["text"]) == ("page", level, "bad \x1b")
