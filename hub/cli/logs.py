"""The log, and the few lines that the command itself writes.

A third thread only formats and writes, so that no other thread waits for whoever reads the log.
The other threads leave a record in a bounded queue and go on. Whatever stderr is (a pipe that nobody
reads, a full disk, closed), the worst that happens is that records are dropped, and counted. A storm of
records that are left as alike becomes one record with a count. Nothing of a record reaches the descriptor but
printable ASCII and the line feed at its end, so a client's bytes cannot move a cursor or forge a line
(CWE-117).

The loop shares the interpreter with this thread, and each of its system calls lets this thread in. So a
record is formatted in few steps (hub/cli/log_fields.py), and those that come within GATHER_S are taken
together: fifteen thousand clients that expire in one second are as many records.
"""

import logging
import math
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from hub.cli.log_fields import as_json, as_text
from hub.config.settings import LogLevel

Form = Literal["text", "json"]

_LEVELS: dict[LogLevel, int] = {
    "debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR,
}  # fmt: skip

QUEUE_RECORDS = 10_000
LIKE_RECORDS = 20
"""So many like records pass within WINDOW_S; the rest become one record with a count."""
WINDOW_S = 1.0
GATHER_S = 0.005
"""So long after a record the others that come are waited for."""
AT_ONCE = 128
"""So many records are taken together at most."""
PIPE_BYTES = 4096
"""So much goes into a pipe in one piece, PIPE_BUF in pipe(7): others may write to it as well."""
SAY_S = 0.2
LINE_CHARACTERS = 500

# What is left after the rendering and still moves a terminal. JSON reads this form back, DEL included.
_CONTROLS = {code: f"\\u{code:04x}" for code in (*range(0x20), 0x7F)}


class Entry(NamedTuple):
    """A record as it was left: seconds since 1970 (UTC), what happened, its particulars, its level.

    `like` is what counts it together with others of its event: particulars that all of them have, and that
    their count keeps. None: it is written, whatever others there are.
    """

    wall_s: float
    event: str
    fields: Mapping[str, object]
    level: LogLevel = "info"
    like: Mapping[str, object] | None = None


@dataclass(slots=True)
class _Window:
    """The second that began with the first of some like records, and how many it has seen."""

    first: Entry
    count: int = 0

    @property
    def start_s(self) -> float:
        return self.first.wall_s


class Limiter:
    """Lets LIKE_RECORDS through in a second and counts the others. Time is an argument."""

    def __init__(self) -> None:
        self._windows: dict[object, _Window] = {}

    def take(self, entry: Entry) -> list[Entry]:
        """What is written now that this record came: it, if it is admitted, after what was `due` by then."""
        ready = self.due(entry.wall_s)
        if entry.like is None:
            return [*ready, entry]
        alike = (entry.event, entry.level, *entry.like.items())
        window = self._windows.setdefault(alike, _Window(entry))
        window.count += 1
        return [*ready, entry] if window.count <= LIKE_RECORDS else ready

    def due(self, now_s: float) -> list[Entry]:
        """Close the windows that have ended, all at infinity; one record for each that held some back.

        A wall clock may be set back: a window that begins in the future has ended too.
        """
        ended = [alike for alike, w in self._windows.items() if not 0 <= now_s - w.start_s < WINDOW_S]
        windows = [self._windows.pop(alike) for alike in ended]
        return [_count_of(window) for window in windows if window.count > LIKE_RECORDS]

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until the next window ends, or None when none is open."""
        ends = [window.start_s + WINDOW_S - now_s for window in self._windows.values()]
        return min(WINDOW_S, max(0.0, min(ends))) if ends else None


def _count_of(window: _Window) -> Entry:
    """The record of how many were held back."""
    first, count = window.first, window.count - LIKE_RECORDS
    return Entry(
        window.start_s + WINDOW_S, first.event, {**(first.like or {}), "repeated": count}, first.level
    )


class Formatter:
    """A record as one line of printable ASCII.

    `text` is logfmt (key=value, quoted where a value has blanks), `json` one object a line (RFC 8259).
    """

    def __init__(self, form: Form) -> None:
        self._render = as_text if form == "text" else as_json

    def line(self, entry: Entry) -> bytes:
        """The whole line with its line feed. Raises what a field's own str() raises."""
        head = {"time": _stamp(entry.wall_s), "event": entry.event, "level": entry.level}
        text = self._render({**head, **entry.fields})
        if not (text.isascii() and text.isprintable()):
            text = text.translate(_CONTROLS)
        return text.encode("ascii", "backslashreplace") + b"\n"


