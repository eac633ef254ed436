"""`hubbub health`, asking hubs that are well, that drain, that hang, and things that are no hub at all."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hub.cli.health import LIMIT_S, UNWELL, WELL, NothingToAsk, Page, Verdict, ask, page_of, split_url
from hub.config.settings import Settings
from tests.ptrace import held_still
from tests.support import PATIENCE_S, ROOT, HubProcess, closing, until

SOON_S = 0.3
"""A limit for questions that nobody is going to answer."""


def page(hub: HubProcess) -> Page:
    return split_url(hub.url)


def health(*arguments: str, directory: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    return subprocess.run(
        [sys.executable, "-m", "hub", "health", *arguments],
        cwd=directory,
        env={**inherited, "PYTHONPATH": str(ROOT), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@contextmanager
def listener(talk: Callable[[socket.socket], None]) -> Iterator[Page]:
    """Something that listens and is no hub: `talk` is what it does with each connection, on a thread."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            with suppress(OSError):  # The door or the peer is gone: the test is over.
                while True:
                    peer, _ = door.accept()
                    with peer:
                        talk(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Page("127.0.0.1", door.getsockname()[1])
        door.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_S)


@contextmanager
def answering(*answers: bytes) -> Iterator[Page]:
    """A listener that gives these answers to the requests of a connection, whatever they are, and closes."""

    def talk(peer: socket.socket) -> None:
        for answer in answers:
            peer.recv(4096)
            peer.sendall(answer)

    with listener(talk) as where:
        yield where


