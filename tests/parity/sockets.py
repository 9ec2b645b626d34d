"""The sockets of an engine, seen from outside: each one is borrowed from its process for a moment (pidfd_getfd(2))."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator

_PIDFD_GETFD = 438  # the same on all architectures
_libc = ctypes.CDLL(None, use_errno=True)


def family(process_id: int) -> list[int]:
    """A process and all that descend from it."""
    found = [process_id]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{process_id}/task"):
            with open(f"/proc/{process_id}/task/{task}/children") as children:
                for child in children.read().split():
                    found += family(int(child))
    return found


def descriptors(process_id: int) -> dict[int, str]:
    """The descriptors of one process, and what they are."""
    found = {}
    for name in os.listdir(f"/proc/{process_id}/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/{process_id}/fd/{name}")
    return found


def count_sockets(process_id: int) -> int:
    """How many sockets a process and its descendants have, of whatever kind."""
    found = 0
    for member in family(process_id):
        with contextlib.suppress(OSError):
            found += sum(what.startswith("socket:") for what in descriptors(member).values())
    return found


def sockets_to(process_id: int, port: int) -> Iterator[socket.socket]:
    """The TCP sockets of a process and its descendants that are connected to a port of this machine."""
    for member in family(process_id):
        pidfd = os.pidfd_open(member)
        try:
            for number, what in descriptors(member).items():
                if not what.startswith("socket:"):
                    continue
                copy = _libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
                if copy < 0:
                    continue
                with socket.socket(fileno=copy) as borrowed, contextlib.suppress(OSError):
                    if borrowed.family in (socket.AF_INET, socket.AF_INET6):
                        if borrowed.getpeername()[1] == port:
                            yield borrowed
        finally:
            os.close(pidfd)
