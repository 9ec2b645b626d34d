"""Ports that a program under test is told to use, before it does."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from twistproxy.demo.programs import is_free

#: Those above are the demo's.
_LOWEST, _HIGHEST, _SLICES = 10_000, 22_000, 16
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _below_ephemeral() -> range:
    """Ports that the kernel gives to no outgoing connection; any, where it leaves too few."""
    first = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32_768
    return range(_LOWEST, min(first, _HIGHEST) if first >= _LOWEST + 100 * _SLICES else _HIGHEST)


def _candidates() -> Iterator[int]:
    """None comes again soon, each of pytest's processes has others, and another test run has another order."""
    ports = _below_ephemeral()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    mine = list(ports[int(worker) % _SLICES :: _SLICES])
    random.shuffle(mine)
    return cycle(mine)


_ports = _candidates()


def free_port() -> int:
    """A port of loopback on which nobody listens, and that nothing else of this test run will take."""
    return next(filter(is_free, _ports))
