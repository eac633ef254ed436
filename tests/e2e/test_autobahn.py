"""The Autobahn cases of RFC 6455 against the real hub in echo mode, driven by kosoku."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import HubProcess

SECTIONS = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
NON_STRICT = {
    # Invalid UTF-8 in the middle of one frame that comes in pieces: found when the frame is complete (the
    # library hands out whole frames), not at the byte.
    "6.4.3",
    "6.4.4",
}
INFORMATIONAL = {
    # These have no right answer: a flood and then a Close, and close codes that nobody has registered.
    "7.1.6",
    "7.13.1",
    "7.13.2",
}


@pytest.mark.promise("websocket-autobahn")
def test_no_case_fails(tmp_path: Path) -> None:
    kosoku = shutil.which("kosoku", path=str(Path(sys.executable).parent))
    assert kosoku, "kosoku is not installed beside this Python"
    cases = [argument for section in SECTIONS for argument in ("--include", section)]
    with HubProcess("--no-web", "--mode", "echo", "--max-line", "1MiB") as hub:
        subprocess.run(
            [kosoku, "--outdir", str(tmp_path), *cases, f"127.0.0.1:{hub.ws_port}"],
            stdout=subprocess.DEVNULL,
            timeout=100,
        )
        assert hub.process.poll() is None
    (results,) = json.loads((tmp_path / "index.json").read_text()).values()
    by_outcome: dict[str, set[str]] = {}
    for case, result in results.items():
        by_outcome.setdefault(result["behavior"], set()).add(case)
    assert len(by_outcome.pop("OK")) == 247 - len(NON_STRICT | INFORMATIONAL)
    assert by_outcome == {"NON-STRICT": NON_STRICT, "INFORMATIONAL": INFORMATIONAL}
