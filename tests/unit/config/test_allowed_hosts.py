"""Which Origin is a page of ours, and where a listener is reached. tests/web tries what Host may say."""

import pytest

from hub.config.allowed_hosts import Hosts, reachable

HOSTS = Hosts("192.0.2.7", ("hub.example", "one.example:7777", "kelvin.example"))


LOOPBACK = [
    "http://localhost:8080",
    "http://localhost.:8080",
    "http://127.0.0.1:8080",
    "http://[::1]:8080",
    "http://LOCALHOST:8080",
]
ADDED = [
    "http://hub.example",
    "https://hub.example.",
    "https://one.example.:7777",
    "https://hub.example",
    "https://hub.example:8443",
    "https://one.example:7777",
]
NO_ORIGIN = ["", "null", "localhost:8080", "http://localhost:8080/", "http://localhost:8080/page"]
OTHER_SCHEME = ["file://localhost:8080", "HTTP://localhost:8080", "http://http://localhost:8080"]
OTHER_PORT = ["http://localhost", "http://localhost:9001", "https://one.example"]
DOTS = ["http://localhost..:8080", "http://.localhost:8080", "http://.:8080", "https://one.example.:7778"]
OTHER_NAME = ["http://evil.example:8080", "http://localhost.evil.example:8080", "http://192.0.2.8:8080"]
DISGUISED = ["http://localhost:8080@evil.example", "http://localhost:8080 http://evil.example"]
LETTER_LIKE = ["http://\u212aelvin.example"]
FOREIGN = [*DOTS, *NO_ORIGIN, *OTHER_SCHEME, *OTHER_PORT, *OTHER_NAME, *DISGUISED, *LETTER_LIKE]


@pytest.mark.parametrize("origin", [*LOOPBACK, "http://192.0.2.7:8080", *ADDED])
def test_a_page_of_ours_is_an_origin_that_is_allowed(origin: str) -> None:
    assert HOSTS.allow_origin(origin, 8080)


@pytest.mark.parametrize("origin", FOREIGN)
def test_everything_else_is_not(origin: str) -> None:
    assert not HOSTS.allow_origin(origin, 8080)


def test_a_browser_leaves_out_the_port_of_its_scheme() -> None:
    assert HOSTS.allow_origin("http://localhost", 80)
    assert not HOSTS.allow_origin("https://localhost", 80)


def test_a_name_that_was_added_with_a_final_dot_goes_without() -> None:
    hosts = Hosts("own.example.", ("hub.example.", "one.example.:7777"))
    for name in (
        "own.example:8080",
        "hub.example:1",
        "hub.example.",
        "one.example:7777",
        "one.example.:7777",
    ):
        assert hosts.allow(name, 8080), name


def test_loopback_on_another_port_counts_once_it_is_added() -> None:
    """So it is behind a forwarded port: the browser sees another number than the listener has."""
    assert not Hosts("0.0.0.0", ()).allow("localhost:18080", 8080)
    assert Hosts("0.0.0.0", ("localhost:18080",)).allow("localhost:18080", 8080)
    assert Hosts("0.0.0.0", ("localhost",)).allow("localhost:18080", 8080)
    assert not Hosts("0.0.0.0", ("localhost:18080",)).allow("localhost:18081", 8080)


@pytest.mark.parametrize(
    ("listened", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("*", "127.0.0.1"),
        ("::", "::1"),
        ("::1", "::1"),
        ("192.0.2.7", "192.0.2.7"),
    ],
)
def test_a_listener_on_every_address_is_reached_over_loopback(listened: str, shown: str) -> None:
    assert reachable(listened) == shown
