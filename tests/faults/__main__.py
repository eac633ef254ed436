"""Plant bugs, each in a copy of the sources, and name the quick test that catches it.

Exit code 1 when one is not caught or does not apply, or when a test fails without any.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.faults.catalogue import FAULTS, PLANTED, listing, misfits
from tests.faults.edit import DoesNotApply, Fault, write
from tests.faults.trial import TRIAL_S, Verdict, compile_the_loop, copy_of_the_sources, run


def try_one(fault: Fault, compiled: bool) -> Verdict:
    """Plant one bug and print the verdict as soon as it is known."""
    try:
        with copy_of_the_sources() as root:
            write(fault, root)
            if compiled:
                compile_the_loop(root)
            verdict = run(root, fault.tests, TRIAL_S)
    except DoesNotApply as error:
        verdict = Verdict("", 0.0, f"does not apply: {error}")
    except subprocess.CalledProcessError as error:
        verdict = Verdict("", 0.0, f"does not compile: {error.stderr[-800:]}")
    caught = f"caught by {verdict.test}" if verdict.test else f"NOT CAUGHT {verdict.trouble}"
    print(f"{fault.id:30} {verdict.seconds:5.1f} s  {caught}", flush=True)
    return verdict


def without_any(faults: Sequence[Fault], compiled: bool) -> Verdict:
    """All the named tests with no bug planted."""
    with copy_of_the_sources() as root:
        if compiled:
            compile_the_loop(root)
        return run(root, sorted({test for fault in faults for test in fault.tests}), 2 * TRIAL_S)


def plant(faults: Sequence[Fault], at_once: int, compiled: bool) -> int:
    """Try these, so many at a time; the exit code."""
    started_s = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        sound = pool.submit(without_any, faults, compiled)
        verdicts = list(pool.map(partial(try_one, compiled=compiled), faults))
    without, caught = sound.result(), sum(bool(verdict.test) for verdict in verdicts)
    if without.test or without.trouble:
        print(f"fails with no bug planted: {without.test} {without.trouble}")
    print(f"{caught} of {len(faults)} caught, in {time.monotonic() - started_s:.0f} s")
    return 0 if caught == len(faults) and not (without.test or without.trouble) else 1


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=str(__doc__).split("\n")[0])
    parser.add_argument("--list", action="store_true", help="print the catalogue")
    parser.add_argument("--check", action="store_true", help="list what no longer fits the sources")
    parser.add_argument("--compiled", action="store_true", help="on the compiled loop: a minute for each")
    parser.add_argument("--at-once", type=int, default=2, help="how many at a time")
    parser.add_argument("only", nargs="*", metavar="ID", help="faults that name tests; all of them without")
    options = parser.parse_args(arguments)
    if options.list:
        print(listing(), end="")
        return 0
    if options.check:
        found = [misfit for fault in FAULTS.values() for misfit in misfits(fault)]
        print("\n".join([*found, f"{len(FAULTS)} faults, {len(found)} misfits"]))
        return 1 if found else 0
    if unknown := set(options.only) - {fault.id for fault in PLANTED}:
        parser.error(f"no planted fault has the id {' '.join(sorted(unknown))}")
    chosen = [fault for fault in PLANTED if not options.only or fault.id in options.only]
    return plant(chosen, options.at_once, options.compiled)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
