"""`hubbub health`, asking hubs that are well, that drain, that hang, and things that are no hub at all."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hub.cli.health import LIMIT_S, UNWELL, WELL, Page, Verdict, ask, page_of, split_url
from hub.config.settings import Settings
from tests.ptrace import held_still
from tests.support import PATIENCE_S, ROOT, HubProcess, closing, until
from tests.unit.cli.conftest import Hubbub
from tests.unit.cli.support import full_door, serving

SOON_S = 0.3
"""A limit for questions that nobody is going to answer."""


def page(hub: HubProcess) -> Page:
    return split_url(hub.url)


@contextmanager
def answering(*answers: bytes) -> Iterator[Page]:
    """What is no hub, and gives these answers to the requests of a connection, whatever they are."""

    def talk(peer: socket.socket) -> None:
        with suppress(OSError):  # Whoever asks may have heard enough.
            for answer in answers:
                peer.recv(4096)
                peer.sendall(answer)

    with serving(talk) as port:
        yield Page("127.0.0.1", port)


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


def test_a_page_that_is_asked_under_a_foreign_name_is_well() -> None:
    with answering(json_answer('{"alive":true,"age_s":0.5}'), json_answer('{"ready":true}')) as where:
        assert ask(where) == Verdict(WELL, f"well: {where}: heard of 0.5 s ago")


@pytest.mark.parametrize("ready", [False, True])
def test_a_hub_whose_cluster_does_not_answer_says_so(ready: bool) -> None:
    degraded = '{"ready":true,"degraded":true,"reason":"no link to the cluster"}'
    with answering(ALIVE, json_answer(degraded)) as where:
        verdict = ask(where, ready=ready)
    assert verdict.code == WELL, "lines wait, and new clients are welcome"
    assert verdict.text.endswith(", degraded: no link to the cluster")


def test_the_command_prints_one_line_and_exits_0(hub: HubProcess) -> None:
    until(lambda: ask(page(hub)).code == WELL)
    command = [sys.executable, "-m", "hubbub", "health", "--url", hub.url]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.startswith(f"hubbub: well: {page(hub)}: ") and said.stdout.count("\n") == 1
    assert said.stderr == ""


def test_the_page_is_found_by_what_serve_was_given(hub: HubProcess, hubbub: Hubbub) -> None:
    until(lambda: ask(page(hub)).code == WELL)
    port = str(page(hub).port)
    # As in a container: variables of serve that are not about the page are there as well.
    assert hubbub("health", HUBBUB_WEB_HOST="0.0.0.0", HUBBUB_WEB_PORT=port, HUBBUB_MODE="echo").code == 0
    Path("hubbub.toml").write_text(f"web-port = {port}\nmode = 'echo'")
    assert hubbub("health").code == 0
    assert hubbub("health", HUBBUB_WEB_PORT="1").code == 1
    assert hubbub("health", "--web-port", port, "--ready", HUBBUB_WEB_PORT="1").code == 0
    assert hubbub("health", "--no-web", "--url", hub.url).code == 0


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
def test_a_loop_that_hangs_is_told_and_well_again_when_it_turns(hub: HubProcess, hubbub: Hubbub) -> None:
    until(lambda: ask(page(hub)).code == WELL)
    with held_still(hub.process.pid):
        why = f"not well: {page(hub)}: the loop hangs, it was heard of "
        until(lambda: ask(page(hub)).text.startswith(why))
        said = hubbub("health", "--url", hub.url)
        assert said.code == 1
        assert "the loop hangs" in said.out and said.out.count("\n") == 1
    until(lambda: ask(page(hub)).code == WELL)


def test_a_stopped_process_is_not_waited_for(hub: HubProcess) -> None:
    until(lambda: ask(page(hub)).code == WELL)
    hub.stand_still()
    start_s = time.monotonic()
    verdict = ask(page(hub), limit_s=SOON_S)
    hub.go_on()
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
    with full_door() as address:
        where = Page(*address)
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
        ([json_answer("{}", "404 Not Found")], "wrong answer: 404 Not Found"),
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
    told = threading.Event()

    def drip(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nA: ")
        while not told.wait(SOON_S / 10):  # More often than any timeout of a single read.
            peer.sendall(b"a")

    with serving(drip) as port:
        start_s = time.monotonic()
        verdict = ask(Page("127.0.0.1", port), limit_s=SOON_S)
        assert time.monotonic() - start_s < LIMIT_S
        told.set()
    assert verdict.code == UNWELL and "it listens and does not answer" in verdict.text


@pytest.mark.promise("health-wary")
def test_what_a_stranger_answers_cannot_move_the_cursor(hubbub: Hubbub) -> None:
    with answering(json_answer('{"error":"\\u001b[2J\\nhubbub: well"}')) as where:
        said = hubbub("health", "--url", f"http://{where}/")
    assert said.code == 1
    assert said.out.count("\n") == 1 and "\x1b" not in said.out


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


def test_a_page_on_every_address_is_asked_over_loopback() -> None:
    assert page_of(Settings(web_host="::", web_port=81)) == Page("::1", 81)
    assert page_of(Settings(web_host="*", web_port=81)) == Page("127.0.0.1", 81)
    assert page_of(Settings(web_host="192.0.2.7", web_port=81)) == Page("192.0.2.7", 81)


def test_a_url_names_a_page() -> None:
    assert split_url("http://localhost:8080/") == Page("localhost", 8080)
    assert split_url("http://LOCALHOST") == Page("localhost", 80)
    assert split_url("http://[::1]:8080") == Page("::1", 8080)


NO_HOST = ["", "localhost:8080", "https://localhost/", "http://", "http://:8080/"]
NO_PORT = ["http://localhost:65536/", "http://localhost:x/", "http://localhost:-1/"]
TOO_MUCH = ["http://localhost/livez", "http://localhost/?a", "http://me@localhost/"]
NO_NAME = ["http://a b/", "http://local\nhost/", "http://[::1/", "http://[::g]/"]


@pytest.mark.parametrize("url", [*NO_HOST, *NO_PORT, *TOO_MUCH, *NO_NAME])
def test_anything_else_is_no_url_of_a_page(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # Of whichever step refuses it.
        split_url(url)


@pytest.mark.promise("health-wary")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--url", "https://x"], "--url: 'https://x': an address such as http://127.0.0.1:8080/"),
        (["--no-web"], "--no-web: a hub without a page answers nobody, so there is nothing to ask"),
        (["--web-port", "0"], "--web-port: 0 was any free port: give the one that serve named, or --url"),
        (["now"], "health: 'now': nothing more"),
        (["--web-prot", "1"], "--web-prot: no such flag: did you mean --web-port?"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(hubbub: Hubbub, arguments: Sequence[str], line: str) -> None:
    assert hubbub("health", *arguments)[:3] == (2, "", f"hubbub: {line}\n")


@pytest.mark.parametrize("name", ["HUBBUB_URL", "HUBBUB_READY"])
def test_what_one_question_is_about_is_no_setting_of_a_hub(hubbub: Hubbub, name: str) -> None:
    said = hubbub("health", **{name: "1"})
    assert said.code == 2 and said.err.startswith(f"hubbub: {name}: no such variable")


def test_it_starts_without_what_only_a_hub_needs() -> None:
    program = "import hub.cli.main, sys; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    modules = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "hub.cli.health" in modules
    assert not {"asyncio", "aiohttp", "hub.loop.event_loop"} & set(modules)
