"""Bugs that other event-loop servers are known for, each caught here by a quick test."""

from tests.faults.edit import Edit, Fault

FAULTS = (
    Fault(
        id="close-inside-a-batch",
        bug="A send that fails closes the socket; the next client gets a number that tables still hold.",
        seen="A client that was just accepted receives and sends nothing, or ends because a stranger did.",
        links=("libuv/libuv/commit/bbccafbe", "creytiv/re/issues/266", "wasmerio/wasmer/issues/6608"),
        edits=(
            Edit(
                "hub.loop.writer",
                "Writer._hand",
                "self._connections.peer_is_gone(client, gone.reason)",
                "self._sockets.close(client.sock); self._connections.peer_is_gone(client, gone.reason)",
            ),
            Edit(
                "hub.loop.writer",
                "Writer.write",
                "self._connections.peer_is_gone(client, gone.reason)",
                "self._sockets.close(client.sock); self._connections.peer_is_gone(client, gone.reason)",
            ),
        ),
        tests=(
            "tests/loop/test_closer.py::test_client_accepted_after_a_failed_send_is_served",
        ),
        violation="",
    ),
    Fault(
        id="epollout-left-armed",
        bug="The write interest stays armed after the kernel has taken everything.",
        seen="The hub takes a whole processor after one client was slow once, and nothing says why.",
        links=(
            "libuv/libuv/issues/3671",
            "eclipse-mosquitto/mosquitto/issues/2053",
            "zeromq/libzmq/issues/1409",
        ),
        edits=(Edit("hub.loop.writer", "Writer._all_taken", "self._connections.watch(client)", "pass"),),
        tests=(
            "tests/loop/test_writer.py::test_blocked_client_gets_all_in_few_sends_when_writable",
            "tests/loop/test_writer.py::test_write_interest_is_not_armed_without_a_refusal",
        ),
        violation="",
    ),
    Fault(
        id="no-read-budget",
        bug="A drain reads until the kernel has no more, however long its sender goes on.",
        seen="While one client sends without a pause, the lines of all others wait.",
        links=("twitter/twemproxy/issues/416", "rsyslog/rsyslog/issues/5502", "gattaca-com/flux/issues/67"),
        edits=(Edit("hub.loop.reader", "Reader._receive", "total >= self._budgets.client_bytes", "False"),),
        tests=(
            "tests/loop/test_reader.py::test_client_with_its_share_used_up_stays_marked",
            "tests/loop/test_reader.py::test_one_flooder_takes_no_turn_from_twenty_polite_ones",
        ),
    ),
    Fault(
        id="wall-clock",
        bug="Idle time is measured on the clock that NTP and people set.",
        seen="When the clock is put forward, all clients are idle at once; put back, nobody is for hours.",
        links=("CESNET/libnetconf2/issues/43",),
        edits=(Edit("hub.cli.main", "_run_hub", "time.monotonic", "time.time"),),
        tests=("tests/unit/cli/test_main.py::test_a_step_of_the_wall_clock_ends_nobody",),
    ),
    Fault(
        id="plain-close",
        bug="The hub closes right after the farewell, which the kernel throws away where input is unread.",
        seen="Instead of the reason why it was ended, a client sees `Connection reset by peer`.",
        links=(
            "chriskohlhoff/asio/issues/209",
            "openssl/openssl/issues/5072",
            "scylladb/seastar/issues/2983",
        ),
        edits=(Edit("hub.loop.closer", "Closer._finish",
                    "self._lingering >= self._budgets.lingering", "True"),),
        tests=(
            "tests/loop/test_closer.py::test_farewell_arrives_behind_200_kb_of_unread_input",
            "tests/loop/test_closer.py::test_lingering_ends_at_the_peers_end_of_stream",
        ),
        violation="",
    ),
    Fault(
        id="table-changed-while-walked",
        bug="The idle sweep walks over the table of clients itself and removes those that it finds.",
        seen="The hub ends with `dictionary changed size during iteration` as soon as a client is idle.",
        links=(
            "jrosdahl/miniircd/issues/30",
            "ufosc/swampymud/issues/9",
            "miguelgrinberg/python-engineio/issues/368",
        ),
        edits=(
            Edit("hub.loop.timers", "Sweep.expired",
                 "for _ in range(min(EXAMINED_PER_CALL, len(self.to_examine)))",
                 "for id in self.last_s"),
            Edit("hub.loop.timers", "Sweep.expired",
                 "id = self.to_examine.pop()", "self.to_examine.clear()"),
        ),
        tests=(
            "tests/unit/loop/test_timers.py::test_an_idle_client_expires_in_time_and_once",
            "tests/unit/loop/test_timers.py::test_a_sweep_goes_on_over_a_table_that_changes_under_it",
        ),
    ),
    Fault(
        id="no-pause-without-descriptors",
        bug="With no descriptor left accept fails, the listener stays readable, and the loop tries on.",
        seen="A hub out of descriptors takes a whole processor until a client leaves.",
        links=(
            "joyent/libuv/issues/690",
            "eclipse-mosquitto/mosquitto/issues/948",
            "oven-sh/bun/issues/32705",
            "python/cpython/issues/151615",
        ),
        edits=(Edit("hub.loop.acceptor", "Acceptor._refuse_with_spare", "self._pause(now)", "pass"),),
        tests=(
            "tests/loop/test_acceptor.py::test_accepting_pauses_without_a_spare_and_resumes",
            "tests/loop/test_acceptor.py::test_accepting_stays_paused_while_no_descriptor_is_free",
        ),
        violation="",
    ),
    Fault(
        id="endless-subnegotiation",
        bug="The telnet filter reads IAC SB until IAC SE comes, however long that takes.",
        seen="Two bytes make a client immortal and mute: all that it sends is swallowed.",
        links=(
            "twisted/twisted/issues/12750",
            "Mudlet/Mudlet/issues/9440",
            "SeCherkasov/SkerrySSH/issues/315",
        ),
        edits=(Edit("hub.protocol.telnet", "TelnetFilter._count_subnegotiation",
                    "self._state = _VIOLATED", "pass"),),
        tests=(
            "tests/loop/test_reader.py::test_endless_subnegotiation_closes_behind_its_lines",
        ),
    ),
    Fault(
        id="host-unchecked",
        bug="The page answers any peer that reaches a listener on loopback, under whatever name it asks.",
        seen="Any web site can read the page once its name points to 127.0.0.1: the browser sees one origin.",
        links=("constellation-works/orbit/issues/2270", "microsoft/aspire/issues/19484"),
        edits=(Edit("web.guard", "check_request", "not names_us(request)", "False"),),
        tests=(
            "tests/unit/web/test_guard.py::test_any_other_name_is_misdirected",
            "tests/unit/web/test_guard.py::test_a_foreign_name_is_refused_on_every_path_and_method",
        ),
    ),
    Fault(
        id="descriptor-as-id",
        bug="A client is known by its descriptor, which the next client gets.",
        seen="A question about a client that has left shows a stranger, and timers of the one end the other.",
        links=("creytiv/re/issues/266", "wasmerio/wasmer/issues/6608"),
        edits=(Edit("hub.loop.client_factory", "ClientFactory.make",
                    "self._next_id, sock", "sock.fileno(), sock"),),
        tests=(
            "tests/loop/test_publisher.py::test_id_of_a_closed_client_never_shows_a_newer_one",
        ),
    ),
    Fault(
        id="hang-up-taken-for-the-end",
        bug="A peer that hung up is ended without reading what it sent before.",
        seen="A program that sends its lines and closes, as `ncat` with a file does, loses the last of them.",
        links=("libuv/libuv/commit/2e2114ed", "tokio-rs/mio/issues/933"),
        edits=(
            Edit("hub.loop.reader", "Reader._receive",
                 "",
                 "if client.inbox.read_until_eagain:\n"
                 "    self._end_of_input(client, CloseReason.PEER_CLOSED)\n"
                 "    return True"),
        ),
        tests=(
            "tests/loop/test_event_loop.py::test_half_closed_client_gets_all_up_to_its_last_line",
            "tests/loop/test_reader.py::test_unfinished_last_line_counts_at_fin_and_not_at_rst",
        ),
        violation="",
    ),
    Fault(
        id="wake-up-as-queue",
        bug="One wake-up is taken for one command; but wake-ups that nobody has read yet are one.",
        seen="The second of two questions is answered when a third is asked; the page stands still at times.",
        links=("python/cpython/issues/156054", "epics-base/p4p/issues/143"),
        edits=(
            Edit("hub.control.mailbox", "Mailbox.take",
                 "",
                 "self._silence()\nreturn [self._commands.popleft()] if self._commands else []"),
        ),
        tests=("tests/unit/control/test_mailbox.py",),
    ),
)  # fmt: skip