class LogThread:
    """A bounded queue of records and the daemon thread that writes them to a descriptor.

    `dropped` counts the records that found the queue full, `errors` those that could not be formatted or
    written. Records below `level` are left out. Nothing is retried: a later reader of the log sees the next
    record whole.
    """

    def __init__(
        self,
        form: Form = "text",
        descriptor: int = 2,
        capacity: int = QUEUE_RECORDS,
        level: LogLevel = "info",
    ) -> None:
        self._least = _LEVELS[level]
        self.dropped = 0
        self.errors = 0
        self._writes = 0
        self._formatter = Formatter(form)
        self._descriptor = descriptor
        self._capacity = capacity
        # SimpleQueue.put neither blocks nor takes a Python lock: it may be called from a signal handler.
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._limiter = Limiter()
        self._gathers = threading.Event()
        """Never set: time.sleep fails under libfaketime (clock_nanosleep(2), TIMER_ABSTIME)."""
        self._thread = threading.Thread(target=self._run, name="hubbub-log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def lost(self) -> int:
        """Records that nobody will ever read."""
        return self.dropped + self.errors

    def log(
        self,
        event: str,
        *,
        level: LogLevel = "info",
        like: Mapping[str, object] | None = None,
        **fields: object,
    ) -> None:
        """Leave one record; never blocks. The fields must not change afterwards. `like`: see Entry."""
        if _LEVELS[level] < self._least:
            return
        if self._queue.qsize() >= self._capacity:
            self.dropped += 1
            return
        self._queue.put(Entry(time.time(), event, fields, level, like))

    def stop(self, patience_s: float, limit_s: float = math.inf) -> bool:
        """Write what is queued, and end: while a write succeeds in every `patience_s`, for at most `limit_s`.

        Whether all of it was written. What was not is lost, and nobody is left who could be told.
        """
        self._queue.put(None)
        until, seen = time.monotonic() + limit_s, -1
        while self._thread.is_alive() and seen != self._writes and time.monotonic() < until:
            seen = self._writes
            self._thread.join(min(patience_s, max(0.0, until - time.monotonic())))
        return not self._thread.is_alive()

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            entries, goes_on = self._gather()
            self._write(entries)
        self._write(self._limiter.due(math.inf))

    def _gather(self) -> tuple[list[Entry], bool]:
        """Wait for a record, or for the end of a second whose count is to be written: what is to be written,
        and whether more may come."""
        try:
            taken = self._queue.get(timeout=self._limiter.wait_s(time.time()))
        except queue.Empty:
            return self._limiter.due(time.time()), True
        self._gathers.wait(GATHER_S)
        entries: list[Entry] = []
        while taken is not None:
            entries += self._limiter.take(taken)
            if len(entries) >= AT_ONCE or self._queue.empty():
                return entries, True
            taken = self._queue.get_nowait()
        return entries, False

    def _write(self, entries: Sequence[Entry]) -> None:
        """As many lines in one write as a pipe takes in one piece."""
        lines, size = list[bytes](), 0
        for entry in entries:
            try:
                line = self._formatter.line(entry)
            except Exception:  # Else the thread would end, and with it the log, over one bad field.
                self.errors += 1
                continue
            if lines and size + len(line) > PIPE_BYTES:
                self._put(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        self._put(lines)

    def _put(self, lines: Sequence[bytes]) -> None:
        rest = memoryview(b"".join(lines))
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
                self._writes += 1
        except OSError:
            self.errors += bytes(rest).count(b"\n")


class Forward(logging.Handler):
    """Hands what the standard library's logging reports (the page's libraries use it) to the log thread."""

    def __init__(self, log: LogThread) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Leave it as a `page` record, with the trace of its exception if it has one."""
        fitting = [level for level, number in _LEVELS.items() if number <= record.levelno]
        level = fitting[-1] if fitting else "debug"
        self._log.log("page", level=level, like={}, text=self.format(record))


def write(descriptor: int, text: str) -> None:
    """Write all of it, however long that takes. With nobody there to be told, the rest is left out."""
    rest = text.encode(errors="backslashreplace")
    with suppress(OSError):
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def say(descriptor: int, text: str) -> None:
    """Write without waiting for a reader: a full pipe keeps a thread, not the caller."""
    writer = threading.Thread(target=write, args=(descriptor, text), daemon=True)
    writer.start()
    writer.join(SAY_S)


def own_line(text: str) -> str:
    """A line of the command's own. What somebody typed cannot break it or move a cursor."""
    clean = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:LINE_CHARACTERS])
    return f"hubbub: {clean}\n"


def fill_standard_descriptors() -> None:
    """Open /dev/null for a standard descriptor that is closed, or a socket gets its number, and the log."""
    while (descriptor := os.open("/dev/null", os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _stamp(wall_s: float) -> str:
    """RFC 3339 in UTC with milliseconds: 2026-01-31T23:59:59.999Z."""
    moment = datetime.fromtimestamp(wall_s, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
