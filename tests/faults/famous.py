"""Bugs that other event-loop servers are known for, each caught here by a quick test."""

from tests.faults.edit import Edit, Fault

FAULTS = (
    Fault(
        id="close-inside-a-batch",
        bug="A send that fails closes the socket; the next client gets a number that tables still hold.",
        seen="A client that was just accepted receives and sends nothing, or ends because a stranger did.",
        links=("libuv/libuv/commit/bbccafbe", "creytiv/re/issues/266", "wasmerio/wasmer/issues/6608"),
        edits=(
            Edit("hub.loop.writer", "Sender._lost",
                 "",
                 "self._hub.poller.forget(client.fd)\nself._hub.sockets.close(client.sock)"),
        ),
        tests=(
            "tests/hub/test_endings.py::test_who_comes_in_when_a_send_has_just_failed_is_heard_and_hears",
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
        edits=(Edit("hub.loop.writer", "Sender._all_taken", "hub.interest(client)", "pass"),),
        tests=(
            "tests/hub/test_sending.py::test_a_blocked_client_is_not_tried_again_before_it_is_writable_and_then_gets_all_in_few_sends",
            "tests/hub/test_sending.py::test_no_write_interest_is_armed_while_the_kernel_takes_everything",
        ),
        violation="",
    ),
    Fault(
        id="no-read-budget",
        bug="A drain reads until the kernel has no more, however long its sender goes on.",
        seen="While one client sends without a pause, the lines of all others wait.",
        links=("twitter/twemproxy/issues/416", "rsyslog/rsyslog/issues/5502", "gattaca-com/flux/issues/67"),
        edits=(Edit("hub.loop.reader", "Reader._receive", "total >= budgets.client_bytes", "False"),),
        tests=(
            "tests/hub/test_reading.py::test_whose_share_of_a_turn_is_used_up_stays_marked_behind_the_others",
            "tests/hub/test_reading.py::test_one_flooder_takes_no_turn_from_twenty_polite_ones",
        ),
    ),
    Fault(
        id="wall-clock",
        bug="Idle time is measured on the clock that NTP and people set.",
        seen="When the clock is put forward, all clients are idle at once; put back, nobody is for hours.",
        links=("CESNET/libnetconf2/issues/43",),
        edits=(Edit("hub.cli.main", "_run_hub", "time.monotonic", "time.time"),),
        tests=("tests/hub/test_cli.py::test_a_step_of_the_wall_clock_ends_nobody",),
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
        edits=(Edit("hub.loop.closer", "Endings._finish",
                    "self._lingering >= hub.budgets.lingering", "True"),),
        tests=(
            "tests/hub/test_endings.py::test_the_farewell_arrives_behind_200_kb_of_input_that_nobody_reads",
            "tests/hub/test_endings.py::test_lingering_ends_at_the_peers_end_of_stream",
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
                 "for _ in range(min(EXAMINED_PER_CALL, len(self._to_examine)))",
                 "for id in self._last_s"),
            Edit("hub.loop.timers", "Sweep.expired",
                 "id = self._to_examine.pop()", "self._to_examine.clear()"),
        ),
        tests=(
            "tests/hub/test_expiry.py::test_an_idle_client_expires_in_time_and_once",
            "tests/hub/test_expiry.py::test_a_sweep_goes_on_over_a_table_that_changes_under_it",
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
        edits=(Edit("hub.loop.acceptor", "Door._refuse_with_spare", "self._shut(now)", "pass"),),
        tests=(
            "tests/hub/test_door.py::test_where_not_even_the_spare_helps_the_door_is_shut_and_opens_by_itself",
            "tests/hub/test_door.py::test_the_door_stays_shut_while_no_descriptor_is_to_be_had",
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
            "tests/hub/test_reading.py::test_a_sub_negotiation_that_does_not_end_ends_its_client_after_its_lines",
        ),
    ),
    Fault(
        id="host-unchecked",
        bug="The page answers any peer that reaches a listener on loopback, under whatever name it asks.",
        seen="Any web site can read the page once its name points to 127.0.0.1: the browser sees one origin.",
        links=("constellation-works/orbit/issues/2270", "microsoft/aspire/issues/19484"),
        edits=(Edit("web.guard", "check_request", "not names_us(request)", "False"),),
        tests=(
            "tests/web/test_guard.py::test_any_other_name_is_misdirected",
            "tests/web/test_guard.py::test_a_foreign_name_is_refused_on_every_path_and_method",
        ),
    ),
    Fault(
        id="descriptor-as-id",
        bug="A client is known by its descriptor, which the next client gets.",
        seen="A question about a client that has left shows a stranger, and timers of the one end the other.",
        links=("creytiv/re/issues/266", "wasmerio/wasmer/issues/6608"),
        edits=(Edit("hub.loop.acceptor", "Door._client", "self._next_id,", "sock.fileno(),"),),
        tests=(
            "tests/hub/test_observing.py::test_who_asks_for_one_that_left_is_never_shown_a_stranger_with_its_descriptor",
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
                 "if client.read_on:\n"
                 "    self._end_of_input(client, CloseReason.PEER_CLOSED)\n"
                 "    return 0, True"),
        ),
        tests=(
            "tests/hub/test_loop.py::test_a_client_that_half_closes_gets_everything_up_to_its_own_last_line",
            "tests/hub/test_reading.py::test_an_unfinished_last_line_counts_at_fin_and_not_at_rst",
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
        tests=("tests/hub/test_mailbox.py",),
    ),
)  # fmt: skip
