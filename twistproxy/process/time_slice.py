"""Who runs first, of processes that share a processor."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

#: The system call sched_setattr(2), which not every C library knows.
_NUMBERS = {"x86_64": 314, "aarch64": 274}
#: `struct sched_attr`: size, policy, flags, nice, priority, runtime, deadline, period.
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
#: The longest that there is, in nanoseconds.
_SLICE = 100_000_000


def take_long_slices() -> None:
    """From now on this thread, and each that it starts, runs in long slices: then whoever wakes up goes first, with the
    same share of the time for all.  Of Linux since 6.12, which otherwise lets a process that works end its slice, for
    some milliseconds; earlier kernels, and where it is not allowed: without effect.
    """
    number = _NUMBERS.get(platform.machine())
    if number is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, _SLICE, 0, 0)
    ctypes.CDLL(None, use_errno=True).syscall(number, 0, attributes, 0)
