"""The child process of `hubbub demo`, from the hub's side."""

import sys
from dataclasses import fields
from pathlib import Path

import pytest

from hub.cli.demo import Company, DemoSettings, command
from hub.config.settings import Conflict, Settings, refuse_conflicts
from tests.support import ROOT


def test_the_child_is_told_where_to_connect_and_the_rules() -> None:
    told = command(
        Settings(mode="echo", max_line_bytes=99, telnet=False), ["127.0.0.1:1", "[::1]:1"], ["[::1]:2"]
    )
    assert told[:4] == [sys.executable, "-P", str(ROOT / "hubbub/__main__.py"), "made-up-clients"]
    assert told[4:8] == ["--lines", "127.0.0.1:1", "--lines", "[::1]:1"]
    assert told[8:10] == ["--ws", "[::1]:2"]
    assert told[10:] == ["--mode", "echo", "--max-line", "99", "--no-telnet"]


def test_the_child_dials_loopback_if_the_hub_is_everywhere() -> None:
    """It names the address in Host as well, where 0.0.0.0 is nobody's name."""
    told = command(Settings(), ["0.0.0.0:1", "[::]:1", "192.0.2.7:1", "[2001:db8::7]:1"], ["0.0.0.0:2"])
    dialled = [told[at + 1] for at, word in enumerate(told) if word in ("--lines", "--ws")]
    assert dialled == ["127.0.0.1:1", "[::1]:1", "192.0.2.7:1", "[2001:db8::7]:1", "127.0.0.1:2"]


@pytest.mark.parametrize(
    ("address", "typed"),
    [
        ("127.0.0.1:9000", "telnet 127.0.0.1 9000"),
        ("[::1]:9000", "telnet ::1 9000"),
        ("0.0.0.0:7", "telnet localhost 7"),
        ("[::]:7", "telnet localhost 7"),
    ],
)
def test_the_invitation_can_be_typed_as_it_stands(address: str, typed: str) -> None:
    first, last = Company(DemoSettings()).invitation([address], "http://127.0.0.1:8080/")
    assert first == f"demo: open http://127.0.0.1:8080/ and type: {typed}"
    assert "Ctrl-C" in last
    assert Company(DemoSettings()).invitation([address], "")[0] == f"demo: type: {typed}"


def test_a_child_that_cannot_be_started_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    company = Company(DemoSettings())
    company.start(["127.0.0.1:1"], [])
    company.stop(1.0)
    expected = "hubbub: demo: the made-up clients did not start: No such file or directory\n"
    assert capfd.readouterr().err == expected


def test_stop_ends_the_child_and_may_be_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    company = Company(DemoSettings())
    company.stop(1.0)
    company.start(["127.0.0.1:1"], [])
    company.stop(10.0)
    company.stop(10.0)
    assert capfd.readouterr().err == ""


@pytest.mark.promise("demo-defaults")
def test_the_demo_is_serve_with_two_other_defaults() -> None:
    ours, usual = DemoSettings(), Settings()
    differ = {field.name for field in fields(ours) if getattr(ours, field.name) != getattr(usual, field.name)}
    assert differ == {"idle_timeout_s", "idle_warning_s"}
    assert (ours.idle_timeout_s, ours.idle_warning_s) == (20.0, 10.0)
    assert {field.name for field in fields(ours)} == {field.name for field in fields(usual)}


def test_the_demo_s_own_defaults_go_with_any_timeout_of_the_user() -> None:
    refuse_conflicts(None, DemoSettings(idle_timeout_s=1.0))
    refuse_conflicts(None, DemoSettings())
    with pytest.raises(Conflict):
        refuse_conflicts(None, DemoSettings(idle_timeout_s=5.0, idle_warning_s=7.0))
