"""One thread of a process held still while its others go on: how a loop hangs without a hook in its code.

ptrace(2) stops single threads, where SIGSTOP stops whole processes. Who may: the parent (unless
/proc/sys/kernel/yama/ptrace_scope says 2 or 3), and root.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_DETACH, _SEIZE, _INTERRUPT = 17, 0x4206, 0x4207  # linux/ptrace.h
_WALL = 0x40000000  # waitpid(2): threads as well as processes.


@contextmanager
def held_still(thread_id: int) -> Iterator[None]:
    """This one thread does nothing meanwhile. A process's main thread has the process's number."""
    try:
        _ptrace(_SEIZE, thread_id)
    except PermissionError:
        pytest.skip("this machine forbids ptrace(2)")
    try:
        _ptrace(_INTERRUPT, thread_id)
        _, status = os.waitpid(thread_id, _WALL)
        assert os.WIFSTOPPED(status)
        yield
    finally:
        _ptrace(_DETACH, thread_id)


def _ptrace(request: int, thread_id: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    nothing = ctypes.c_void_p(0)
    if libc.ptrace(ctypes.c_long(request), ctypes.c_long(thread_id), nothing, nothing) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace: {errno.errorcode[number]}")
