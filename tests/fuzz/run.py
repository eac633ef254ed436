"""`make fuzz`: every target for a while, one after the other; exit code 1 when one has a finding.

What libFuzzer says goes to the screen as it comes. New inputs that reach new code stay in .fuzz/, so that the
next run begins where this one ended; what breaks something lies there as well, and its path is said last.
"""

import argparse
import subprocess
import sys

from tests.support import ROOT

TARGETS = ("lines", "telnet", "websocket", "page")
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
KEPT = ROOT / ".fuzz"
FINDINGS = ("crash-*", "timeout-*", "oom-*", "leak-*")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", default=TARGETS, help="which of " + ", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    failed = [name for name in asked.targets if not run(name, asked.seconds)]
    for name in failed:
        found = sorted(path for kind in FINDINGS for path in (KEPT / name).glob(kind))
        print(f"\n{name}: a finding; the input is in {', '.join(map(str, found)) or 'the output above'}")
        if found:
            print(f"again: {sys.executable} -m tests.fuzz.targets {name} {found[-1]}")
    return 1 if failed else 0


def run(name: str, seconds: int) -> bool:
    """One target: whether it found nothing."""
    new = KEPT / name / "corpus"
    new.mkdir(parents=True, exist_ok=True)
    print(f"\n{name}: {seconds} s", flush=True)
    command = [
        sys.executable, "-m", "tests.fuzz.targets", name, f"-max_total_time={seconds}", "-timeout=20",
        "-max_len=4096", "-print_final_stats=1", f"-artifact_prefix={KEPT / name}/",
        str(new), str(CORPUS / name),
    ]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
