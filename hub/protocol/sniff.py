"""Tell that the first thing a client sent is another protocol, and answer it in its own language.

A browser, a TLS client or ssh that meets the line port gets one short reply that its user can understand.
Only what cannot be chat counts: `GET a life` and `I like HTTP/1.1` are things a person may say.

The first line that is not blank decides (RFC 9112 section 2.2 has servers ignore empty lines before a
request), without a byte order mark. TLS and the second form of the PROXY header are known by their bytes.
"""

import re
from http import HTTPStatus
from typing import Final

# RFC 8446 section 5.1: a record of type handshake (22), then a legacy version from SSL 3.0 to TLS 1.3.
_TLS_HANDSHAKE: Final = b"\x16\x03"
_TLS_LAST_MINOR: Final = 4
# RFC 8446 section 6: a record of type alert (21), two bytes long: fatal (2), protocol_version (70).
_TLS_REFUSAL: Final = b"\x15\x03\x01\x00\x02\x02\x46"

_PROXY2: Final = b"\r\n\r\n\0"
"""How the PROXY header of version 2 begins (HAProxy's proxy-protocol.txt, section 2.2)."""
FIRST_BYTES: Final = len(_PROXY2)
"""So many bytes tell the protocols that are known by their bytes."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# RFC 9112 section 3, and the same of RTSP (RFC 7826 section 20.2.1) and SIP (RFC 3261 section 7.1): method,
# target, version. The method is a token (RFC 9110 section 5.6.2) in capitals that starts with a letter, so
# that `* says HTTP/1.1` is chat. The target is a path, `*`, or has a colon inside (a URI, or host:port).
_METHOD: Final = re.compile(rb"[A-Z][A-Z0-9!#$%&'*+.^_`|~-]*")
_TARGET: Final = re.compile(rb"/.*|\*|[^:]+:.+", re.DOTALL)
_VERSION: Final = re.compile(rb"(HTTP|RTSP|SIP)/[0-9.]*", re.IGNORECASE)
# Between one of these (RFC 9110 section 9.3, RFC 5789) and a version, a path or a URI is a request, however
# sloppy: with blanks inside, as careless scanners send it, or in small letters, typed by hand.
_HTTP_METHODS: Final = frozenset(b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH".split())
_PATH_OR_URI: Final = re.compile(rb"/.*|[a-z]+://.*", re.DOTALL | re.IGNORECASE)

_ANSWERED_AS: Final = {"http": "HTTP/1.1", "http2": "HTTP/1.1", "rtsp": "RTSP/1.0", "sip": "SIP/2.0"}

_FIRST_LINES: Final = {
    "http2": re.compile(rb"PRI \* HTTP/2\.0"),  # The first line of the preface: RFC 9113, section 3.4.
    "ssh": re.compile(rb"SSH-[12]\.[0-9]+-.*", re.DOTALL),  # RFC 4253, section 4.2.
    # proxy-protocol.txt, section 2.1: family, two addresses, two ports; fewer where the stream ended early.
    "proxy": re.compile(rb"PROXY (?:TCP[46]|UNKNOWN)(?: [A-Fa-f]*[0-9:.][0-9A-Fa-f:.]*){0,4} ?"),
    # RFC 1006 section 6 and X.224: TPKT, version 3, with a connection request, as remote desktop begins.
    "rdp": re.compile(rb"\x03\0...\xe0.*", re.DOTALL),
}


def is_tls_hello(first: bytes) -> bool | None:
    """Whether a TLS handshake begins here; None while `first` is too short to tell.

    `first` is what came first, before any telnet filtering. No text starts with 0x16, so one byte tells chat.
    """
    if len(first) < 3:
        return None if _TLS_HANDSHAKE.startswith(first) else False
    return first.startswith(_TLS_HANDSHAKE) and first[2] <= _TLS_LAST_MINOR


def is_proxy_header(first: bytes) -> bool | None:
    """Whether a PROXY header of version 2 begins here; None while `first` is too short to tell."""
    if len(first) < FIRST_BYTES:
        return None if _PROXY2.startswith(first) else False
    return first.startswith(_PROXY2)


def is_blank(line: bytes) -> bool:
    """Whether a first line has nothing in it that could tell a protocol."""
    return not line.removeprefix(_BYTE_ORDER_MARK).strip()


def foreign_protocol(first_line: bytes) -> str | None:
    """The protocol that the first line with content, without its end, can only be: a name that `reply_to`
    knows. None when it may be talk."""
    for protocol, pattern in _FIRST_LINES.items():
        if pattern.fullmatch(first_line):
            return protocol
    line = first_line.removeprefix(_BYTE_ORDER_MARK).partition(b"\r")[0]  # Careless requests end lines in CR.
    words = line.split(None, 2)
    if len(words) < 3:
        return None
    method, target, rest = words
    *between, last = rest.rsplit(None, 1)
    version = _VERSION.fullmatch(last)
    if version and _is_request(method, target, last, is_exact=not between):
        return version[1].decode().lower()
    return None


def _is_request(method: bytes, target: bytes, version: bytes, *, is_exact: bool) -> bool:
    """Whether these words can only be a request; `is_exact` when nothing stood between the last two."""
    if method.upper() in _HTTP_METHODS and _PATH_OR_URI.fullmatch(target):
        return is_exact or (method + version).isupper()
    return is_exact and version.isupper() and bool(_METHOD.fullmatch(method) and _TARGET.fullmatch(target))


def reply_to(protocol: str, hint: str) -> bytes:
    """The one reply to a protocol that `foreign_protocol` names, or to `tls`; of any other a ValueError.

    `hint` is one line that says where to go instead, for example where the page is; it may be empty. A TLS
    alert has no room for it.
    """
    match protocol:
        case "http" | "http2" | "rtsp" | "sip":
            # The HTTP/2 preface was chosen for HTTP/1.1 servers to refuse (RFC 9113 section 3.4).
            words = f"This is a line hub: it speaks lines of plain text, not {protocol.rstrip('2').upper()}."
            return http_answer(HTTPStatus.BAD_REQUEST, words, hint, version=_ANSWERED_AS[protocol])
        case "ssh" | "rdp":
            # RFC 4253 section 4.2: lines before the version string are for people to read.
            return f"* this is a line hub, not {protocol.upper()}. {hint}".rstrip().encode() + b"\r\n"
        case "proxy":
            return b"* this is a line hub, and takes no PROXY header. Let the proxy send none.\r\n"
        case "tls":
            return _TLS_REFUSAL
        case _:
            raise ValueError(f"no reply is known for {protocol!r}")


def http_answer(status: HTTPStatus, *lines: str, header: str = "", version: str = "HTTP/1.1") -> bytes:
    """A whole answer of plain text, for a person to read, that ends the connection.

    Answers of RTSP and SIP have the same form with a version of their own.
    """
    body = "".join(f"{line}\n" for line in lines if line).encode()
    head = f"{version} {status.value} {status.phrase}\r\n{header}Content-Type: text/plain; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode("ascii") + body
