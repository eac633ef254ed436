"""What a process that runs a hub asks of its kernel and its interpreter."""

import fcntl
import gc
import os
import resource
import sys
from contextlib import suppress
from typing import Final

BOUNDLESS: Final = 1 << 30
_TABLE_MOST: Final = 1 << 16
"""Descriptors, at 8 bytes each in the kernel."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one, getrlimit(2); what is allowed now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # A sandbox may forbid even what the limit allows.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return BOUNDLESS if soft == resource.RLIM_INFINITY else soft


def grow_descriptor_table(descriptors: int) -> None:
    """Make the kernel's table of our descriptors as large as it will get.

    Else it doubles as clients come, and in a process with threads each time waits for all processors
    (expand_fdtable in fs/file.c: synchronize_rcu), 13 to 16 ms in the middle of a burst of connects.
    """
    last = min(descriptors, _TABLE_MOST) - 1
    with suppress(OSError, ValueError):  # No memory: it grows later.
        os.close(fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, last))


def tune_interpreter() -> None:
    """Few and short collections, and threads that take turns often."""
    sys.setswitchinterval(0.0001)  # How long the page may keep the interpreter from the loop.
    gc.collect()
    gc.freeze()  # What exists now stays; no collection looks at it again.
    # Only the page leaves cycles behind. Young objects are looked at 10,000 at a time, in 0.2 ms. Those of
    # fifteen thousand clients take tens of ms, which is due when ten million more were made than freed.
    gc.set_threshold(1_000, 10, 1_000)
