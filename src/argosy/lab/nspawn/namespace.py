"""Making sockets in another network namespace.

A socket belongs to the namespace in which it was made, wherever the process is later. Python has `os.setns`
only from 3.12 on, hence libc's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def network_namespace(descriptor: int) -> Iterator[None]:
    """Be in the network namespace that the open file `descriptor` names, for the block and this thread only.

    The block must not await: other tasks of the thread would run in that namespace. Raises OSError.
    """
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(descriptor)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")
