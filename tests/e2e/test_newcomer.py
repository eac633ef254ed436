"""The first minutes with hubbub: start it, talk to it with what is at hand, read its figures."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import pytest

from tests.e2e.programs import ENVIRONMENT, command_of, converse, require
from tests.support import PATIENCE_S, ROOT, HubProcess, Peer, ThreadHub, until

T = TypeVar("T")

BROADCAST = ("--mode", "broadcast", "--no-web")
SMALL_FEED = b"".join(b"reading %d\n" % number for number in range(3000))
"""About what one TCP connection takes at once, without waiting for its reader."""
LARGE_FEED = b"".join(b"%078d\n" % number for number in range(100_000))

FEEDS = ["ncat --send-only", "socat -u"]


def feed_command(program: str, port: int) -> list[str]:
    """A program that sends its input, and never reads what comes back."""
    if program == "ncat --send-only":
        return [require("ncat"), "--send-only", "127.0.0.1", str(port)]
    return [require("socat"), "-u", "-", f"TCP:127.0.0.1:{port}"]


def rows(hub: HubProcess) -> list[dict[str, Any]]:
    """The open clients, oldest first."""
    clients: list[dict[str, Any]] = hub.get("/api/clients")["clients"]
    return clients


def endings(hub: HubProcess) -> list[dict[str, Any]]:
    """The connections that have ended, newest first."""
    closed: list[dict[str, Any]] = hub.get("/api/closed")["closed"]
    return closed


def test_serve_says_where_it_listens_one_line_for_each_listener() -> None:
    with HubProcess() as hub:
        *listeners, page, limit = hub.start_lines
        expected = [f"hubbub: lines on 127.0.0.1:{hub.port}\n", f"hubbub: lines on [::1]:{hub.port}\n"]
        expected += [
            line.replace("lines", "websockets").replace(str(hub.port), str(hub.ws_port)) for line in expected
        ]
        assert listeners in (expected, expected[::2])  # There may be no IPv6.
        assert page == f"hubbub: page on {hub.url}\n"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", hub.url)
        assert re.fullmatch(r"hubbub: at most \d+ clients \(\d+ descriptors\)\n", limit)
        assert hub.stop() == 0


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("run", "bin/hubbub serve"),
        ("demo", "bin/hubbub demo"),
        ("test", "bin/pytest"),
        ("lint", "bin/ruff check"),
        ("types", "bin/mypy"),
        ("fuzz", "tests.fuzz.run"),
    ],
)
def test_make_has_the_targets_that_a_newcomer_is_told_of(target: str, command: str) -> None:
    plan = subprocess.run(
        [require("make"), "--dry-run", target], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert plan.returncode == 0, plan.stderr
    assert command in plan.stdout


@pytest.mark.parametrize(
    ("mode", "trigger", "read", "answer"),
    [
        ("chat", "level", "drain", b"<guest-1> hi"),
        ("broadcast", "level", "once", b"hi"),
        ("echo", "edge", "drain", b"hi"),
    ],
)
def test_a_piped_line_prints_its_answer_and_the_client_ends(
    mode: str, trigger: str, read: str, answer: bytes
) -> None:
    with HubProcess("--no-web", "--mode", mode, "--trigger", trigger, "--read", read) as hub:
        client = shlex.join([sys.executable, "-m", "hub", "client", "127.0.0.1", str(hub.port)])
        printed = converse(["sh", "-c", f"echo hi | {client}"], [])
        greeting, _, said = printed.rpartition(b"joined\n")
        assert said == answer + b"\n"
        assert bool(greeting) == (mode == "chat")


@pytest.mark.parametrize("program", FEEDS)
def test_a_feed_that_is_piped_in_reaches_every_reader(program: str) -> None:
    with HubProcess(*BROADCAST) as hub, hub.peer() as ann, hub.peer() as ben:
        prove_admitted(ann, ben)
        converse(feed_command(program, hub.port), [SMALL_FEED])
        assert ann.read(len(SMALL_FEED)) == ben.read(len(SMALL_FEED)) == SMALL_FEED


@pytest.mark.parametrize("program", FEEDS)
def test_a_large_feed_that_never_reads_its_own_lines_is_delivered_while_it_stays(program: str) -> None:
    with HubProcess(*BROADCAST) as hub, hub.peer() as reader:
        prove_admitted(reader)
        with (
            subprocess.Popen(
                feed_command(program, hub.port), stdin=subprocess.PIPE, env=ENVIRONMENT, bufsize=0
            ) as feed,
            ThreadPoolExecutor(1) as side,
        ):
            assert feed.stdin is not None
            writing = side.submit(feed.stdin.write, LARGE_FEED)
            assert reader.read(len(LARGE_FEED)) == LARGE_FEED
            assert writing.result(PATIENCE_S) == len(LARGE_FEED)
            feed.stdin.write(b"still here\n")
            assert reader.line() == b"still here\n"
            feed.stdin.close()
            assert feed.wait(PATIENCE_S) == 0


@pytest.mark.promise("limits-file-whole")
@pytest.mark.parametrize("program", FEEDS)
def test_a_large_file_is_delivered_though_the_feed_closes_with_its_own_lines_unread(program: str) -> None:
    assert LARGE_FEED in tries(lambda: feed_large_file(lambda port: feed_command(program, port))[0])


def test_who_feeds_a_large_file_and_reads_knows_of_every_line_of_its_own() -> None:
    heard, feed = feed_large_file(lambda port: command_of("socat", port))
    assert heard == LARGE_FEED
    own = re.sub(rb"(?m)^\* skipped \d+ lines\n", b"", feed.stdout).splitlines()
    skipped = re.findall(rb"(?m)^\* skipped (\d+) lines$", feed.stdout)
    assert own == sorted(set(own))
    assert len(own) + sum(map(int, skipped)) == LARGE_FEED.count(b"\n")


def test_a_large_file_is_delivered_in_chat_though_the_feed_leaves_the_greeting_unread() -> None:
    def feed() -> int:
        with ThreadHub(mode="chat") as hub, hub.peer() as reader:
            reader.read_until(b"* guest-1 joined\n")
            heard, _ = hear_while_fed(hub, reader, feed_command("socat -u", hub.port))
            return heard.count(b"<guest-2> ")

    assert LARGE_FEED.count(b"\n") in tries(feed)


def tries(feed: Callable[[], T]) -> Iterator[T]:
    """Three of them: a feed that a busy machine holds up for 50 ms has paused, and is sent its own lines."""
    return (feed() for _ in range(3))


def feed_large_file(
    command: Callable[[int], list[str]],
) -> tuple[bytes, subprocess.CompletedProcess[bytes]]:
    """Let a program send LARGE_FEED to a broadcast; what a reader heard of it, and the ended program."""
    with ThreadHub() as hub, hub.peer() as reader:
        prove_admitted(reader)
        return hear_while_fed(hub, reader, command(hub.port))


def hear_while_fed(
    hub: ThreadHub, reader: Peer, command: list[str]
) -> tuple[bytes, subprocess.CompletedProcess[bytes]]:
    """Read all along while the program sends LARGE_FEED, up to its end."""
    with ThreadPoolExecutor(1) as side:
        hearing = side.submit(reader.rest)
        feed = subprocess.run(
            command, input=LARGE_FEED, stdout=subprocess.PIPE, env=ENVIRONMENT, timeout=PATIENCE_S
        )
        hub.ending()
        reader.half_close()
        return hearing.result(PATIENCE_S), feed


def test_the_json_door_tells_the_same_story_as_the_sockets() -> None:
    with HubProcess() as hub, hub.peer() as ann, hub.peer() as ben:
        heard = ann.read_until(b"guest-2 joined\n")
        ben.send("/nick Бен\nпривет\n".encode())
        heard += ann.read_until("<Бен> привет\n".encode())
        heard += ann.read_until("guest-2 is now Бен\n".encode())
        first, second = rows(hub)
        assert [(row["id"], row["nick"], row["room"]) for row in (first, second)] == [
            (1, "guest-1", "lobby"),
            (2, "Бен", "lobby"),
        ]
        assert [row["peer"] for row in (first, second)] == [address_of(ann), address_of(ben)]
        assert (first["lines_in"], first["bytes_in"], first["lag_bytes"]) == (0, 0, 0)
        assert (first["lines_out"], first["bytes_out"]) == (heard.count(b"\n"), len(heard))
        assert (second["lines_in"], second["bytes_in"]) == (2, len("/nick Бен\nпривет\n".encode()))
        assert hub.get("/api/clients/2")["peer"] == second["peer"]
        assert hub.get("/api/rooms")["rooms"][0]["clients"] == 2
        assert (endings(hub), hub.get("/readyz")["ready"], hub.get("/livez")["alive"]) == ([], True, True)


@pytest.mark.parametrize(
    ("flags", "sent", "reason", "detail"),
    [
        (("--max-line", "64"), b"x" * 65, "line_too_long", "limit=64"),
        (("--idle-timeout", "300ms"), b"so quiet\n", "idle", "after=0.3s"),
        ((), b"\xff\xfa\x18" + bytes(257), "protocol_error", "telnet=subnegotiation"),
        ((), b"/quit\n", "quit", ""),
    ],
)
def test_who_is_evicted_leaves_the_table_and_stands_in_the_endings_with_its_reason(
    flags: tuple[str, ...], sent: bytes, reason: str, detail: str
) -> None:
    with HubProcess("--mode", "chat", "--idle-warning", "0", *flags) as hub, hub.peer() as peer:
        peer.send(sent)
        heard = peer.rest()
        assert heard.splitlines()[-1] == f"* bye reason={reason} {detail}".strip().encode()
        assert rows(hub) == []
        address = address_of(peer)
        peer.close()  # Only now is the connection over, so only now does it stand in the endings.
        ending = until(partial(endings, hub))[0]
        assert (ending["id"], ending["peer"]) == (1, address)
        assert (ending["reason"], ending["detail"], ending["farewell"]) == (reason, detail, True)
        assert (ending["bytes_in"], ending["bytes_out"]) == (len(sent), len(heard))
        assert (ending["lateness_ms"] is not None) == (reason == "idle")
        summary = until(partial(summary_with_endings, hub))
        assert summary["closed"] == {reason: 1}
        assert (summary["clients"]["open"], summary["clients"]["accepted"]) == (0, 1)


def prove_admitted(*peers: Peer) -> None:
    """See that these, everyone in a broadcast, hear each other, so that nothing said later can be missed."""
    for peer in peers:
        peer.send(b"here\n")
    for peer in peers:
        for _ in peers:
            assert peer.line() == b"here\n"


def address_of(peer: Peer) -> str:
    """A client's own address, as the hub sees and shows it."""
    host, port = peer.sock.getsockname()
    return f"{host}:{port}"


def summary_with_endings(hub: HubProcess) -> dict[str, Any]:
    """The totals, or nothing while they count no ending: they are published at most once a second."""
    summary: dict[str, Any] = hub.get("/api/summary")
    return summary if summary["closed"] else {}
