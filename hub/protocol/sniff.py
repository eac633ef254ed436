"""Tell that the first thing a client sent is another protocol, and answer it in its own language.

A browser, a TLS client or ssh that meets the line port gets one short reply that its user can understand.
`GET a life` and `I like HTTP/1.1` are things a person may say; where a line may be both, it is a request,
because a cookie in a room is worse than a person who has to say it in other words.

The first line that is not blank decides (RFC 9112 section 2.2 has servers ignore empty lines before a
request). TLS, remote desktop and the second form of the PROXY header are known by their bytes.
"""

import re
from http import HTTPStatus
from typing import Final

# RFC 8446 section 6: a record of type alert (21), two bytes long: fatal (2), protocol_version (70).
_TLS_REFUSAL: Final = b"\x15\x03\x01\x00\x02\x02\x46"

FIRST_BYTES: Final = 6
"""So many bytes tell the protocols that are known by their bytes."""
LEADING_BYTES: Final = b"\x16\x03\r"
"""What these begin with."""
_BY_BYTES: Final = re.compile(
    # RFC 8446 section 5.1: a record of type handshake (22), a legacy version from SSL 3.0 to TLS 1.3.
    rb"(?P<tls>\x16\x03[\0-\4])"
    # RFC 1006 section 6 and X.224: TPKT, version 3, with a connection request, as remote desktop begins.
    rb"|(?P<rdp>\x03\0\0[^\r\n]{2}\xe0)"
    # HAProxy's proxy-protocol.txt, section 2.2: the header of version 2 begins with two empty lines.
    rb"|(?P<proxy>\r\n\r\n\0\r)",
    re.DOTALL,
)

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_C0_AND_BLANK: Final = bytes(range(0x21))
_ADDRESS: Final = rb" [0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*(?:%[^ ]+)?"
_FIRST_LINE: Final = re.compile(
    rb"(?P<http2>PRI \* HTTP/2\.0)"  # The first line of the preface: RFC 9113, section 3.4.
    # RFC 4253, sections 4.2 and 5.1: a software version without a blank, then perhaps a comment.
    rb"|(?P<ssh>SSH-(?:2\.0|1\.99|1\.5)-[^ ]+(?: .*)?)"
    # proxy-protocol.txt, section 2.1: family, two addresses, two ports.
    rb"|(?P<proxy>PROXY (?:UNKNOWN|(?:UNKNOWN|TCP[46])(?:" + _ADDRESS + rb"){2}(?: [0-9]{1,5}){2}))",
    re.DOTALL,
)

# RFC 9112 section 3, and the same of RTSP (RFC 7826 section 20.2.1) and SIP (RFC 3261 section 7.1): method,
# target, version. A method is a token (RFC 9110 section 5.6.2) in capitals that starts with a letter, so
# that `* says HTTP/1.1` is chat.
_METHOD: Final = re.compile(rb"[A-Z][A-Z0-9!#$%&'*+.^_`|~-]*")
_PATH_OR_URI: Final = re.compile(rb"(?:/|[a-z]+://).*|\*", re.DOTALL | re.IGNORECASE)
_VERSION: Final = re.compile(rb"(HTTP|RTSP|SIP)/[0-9.]*", re.IGNORECASE)
_VERSION_IN_USE: Final = re.compile(rb"(?:HTTP/[01]|RTSP/[12]|SIP/2)\.")
_METHODS: Final = {
    b"HTTP": frozenset(  # IANA's registry, the two of UPnP, and the one of caches.
        b"ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE "
        b"MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI "
        b"PROPFIND PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE "
        b"UPDATEREDIRECTREF VERSION-CONTROL M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE".split()
    ),
    b"RTSP": frozenset(
        b"ANNOUNCE DESCRIBE GET_PARAMETER OPTIONS PAUSE PLAY PLAY_NOTIFY RECORD REDIRECT SETUP SET_PARAMETER "
        b"TEARDOWN".split()
    ),
    b"SIP": frozenset(
        b"ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER SUBSCRIBE "
        b"UPDATE".split()
    ),
}

_ANSWERED_AS: Final = {"http": "HTTP/1.1", "http2": "HTTP/1.1", "rtsp": "RTSP/1.0", "sip": "SIP/2.0"}


def protocol_by_bytes(first: bytes) -> tuple[str, int] | None:
    """The protocol that begins with these FIRST_BYTES or fewer, and how many of them are empty lines before.

    `first` is what came first, before any telnet filtering. None when it is none, or too short to tell.
    """
    found = _BY_BYTES.match(first)
    return (str(found.lastgroup), found[0].rfind(b"\n") + 1) if found else None


def is_blank(line: bytes) -> bool:
    """Whether a first line has nothing in it that could tell a protocol."""
    return not _content(line)


def foreign_protocol(first_line: bytes) -> str | None:
    """The protocol that the first line that is not blank, without its end, is taken for: a name that
    `reply_to` knows. None when it is talk."""
    # Careless requests end lines in CR.
    line = _content(first_line).partition(b"\r")[0].rstrip(_C0_AND_BLANK)
    if found := _FIRST_LINE.fullmatch(line):
        return found.lastgroup
    return _requested(line.split()) if b"/" in line else None


def _content(line: bytes) -> bytes:
    """A line from the first byte on that counts: controls, blanks and a byte order mark before do not."""
    return line.lstrip(_C0_AND_BLANK).removeprefix(_BYTE_ORDER_MARK).lstrip(_C0_AND_BLANK)


def _requested(words: list[bytes]) -> str | None:
    """The protocol that these words are a request of.

    Between a known method and a version in use anything may stand, as careless programs send it, or nothing.
    Exactly three words with a path or URI need only one of both, so small letters are typed by hand.
    """
    method, last = words[0], words[-1]
    version = _VERSION.match(last)
    if version is None:
        return None
    methods = _METHODS[version[1].upper()]
    if method in methods and _VERSION_IN_USE.match(last):
        return version[1].decode().lower()
    if len(words) != 3 or not _PATH_OR_URI.fullmatch(words[1]):
        return None
    is_method = method.upper() in methods or (version[0].isupper() and _METHOD.fullmatch(method))
    return version[1].decode().lower() if is_method else None


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
