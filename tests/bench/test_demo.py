"""The child of `hubbub demo` by itself: who plays in which mode, and when it ends."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest

from bench.demo import Cast, parse
from bench.talk import GUESTS, SCENES, names, reading
from tests.support import ROOT, ThreadHub, until


def cast(*flags: str) -> Cast:
    return Cast(parse(["--lines", "127.0.0.1:1", *flags]), random.Random(1))


def kinds(of: Cast) -> set[str]:
    """Names of the parts that the first visitors play."""
    return {part.func.__name__ for part in islice(of.visits(), 12)}  # type: ignore[attr-defined]


@contextmanager
def child(*flags: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench.demo", *flags]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, cwd="/") as process:
        try:
            yield process
        finally:
            process.kill()


def test_every_mode_has_a_cast() -> None:
    people = sum(len(scene.people) + 1 for scene in SCENES)
    assert len(cast().parts()) == people + 6
    assert len(cast("--mode", "broadcast").parts()) == 22
    assert len(cast("--mode", "echo").parts()) == 24


def test_visitors_break_only_rules_that_the_hub_has() -> None:
    assert kinds(cast()) == {"leaver", "resetter", "browser", "quitter", "stammerer", "rambler"}
    assert kinds(cast("--mode", "echo")) == {"leaver", "resetter", "browser", "stammerer", "rambler"}
    assert kinds(cast("--max-line", "0", "--no-telnet")) == {"leaver", "resetter", "browser", "quitter"}


def test_the_nicks_of_people_and_guests_are_all_different_and_allowed() -> None:
    nicks = [*GUESTS, *(nick for scene in SCENES for nick in scene.people)]
    assert len(set(nicks)) == len(nicks)
    assert len(set(islice(names(GUESTS), 1000))) == 1000


def test_conversations_name_people_who_are_there_and_never_end() -> None:
    for scene in SCENES:
        for who, line in islice(scene.lines(random.Random(1)), 100):
            assert scene.people[who]
            assert line and not line.startswith(("/", "* "))


def test_a_reading_is_one_line() -> None:
    assert "\n" not in reading(7, random.Random(1))


def test_the_child_plays_to_a_hub_and_ends_when_its_stdin_does() -> None:
    with ThreadHub(mode="chat") as hub, child("--lines", f"127.0.0.1:{hub.port}", "--seed", "1") as process:
        until(lambda: len(hub.loop.hub.clients) >= 10)
        process.send_signal(signal.SIGINT)
        until(lambda: len(hub.loop.hub.clients) >= 25)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0
        until(lambda: not hub.loop.hub.clients)


def test_the_child_ends_when_the_hub_shuts_down() -> None:
    with ThreadHub(mode="chat") as hub, child("--lines", f"127.0.0.1:{hub.port}") as process:
        until(lambda: len(hub.loop.hub.clients) >= 10)
        hub.stop()
        assert process.wait(20) == 0


def test_a_hub_that_is_not_there_is_waited_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with child("--lines", f"127.0.0.1:{taken.getsockname()[1]}") as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.5)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(20) == 0
