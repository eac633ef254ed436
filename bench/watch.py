"""A hub as a child process, watched from outside: its totals, its memory, its descriptors, its log."""

import asyncio
import json
import os
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ANSWER_S = 10.0
END_S = 20.0
SETTLE_S = 1.0
FAULTS = ("fault", "crashed", "page")
"""Records of the log that tell of an exception: of the loop, of all, of the page's libraries."""
FAULTS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """The hub at one moment. `totals` is what /api/summary said."""

    at_s: float
    rss_bytes: int
    descriptors: int
    threads: int
    totals: dict[str, Any]

    @property
    def accepted(self) -> int:
        """Connections since start."""
        return int(self.totals["clients"]["accepted"])

    @property
    def here(self) -> int:
        """Open ones."""
        return int(self.totals["clients"]["open"])

    @property
    def closed(self) -> int:
        """Closed connections, for whatever reason."""
        return sum(self.totals["closed"].values())

    @property
    def own_descriptors(self) -> int:
        """All but those of clients, as near as two looks one after the other can tell."""
        return self.descriptors - self.here - int(self.totals["lingering"])

    @property
    def turn_max_ms(self) -> float:
        """The longest turn of the last second."""
        return float(self.totals["loop"]["turn_max_ms"])


@dataclass(slots=True)
class Hub:
    """A `hubbub serve`, whose stderr is read as it comes."""

    process: asyncio.subprocess.Process
    lines: str = ""
    websockets: str = ""
    page: str = ""
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    _reading: "asyncio.Task[None] | None" = None

    async def start(self) -> None:
        """Read where it listens. Raises SystemExit when it does not start."""
        assert self.process.stdout is not None
        self._reading = asyncio.create_task(self._read_log())
        while line := (await self.process.stdout.readline()).decode().rstrip():
            if found := re.search(r"hubbub: (lines|websockets) on (127\.0\.0\.1:\d+)$", line):
                setattr(self, found[1], found[2])
            if found := re.search(r"page on (\S+)", line):
                self.page = found[1]
            if "at most" in line:
                return
        raise SystemExit("the hub did not start")

    async def _read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            if is_fault(line):
                self.fault_count += 1
                if len(self.faults) < FAULTS_KEPT:
                    self.faults.append(line.decode(errors="replace").rstrip())

    async def sample(self) -> Sample:
        """Look now. Raises OSError when the page does not answer.

        Asking the page is a connection more for a moment, so descriptors are counted before.
        """
        folder = Path(f"/proc/{self.process.pid}")
        rss_pages = int((folder / "statm").read_text().split()[1])
        descriptors, threads = len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))
        totals = await asyncio.to_thread(ask, f"{self.page}api/summary")
        rss_bytes = rss_pages * os.sysconf("SC_PAGE_SIZE")
        return Sample(time.monotonic(), rss_bytes, descriptors, threads, totals)

    async def settled(self, is_so: Callable[[Sample], bool], within_s: float = END_S) -> Sample:
        """Sample until that is so, or the time is over. The last sample; it counts nothing of one before."""
        end_s = time.monotonic() + within_s
        await self.sample()
        while True:
            await asyncio.sleep(SETTLE_S)
            sample = await self.sample()
            if is_so(sample) or time.monotonic() > end_s:
                return sample

    async def stop(self) -> int:
        """Ask it to end, and see to it; its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), END_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        if self._reading is not None:
            await self._reading
        return self.process.returncode or 0


async def serve(flags: Sequence[str]) -> Hub:
    """Start a hub on free ports, in a session of its own, so that Ctrl-C reaches only this program."""
    ports = ["--host", "127.0.0.1", "--port", "0", "--ws-port", "0", "--web-port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hubbub", "serve", *ports, "--log", "json", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    hub = Hub(process)
    try:
        await hub.start()
    except BaseException:
        await hub.stop()
        raise
    return hub


def is_fault(line: bytes) -> bool:
    """Whether a line of the log tells of an exception; a line that is no record is part of a trace."""
    try:
        return json.loads(line)["event"] in FAULTS
    except (ValueError, KeyError, TypeError):
        return True


def ask(url: str) -> Any:
    """The page's JSON answer at this address. Raises OSError."""
    with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
        return json.load(answer)


class Company:
    """A program that says `ready`, stays until its stdin ends, and then reports in a line of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *command: str) -> "Company":
        """`python -m` this. Raises SystemExit where it does not come up."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *command), stdin=pipe, stdout=pipe, start_new_session=True
        )
        assert process.stdout is not None
        if not (await process.stdout.readline()).startswith(b"ready"):
            raise SystemExit(f"{command[0]} did not start")
        return cls(process)

    async def stop(self) -> dict[str, Any]:
        """Its report; empty when there is none."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        report: dict[str, Any] = {}
        with suppress(TimeoutError, ValueError):
            report = json.loads(await asyncio.wait_for(self._process.stdout.readline(), END_S))
        with suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()
        return report
