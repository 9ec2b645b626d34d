"""How short a resource is: what the overload manager asks (Envoy: configuration/operations/overload_manager).

Each gives a pressure: 0 for unused, 1 for used up, above that for more.  OSError or ValueError if it cannot be known.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Protocol

from twistproxy.model.overload import (
    CgroupMonitor,
    ConnectionsMonitor,
    CpuMonitor,
    FileMonitor,
    HeapMonitor,
    Monitor,
)

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: The weight of the newest value in the average of CPU use (Envoy: CpuUtilizationMonitor, DAMPENING_ALPHA).
_NEWEST = 0.05
_GROUPS = "/sys/fs/cgroup/"
#: Of control groups of version 2, then of version 1: where use and limit are.
_MEMORY = (
    (_GROUPS + "memory.current", _GROUPS + "memory.max"),
    (_GROUPS + "memory/memory.usage_in_bytes", _GROUPS + "memory/memory.limit_in_bytes"),
)


class ResourceMonitor(Protocol):
    def pressure(self) -> float: ...


class Heap:
    """The memory of all processes of the program together, in shares of a fixed size.

    What processes share is counted once (PSS, proc(5)); to find that out takes some 10 µs a MB.  Where it may not be
    read, which is so after a change of user, all that is not of files is counted in each process.
    """

    def __init__(self, max_bytes: int, pids: Callable[[], Iterable[int]]) -> None:
        self._max_bytes = max_bytes
        self._pids = pids

    def pressure(self) -> float:
        return sum(memory_of(pid) for pid in self._pids()) / self._max_bytes


def memory_of(pid: int) -> int:
    """Bytes; 0 for a process that is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except PermissionError:
        with open(f"/proc/{pid}/statm") as file:
            _, resident, shared = file.read().split()[:3]
        return (int(resident) - int(shared)) * _PAGE
    except OSError:
        pass
    return 0


class InjectedFile:
    """Whatever a file says, for tests."""

    def __init__(self, path: str) -> None:
        self._path = path

    def pressure(self) -> float:
        with open(self._path) as file:
            found = float(file.read())
        if not 0 <= found <= 1:
            raise ValueError("pressure out of range")
        return found


#: CPU time that was worked in, and how much there was to be had, since an arbitrary start.
CpuTimes = tuple[float, float]


class Cpu:
    """The share of CPU time that was worked in, as an average in which what is past counts less and less."""

    def __init__(self, times: Callable[[], CpuTimes]) -> None:
        self._times = times
        self._average = 0.0
        self._worked, self._total = times()

    def pressure(self) -> float:
        worked, total = self._times()
        work, time = worked - self._worked, total - self._total
        self._worked, self._total = worked, total
        if work < 0 or time <= 0:
            raise ValueError(f"erroneous CPU statistics: {work} of {time}")
        self._average = work / time * _NEWEST + (1 - _NEWEST) * self._average
        return self._average


def host_times(path: str = "/proc/stat") -> CpuTimes:
    """Of the machine: user, nice and system time are work, and beside them only idle time counts, as in Envoy."""
    with open(path) as file:
        times = [int(word) for word in file.readline().split()[1:5]]
    return float(sum(times[:3])), float(sum(times))


def container_times(seconds: Callable[[], float], directory: str = _GROUPS) -> CpuTimes:
    """Of the control group (version 2, else 1): what it used, in seconds, and what it may use."""
    try:
        with open(directory + "cpu.stat") as file:
            used = next(int(line.split()[1]) for line in file if line.startswith("usage_usec "))
        with open(directory + "cpu.max") as file:
            quota, period = file.read().split()
        with open(directory + "cpuset.cpus.effective") as file:
            cores = float(_count(file.read()))
    except FileNotFoundError:
        with open(directory + "cpu/cpuacct.usage") as file, open(directory + "cpu/cpu.shares") as shares:
            return int(file.read()) * 1e-9, seconds() * int(shares.read()) / 1000
    if quota != "max":
        cores = min(cores, int(quota) / int(period))
    return used * 1e-6, seconds() * cores


def _count(cpus: str) -> int:
    """How many CPUs a list such as 0-3,7 names."""
    found = 0
    for part in cpus.strip().split(","):
        first, _, last = part.partition("-")
        found += int(last or first) - int(first) + 1
    return found


class CgroupMemory:
    """The memory of the control group, in shares of its limit."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def pressure(self) -> float:
        for used, limit in _MEMORY:
            try:
                with open(used) as file, open(limit) as limit_file:
                    return self._share(int(file.read()), limit_file.read().strip())
            except FileNotFoundError:
                continue
        raise OSError("there is no control group for memory")

    def _share(self, used: int, limit: str) -> float:
        most = 0 if limit in ("max", "-1") else int(limit)
        if self._max_bytes:
            most = min(most, self._max_bytes) if most else self._max_bytes
        return used / most if most else 0.0


class Connections:
    """Open downstream connections of all workers."""

    def __init__(self, most: int, active: Callable[[], int]) -> None:
        self._most = most
        self._active = active

    def pressure(self) -> float:
        return self._active() / self._most


class Unreadable:
    """There is nothing to read on this machine: it fails each time."""

    def __init__(self, why: str) -> None:
        self._why = why

    def pressure(self) -> float:
        raise OSError(self._why)


def make_monitor(
    settings: Monitor,
    pids: Callable[[], Iterable[int]],
    connections: Callable[[], int],
    seconds: Callable[[], float],
) -> ResourceMonitor:
    """OSError or ValueError if it is one of CPU and there is nothing to read.

    pids         of all processes of the program
    connections  how many downstream connections count
    seconds      the time
    """
    if isinstance(settings, HeapMonitor):
        return Heap(settings.max_bytes, pids)
    if isinstance(settings, FileMonitor):
        return InjectedFile(settings.path)
    if isinstance(settings, CpuMonitor):
        return Cpu((lambda: container_times(seconds)) if settings.container else host_times)
    if isinstance(settings, CgroupMonitor):
        return CgroupMemory(settings.max_bytes)
    assert isinstance(settings, ConnectionsMonitor)
    return Connections(settings.max_connections, connections)