def json_answer(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


ALIVE = json_answer('{"alive":true,"turns":7,"age_s":0.5}')


# Hubs.


@pytest.fixture(scope="module")
def hub() -> Iterator[HubProcess]:
    with HubProcess("--host", "127.0.0.1") as process:
        yield process


@pytest.mark.promise("health-hang")
@pytest.mark.parametrize("ready", [False, True])
def test_a_hub_that_turns_is_well_and_its_figures_are_told(hub: HubProcess, ready: bool) -> None:
    verdict = until(lambda: next((v for v in [ask(page(hub), ready=ready)] if v.code == WELL), None))
    assert verdict.text.startswith(f"well: {page(hub)}: ")
    assert verdict.text.endswith(" s ago")


def test_the_command_prints_one_line_and_exits_0(hub: HubProcess) -> None:
    until(lambda: ask(page(hub)).code == WELL)
    result = health("--url", hub.url)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith(f"hubbub: well: {page(hub)}: ") and result.stdout.count("\n") == 1


def test_it_finds_the_page_where_the_environment_of_serve_has_it(hub: HubProcess) -> None:
    until(lambda: ask(page(hub)).code == WELL)
    # As in a container: variables of serve that are not about the page are there as well.
    port = str(page(hub).port)
    result = health(HUBBUB_WEB_HOST="0.0.0.0", HUBBUB_WEB_PORT=port, HUBBUB_MODE="echo")
    assert (result.returncode, result.stderr) == (0, "")


def test_the_page_is_found_by_the_file_of_serve_and_flags_win(hub: HubProcess, tmp_path: Path) -> None:
    until(lambda: ask(page(hub)).code == WELL)
    (tmp_path / "hubbub.toml").write_text(f"web-port = {page(hub).port}\nmode = 'echo'")
    assert health(directory=tmp_path).returncode == 0
    assert health(directory=tmp_path, HUBBUB_WEB_PORT="1").returncode == 1
    flags = ["--web-port", str(page(hub).port), "--ready"]
    assert health(*flags, directory=tmp_path, HUBBUB_WEB_PORT="1").returncode == 0


@pytest.mark.promise("health-hang")
@pytest.mark.promise("health-states")
def test_a_hub_that_drains_is_alive_and_not_ready() -> None:
    with (
        HubProcess("--host", "127.0.0.1", "--mode", "broadcast", "--drain", "1h") as hub,
        closing([hub.peer(receive_buffer=4096), hub.peer()]) as (_, writer),
    ):
        sent = b"%099d\n" % 0 * 5000  # More than the kernel holds for the first, who reads nothing of it.
        writer.send(sent)
        assert writer.read(len(sent)) == sent
        hub.process.send_signal(signal.SIGTERM)
        until(lambda: ask(page(hub)).text.endswith(", draining"))
        assert ask(page(hub)).code == WELL
        refused = ask(page(hub), ready=True)
        assert refused == Verdict(UNWELL, f"not well: {page(hub)}: draining, it takes no new clients")


@pytest.mark.promise("health-hang")
def test_a_loop_that_hangs_is_told_and_well_again_when_it_turns() -> None:
    with HubProcess("--host", "127.0.0.1") as hub:
        until(lambda: ask(page(hub)).code == WELL)
        with held_still(hub.process.pid):
            why = f"not well: {page(hub)}: the loop hangs, it was heard of "
            until(lambda: ask(page(hub)).text.startswith(why))
            result = health("--url", hub.url)
            assert result.returncode == 1
            assert "the loop hangs" in result.stdout and result.stdout.count("\n") == 1
        until(lambda: ask(page(hub)).code == WELL)
        assert hub.stop() == 0


def test_a_stopped_process_is_not_waited_for() -> None:
    with HubProcess("--host", "127.0.0.1") as hub:
        until(lambda: ask(page(hub)).code == WELL)
        hub.stand_still()
        start_s = time.monotonic()
        verdict = ask(page(hub), limit_s=SOON_S)
        assert SOON_S <= time.monotonic() - start_s < LIMIT_S
        why = f"it listens and does not answer within {SOON_S:g} s"
        assert verdict == Verdict(UNWELL, f"not well: {page(hub)}: {why}")


# No hubs.


def test_nobody_there_is_said() -> None:
    with socket.socket() as reserved:  # Bound and not listening: a connection is refused.
        reserved.bind(("127.0.0.1", 0))
        where = Page("127.0.0.1", reserved.getsockname()[1])
        assert ask(where) == Verdict(UNWELL, f"not well: {where}: nobody listens there")


def test_a_full_backlog_is_no_connection() -> None:
    with socket.socket() as door, socket.socket() as first, socket.socket() as second:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for peer in (first, second):  # What more than these ask for is dropped, as by a firewall.
            peer.setblocking(False)
            peer.connect_ex(door.getsockname())
            assert select.select([door], [], [], PATIENCE_S)[0], "the only place is taken"
        where = Page(*door.getsockname())
        text = f"not well: {where}: no connection within {SOON_S:g} s"
        assert ask(where, limit_s=SOON_S) == Verdict(UNWELL, text)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "wrong answer: not HTTP"),
        ([b"\x00\xff\x00\xff"], "wrong answer: not HTTP"),
        ([b"HTTP/1.1 2\xb200 OK\r\n\r\n"], "wrong answer: not HTTP"),
        ([b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000], "wrong answer: not HTTP"),
        ([b""], "remote end closed connection without response"),
        ([json_answer("{}")], "wrong answer: not from a hub"),
        ([json_answer("[" * 4000)], "wrong answer: 200 OK"),
        ([json_answer("7" * 4000)], "wrong answer: not from a hub"),
        ([json_answer(" " * 5000)], "wrong answer: 200 OK"),
        ([json_answer("<html>", "404 Not Found")], "wrong answer: 404 Not Found"),
        ([json_answer('{"alive":true}')], "wrong answer: not from a hub"),
        ([json_answer('{"alive":"yes","turns":1,"age_s":0.1}')], "wrong answer: not from a hub"),
        ([b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n"], "wrong answer: 302 Found"),
        ([json_answer('{"error":"no such name"}', "421 Misdirected")], "wrong answer: 421: no such name"),
        ([ALIVE, json_answer("{}")], "wrong answer: not from a hub"),
        ([ALIVE, json_answer('{"ready":false,"draining":false}', "503 Unwell")], "the loop hangs"),
        ([json_answer('{"alive":false,"age_s":null}', "503 No")], "the loop has not been heard of yet"),
    ],
)
def test_a_wrong_answer_is_told_apart(answers: Sequence[bytes], why: str) -> None:
    with answering(*answers) as where:
        assert ask(where) == Verdict(UNWELL, f"not well: {where}: {why}")


