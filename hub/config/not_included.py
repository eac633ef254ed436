"""What other servers have a setting for and hubbub has not, and what to put before it or around it."""

import re
from itertools import pairwise
from typing import Final

_SENTENCES: Final = {
    "tls ssl cert certs certificate certfile crt pem key keyfile https wss": (
        "no TLS is included; put stunnel or HAProxy before the lines, nginx or Caddy before the page"
    ),
    "password passwd pass auth login token secret htpasswd acl": (
        "no login is included; a proxy before the page may ask for one, a firewall say who reaches the lines"
    ),
    "user uid group gid chroot": (
        "a hub keeps the user that it is started as; that is User= of systemd, user: of compose"
    ),
    "daemon daemonize background detach fork pid pidfile": (
        "a hub stays in the foreground; systemd, Docker or nohup keep it running"
    ),
    "logfile syslog": "the log goes to stderr; the shell, systemd or Docker put it where it is wanted",
    "proxy": "the PROXY protocol is not read; a proxy before the lines must not send it",
    "udp unix socket": "lines come over TCP only; socat carries them on from UDP or a Unix socket",
    "path prefix": "the page works under any path; the proxy before it takes that path away",
}
_BY_WORD: Final = {word: text for words, text in _SENTENCES.items() for word in words.split()}


def not_included(name: str) -> str:
    """What to do instead of this unknown flag, variable or key; empty where nothing is known of it.

    A word of the name decides, or two in a row: `--tls-cert`, HUBBUB_LOG_FILE.
    """
    words = re.split(r"[-_]+", name.lower())
    candidates = [*words, *map("".join, pairwise(words))]
    return next((_BY_WORD[word] for word in candidates if word in _BY_WORD), "")
