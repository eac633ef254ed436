"""What a user may set: defaults, and what does not go together."""

from dataclasses import fields, replace
from typing import get_args, get_type_hints

import pytest
from cyclopts import Parameter

from hub.config.settings import Conflict, Mode, Settings, affordable, page_connections, refuse_conflicts
from hub.config.values import Kind


def test_every_default_is_a_value_that_a_user_may_type() -> None:
    hints = get_type_hints(Settings, include_extras=True)
    for field in fields(Settings):
        parameter = get_args(hints[field.name])[1]
        assert isinstance(parameter, Parameter) and isinstance(parameter.converter, Kind)
        if not parameter.converter.many:
            default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
            text = parameter.converter.show(default) if default is None else str(default)
            assert parameter.converter.read(text) == field.default, field.name


def test_the_defaults_do_not_conflict() -> None:
    refuse_conflicts(Settings, Settings())


@pytest.mark.promise("cli-wrong-input")
@pytest.mark.parametrize(
    ("settings", "flag", "allowed"),
    [
        (Settings(trigger="edge", read="once"), "--read", "starves"),
        (Settings(idle_timeout_s=10, idle_warning_s=10), "--idle-warning", "less than --idle-timeout, 10s"),
        (Settings(mode="echo", self_echo=False), "--self-echo", "on with --mode echo"),
        (Settings(mode="echo", write_only_port=0), "--write-only-port", "none with --mode echo"),
        (Settings(slow="wait"), "--slow", "disconnect or skip with --mode chat"),
        (Settings(mode="echo", slow="wait"), "--slow", "disconnect or skip with --mode echo"),
        (Settings(mode="broadcast", slow="wait", patience_s=1), "--patience", "not given with --slow wait"),
        (Settings(slow="skip", notices=False), "--slow", "disconnect with --no-notices"),
        (Settings(max_line_bytes=1 << 20), "--max-line", "half of --max-lag, 512KiB"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: Settings, flag: str, allowed: str) -> None:
    with pytest.raises(Conflict, match=allowed) as caught:
        refuse_conflicts(Settings, settings)
    assert caught.value.flag == flag


@pytest.mark.parametrize(
    "settings",
    [
        Settings(idle_timeout_s=10),
        Settings(idle_timeout_s=0, idle_warning_s=60),
        Settings(idle_timeout_s=10, idle_warning_s=0),
        Settings(trigger="edge"),
        Settings(read="once"),
        Settings(max_line_bytes=0),
        Settings(slow="skip"),
        Settings(self_echo=False),
        Settings(mode="echo", self_echo=True),
        Settings(mode="broadcast", slow="wait", patience_s=0, write_only_port=0, read_only_port=0),
        Settings(mode="broadcast", patience_s=1),
        Settings(notices=False),
    ],
)
def test_settings_that_go_together_pass(settings: Settings) -> None:
    refuse_conflicts(Settings, settings)


@pytest.mark.parametrize(
    ("mode", "self_echo", "hears_itself"),
    [
        ("chat", None, True),
        ("echo", None, True),
        ("broadcast", None, False),
        ("chat", False, False),
        ("broadcast", True, True),
    ],
)
def test_self_echo_auto_leaves_the_sender_out_in_broadcast_only(
    mode: Mode, self_echo: bool | None, hears_itself: bool
) -> None:
    assert Settings(mode=mode, self_echo=self_echo).hears_itself is hears_itself


@pytest.mark.promise("idle-auto")
@pytest.mark.parametrize(
    ("mode", "transport", "counts"),
    [
        ("chat", "line", False),
        ("chat", "websocket", False),
        ("chat", "write-only", False),
        ("chat", "read-only", True),
        ("echo", "line", False),
        ("echo", "read-only", True),
        ("broadcast", "line", True),
        ("broadcast", "websocket", True),
        ("broadcast", "write-only", False),
        ("broadcast", "read-only", True),
    ],
)
def test_idle_counts_auto_goes_by_mode_and_port(mode: Mode, transport: str, counts: bool) -> None:
    assert Settings(mode=mode).delivery_counts(transport) is counts
    assert not Settings(mode=mode, idle_counts="rx").delivery_counts(transport)
    assert Settings(mode=mode, idle_counts="rx+tx").delivery_counts(transport)


@pytest.mark.promise("admission-reserve")
@pytest.mark.parametrize(
    ("wanted", "descriptors", "granted"),
    [(10_000, 20_000, 10_000), (10_000, 1024, 960), (10_000, 64, 32), (0, 1024, 960), (5, 64, 5)],
)
def test_max_clients_leaves_descriptors_for_the_rest(wanted: int, descriptors: int, granted: int) -> None:
    settings = replace(Settings(), max_clients=wanted)
    assert affordable(settings, descriptors).max_clients == granted


@pytest.mark.parametrize(
    ("clients", "descriptors", "left"), [(10_000, 20_000, 256), (960, 1024, 40), (32, 64, 8), (10, 20, 1)]
)
def test_the_page_may_hold_what_the_clients_leave(clients: int, descriptors: int, left: int) -> None:
    assert page_connections(replace(Settings(), max_clients=clients), descriptors) == left
