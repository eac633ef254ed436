"""One target under a coverage-guided fuzzer (libFuzzer by way of atheris, docs: its README).

The first argument is the name of a check in tests/fuzz/checks.py, the others are libFuzzer's. What is looked
at for coverage is ours, and the library that reads frames; the checks themselves are not.
"""

import sys

import atheris  # type: ignore[import-not-found]  # installed by `make fuzz` only

# Only what is imported here for the first time is instrumented.
with atheris.instrument_imports(include=["hub", "web", "websockets"]):
    import hub.modes.sanitize
    import hub.protocol.line_decoder
    import hub.protocol.telnet
    import hub.protocol.ws_connection  # noqa: F401
    import web.guard
    import web.schema  # noqa: F401

from tests.fuzz.checks import CHECKS


def main() -> None:
    """Runs until a finding or until the time is over; does not return."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, CHECKS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
