"""One thread of a process held still while its others go on: how a loop hangs without a hook in its code.

ptrace(2) stops single threads, where SIGSTOP stops whole processes. Who may: the parent (unless
/proc/sys/kernel/yama/ptrace_scope says 2 or 3), and root.

A thread that is stopped while it holds the interpreter's lock stops all the others with it: 22 stops of 100
did, with a loop that had work. So it is let go and taken again until it is caught in epoll_wait(2), where it
holds no lock.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import until

_DETACH, _SEIZE, _INTERRUPT = 17, 0x4206, 0x4207  # linux/ptrace.h
_WALL = 0x40000000  # waitpid(2): threads as well as processes.
_EPOLL_WAIT = {"232", "281", "22"}  # Its number and epoll_pwait's on x86-64, and the only one on arm64.


@contextmanager
def held_still(thread_id: int) -> Iterator[None]:
    """This thread, which waits with epoll, goes on waiting. A main thread has the number of its process."""
    until(lambda: _catch(thread_id))
    try:
        yield
    finally:
        _ptrace(_DETACH, thread_id)


def _catch(thread_id: int) -> bool:
    """Stop a thread where it waits; False when it was elsewhere, and goes on."""
    try:
        _ptrace(_SEIZE, thread_id)
    except PermissionError:
        pytest.skip("this machine forbids ptrace(2)")
    caught = False
    try:
        _ptrace(_INTERRUPT, thread_id)
        _, status = os.waitpid(thread_id, _WALL)
        assert os.WIFSTOPPED(status)
        caught = Path(f"/proc/{thread_id}/syscall").read_text().split()[0] in _EPOLL_WAIT
    finally:
        if not caught:
            _ptrace(_DETACH, thread_id)
    return caught


def _ptrace(request: int, thread_id: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    nothing = ctypes.c_void_p(0)
    if libc.ptrace(ctypes.c_long(request), ctypes.c_long(thread_id), nothing, nothing) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace: {errno.errorcode[number]}")
