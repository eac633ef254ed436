"""Children of the measurement: a hub, a herd, a prober, each pinned to a core, and all end with this program.

A child has a session of its own, so that Ctrl-C reaches only the parent, which ends its children; where the
parent itself is killed, the kernel kills them (prctl(2), PR_SET_PDEATHSIG).
"""

import ctypes
import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import IO, Any, Final

from bench import pages
from bench.bounds.probe import Probed

PR_SET_PDEATHSIG: Final = 1
END_S = 5.0
LOOK_S = 0.25
"""How often somebody who waits for a child may look at something else."""
TAIL_BYTES = 2000

UNBUDGETED = """
import functools
import sys
from hubbub import __main__ as launcher
launcher.claim(launcher.PACKAGES)
from hub.cli.main import main
from hub.loop import assembly
from hub.loop.limits import Budgets
boundless = {"sends": 1 << 30, "write_s": 1e9}
known = {name: value for name, value in boundless.items() if name in Budgets.__dataclass_fields__}
if not known:
    sys.exit("no budget of the write step is known by the names " + ", ".join(boundless))
assembly.Hub = functools.partial(assembly.Hub, budgets=Budgets(**known))
main()
"""
"""A start of the hub whose write step goes on until nothing is left, for `python -c`.

The product has no such flag. The text is run by the interpreter of the hub that is measured, so that this
package imports nothing of the hub.
"""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A build of the hub: its name in the table, and the command line that starts it."""

    name: str
    command: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Contestant":
        """From `NAME=COMMAND` or `COMMAND`. Raises ValueError."""
        named = re.match(r"([\w.-]+)=", text)
        command = tuple(shlex.split(text[named.end() :] if named else text))
        if not command:
            raise ValueError(f"no command: {text!r}")
        return cls(named[1] if named else "hub", command)

    def script(self, text: str) -> tuple[str, ...]:
        """This command line with another program in the place of the launcher, run by the same interpreter.

        Raises SystemExit where `PYTHON -m hubbub serve` or `PATH/hubbub serve` is no part of the command.
        """
        command = self.command
        for at, pair in enumerate(pairwise(command)):
            if pair == ("-m", "hubbub"):
                return (*command[:at], "-c", text, *command[at + 2 :])
            if os.path.basename(pair[0]) == "hubbub" and (folder := os.path.dirname(pair[0])):
                # -P: the working directory may be a checkout, and that is not what is installed there.
                return (*command[:at], os.path.join(folder, "python"), "-P", "-c", text, *command[at + 1 :])
        raise SystemExit(
            f"{shlex.join(command)}: not of the form PYTHON -m hubbub serve or PATH/hubbub serve"
        )


class Hub(pages.Hub):
    """A hub, and what the kernel says of its process."""

    def rss_bytes(self) -> int:
        """Resident memory, exact where statm is a batched counter, proc(5)."""
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            found = re.search(r"^Rss:\s+(\d+) kB", file.read(), re.MULTILINE)
        assert found is not None
        return 1024 * int(found[1])

    def waited_s(self) -> float:
        """How long the loop's thread could have run and something else had the core, so far: schedstat."""
        with open(f"/proc/{self.pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9


class Herd:
    """The program bench.bounds.herd, which takes one order at a time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None and process.stdout is not None
        self._orders, self._answers = process.stdin, process.stdout

    def do(self, name: str, *, meanwhile: Callable[[], object] = bool, **arguments: Any) -> dict[str, Any]:
        """Give an order and wait for what came of it. Raises SystemExit when the herd fails."""
        print(json.dumps({"do": name, **arguments}), file=self._orders, flush=True)
        while not select.select([self._answers], [], [], LOOK_S)[0]:
            meanwhile()
        if not (answer := self._answers.readline()):
            raise SystemExit(f"the herd ended in {name}")
        told: dict[str, Any] = json.loads(answer)
        return told


class Probing:
    """A prober that is under way."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self._said = process.stdout
        if self._said.readline() != "ready\n":
            raise SystemExit("the prober did not start")

    def result(self) -> Probed:
        """All times, once the prober is through. Raises SystemExit when it failed."""
        if not (said := self._said.read()):
            raise SystemExit("the prober lost its connection")
        return Probed(**json.loads(said))


@contextmanager
def child(
    command: Sequence[str], cpu: int, stderr: IO[bytes] | None = None
) -> "Iterator[subprocess.Popen[str]]":
    """A process on one core, from its start until the body is left."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=partial(_prepare, cpu),  # There are no threads here.
    )
    try:
        yield process
    finally:
        _end(process)


def _prepare(cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    pages.come_first()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):  # An order that the child never read.
            pipe.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def serving(command: Sequence[str], cpu: int, *, realtime: bool) -> Iterator[Hub]:
    """A hub on free ports. Raises SystemExit with the end of its log when it does not start or dies."""
    ports = ["--host", "127.0.0.1", "--port", "0", "--ws-port", "0", "--web-port", "0"]
    with tempfile.TemporaryFile() as log, child([*command, *ports], cpu, log) as process:
        try:
            hub = Hub(process)
            if realtime:
                hub.take_the_core()
            yield hub
        except BaseException:
            if process.poll() is not None:
                print(f"the hub ended with {process.returncode}:\n{_tail(log)}", file=sys.stderr)
            raise


def _tail(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
    return log.read().decode(errors="replace")


@contextmanager
def herding(cpu: int) -> Iterator[Herd]:
    """A herd without members."""
    with child([sys.executable, "-m", "bench.bounds.herd"], cpu) as process:
        yield Herd(process)


@contextmanager
def probing(address: str, seconds: float, interval_ms: float, cpu: int) -> Iterator[Probing]:
    """A prober in a room of its own."""
    command = ["bench.bounds.probe", "--address", address, "--seconds", str(seconds)]
    with child([sys.executable, "-m", *command, "--interval-ms", str(interval_ms)], cpu) as process:
        yield Probing(process)
