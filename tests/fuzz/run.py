"""`make fuzz`: every target for a while, one after the other; exit code 1 when one has a finding.

What libFuzzer says goes to the screen as it comes. New inputs that reach new code stay in .fuzz/, so that the
next run begins where this one ended; what breaks something lies there as well, and its path is said last.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

TARGETS = ("lines", "telnet", "websocket", "page")
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
KEPT = ROOT / ".fuzz"
EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
FINDINGS = ("crash-*", "timeout-*", "oom-*", "leak-*")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", default=TARGETS, help="which of " + ", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="for python -m tests.guarantees")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    ran = {name: run(name, asked.seconds) for name in asked.targets}
    failed = [name for name, (passed, _) in ran.items() if not passed]
    if asked.figures:
        counts = {f"inputs to {name}": f"{inputs:,}" for name, (_, inputs) in ran.items()}
        asked.figures.write_text(json.dumps({"passed": not failed, **counts}))
    for name in failed:
        found = sorted(path for kind in FINDINGS for path in (KEPT / name).glob(kind))
        print(f"\n{name}: a finding; the input is in {', '.join(map(str, found)) or 'the output above'}")
        if found:
            print(f"again: {sys.executable} -m tests.fuzz.targets {name} {found[-1]}")
    return 1 if failed else 0


def run(name: str, seconds: int) -> tuple[bool, int]:
    """One target: whether it found nothing, and how many inputs it tried."""
    new = KEPT / name / "corpus"
    new.mkdir(parents=True, exist_ok=True)
    print(f"\n{name}: {seconds} s", flush=True)
    command = [
        sys.executable, "-m", "tests.fuzz.targets", name, f"-max_total_time={seconds}", "-timeout=20",
        "-max_len=4096", "-print_final_stats=1", f"-artifact_prefix={KEPT / name}/",
        str(new), str(CORPUS / name),
    ]  # fmt: skip
    inputs = 0
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace") as fuzzer:
        assert fuzzer.stderr is not None
        for line in fuzzer.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            if executed := EXECUTED.match(line):
                inputs = int(executed[1])
    return fuzzer.returncode == 0, inputs


if __name__ == "__main__":
    sys.exit(main())
