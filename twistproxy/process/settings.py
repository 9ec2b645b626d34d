"""How the processes are run: the command line, and what tests replace."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.model.server_options import ServerOptions
from twistproxy.primitives.board import Board


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What master, template and children agree on; children have it by fork.

    options          the command line
    worker_main      dotted name of what a worker runs: `main(control socket, settings)`
    discovery_main   the same for the discovery process
    preload          dotted names of modules that the template imports for its children, and the master does
    not
    watchdog         seconds without an answer after which a child is killed
    reload_timeout   seconds that a child may take to apply a configuration
    stop_timeout     seconds that a child may take to leave when told to stop
    board            the memory that all of them share, which the master makes before the first fork
    """

    options: ServerOptions
    worker_main: str = "twistproxy.process.worker.main"
    discovery_main: str = "twistproxy.process.discovery_process.main"
    preload: tuple[str, ...] = ("twistproxy.process.wiring",)
    watchdog: float = 30.0
    reload_timeout: float = 60.0
    stop_timeout: float = 3.0
    board: Board | None = None
