"""Whatever stands in a flag, a variable or hubbub.toml: a value, or one line that says what is allowed."""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cyclopts import CycloptsError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from hub.cli.logs import own_line
from hub.cli.main import _app
from hub.config.settings import Settings
from hub.config.sources import Sources, explain
from hub.config.values import Kind
from tests.fuzz.examples import Test, quick_and_long

NAMES = [
    field.replace("_", "-")
    for field in ("port", "host", "public_ws", "mode", "max_lag", "idle_timeout", "allowed_host", "prot")
]
KINDS = [
    meta.converter
    for field in Settings.__annotations__.values()
    for meta in getattr(field, "__metadata__", ())
    if isinstance(getattr(meta, "converter", None), Kind)
]
VALUES = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"[-+]?[0-9.eE_xX]{1,20} ?(ms|s|m|h|KiB|GB)?(/s:[0-9]+)?"),
    st.sampled_from(
        ["", "0", "-1", "1e999", "nan", "inf", "\u0663", "９", "0x10", "1_000", "[::1", "::", "[]:1"]
    ),
    st.sampled_from(
        ["tcp://10.96.7.12:9000", "tcp://[::]:0", "wss://[::1]:1/x", "ws://[", " ", "*", "\ufeff"]
    ),
    st.sampled_from(
        ["9" * 5000, "x" * 100_000, "\ud800", "\x1b[2J", "a\nb", "\0", "10.0.0.0/99", "fe80::1%eth0"]
    ),
)
TOML = st.recursive(
    st.sampled_from(
        ["1", "-0", "1.5", "nan", "-inf", "true", "'x'", '"\\u0000"', "1979-05-27", "07:32:00", "0x1f"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]")
        | inner.map(lambda value: f"{{ a = {value} }}")
    ),
    max_leaves=6,
)


def parse(arguments: list[str], environment: dict[str, str]) -> None:
    """As the command does it, up to where it would begin to run; what is wrong is one printable line."""
    app = _app(Sources(environment), Console(file=io.StringIO(), width=80, color_system=None))
    try:
        app.parse_args(["serve", *arguments], print_error=False, exit_on_error=False)
    except CycloptsError as error:
        line = own_line(explain(error))
        if not (
            line.startswith("hubbub: ")
            and line.count("\n") == 1
            and line[:-1].isprintable()
            and len(line) < 700
        ):
            raise AssertionError(repr(line)) from error


@pytest.mark.promise("cli-wrong-input")
@settings(max_examples=200)
@given(kind=st.sampled_from(list(dict.fromkeys(KINDS))), text=VALUES)
def test_every_kind_reads_any_text_or_refuses_it(kind: Kind, text: str) -> None:
    try:
        value = kind.read(text)
    except ValueError:
        return
    assert kind.show((value,) if kind.many else value) is not None


def check_sources(name: str, flag: str, variable: str, toml: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "hubbub.toml"
        path.write_text(f"{name} = {toml}\n", errors="surrogateescape")
        variables = {f"HUBBUB_{name.upper().replace('-', '_')}": variable} if variable else {}
        parse(["--config", str(path), *([f"--{name}={flag}"] if flag else [])], variables)


@pytest.mark.promise("cli-wrong-input")
@quick_and_long(12, 400)
def test_whatever_the_sources_say_it_is_settings_or_one_line(examples: Callable[[Test], Test]) -> None:
    test = given(name=st.sampled_from(NAMES), flag=VALUES, variable=VALUES, toml=TOML)(check_sources)
    for name, toml in (
        ("port", "0x" + "f" * 5000),
        ("port", "[[0x" + "f" * 5000 + "]]"),
        ("port.a" + ".a" * 2000, "1"),
    ):
        test = example(name=name, flag="", variable="", toml=toml)(test)
    examples(test)()


@pytest.mark.promise("cli-wrong-input")
@settings(max_examples=20)
@given(data=st.binary(max_size=200))
def test_a_file_of_any_bytes_is_settings_or_one_line(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "hubbub.toml"
        path.write_bytes(data)
        parse(["--config", str(path)], {})
