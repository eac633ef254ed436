"""Each kind of value: what is read, what is refused, and what is shown reads back."""

import re

import pytest
from cyclopts import CoercionError, Token
from hypothesis import given
from hypothesis import strategies as st

import hub.config.values as kinds
from hub.config.allowed_hosts import Hosts
from hub.config.settings import Mode
from hub.config.values import NO_RATE, Kind, Rate, show_size, show_time

TIME = kinds.duration(0.01, 8760 * 3600, off=True)
SIZE = kinds.size(1, 1 << 30, off=True)
PORT = kinds.PORT
FEW = kinds.number(5, 9, off=True)
TEXT = "grüß dich \N{WAVING HAND SIGN}"
READ: list[tuple[Kind, dict[str, object]]] = [
    (TIME, {"300": 300.0, "0.5": 0.5, ".5": 0.5, "500ms": 0.5, "30s": 30.0, "5m": 300.0, "2h": 7200.0}),
    (TIME, {"1.5 h": 5400.0, "0": 0.0}),
    (SIZE, {"8192": 8192, "64KiB": 65536, "64kib": 65536, "1MiB": 1 << 20, "1.5KiB": 1536}),
    (SIZE, {"1KB": 1000, "2MB": 2_000_000, "7B": 7}),
    (PORT, {"65535": 65535}),
    (FEW, {"0": 0}),
    (kinds.choice(Mode), {"echo": "echo"}),
    (kinds.RATE, {"50/s:200": Rate(50, "s", 200), "30/m": Rate(30, "m", 30), "0": NO_RATE, "auto": "auto"}),
    (kinds.FLAG, {"Yes": True, "0": False}),
    (kinds.AUTO_FLAG, {"off": False, "auto": None}),
    (kinds.OPTIONAL_PORT, {"none": None}),
    (kinds.HOST, {name: name for name in ("localhost", "a.example.", "::1", "fe80::1%lo")}),
    (kinds.LISTEN, {name: name for name in ("*", "localhost", "::", "0.0.0.0", "fe80::1%lo")}),
    (kinds.WS_URL, {url: url for url in ("", "ws://[::1]", "wss://hub.example/", "ws://a:1/b/~c%20;d")}),
    (kinds.NAMES_IN_URLS, {n: n for n in ("chat.example", "chat.example:8443", "192.0.2.1:8443")}),
    (kinds.NAMES_IN_URLS, {"FD00:0:0::1": "[fd00::1]", "[fd00:0::1]": "[fd00::1]"}),
    (kinds.NAMES_IN_URLS, {"[fd00::1]:8443": "[fd00::1]:8443"}),
    (kinds.NETWORKS, {"10.1.2.3/8": "10.0.0.0/8", "192.168.0.1": "192.168.0.1/32"}),
    (kinds.TEXT, {TEXT: TEXT}),
]
REFUSED: list[tuple[Kind, list[str]]] = [
    (TIME, ["", "-1", "nan", "inf", "1e3", "5d", "5mm", "9ms", "8761h", "5m\n", "٣"]),
    (SIZE, ["1XB", "0.3", "2GiB", "9" * 400]),
    (PORT, ["65536", "1.0", "+1", "1_000"]),
    (FEW, ["4"]),
    (kinds.RATE, ["", "50", "0/s", "50/s:0", "50/s:", "50/h", "50 / s", "-1/s", "٥/s", "AUTO"]),
    (kinds.RATE, ["1000001/s:1", "1/s:1000001"]),
    (kinds.FLAG, ["maybe"]),
    (kinds.HOST, ["", "a b", "a..b", "a" * 64, "127.0.0.1:9000", "a\n"]),
    (kinds.LISTEN, ["", "**", "*:9000", " *"]),
    (
        kinds.WS_URL,
        ["ws:", "ws://", "ws:///x", "WSS://a", "https://a", "//a", "a", "ws://a:0x1", "ws://a:65536"],
    ),
    (
        kinds.WS_URL,
        ["ws://a b", "ws://u@a", "ws://a?b", "ws://a/b?c", "ws://a/#b", "ws://a/b\n", 'ws://a/"x'],
    ),
    (kinds.WS_URL, ["ws://fd00::1", "ws://[hub.example]", "ws://a/\u00fc", "ws://a//\\b", " ws://a"]),
    (kinds.NAMES_IN_URLS, ["", "chat.example:", "chat.example:65536", "chat.example:٥", ":8443"]),
    (kinds.NAMES_IN_URLS, ["[chat.example]:8443", "http://chat.example"]),
    (kinds.NETWORKS, ["10.0.0.0/33", "everyone"]),
    (kinds.TEXT, ["two\nlines", "\x1b[2J", "a\u2028b", "x" * 401]),
]


@pytest.mark.parametrize(
    ("kind", "text", "value"), [(kind, *pair) for kind, values in READ for pair in values.items()]
)
def test_a_value_is_read_in_its_units(kind: Kind, text: str, value: object) -> None:
    assert kind.read(text) == value


@pytest.mark.promise("turn-durations")
@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in REFUSED for text in texts])
def test_a_value_that_is_not_allowed_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(CoercionError) as caught:
        kind(str, [Token(keyword="--flag", value=text)])
    assert caught.value.msg == kind.allowed


@given(st.integers(0, 10**9))
def test_a_shown_size_reads_back_as_itself(value: int) -> None:
    assert kinds.size(0, 10**9).read(show_size(value)) == value


@given(st.integers(1, 10**6), st.sampled_from("sm"), st.integers(1, 10**6))
def test_a_shown_rate_reads_back_as_itself(count: int, unit: str, burst: int) -> None:
    assert kinds.RATE.read(str(Rate(count, unit, burst))) == Rate(count, unit, burst)
    assert kinds.RATE.read(str(NO_RATE)) == NO_RATE


def test_a_rate_is_so_many_a_second_whatever_its_unit() -> None:
    assert Rate(90, "m", 1).per_s == 1.5
    assert Rate(3, "s", 1).per_s == 3.0
    assert NO_RATE.per_s == 0.0


@given(st.integers(0, 3_600_000))
def test_a_shown_time_reads_back_as_itself(milliseconds: int) -> None:
    read = kinds.duration(0, 3600).read(show_time(milliseconds / 1000))
    assert read == pytest.approx(milliseconds / 1000)


def test_the_first_wrong_one_of_many_values_is_the_one_named() -> None:
    tokens = [Token(keyword="--per-ip-exempt", value=text) for text in ("10.0.0.0/8", "nonsense", "more")]
    with pytest.raises(CoercionError) as caught:
        kinds.NETWORKS(str, tokens)
    assert caught.value.token is tokens[1]


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (True, ["true"]),
        (9000, ["9000"]),
        (0.5, ["0.5"]),
        ("a, b", ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        ("", []),
    ],
)
def test_a_toml_value_becomes_the_texts_of_flags(value: object, texts: list[str]) -> None:
    assert kinds.NETWORKS.texts(value) == texts


@pytest.mark.parametrize("value", [["a"], {"a": 1}, None])
def test_a_toml_type_that_no_single_flag_has_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=re.escape(str(value))):
        kinds.HOST.texts(value)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("chat.example", "chat.example:1234"),
        ("Chat.Example:8443", "chat.example:8443"),
        ("fd00::1", "[fd00::1]:1234"),
        ("[FD00::1]:8443", "[fd00::1]:8443"),
    ],
)
def test_a_name_that_is_allowed_is_the_one_that_browsers_send(typed: str, sent: str) -> None:
    assert Hosts("localhost", [str(kinds.NAMES_IN_URLS.read(typed))]).allow(sent, 9001)
