"""Tell that the first thing a client sent is another protocol, and answer it in its own language.

A browser, a TLS client or ssh that meets the line port gets one short reply that its user can understand.
Only what cannot be chat counts: `GET a life` is something a person may say.
"""

import re
from http import HTTPStatus
from typing import Final

# RFC 8446 section 5.1: a record of type handshake (22), then a legacy version from SSL 3.0 to TLS 1.3.
_TLS_HANDSHAKE: Final = b"\x16\x03"
_TLS_LAST_MINOR: Final = 4
# RFC 8446 section 6: a record of type alert (21), two bytes long: fatal (2), protocol_version (70).
_TLS_REFUSAL: Final = b"\x15\x03\x01\x00\x02\x02\x46"

# RFC 9112 section 3. The method is a token (RFC 9110 section 5.6.2) in capitals that starts with a letter, so
# that `* says HTTP/1.1` is chat. The target has one of its four forms: a path, `*`, or something with a colon
# inside (a URI, or host:port), so that `I like HTTP/1.1` is chat as well.
_HTTP_REQUEST = re.compile(
    rb"[A-Z][A-Z0-9!#$%&'*+.^_`|~-]*"
    rb" (?:/[^\x00-\x20\x7f]*|\*|[^\x00-\x20\x7f:]+:[^\x00-\x20\x7f]+)"
    rb" HTTP/1\.[0-9]"
)
_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0"  # The first line of it: RFC 9113, section 3.4.
_SSH_VERSION: Final = b"SSH-2.0-"  # RFC 4253, section 4.2.


def is_tls_hello(first: bytes) -> bool | None:
    """Whether a TLS handshake begins here; None while `first` is too short to tell.

    `first` is what came first, before any telnet filtering. No text starts with 0x16, so one byte tells chat.
    """
    if len(first) < 3:
        return None if _TLS_HANDSHAKE.startswith(first) else False
    return first.startswith(_TLS_HANDSHAKE) and first[2] <= _TLS_LAST_MINOR


def foreign_protocol(first_line: bytes) -> str | None:
    """`http`, `http2` or `ssh` when the first line (without its end) can only be that protocol, else None."""
    if _HTTP_REQUEST.fullmatch(first_line):
        return "http"
    if first_line == _HTTP2_PREFACE:
        return "http2"
    if first_line.startswith(_SSH_VERSION):
        return "ssh"
    return None


def reply_to(protocol: str, hint: str) -> bytes:
    """The one reply to `http`, `http2`, `ssh` or `tls`; any other protocol is a ValueError.

    `hint` is one line that says where to go instead, for example where the page is; it may be empty. A TLS
    alert has no room for it.
    """
    match protocol:
        case "http" | "http2":
            # The HTTP/2 preface was chosen for HTTP/1.1 servers to refuse (RFC 9113 section 3.4).
            words = "This is a line hub: it speaks lines of plain text, not HTTP."
            return http_answer(HTTPStatus.BAD_REQUEST, words, hint)
        case "ssh":
            # RFC 4253 section 4.2: lines before the version string are for people to read.
            return f"* this is a line hub, not SSH. {hint}".rstrip().encode() + b"\r\n"
        case "tls":
            return _TLS_REFUSAL
        case _:
            raise ValueError(f"no reply is known for {protocol!r}")


def http_answer(status: HTTPStatus, *lines: str, header: str = "") -> bytes:
    """A whole HTTP/1.1 answer of plain text, for a person to read, that ends the connection."""
    body = "".join(f"{line}\n" for line in lines if line).encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\n{header}Content-Type: text/plain; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode("ascii") + body
