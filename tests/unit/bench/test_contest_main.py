"""The whole program in small: contestants in turns, what is missing, what is kept, and Ctrl-C."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.contest.__main__ import is_wanted, main
from tests.support import ROOT, until

HUB = f"{sys.executable} -m hubbub"
START_S = 60.0
PROGRAM = [sys.executable, "-m", "bench.contest"]
SHORT = ["--seconds", "0.5", "--rounds"]


def contestants_of(pid: int) -> list[str]:
    """Commands of processes that this program started and that run still."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"\nPPid:\t{pid}\n" in (folder / "status").read_text():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # Gone meanwhile.
    return found


@pytest.mark.long
@pytest.mark.timeout(300)
def test_contestants_run_in_turns_and_are_compared(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    wanted = ["--only", "echo-16", "--hubbub", f"here={HUB}", "--hubbub", "gone=/no/such/hubbub"]
    command = [*PROGRAM, *SHORT, "2", *wanted, "--json", str(kept)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(kept.read_text())["outcomes"]
    order = [(run["round"], run["contestant"]) for run in outcome["runs"]]
    first = [name for number, name in order if number == 0]
    assert order == [(number, name) for number in (0, 1) for name in first]
    assert "asyncio streams" in first and "hubbub here" in first, outcome["left_out"]
    assert outcome["left_out"]["hubbub gone"] == "/no/such/hubbub is not installed", outcome["left_out"]
    assert all(run["lines"] > 0 and run["server_cpu_s"] > 0 for run in outcome["runs"])
    assert "| hubbub here" in done.stdout
    assert "echo-16 round 2: hubbub here: " in done.stderr


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_every_contestant_ends_with_an_interrupted_program(number: int) -> None:
    command = [*PROGRAM, "--only", "echo-1", "--seconds", "60", "--rounds", "1", "--hubbub", f"here={HUB}"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until(lambda: any("bench.contest.worker" in line for line in contestants_of(process.pid)), START_S)
        running = contestants_of(process.pid)
        assert len(running) == 2, running
        process.send_signal(number)
        _, errors = process.communicate(timeout=START_S)
    assert process.returncode == 130
    assert "interrupted" in errors
    until(lambda: not contestants_of(process.pid))


@pytest.fixture
def _sigterm() -> Iterator[None]:
    """The program takes SIGTERM for itself, and a test is no place for that."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_sigterm")
def test_a_hub_that_is_another_build_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    liar = tmp_path / "hubbub"
    liar.write_text("#!/bin/sh\necho 'hubbub 1.0 (pure)'\n")
    liar.chmod(0o755)
    assert main(["--only", "chat", "--hubbub", f"compiled={liar}"]) == 1
    assert "another build: hubbub 1.0 (pure)" in capsys.readouterr().err


@pytest.mark.usefixtures("_sigterm")
def test_docs_are_not_written_without_a_build(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--docs", "--hubbub", "gone=/no/such/hubbub"]) == 1
    assert "hubbub gone is not installed: /no/such/hubbub" in capsys.readouterr().err


def test_docs_are_not_written_from_a_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--docs", "--only", "echo"])
    assert "--docs takes a whole run" in capsys.readouterr().err


def test_a_contest_is_wanted_by_a_word_of_its_name() -> None:
    assert is_wanted("fanout-100", ["echo", "fan"]) and is_wanted("chat", [])
    assert not is_wanted("fanout-100", ["echo"])
