"""The child of `hubbub demo` by itself: who plays in which mode, and when it ends."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import pytest

from bench import demo
from bench.characters import FLOOD_ROOM
from bench.demo import Cast, parse
from bench.demo_lines import GUESTS, SCENES, names, reading
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


def assert_it_ends_with_its_stdin(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0


class Played(NamedTuple):
    """A part that somebody plays: its name, and what it is told to say first. None of them is begun."""

    name: str
    introduction: tuple[str, ...]


def parts_of(of: Cast) -> list[Played]:
    """Everybody who stays, in order."""
    made = []
    for part in of.parts():
        playing = part()
        assert isinstance(playing, Coroutine)
        said = playing.cr_frame.f_locals.get("introduction", ())  # type: ignore[attr-defined]
        made.append(Played(playing.__name__, said))
        playing.close()
    return made


def connections(of: Cast) -> int:
    """How many it holds at a time: each part but those who only tell others to speak, and a visitor."""
    return sum(played.name != "converse" for played in parts_of(of)) + 1


WEBSOCKETS = ["--ws", "127.0.0.1:2", "--ws", "[::1]:2"]


@pytest.mark.promise("demo-cast")
@pytest.mark.parametrize("flags", [[], WEBSOCKETS], ids=["lines", "both"])
def test_a_cast_holds_as_many_connections_as_is_said(flags: list[str]) -> None:
    assert connections(cast(*flags)) == 31
    assert connections(cast("--mode", "broadcast", *flags)) == 23
    assert connections(cast("--mode", "echo", *flags)) == 25
    text = " ".join((ROOT / "docs/operate/run.md").read_text().split())
    assert "holds about 30 connections (23 in broadcast, 25 in echo)" in text


@pytest.mark.promise("demo-cast")
def test_in_chat_there_are_five_rooms_a_flood_and_two_idlers() -> None:
    assert len({scene.room for scene in SCENES}) == len(SCENES) == 5
    assert sum(scene.room == "lobby" for scene in SCENES) == 1
    others = [played for played in parts_of(cast()) if played.name not in ("play", "converse")]
    flood = f"/join {FLOOD_ROOM}"
    assert FLOOD_ROOM not in {scene.room for scene in SCENES}
    in_flood = [played.name for played in others if flood in played.introduction]
    assert in_flood == ["flooder", "idler", "idler", "sleeper"]
    alone = [played for played in others if flood not in played.introduction]
    assert [played.name for played in alone] == ["idler", "idler"]
    assert len({played.introduction[-1] for played in alone}) == 2  # Each in a room where nobody speaks.


@pytest.mark.promise("demo-cast")
def test_in_broadcast_one_relays_to_twenty_and_nobody_floods() -> None:
    names = Counter(played.name for played in parts_of(cast("--mode", "broadcast", *WEBSOCKETS)))
    assert names == {"station": 1, "_listener": 18, "play": 2, "talker_who_does_not_listen": 1}
    silent = Counter(played.name for played in parts_of(cast("--mode", "broadcast", "--no-telnet")))
    assert silent == {"station": 1, "_listener": 20}


@pytest.mark.promise("demo-cast")
def test_in_echo_twenty_talk_two_idle_one_floods_one_is_slow() -> None:
    names = Counter(played.name for played in parts_of(cast("--mode", "echo")))
    assert names == {"muse": 20, "_listener": 2, "flooder": 1, "talker_who_does_not_listen": 1}


@pytest.mark.promise("demo-cast")
def test_visitors_come_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "FIRST_VISIT_S", 0.0)
    monkeypatch.setattr(demo, "VISIT_S", 0.0)
    here, most, came = 0, 0, 0

    async def visit() -> None:
        nonlocal here, most, came
        here, came = here + 1, came + 1
        most = max(most, here)
        for _ in range(3):
            await asyncio.sleep(0)
        here -= 1

    asyncio.run(demo.receive(iter([visit] * 10)))
    assert (most, came, here) == (1, 10, 0)


@pytest.mark.promise("demo-cast")
def test_the_child_is_nicer_than_the_hub_and_waits_for_it() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with child("--lines", f"127.0.0.1:{nobody.getsockname()[1]}") as process:
            wanted = min(os.nice(0) + 10, 19)  # setpriority(2): there is no more.
            until(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == wanted)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            assert_it_ends_with_its_stdin(process)


@pytest.mark.promise("demo-cast")
def test_visitors_break_only_rules_that_the_hub_has() -> None:
    assert kinds(cast()) == {"leaver", "resetter", "browser", "quitter", "stammerer", "rambler"}
    assert kinds(cast("--mode", "echo")) == {"leaver", "resetter", "browser", "stammerer", "rambler"}
    assert kinds(cast("--max-line", "0", "--no-telnet")) == {"leaver", "resetter", "browser", "quitter"}


def test_nicks_of_people_and_guests_differ_and_are_allowed() -> None:
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
        until(lambda: len(hub.loop.hub.connections.clients) >= 10)
        process.send_signal(signal.SIGINT)
        until(lambda: len(hub.loop.hub.connections.clients) >= 25)
        assert_it_ends_with_its_stdin(process)
        until(lambda: not hub.loop.hub.connections.clients)
