"""Processes under test: start on a core, wait until they serve, add up their CPU time and memory, stop.

A proxy is a tree of processes.  Its CPU time is that of every process alive plus what the kernel has credited
to parents for children that ended, so a worker that was replaced half-way is not forgotten.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from loadtests.tools import LoadTestError, find_program

_TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the name, see proc(5).
_PPID, _UTIME, _STIME, _CUTIME, _CSTIME, _START = 1, 11, 12, 13, 14, 19


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat that follow the name, which may itself hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _started(pid: int) -> str:
    """When a process started, in ticks since the machine did; "" if there is no such process."""
    with contextlib.suppress(OSError, IndexError):
        return _stat(pid)[_START]
    return ""


def process_tree(root: int) -> list[int]:
    """`root` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                children.setdefault(int(_stat(int(entry))[_PPID]), []).append(int(entry))
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, ()))
    return tree


def _own_cpu_s(pid: int, fields: Sequence[str]) -> float:
    """CPU seconds of one process with all its threads.

    /proc/PID/stat counts in ticks of 10 ms and includes threads that ended; schedstat counts the living
    threads in nanoseconds.  The larger of the two is nearer to the truth.
    """
    ticks = (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS
    nanoseconds = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                nanoseconds += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return max(ticks, nanoseconds / 1e9)


def tree_cpu_s(root: int) -> float:
    """CPU seconds, user and system, that the tree under `root` has used so far, ended children included."""
    total = 0.0
    for pid in process_tree(root):
        with contextlib.suppress(OSError, IndexError):
            fields = _stat(pid)
            total += _own_cpu_s(pid, fields) + (int(fields[_CUTIME]) + int(fields[_CSTIME])) / _TICKS
    return total


def cores_busy_s(cores: Collection[int]) -> float:
    """Seconds for which these CPUs were not idle since the machine started, whoever used them (/proc/stat)."""
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(tick) for tick in ticks[:8])
            total += user + nice + system + irq + softirq + steal
    return total / _TICKS


def tree_memory_kib(root: int) -> int:
    """The memory of the tree in KiB, each page counted once, whoever else on the machine uses the same files.

    Anonymous and shared memory by proportional set size (/proc/PID/smaps_rollup).  Pages of files that way would cost
    less the more programs outside the tree run the same binary, so of each mapping of a file the largest resident
    part among the tree's processes counts (/proc/PID/smaps).
    """
    total = 0
    of_file: dict[tuple[str, str, str], int] = {}
    for pid in process_tree(root):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total += int(line.split()[1])
            for file, resident in _resident_of_files(Path(f"/proc/{pid}/smaps").read_text()):
                of_file[file] = max(of_file.get(file, 0), resident)
    return total + sum(of_file.values())


def tree_pss_kib(root: int) -> int:
    """The plain sum of proportional set sizes: less the more programs outside the tree map the same files."""
    total = 0
    for pid in process_tree(root):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total


def _resident_of_files(smaps: str) -> Iterator[tuple[tuple[str, str, str], int]]:
    """(device, inode, offset) and KiB resident, private copies apart, of each mapping of a file in a smaps text."""
    file = None
    resident = 0
    for line in smaps.splitlines():
        fields = line.split()
        if not fields[0].endswith(":"):
            _addresses, _rights, offset, device, inode = fields[:5]
            file = (device, inode, offset) if inode != "0" and not device.startswith("00:01") else None
        elif file and fields[0] == "Rss:":
            resident = int(fields[1])
        elif file and fields[0] == "Anonymous:":
            yield file, resident - int(fields[1])


class ProcessUnderTest:
    """One started program, pinned to a core, its output in a file.

    `stop` is safe to call at any time and more than once; it ends the program's whole session.
    """

    def __init__(self, name: str, command: Sequence[str], core: int | None, log: Path, cwd: Path) -> None:
        pinned = [] if core is None else [find_program("taskset"), "-c", str(core)]
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*pinned, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the tree's root."""
        return self._popen.pid

    def is_alive(self) -> bool:
        """Whether the root process still runs."""
        return self._popen.poll() is None

    def wait_until_serving(self, port: int, path: str, timeout_s: float = 30.0) -> None:
        """Return once GET `path` on 127.0.0.1:`port` answers 200; LoadTestError with the log's end if it
        never does.
        """
        end = time.monotonic() + timeout_s
        last = "no answer"
        while time.monotonic() < end:
            if not self.is_alive():
                raise LoadTestError(
                    f"{self.name} ended with status {self._popen.returncode}:\n{self.log_tail()}"
                )
            try:
                status = get_status(port, path)
            except (OSError, http.client.HTTPException) as error:
                last = repr(error)
            else:
                if status == 200:
                    return
                last = f"status {status}"
            time.sleep(0.05)
        raise LoadTestError(f"{self.name} does not serve on port {port} ({last}):\n{self.log_tail()}")

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of what the program printed."""
        with contextlib.suppress(OSError):
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the root process."""
        self._popen.send_signal(number)

    def stop(self, patience_s: float = 5.0) -> None:
        """TERM, then KILL for whoever of the tree is left."""
        tree = {pid: _started(pid) for pid in process_tree(self.pid)} if self.is_alive() else {}
        if self.is_alive():
            self._popen.terminate()
            try:
                self._popen.wait(patience_s)
            except subprocess.TimeoutExpired:
                pass
        # The root may be gone with children of it left, which then belong to init: so by the ids noted
        # before, each with its start time, as an id may have been given to somebody else since.
        for pid, started in tree.items():
            if started and _started(pid) == started:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        self._popen.wait()

    def __enter__(self) -> ProcessUnderTest:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def get_status(port: int, path: str, host: str = "127.0.0.1") -> int:
    """The status of one GET on a fresh connection."""
    return get(port, path, host)[0]


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, bytes]:
    """Status and body of one GET on a fresh connection to `host`:`port`; OSError or HTTPException if it
    fails.
    """
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": "app.example.com", "Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
