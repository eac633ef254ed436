"""The command in the process of the test, as the tests of the command have it."""

from tests.unit.cli.conftest import hubbub

__all__ = ["hubbub"]
