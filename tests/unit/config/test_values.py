"""Each kind of value: what is read, what is refused, and what is shown reads back."""

import re

import pytest
from cyclopts import CoercionError, Token
from hypothesis import given
from hypothesis import strategies as st

from hub.config.allowed_hosts import Hosts
from hub.config.settings import Settings
from hub.config.values import (
    AUTO_FLAG,
    FLAG,
    HOST,
    NAMES_IN_URLS,
    NETWORKS,
    NO_RATE,
    OPTIONAL_PORT,
    TEXT,
    Kind,
    Rate,
    choice,
    duration,
    number,
    rate,
    show_size,
    show_time,
    size,
)

TIME = duration(0.01, 8760 * 3600, off=True)
SIZE = size(1, 1 << 30, off=True)
RATE = rate("whatever fits")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (TIME, "300", 300.0),
        (TIME, "0.5", 0.5),
        (TIME, ".5", 0.5),
        (TIME, "500ms", 0.5),
        (TIME, "30s", 30.0),
        (TIME, "5m", 300.0),
        (TIME, "2h", 7200.0),
        (TIME, "1.5 h", 5400.0),
        (TIME, "0", 0.0),
        (SIZE, "8192", 8192),
        (SIZE, "64KiB", 65536),
        (SIZE, "64kib", 65536),
        (SIZE, "1MiB", 1 << 20),
        (SIZE, "1.5KiB", 1536),
        (SIZE, "1KB", 1000),
        (SIZE, "2MB", 2_000_000),
        (SIZE, "7B", 7),
        (number(0, 65535), "65535", 65535),
        (number(5, 9, off=True), "0", 0),
        (choice(Settings.__annotations__["mode"].__args__[0]), "echo", "echo"),
        (RATE, "50/s:200", Rate(50, "s", 200)),
        (RATE, "30/m", Rate(30, "m", 30)),
        (RATE, "0", NO_RATE),
        (RATE, "auto", "auto"),
        (FLAG, "Yes", True),
        (FLAG, "0", False),
        (AUTO_FLAG, "off", False),
        (AUTO_FLAG, "auto", None),
        (OPTIONAL_PORT, "none", None),
        (HOST, "localhost", "localhost"),
        (HOST, "a.example.", "a.example."),
        (HOST, "::1", "::1"),
        (HOST, "fe80::1%lo", "fe80::1%lo"),
        (NAMES_IN_URLS, "chat.example", "chat.example"),
        (NAMES_IN_URLS, "chat.example:8443", "chat.example:8443"),
        (NAMES_IN_URLS, "192.0.2.1:8443", "192.0.2.1:8443"),
        (NAMES_IN_URLS, "FD00:0:0::1", "[fd00::1]"),
        (NAMES_IN_URLS, "[fd00:0::1]", "[fd00::1]"),
        (NAMES_IN_URLS, "[fd00::1]:8443", "[fd00::1]:8443"),
        (NETWORKS, "10.1.2.3/8", "10.0.0.0/8"),
        (NETWORKS, "192.168.0.1", "192.168.0.1/32"),
        (TEXT, "grüß dich \N{WAVING HAND SIGN}", "grüß dich \N{WAVING HAND SIGN}"),
    ],
)
def test_a_value_is_read_in_its_units(kind: Kind, text: str, value: object) -> None:
    assert kind.read(text) == value


@pytest.mark.promise("turn-durations")
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (TIME, ""),
        (TIME, "-1"),
        (TIME, "nan"),
        (TIME, "inf"),
        (TIME, "1e3"),
        (TIME, "5d"),
        (TIME, "5mm"),
        (TIME, "9ms"),
        (TIME, "8761h"),
        (TIME, "5m\n"),
        (TIME, "٣"),
        (SIZE, "1XB"),
        (SIZE, "0.3"),
        (SIZE, "2GiB"),
        (SIZE, "9" * 400),
        (number(0, 65535), "65536"),
        (number(0, 65535), "1.0"),
        (number(0, 65535), "+1"),
        (number(0, 65535), "1_000"),
        (number(5, 9, off=True), "4"),
        (RATE, ""),
        (RATE, "50"),
        (RATE, "0/s"),
        (RATE, "50/s:0"),
        (RATE, "50/s:"),
        (RATE, "50/h"),
        (RATE, "50 / s"),
        (RATE, "1000001/s:1"),
        (RATE, "1/s:1000001"),
        (RATE, "-1/s"),
        (RATE, "٥/s"),
        (RATE, "AUTO"),
        (FLAG, "maybe"),
        (HOST, ""),
        (HOST, "a b"),
        (HOST, "a..b"),
        (HOST, "a" * 64),
        (HOST, "127.0.0.1:9000"),
        (HOST, "a\n"),
        (NAMES_IN_URLS, ""),
        (NAMES_IN_URLS, "chat.example:"),
        (NAMES_IN_URLS, "chat.example:65536"),
        (NAMES_IN_URLS, "chat.example:٥"),
        (NAMES_IN_URLS, ":8443"),
        (NAMES_IN_URLS, "[chat.example]:8443"),
        (NAMES_IN_URLS, "http://chat.example"),
        (NETWORKS, "10.0.0.0/33"),
        (NETWORKS, "everyone"),
        (TEXT, "two\nlines"),
        (TEXT, "\x1b[2J"),
        (TEXT, "a\u2028b"),
        (TEXT, "x" * 401),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(CoercionError) as caught:
        kind(str, [Token(keyword="--flag", value=text)])
    assert caught.value.msg == kind.allowed


@given(st.integers(0, 10**9))
def test_a_shown_size_reads_back_as_itself(value: int) -> None:
    assert size(0, 10**9).read(show_size(value)) == value


@given(st.integers(1, 10**6), st.sampled_from("sm"), st.integers(1, 10**6))
def test_a_shown_rate_reads_back_as_itself(count: int, unit: str, burst: int) -> None:
    assert RATE.read(str(Rate(count, unit, burst))) == Rate(count, unit, burst)
    assert RATE.read(str(NO_RATE)) == NO_RATE


def test_a_rate_is_so_many_a_second_whatever_its_unit() -> None:
    assert Rate(90, "m", 1).per_s == 1.5
    assert Rate(3, "s", 1).per_s == 3.0
    assert NO_RATE.per_s == 0.0


@given(st.integers(0, 3_600_000))
def test_a_shown_time_reads_back_as_itself(milliseconds: int) -> None:
    read = duration(0, 3600).read(show_time(milliseconds / 1000))
    assert read == pytest.approx(milliseconds / 1000)


def test_the_first_wrong_one_of_many_values_is_the_one_named() -> None:
    tokens = [Token(keyword="--per-ip-exempt", value=text) for text in ("10.0.0.0/8", "nonsense", "more")]
    with pytest.raises(CoercionError) as caught:
        NETWORKS(str, tokens)
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
    assert NETWORKS.texts(value) == texts


@pytest.mark.parametrize("value", [["a"], {"a": 1}, None])
def test_a_toml_type_that_no_single_flag_has_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=re.escape(str(value))):
        HOST.texts(value)


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
    assert Hosts("localhost", [str(NAMES_IN_URLS.read(typed))]).allow(sent, 9001)
