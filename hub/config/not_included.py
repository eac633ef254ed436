"""Names that other servers have for a setting: the name here, or what to put before the hub or around it."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

_SETTINGS: Final = {
    "host": "bind bindaddress bindhost listen listenaddress listenhost address addr",
    "port": "listenport bindport tcpport",
    "log-level": "debug verbose verbosity quiet",
    "log": "logformat logjson",
    "greeting": "motd welcome welcomemessage banner",
    "public-ws": "wspath wsurl",
    "max-clients": "maxusers maxconnections maxconns maxconn",
}
_SENTENCES: Final = {
    "no TLS is included; put stunnel or HAProxy before the lines, nginx or Caddy before the page": (
        "tls starttls mtls ssl acme letsencrypt https wss cert certs certificate certfile crt pem"
        " =key keyfile privatekey"
    ),
    "no login is included; a proxy before the page may ask for one, a firewall say who reaches the lines": (
        "password passwd auth login secret htpasswd acl oauth ldap =pass requirepass =users =token apikey"
    ),
    "a hub keeps the user that it is started as; that is User= of systemd, user: of compose": (
        "=user runas uid =group gid chroot"
    ),
    "a hub stays in the foreground; systemd, Docker or nohup keep it running": (
        "daemon daemonize =background detach =fork pid pidfile"
    ),
    "a hub is one process with one loop for all clients; --cluster joins several": (
        "worker workers thread threads"
    ),
    "nothing is kept across a restart; a client that is in a room may keep its lines": (
        "persist persistent persistence =save datadir"
    ),
    "the log goes to stderr; the shell, systemd or Docker put it where it is wanted": "logfile syslog",
    "behind a proxy every client has the proxy's address; --per-ip-exempt takes it out of --max-per-ip": (
        "forwarded realip trusted trustproxy"
    ),
    "the PROXY protocol is not read; a proxy before the lines must not send it": "proxy",
    "lines come over TCP only; socat carries them on from UDP or a Unix socket": (
        "udp =unix =socket unixsocket"
    ),
    "the page works under any path; the proxy before it takes that path away": (
        "=path =prefix basepath pathprefix urlprefix"
    ),
}
"""A word behind = has to be the whole name: --key-bindings and --socket-buffer mean something else."""


def _by_name(table: Mapping[str, str]) -> Mapping[str, str]:
    return {name: meaning for meaning, names in table.items() for name in names.split()}


_SETTING_OF: Final = _by_name(_SETTINGS)
_SENTENCE_OF: Final = _by_name(_SENTENCES)


def meant(name: str) -> str:
    """The setting that this unknown flag, variable or key stands for elsewhere; empty where none is known."""
    return _SETTING_OF.get("".join(_words(name)), "")


def not_included(name: str) -> str:
    """What to do instead of this unknown flag, variable or key; empty where nothing is known of it.

    The whole name decides, else a word of it, or two in a row: `--tls-cert`, HUBBUB_LOG_FILE.
    """
    words = _words(name)
    whole = "".join(words)
    candidates = (f"={whole}", whole, *words, *map("".join, pairwise(words)))
    return next((_SENTENCE_OF[one] for one in candidates if one in _SENTENCE_OF), "")


def _words(name: str) -> list[str]:
    return re.split(r"[-_]+", name.lower())
