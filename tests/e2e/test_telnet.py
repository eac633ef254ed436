"""Real telnet in real terminal windows: what two people see of each other, and cannot do to each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from tests.e2e.programs import TELNET_BANNER, Window, rows_of, screen_of, telnet_window
from tests.support import HubProcess, bye, until

CTRL_C = b"\xff\xf4\xff\xfd\x06"
"""What telnet sends: INTERRUPT PROCESS, and DO TIMING-MARK, up to whose answer it shows nothing."""

GUARD = "the line after it"
"""Shown once everything that came before it is."""

# One line each: what a terminal would obey, or what would make a line look like somebody else's.
HOSTILE = [
    b"\x1b]0;owned\x07 title by OSC and BEL",
    b"\x1b]2;owned\x1b\\ title by OSC and ST",
    b"\x1b[2J\x1b[H clear the screen, go home",
    b"\x1b[31m red\x1b[0m",
    b"\x1bc reset, \x1bZ who are you",
    b"\x9b2J raw C1",
    "\N{CONTROL SEQUENCE INTRODUCER}2J and \N{OPERATING SYSTEM COMMAND}0;owned\N{STRING TERMINATOR}".encode(),
    b"good\r<guest-9> forged by return",
    b"good\x08\x08\x08\x08evil by backspace",
    b"good\x0b\x0c\x85 by VT, FF, raw NEL",
    "one\N{LINE SEPARATOR}two\N{PARAGRAPH SEPARATOR}three\N{NEXT LINE}four".encode(),
    "abc \N{RIGHT-TO-LEFT OVERRIDE}fed\N{POP DIRECTIONAL FORMATTING} override".encode(),
    "abc \N{RIGHT-TO-LEFT ISOLATE}fed\N{POP DIRECTIONAL ISOLATE} isolate".encode(),
    "tag\N{TAG LATIN SMALL LETTER X} hidden".encode(),
    b"cut \xc3 in two, \xf0\x9f\x98 short, \xc0\xaf long",
    b"\x0e shifted to line drawing \x0f",
    b"* hubbub: said, not announced",
]
# The same, as it has to stand on the screen: what would have been obeyed is replaced, visibly.
HARMLESS = [
    "�]0;owned� title by OSC and BEL",
    "�]2;owned�\\ title by OSC and ST",
    "�[2J�[H clear the screen, go home",
    "�[31m red�[0m",
    "�c reset, �Z who are you",
    "�2J raw C1",
    "�2J and �0;owned�",
    "good�<guest-9> forged by return",
    "evil by backspace",  # applied, as a terminal would, before anybody sees it
    "good��� by VT, FF, raw NEL",
    "one�two�three�four",
    "abc �fed� override",
    "abc �fed� isolate",
    "tag� hidden",
    "cut � in two, � short, �� long",
    "� shifted to line drawing �",
    "* hubbub: said, not announced",
]


def heard_bytes(hub: HubProcess, client_id: int) -> int:
    """How much the hub has read from a client, as its JSON API says."""
    row = hub.get(f"/api/clients/{client_id}")
    assert isinstance(row["bytes_in"], int)
    return row["bytes_in"]


def has_heard(hub: HubProcess, client_id: int, size: int) -> bool:
    return heard_bytes(hub, client_id) == size


def press_ctrl_c(hub: HubProcess, client_id: int, window: Window) -> None:
    """Press it, and see that the hub has read, and so answered, just what telnet sends for it."""
    before = heard_bytes(hub, client_id)
    window.type("\x03")
    until(partial(has_heard, hub, client_id, before + len(CTRL_C)))


@contextmanager
def window_in_chat(hub: HubProcess, client_id: int) -> Iterator[Window]:
    """One more person in the lobby, who has been greeted."""
    with telnet_window(hub.port) as window:
        window.wait_for(f"you are guest-{client_id} in lobby")
        window.wait_for("/help lists commands\r\n")
        yield window


@pytest.mark.promise("telnet-interrupt")
def test_two_windows_chat_and_one_survives_ctrl_c() -> None:
    with HubProcess() as hub, window_in_chat(hub, 1) as ann, window_in_chat(hub, 2) as ben:
        ann.type("hello ben\n")
        ben.wait_for("* guest-1 joined\r\n<guest-1> hello ben\r\n")
        ben.type("hello ann\n")
        ann.wait_for("* guest-2 joined\r\n<guest-2> hello ann\r\n")

        press_ctrl_c(hub, 2, ben)
        ann.type("are you still there?\n")
        assert ben.wait_for("<guest-1> are you still there?\r\n") < 5.0
        ben.type("yes, I am\n")
        assert ann.wait_for("<guest-2> yes, I am\r\n") < 5.0

        ben.type("/quit\n")
        ben.wait_for(bye("quit", end="\r\n").decode())
        ben.wait_for_end()
        ann.wait_for("* guest-2 left\r\n")
        closed = until(lambda: hub.get("/api/closed")["closed"])  # Once the hub has seen telnet's end.
        assert closed[0]["reason"] == "quit"


@pytest.mark.promise("telnet-interrupt")
def test_a_window_goes_on_after_ctrl_c_again_and_again() -> None:
    with HubProcess("--mode", "echo") as hub, telnet_window(hub.port) as window:
        for press in range(5):
            press_ctrl_c(hub, 1, window)
            window.type(f"line {press}\n")
            window.wait_for(f"line {press}\r\n")  # the terminal's own echo
            assert window.wait_for(f"line {press}\r\n") < 5.0


@pytest.mark.promise("chat-clean")
def test_hostile_text_is_harmless_on_another_persons_screen() -> None:
    with HubProcess() as hub, hub.peer() as mallory:
        mallory.read_until(b"/help lists commands\n")
        with window_in_chat(hub, 2) as ben:
            mallory.send(b"".join(line + b"\n" for line in [*HOSTILE, GUARD.encode()]))
            ben.wait_for(f"{GUARD}\r\n")
            screen = screen_of(ben.printed)

    assert rows_of(screen) == [
        "",  # the line end that started telnet
        *TELNET_BANNER,
        "* welcome to hubbub - you are guest-2 in lobby, with 1 other; /help lists commands",
        "* guest-1 joined",
        *(f"<guest-1> {line}" for line in [*HARMLESS, GUARD]),
    ]
    assert (screen.title, screen.icon_name) == ("", "")


@pytest.mark.promise("chat-clean")
def test_a_screen_shows_what_hostile_text_would_have_done() -> None:
    screen = screen_of(b"\r\n".join([b"before", *HOSTILE[:3]]))
    assert rows_of(screen) == [" clear the screen, go home"]
    assert screen.title == "owned"
