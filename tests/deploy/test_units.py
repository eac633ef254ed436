"""The systemd unit and the file of variables, held against the hub that they start."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hub.cli.main import EX_USAGE
from hub.config.settings import DESCRIPTOR_RESERVE, Settings
from hub.config.values import TIMEOUT
from tests.deploy.support import DEPLOY, changed
from tests.e2e.programs import require
from tests.support import PATIENCE_S
from tests.unit.cli.conftest import Hubbub

DEFAULTS = Settings()
EXPOSURE = 12
"""The most that `systemd-analyze security` may find, in tenths of its scale to 10; the docs name it."""
LINE = re.compile(r"#?(HUBBUB_\w+)=(.*)")


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unit as it would be with the hub of this environment: systemd-analyze looks for the program."""
    made = tmp_path_factory.mktemp("unit") / "hubbub.service"
    here = str(Path(sys.executable).with_name("hubbub"))
    made.write_text(changed("hubbub.service", {"ExecStart=/opt/hubbub/bin/hubbub": f"ExecStart={here}"}))
    return made


def analyze(*arguments: object) -> str:
    """What systemd-analyze says; AssertionError where it finds a fault."""
    command = [require("systemd-analyze"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def service() -> configparser.SectionProxy:
    """The section [Service]; of what stands twice the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # As its documentation says.
    parser.read(DEPLOY / "hubbub.service")
    return parser["Service"]


@pytest.mark.promise("deploy-unit")
def test_systemd_finds_no_fault_in_the_unit(unit: Path) -> None:
    assert analyze("verify", unit) == ""


@pytest.mark.promise("deploy-unit")
def test_the_unit_exposes_no_more_than_the_docs_say(unit: Path) -> None:
    analyze("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE}", unit)
    told = (DEPLOY.parent / "docs/operate/deploy.md").read_text()
    assert f"exposure {EXPOSURE / 10:.1f}" in told


def test_the_unit_gives_time_to_drain_and_enough_descriptors() -> None:
    found = service()
    assert TIMEOUT.read(found["TimeoutStopSec"]) >= DEFAULTS.drain_s + 5
    assert int(found["LimitNOFILE"]) >= DEFAULTS.max_clients + DESCRIPTOR_RESERVE
    assert int(found["RestartPreventExitStatus"]) == EX_USAGE


def test_every_variable_of_the_example_is_taken(hubbub: Hubbub) -> None:
    lines = [LINE.fullmatch(line) for line in (DEPLOY / "env.example").read_text().splitlines()]
    variables = {line[1]: line[2] for line in lines if line}
    assert len(variables) > 10
    said = hubbub(**variables)
    assert (said.code, said.err) == (os.EX_OK, "")
    named = {"HUBBUB_ALLOWED_HOST", "HUBBUB_PUBLIC_WS"}
    assert (
        hubbub(**{name: text for name, text in variables.items() if name not in named}).settings == DEFAULTS
    )


def test_every_line_of_the_example_is_a_comment_or_empty() -> None:
    """As a file that is copied and not changed, the example changes nothing."""
    assert all(line[:1] in ("", "#") for line in (DEPLOY / "env.example").read_text().splitlines())
