"""Everything that the page's door accepts, over real sockets: an answer below 500 or an end, never a fault.

The handler of the page's log is watched the whole time: a request that nobody foresaw leaves a record there.
503 is an answer that is meant (too many tabs, a silent hub); 500 never is.
"""

import json
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from hub.config.settings import Settings
from hub.control.mailbox import Mailbox
from tests.fuzz.examples import Test, quick_and_long
from tests.fuzz.hostile import PAYLOADS
from tests.unit.web.support import Clock, LiveTab, StandInHub, ask_raw, make_row, make_summary, port_of
from web.thread import WebThread


class Faults(logging.Handler):
    """What the page would have written into the log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def url(faults: Faults) -> Iterator[str]:
    """A page with a stand-in hub behind it, whose rows have names of all kinds."""
    box = Mailbox()
    hub = StandInHub(box)
    hub.rows = [make_row(number, nick=nick) for number, nick in enumerate(["ann", "Zoë", "日本", "<b>"])]
    page = WebThread(Settings(web_port=0), box, clock=Clock(), log=faults)  # It never gets stale.
    hub.start()
    page.gateway.publish(make_summary())
    try:
        yield page.start()
    finally:
        page.stop()
        hub.stop()
        box.close()


TARGETS = [
    b"/", b"*", b"//", b"//[", b"///", b"/%", b"/%00", b"/%ff", b"/\xff", b"/..", b"/../../etc/passwd",
    b"/static/",
    b"/static/..%2f..%2fsetup", b"/static/app.js?v=%ff", b"/static/app.js%00", b"/api", b"/api/clients/",
    b"/api/clients/-1", b"/api/clients/1e3", b"/api/clients/%D9%A3", b"/api/clients/" + b"9" * 5000, b"/live",
    b"/api/clients/1/2", b"/api/clients?limit=0", b"/api/clients?limit=1001", b"/api/clients?limit=NaN",
    b"/api/clients?limit=" + b"9" * 6000, b"/api/clients?offset=-1", b"/api/clients?offset=1e9",
    b"/api/clients?limit=1&limit=1", b"/api/clients?sort=__class__", b"/api/clients?sort=id&order=up",
    b"/api/clients?q=" + b"%00" * 1000, b"/api/clients?q=%ed%a0%80", b"/api/clients?=", b"/api/clients?&&&",
    b"/api/clients?" + b"a=1&" * 1500, b"/api/clients?limit[]=1", b"/api/summary?x", b"/api/closed?limit=%20",
    b"/api/rooms?offset=1;limit=2", b"/livez?x=1", b"/?" + b"x" * 7000, b"/" + b"y" * 9000, b"http://[::1/",
    b"http://evil.example/", b"http://localhost:99999/", b"http:///", b"https://localhost/",
    b"localhost:80", b"[",
    b"\\", b"/\t", b"/a b", b"/#x", b"/;x=1", b"/api/clients#/../", b"/%252e%252e/",
]  # fmt: skip
HEADERS = [
    b"", b"Host: localhost\r\n", b"X: " + b"y" * 9000 + b"\r\n", b"X: y\r\n" * 200, b": y\r\n", b"X y\r\n",
    b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: 5\r\n\r\nhello",
    b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", b"Transfer-Encoding: gzip\r\n", b"Expect: 100-continue\r\n",
    b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", b"X: a\0b\r\n", b"X: \xff\r\n",
    b"Cookie: \xff=\xfe\r\n",
    b"Range: bytes=9-1\r\n", b"If-Modified-Since: never\r\n", b"If-None-Match: \"\r\n",
    b"Accept-Encoding: \xff\r\n",
    b"Origin: null\r\n", b"Origin: http://[\r\n", b"Origin: \xff\r\n", b"Sec-Fetch-Site: \xff\r\n",
    b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\nHTTP2-Settings: x\r\n", b"Authorization: Basic \xff\r\n",
    b"Connection: \xff\r\n", b"X: y\r\n folded\r\n", b"X-Forwarded-Host: [\r\n",
]  # fmt: skip
METHODS = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"TRACE", b"get", b"G\xff", b"X" * 300, b"PRI"]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.", b"", b"http/1.1"]


def assert_answered(url: str, faults: Faults, request: bytes) -> None:
    """Something that HTTP knows, below 500, or an end without a word; and no record of a fault."""
    status = None
    # Python's client raises where no answer came, as to a request without a version.
    with suppress(ValueError, OSError, EOFError, HTTPException):
        status = ask_raw(url, request).status
    assert status is None or status < 500, (status, request[:300])
    assert faults.records == [], request[:300]


def request_of(url: str, method: bytes, target: bytes, version: bytes, header: bytes) -> bytes:
    own = b"Host: localhost:%d\r\nConnection: close\r\n" % port_of(url)
    return method + b" " + target + b" " + version + b"\r\n" + own + header + b"\r\n"


@pytest.mark.promise("hostile-requests")
def test_each_hostile_part_of_a_request_has_an_answer(url: str, faults: Faults) -> None:
    requests = [request_of(url, b"GET", target, b"HTTP/1.1", b"") for target in TARGETS]
    requests += [request_of(url, b"GET", b"/api/clients", b"HTTP/1.1", header) for header in HEADERS]
    requests += [request_of(url, method, b"/api/clients", b"HTTP/1.1", b"") for method in METHODS]
    requests += [request_of(url, b"GET", b"/", version, b"") for version in VERSIONS]
    requests += [random.Random(1).randbytes(4096), b"\0" * 100, b"\x16\x03\x01\0\5", b"GET"]
    for request in requests:
        if request in (b"GET", b"\x16\x03\x01\0\5"):
            request += b"\r\n\r\n"
        assert_answered(url, faults, request)


printable = st.binary(max_size=30).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b""))
targets = st.tuples(
    st.sampled_from(TARGETS) | printable.map(lambda data: b"/" + data.replace(b" ", b"")),
    st.sampled_from([b"", b"?q=", b"?sort=", b"?limit="]),
    printable | st.sampled_from([b"%" + b"%02x" % byte for byte in range(256)]),
).map(b"".join)
requests = st.tuples(
    st.sampled_from(METHODS[:4]),
    targets,
    st.just(b"HTTP/1.1"),
    st.sampled_from(HEADERS[:2]) | printable.map(lambda data: b"X-Any: " + data + b"\r\n"),
)


@pytest.mark.promise("hostile-requests")
@quick_and_long(60, 3000)
def test_no_request_is_a_fault(url: str, faults: Faults, examples: Callable[[Test], Test]) -> None:
    @examples
    @given(parts=requests)
    def test(parts: tuple[bytes, bytes, bytes, bytes]) -> None:
        assert_answered(url, faults, request_of(url, *parts))

    test()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["sort", "order", "q", "offset", "limit", "paused", "kind", ""]
VIEWS = (
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4).map(json.dumps)
    | JSON.map(json.dumps)
    | st.text()
)


@pytest.mark.promise("hostile-requests")
def test_hostile_messages_leave_a_tab_open_with_its_view(url: str, faults: Faults) -> None:
    said = [
        "[" * 4000,
        '{"q":' * 800,
        '{"limit":' + "9" * 4000 + "}",
        '{"offset":1e999}',
        '{"limit":NaN}',
        "\0",
    ]
    texts = [payload.decode(errors="replace") for payload in PAYLOADS]
    said += [json.dumps({field: text}) for text in texts for field in ("q", "sort")]
    with LiveTab(url) as tab:
        for text in said:
            tab.ws.send(text)
        tab.send(q="", limit=2)
        update = tab.until(lambda update: len(update["clients"]["clients"]) == 2)
        assert update["kind"] == "update"
    assert faults.records == []


def heard_of(url: str, text: str) -> None:
    """A tab says it, and hears an update or an error, or a close that is no fault of ours."""
    with LiveTab(url) as tab, suppress(ConnectionClosed):
        tab.ws.send(text)
        tab.ws.send('{"paused": false}')  # The text may have asked for silence.
        assert json.loads(tab.ws.recv(timeout=10))["kind"] in ("update", "error"), text
    assert tab.ws.close_code in (None, 1000, 1003, 1007, 1009), text


@pytest.mark.promise("hostile-requests")
@quick_and_long(40, 1500)
def test_no_message_of_a_tab_is_a_fault(url: str, faults: Faults, examples: Callable[[Test], Test]) -> None:
    @examples
    @given(text=VIEWS)
    @example(text='{"q":"\\ud800"}')
    def test(text: str) -> None:
        heard_of(url, text)
        assert faults.records == []

    test()
