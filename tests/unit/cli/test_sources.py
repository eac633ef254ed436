"""Every setting from every source: what is set, what is as if it were not, and what is no setting of ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.config.not_included import not_included
from hub.config.settings import Settings
from tests.docs import Flag, flags
from tests.unit.cli.conftest import Hubbub

ANY = ["7", "7s", "65KiB", "7/s:7", "hub.example", "10.0.0.0/8", "wss://hub.example/ws", "yes", "no"]
ANY += ["nats://hub.example", "3"]
FLAGS = pytest.mark.parametrize("flag", list(flags()), ids=lambda flag: flag.name)
TEXTS = {"--greeting", "--public-ws", "--cluster", "--hub-name", "--cluster-creds", "--cluster-ca"}
"""Whose empty text is a value, and the default."""


def another(flag: Flag) -> str:
    """A text for this flag that is not its default."""

    def reads(text: str) -> bool:
        try:
            return bool(flag.kind.read(text) not in (flag.default, (flag.default,)))
        except ValueError:
            return False

    return next(text for text in (*flag.kind.metavar.split("|"), *ANY) if reads(text))


def variable(flag: Flag) -> str:
    return "HUBBUB" + flag.name[1:].replace("-", "_").upper()


@pytest.mark.promise("cli-precedence")
@FLAGS
def test_every_setting_is_the_same_from_every_source(hubbub: Hubbub, flag: Flag) -> None:
    by_flag = hubbub(f"{flag.name}={another(flag)}")
    assert by_flag.settings not in (None, Settings())
    assert hubbub(**{variable(flag): another(flag)}) == by_flag
    Path("hubbub.toml").write_text(f"{flag.name[2:]} = '{another(flag)}'")
    assert hubbub() == by_flag


@pytest.mark.promise("cli-empty-variable")
@FLAGS
def test_an_empty_variable_is_as_if_it_were_not_set(hubbub: Hubbub, flag: Flag) -> None:
    blanks = ("", " ", "\t\r\n", "\u3000")
    assert all(hubbub(**{variable(flag): blank}).settings == Settings() for blank in blanks)
    Path("hubbub.toml").write_text(f"{flag.name[2:]} = '{another(flag)}'")
    from_file = hubbub()
    assert from_file.settings != Settings()
    assert all(hubbub(**{variable(flag): blank}) == from_file for blank in blanks)


@pytest.mark.promise("cli-empty-variable")
@pytest.mark.parametrize("name", ["HUBBUB_CONFIG", "HUBBUB_PROT", "HUBBUB_"])
def test_an_empty_variable_names_no_file_and_no_setting(hubbub: Hubbub, name: str) -> None:
    assert hubbub(**{name: ""}).settings == Settings()
    Path("hubbub.toml").write_text("port = 7")
    assert hubbub(**{name: " "}).settings == Settings(port=7)


@pytest.mark.promise("cli-wrong-input")
@FLAGS
def test_an_empty_flag_or_line_of_the_file_is_a_value(hubbub: Hubbub, flag: Flag) -> None:
    assert (hubbub(f"{flag.name}=").code == 2) is (flag.name not in TEXTS)
    Path("hubbub.toml").write_text(f"{flag.name[2:]} = ''")
    assert (hubbub().code == 2) is (flag.name not in TEXTS and not flag.kind.many)


@pytest.mark.parametrize("variable", [",", " , ", ",,"])
def test_a_list_without_an_entry_is_as_if_it_were_not_set(hubbub: Hubbub, variable: str) -> None:
    Path("hubbub.toml").write_text("allowed-host = ['hub.example']")
    assert hubbub(HUBBUB_ALLOWED_HOST=variable).settings == Settings(allowed_hosts=("hub.example",))


@pytest.mark.parametrize("url", ["nats://me:secret@hub.example", "tls://secret@hub.example:4222"])
def test_a_broker_with_a_password_is_refused_unseen(hubbub: Hubbub, url: str) -> None:
    for said in (hubbub(f"--cluster={url}"), hubbub(HUBBUB_CLUSTER=f"nats://hub.example,{url}")):
        assert said.code == 2
        assert "secret" not in said.err and "--cluster-creds" in said.err


# hubbub.toml as editors write it.


@pytest.mark.promise("cli-file-encoding")
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("text", ["port = 7", "# Grüße\nport = 7", ""])
def test_a_file_with_a_byte_order_mark_is_read(hubbub: Hubbub, text: str, ends: str) -> None:
    Path("hubbub.toml").write_bytes(text.replace("\n", ends).encode("utf-8-sig"))
    assert hubbub().settings == (Settings(port=7) if text else Settings())


@pytest.mark.promise("cli-file-encoding")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_file_that_is_not_utf_8_is_one_line(hubbub: Hubbub, encoding: str) -> None:
    Path("hubbub.toml").write_bytes("port = 7\n".encode(encoding))
    why = "not UTF-8 but UTF-16, or no text at all: save it as UTF-8"
    assert hubbub() == (2, "", f"hubbub: hubbub.toml: not a TOML file: {why}\n", None)


@pytest.mark.promise("cli-wrong-input")
@pytest.mark.parametrize("source", ["hubbub.toml", "--config"])
def test_a_file_that_is_too_large_is_refused_whole(hubbub: Hubbub, source: str) -> None:
    limit = 1 << 20
    Path("hubbub.toml").write_text("port = 7".ljust(limit))
    assert hubbub().settings == Settings(port=7)
    Path("hubbub.toml").write_text("port = 7".ljust(limit) + "\nport = 8")
    why = f"hubbub: {source}: 'hubbub.toml': a file that can be read (larger than 1MiB)"
    assert hubbub(*(["--config", "hubbub.toml"] if source == "--config" else [])).err.startswith(why)


def test_a_file_that_nobody_named_says_how_to_do_without_it(hubbub: Hubbub) -> None:
    Path("hubbub.toml").mkdir()
    way_out = "--config names another, --config /dev/null none"
    allowed = f"a file that can be read (Is a directory); {way_out}"
    assert hubbub().err == f"hubbub: hubbub.toml: 'hubbub.toml': {allowed}\n"
    assert hubbub("--config", "/dev/null").settings == Settings()


def test_a_greeting_is_utf_8_in_every_locale(hubbub: Hubbub) -> None:
    typed = "Grüße".encode().decode("ascii", "surrogateescape")  # What Python makes of it with LC_ALL=C.
    assert hubbub("--greeting", typed).settings == Settings(greeting="Grüße")
    said = hubbub("--greeting", "Grüße".encode("latin-1").decode(errors="surrogateescape"))
    assert (said.code, "one line of UTF-8" in said.err) == (2, True)


# What Kubernetes sets.


def links(service: str, host: str, ports: dict[int, str], protocol: str = "tcp") -> Iterator[tuple[str, str]]:
    """The variables of one service, as the kubelet makes them; `ports` with their names."""
    prefix = service.upper().replace("-", "_")
    urls = {port: f"{protocol}://{f'[{host}]' if ':' in host else host}:{port}" for port in ports}
    first = next(iter(ports))
    yield from ((f"{prefix}_SERVICE_HOST", host), (f"{prefix}_SERVICE_PORT", str(first)))
    yield f"{prefix}_PORT", urls[first]
    for port, name in ports.items():
        if name:
            yield f"{prefix}_SERVICE_PORT_{name.upper().replace('-', '_')}", str(port)
        start = f"{prefix}_PORT_{port}_{protocol.upper()}"
        yield from ((start, urls[port]), (f"{start}_PROTO", protocol))
        yield from ((f"{start}_PORT", str(port)), (f"{start}_ADDR", host))


SERVICES = [
    dict(links("hubbub", "10.96.7.12", {9000: ""})),
    dict(links("hubbub", "fd00::1", {9000: "lines", 9001: "ws-2", 8080: "page"})),
    dict(links("hubbub-ws", "10.0.0.1", {80: "http"})),
    dict(links("hubbub-web", "10.0.0.1", {65535: ""}, "sctp")),
    dict(links("hubbub-max-clients", "::1", {1: "port"}, "udp")),
    dict(links("hubbub-read-only-port", "10.0.0.1", {9002: "", 9003: ""})),
    dict(links("hubbub-2-service", "10.0.0.1", {53: "dns"}, "udp")),
]


@pytest.mark.promise("cli-service-links")
@pytest.mark.parametrize("command", ["serve", "demo"])
@pytest.mark.parametrize("service", SERVICES, ids=lambda service: next(iter(service)))
def test_service_links_are_ignored_and_said_so_once(
    hubbub: Hubbub, service: dict[str, str], command: str
) -> None:
    said = hubbub(command, **service, HUBBUB_MAX_ROOMS="7")
    assert said.settings and (said.settings.port, said.settings.max_rooms) == (9000, 7)
    first, more = " ".join(sorted(service)[:3]), len(service) - 3
    assert said.err == f"hubbub: ignored, as service links of Kubernetes: {first} and {more} more\n"


def test_a_single_service_link_is_named_alone(hubbub: Hubbub) -> None:
    line = "hubbub: ignored, as service links of Kubernetes: HUBBUB_SERVICE_PORT\n"
    assert hubbub(HUBBUB_SERVICE_PORT="9000").err == line


def test_the_line_about_service_links_is_never_cut(hubbub: Hubbub) -> None:
    longest = dict(links(f"hubbub-{'a' * 56}", "10.0.0.1", {port: "p" * 15 for port in range(1, 300)}))
    assert hubbub(**longest).err.endswith(f" and {len(longest) - 3} more\n")


@pytest.mark.promise("cli-service-links")
def test_service_links_do_not_disturb_health(hubbub: Hubbub) -> None:
    said = hubbub("health", "--url", "http://127.0.0.1:1", **SERVICES[0])
    assert said == (1, "hubbub: not well: 127.0.0.1:1: nobody listens there\n", "", None)


@pytest.mark.promise("cli-service-links")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUBBUB_PORT", "tcp://10.96.7.12"),
        ("HUBBUB_PORT", "tcp://10.96.7.12:0"),
        ("HUBBUB_PORT", "tcp://10.96.7.12:65536"),
        ("HUBBUB_PORT", "tcp://10.96.7.256:9000"),
        ("HUBBUB_PORT", "tcp://fd00::1:9000"),
        ("HUBBUB_PORT", "tcp://[10.96.7.12]:9000"),
        ("HUBBUB_PORT", "tcp://hub.example:9000"),
        ("HUBBUB_PORT", "http://10.96.7.12:9000"),
        ("HUBBUB_PORT", "tcp://10.96.7.12:9000/"),
        ("HUBBUB_PORT", "tcp://10.96.7.12:9000\n"),
        ("HUBBUB_PORT", "10.96.7.12"),
        ("HUBBUB_HOST", "tcp://10.96.7.12:9000"),
        ("HUBBUB_MODE", "tcp"),
        ("HUBBUB_SERVICE_HOST", "hub.example"),
        ("HUBBUB_SERVICE_PORT", "lines"),
        ("HUBBUB_SERVICE_PORT", "٧"),
        ("HUBBUB_SERVICE", "9000"),
        ("HUBBUB_PORT_9000", "tcp://10.96.7.12:9000"),
        ("HUBBUB_PORT_9000_TCP_PROTO", "http"),
        ("HUBBUB_PORT_9000_TCP_HOST", "10.96.7.12"),
        ("HUBBUB_port", "tcp://10.96.7.12:9000"),
        ("HUBBUB_ws_PORT", "tcp://10.96.7.12:9000"),
    ],
)
def test_what_only_resembles_a_service_link_is_refused(hubbub: Hubbub, name: str, value: str) -> None:
    said = hubbub(**{name: value})
    assert (said.code, said.settings, said.err.count("\n")) == (2, None, 1)
    assert said.err.startswith(f"hubbub: {name}: ")


# What is not included.

NOT_INCLUDED = {
    "no TLS is included": "tls ssl cert key tls-cert ssl-keyfile certfile https no-tls starttls mtls acme",
    "no login is included": "password auth basic-auth login require-pass htpasswd api-key users oauth ldap",
    "a hub is one process": "workers worker-threads",
    "nothing is kept": "persist save data-dir datadir",
    "behind a proxy every client": "forwarded-for real-ip-header trusted-proxy",
    "a hub keeps the user": "user uid group run-as-user",
    "a hub stays in the foreground": "daemon pidfile pid-file background no-daemon",
    "the log goes to stderr": "logfile log-file syslog",
    "the PROXY protocol is not read": "proxy proxy-protocol",
    "lines come over TCP only": "udp unix-socket",
    "the page works under any path": "base-path url-prefix",
}


@pytest.mark.promise("cli-not-included")
@pytest.mark.parametrize(
    ("name", "start"), [(name, start) for start, names in NOT_INCLUDED.items() for name in names.split()]
)
def test_what_is_not_included_is_said_so_from_every_source(hubbub: Hubbub, name: str, start: str) -> None:
    assert hubbub(f"--{name}").err.startswith(f"hubbub: --{name}: no such flag: {start}")
    key = f"HUBBUB_{name.upper().replace('-', '_')}"
    assert hubbub(**{key: "x"}).err.startswith(f"hubbub: {key}: no such variable: {start}")
    Path("hubbub.toml").write_text(f"[{name}]\nfile = 'x'")
    assert hubbub().err.startswith(f"hubbub: hubbub.toml: {name}: no such key: {start}")


@pytest.mark.promise("cli-not-included")
@FLAGS
def test_no_setting_has_a_name_that_is_not_included(flag: Flag) -> None:
    assert not_included(flag.name[2:]) == ""


@pytest.mark.parametrize(
    "flag", ["--key-bindings", "--socket-buffer", "--token-size", "--http", "--nick", "--fork-x"]
)
def test_an_unknown_flag_that_resembles_none_suggests_none(hubbub: Hubbub, flag: str) -> None:
    assert hubbub(flag).err == f"hubbub: {flag}: no such flag: see hubbub --help\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--prot", "--port"),
        ("--max-client", "--max-clients"),
        ("--no-notice", "--no-notices"),
        ("--bind", "--host"),
        ("--listen-address", "--host"),
        ("--verbose", "--log-level"),
        ("--motd", "--greeting"),
        ("--log-format", "--log"),
        ("--ws-path", "--public-ws"),
        ("--max-connections", "--max-clients"),
    ],
)
def test_an_unknown_flag_suggests_the_one_that_is_meant(hubbub: Hubbub, typed: str, meant: str) -> None:
    assert hubbub(typed).err == f"hubbub: {typed}: no such flag: did you mean {meant}?\n"
    variable = f"HUBBUB_{typed[2:].replace('-', '_').upper()}"
    known = f"HUBBUB_{meant[2:].replace('-', '_').upper()}"
    assert meant.startswith("--no-") or hubbub(**{variable: "x"}).err.endswith(f"did you mean {known}?\n")
