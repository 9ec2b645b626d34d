"""Who runs first."""

from __future__ import annotations

import ctypes
import os
import platform
import threading

import pytest

from twistproxy.process import time_slice
from twistproxy.process.time_slice import take_long_slices

GET = {"x86_64": 315, "aarch64": 275}


def in_thread(nice: int) -> tuple[int, int, int]:
    """Policy, nice value and slice, in nanoseconds, of a thread with this nice value after `take_long_slices`."""
    found = []

    def run() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
        take_long_slices()
        attributes = ctypes.create_string_buffer(48)
        assert ctypes.CDLL(None).syscall(GET[platform.machine()], 0, attributes, 48, 0) == 0
        _, policy, _, nice_now, _, runtime, _, _ = time_slice._ATTRIBUTES.unpack(attributes.raw)
        found.append((policy, nice_now, runtime))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.skipif(platform.machine() not in GET, reason="other system calls")
def test_long_slices_and_nothing_else() -> None:
    policy, nice, runtime = in_thread(7)
    assert (policy, nice) == (os.SCHED_OTHER, 7)
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    assert runtime == (100_000_000 if release >= (6, 12) else 0)


def test_on_other_machines_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    take_long_slices()
