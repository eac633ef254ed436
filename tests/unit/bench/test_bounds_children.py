"""The commands that start hubs, and that nothing outlives its parent."""

import signal
import subprocess
import sys

import psutil
import pytest

from bench.bounds.children import UNBUDGETED, Contestant, child
from tests.support import ROOT, until


@pytest.mark.parametrize(
    ("text", "name", "command"),
    [
        ("python -m hubbub serve", "hub", ("python", "-m", "hubbub", "serve")),
        ("pure=x/hubbub serve --log json", "pure", ("x/hubbub", "serve", "--log", "json")),
        ("env A=b x/hubbub serve", "hub", ("env", "A=b", "x/hubbub", "serve")),
    ],
)
def test_a_contestant_has_a_name_and_a_command(text: str, name: str, command: tuple[str, ...]) -> None:
    assert Contestant.parse(text) == Contestant(name, command)


@pytest.mark.parametrize("text", ["", "pure="])
def test_a_contestant_without_a_command_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no command"):
        Contestant.parse(text)


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("p -P -m hubbub serve", ("p", "-P", "-c", "TEXT", "serve")),
        ("env A=b x/bin/hubbub serve", ("env", "A=b", "x/bin/python", "-P", "-c", "TEXT", "serve")),
    ],
)
def test_a_script_is_run_by_the_interpreter_of_the_hub(command: str, script: tuple[str, ...]) -> None:
    assert Contestant.parse(command).script("TEXT") == script


def test_a_command_that_starts_no_hub_has_no_script() -> None:
    with pytest.raises(SystemExit, match="not of the form"):
        Contestant.parse("hubbub serve").script("TEXT")


def test_the_unbudgeted_start_lifts_the_budget_of_sends() -> None:
    """The text without its last line, which would start the hub."""
    text = UNBUDGETED.removesuffix("main()\n") + "print(assembly.Hub.keywords['budgets'].sends)"
    command = Contestant.parse(f"{sys.executable} -m hubbub serve").script(text)
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert int(said.stdout) > 1_000_000


def test_a_child_ends_with_the_body_that_started_it() -> None:
    with child([sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"], 0) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
    assert process.returncode == -signal.SIGTERM


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_run_and_all_its_children(number: int) -> None:
    command = [sys.executable, "-m", "bench.bounds", "--hub", f"{sys.executable} -m hubbub serve"]
    command += ["--scale", "0.01", "--only", "readers", "--lines", "100"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            parent = psutil.Process(process.pid)
            until(lambda: len(parent.children()) == 3, 30)
            children = parent.children()
            process.send_signal(number)
            said, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    until(lambda: not any(one.is_running() and one.status() != "zombie" for one in children))
    assert number == signal.SIGKILL or "ended early" in said