@pytest.mark.promise("health-wary")
def test_an_answer_that_comes_in_drops_is_not_waited_for() -> None:
    asked_again = threading.Event()

    def drip(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nA: ")
        while not asked_again.wait(SOON_S / 10):  # More often than any timeout of a single read.
            peer.sendall(b"a")

    with listener(drip) as where:
        start_s = time.monotonic()
        verdict = ask(where, limit_s=SOON_S)
        assert time.monotonic() - start_s < LIMIT_S
        asked_again.set()
    assert verdict.code == UNWELL and "it listens and does not answer" in verdict.text


@pytest.mark.promise("health-wary")
def test_what_a_stranger_answers_cannot_move_the_cursor() -> None:
    with answering(json_answer('{"error":"\\u001b[2J\\nhubbub: well"}')) as where:
        result = health("--url", f"http://{where}/")
    assert result.returncode == 1
    assert result.stdout.count("\n") == 1 and "\x1b" not in result.stdout


def test_a_name_that_does_not_exist_is_said() -> None:
    assert "not well: no.such.invalid:80: " in ask(Page("no.such.invalid", 80)).text  # RFC 6761, 6.4


@pytest.mark.promise("health-wary")
def test_a_name_that_takes_long_to_look_up_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, over = threading.Event(), threading.Event()

    def look_up(*_: object, **__: object) -> list[object]:
        asked.set()
        over.wait(PATIENCE_S)
        raise socket.gaierror(socket.EAI_AGAIN, "at last")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    where = Page("slow.invalid", 80)
    text = f"not well: {where}: no connection within {SOON_S:g} s"
    assert ask(where, limit_s=SOON_S) == Verdict(UNWELL, text)
    assert asked.is_set()
    over.set()


# Which page.


@pytest.mark.parametrize(
    ("web_host", "host"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.7", "192.0.2.7")],
)
def test_the_page_of_a_hub_is_where_its_settings_put_it(web_host: str, host: str) -> None:
    assert page_of(Settings(web_host=web_host, web_port=81)) == Page(host, 81)


@pytest.mark.promise("health-wary")
@pytest.mark.parametrize("settings", [Settings(web=False), Settings(web_port=0)])
def test_without_a_known_page_only_a_url_helps(settings: Settings) -> None:
    with pytest.raises(NothingToAsk):
        page_of(settings)
    assert page_of(settings, "http://localhost:81") == Page("localhost", 81)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://localhost:8080/", Page("localhost", 8080)),
        ("http://LOCALHOST", Page("localhost", 80)),
        ("http://[::1]:8080", Page("::1", 8080)),
    ],
)
def test_a_url_names_a_page(url: str, where: Page) -> None:
    assert split_url(url) == where


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8080",
        "https://localhost/",
        "http://",
        "http://:8080/",
        "http://localhost:65536/",
        "http://localhost:x/",
        "http://localhost:-1/",
        "http://localhost/livez",
        "http://localhost/?a",
        "http://me@localhost/",
        "http://a b/",
        "http://local\nhost/",
        "http://[::1/",
        "http://[::g]/",
    ],
)
def test_anything_else_is_no_url_of_a_page(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # Of whichever step refuses it.
        split_url(url)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--url", "https://x"], "--url: 'https://x': an address such as http://127.0.0.1:8080/"),
        (["--no-web"], "--no-web: a hub without a page answers nobody, so there is nothing to ask"),
        (
            ["--web-port", "0"],
            "--web-port: 0 was any free port: give the one that serve named, or --url",
        ),
        (["now"], "health: 'now': nothing more"),
        (["--web-prot", "1"], "--web-prot: no such flag: did you mean --web-port?"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: Sequence[str], line: str, tmp_path: Path) -> None:
    result = health(*arguments, directory=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"hubbub: {line}\n")


@pytest.mark.parametrize("name", ["HUBBUB_URL", "HUBBUB_READY"])
def test_what_one_question_is_about_is_no_setting_of_a_hub(name: str, tmp_path: Path) -> None:
    result = health(directory=tmp_path, **{name: "1"})
    assert result.returncode == 2
    assert result.stderr.startswith(f"hubbub: {name}: no such variable")


def test_the_help_has_the_exit_codes_and_not_the_flags_of_serve(tmp_path: Path) -> None:
    result = health("--help", directory=tmp_path)
    assert result.returncode == 0
    assert "1 not well" in result.stdout and "--url" in result.stdout
    assert "--max-lag" not in result.stdout


def test_it_starts_without_what_only_a_hub_needs() -> None:
    program = "import hub.cli.main, sys; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "hub.cli.health" in modules
    assert not {"asyncio", "aiohttp", "structlog", "hub.loop.event_loop"} & set(modules)
