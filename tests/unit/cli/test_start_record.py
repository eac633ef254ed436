"""The record of a start, and that of a stop: what a hub ran with, in its own log."""

import json
import subprocess
from dataclasses import replace

import pytest

from hub import BUILD, __version__
from hub.cli.demo import DemoSettings
from hub.cli.start_record import changed, start_record
from hub.config.settings import Settings
from hub.config.values import Rate
from tests.support import HubProcess


def test_settings_that_are_not_the_default_are_told_as_typed() -> None:
    settings = replace(
        Settings(), host="0.0.0.0", telnet=False, self_echo=False, idle_timeout_s=90.0, read_only_port=9002,
        max_lag_bytes=1 << 21, line_rate=Rate(5, "m", 9), allowed_hosts=("a.example", "b.example"),
        greeting="hello there", max_clients=100,
    )  # fmt: skip
    assert changed(settings) == {
        "host": "0.0.0.0", "telnet": "off", "self_echo": "off", "idle_timeout": "90s",
        "read_only_port": "9002", "max_lag": "2MiB", "line_rate": "5/m:9",
        "allowed_host": "a.example b.example", "greeting": "hello there", "max_clients": "100",
    }  # fmt: skip


@pytest.mark.parametrize("settings", [Settings(), DemoSettings()], ids=["serve", "demo"])
def test_default_settings_are_not_told(settings: Settings) -> None:
    assert changed(settings) == {}


def test_no_setting_hides_a_field_of_the_record() -> None:
    listeners = [("line", ("127.0.0.1:1", "[::1]:1")), ("read-only", ("[::]:2",))]
    record = start_record(Settings(), listeners, "http://[::1]/")
    names = {field.removesuffix("_s").removesuffix("_bytes") for field in Settings.__dataclass_fields__}
    assert not names & {*record, "time", "event", "level"}
    assert record["line_port_on"] == "127.0.0.1:1,[::1]:1" and record["read_only_port_on"] == "[::]:2"


@pytest.mark.promise("cli-log-start")
def test_start_and_stop_stand_first_and_last_in_the_log() -> None:
    hub = HubProcess("--mode", "echo", "--log", "json", "--no-web", stderr=subprocess.PIPE)
    with hub:
        with hub.peer() as peer:
            peer.echo()
            peer.half_close()
            peer.rest()  # The hub has seen its end before it is asked to stop.
        assert hub.stop() == 0
        first, *_, last = map(json.loads, hub.log().splitlines())
    assert (first["event"], first["level"], first["version"]) == ("started", "info", __version__)
    assert first["build"] == BUILD
    assert (first["pid"], first["mode"], first["web"]) == (hub.process.pid, "echo", "off")
    assert f"127.0.0.1:{hub.port}" in first["line_port_on"].split(",")
    assert (last["event"], last["accepted"], last["closed_peer_closed"]) == ("stopped", 1, 1)
    assert 0 < last["uptime_s"] < 60


@pytest.mark.promise("cli-log-level")
@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["started", "accepted", "closed", "draining", "stopped"]),
        ("info", ["started", "draining", "stopped"]),
        ("error", []),
    ],
)
def test_log_level_decides_which_records_are_written(level: str, events: list[str]) -> None:
    hub = HubProcess("--no-web", "--log", "json", "--log-level", level, stderr=subprocess.PIPE)
    with hub:
        hub.peer().close()
        with hub.peer() as peer:  # By now the first one is over.
            peer.send(b"/quit\n")
            peer.rest()
        assert hub.stop() == 0
        told = [json.loads(line) for line in hub.log().splitlines()]
    silent = [record for record in told if record.get("id") != 2]
    assert [record["event"] for record in silent] == events
    assert all(record["level"] for record in told)
