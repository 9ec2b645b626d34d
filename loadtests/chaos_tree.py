"""Finds twistproxy's processes by their titles, and the client connections that one of them holds."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from loadtests.processes import process_tree

_WORKER = re.compile(r"twistproxy: worker (\d+)")
_DISCOVERY = re.compile(r"twistproxy: discovery")


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def workers(master: int) -> dict[int, int]:
    """Worker number → process id, for the workers alive under `master`."""
    found = {}
    for pid in process_tree(master):
        match = _WORKER.match(_title(pid))
        if match:
            found[int(match[1])] = pid
    return found


def discovery(master: int) -> int | None:
    """The discovery process's id."""
    return next((pid for pid in process_tree(master) if _DISCOVERY.match(_title(pid))), None)


def client_ports(pid: int, listener_port: int) -> set[int]:
    """The remote ports of the connections that `pid` has accepted on 127.0.0.1:`listener_port`."""
    inodes = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes and int(fields[1].rpartition(":")[2], 16) == listener_port:
            ports.add(int(fields[2].rpartition(":")[2], 16))
    return ports - {0}
