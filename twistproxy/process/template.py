"""The template: has everything imported that workers and the discovery process need, and forks them.

It has no reactor and does no work of its own, so that a child starts in milliseconds and shares its memory.
The master, which it is forked from, never imports the data plane: `ProcessSettings.preload` does that here.
What the children need besides (Twisted, uvloop) is imported before the fork, by this module: importing
writes to pages that were shared until then, which cost 4 MB in the master and in the template together.
"""

from __future__ import annotations

import gc
import signal
from typing import Any

from setproctitle import setproctitle
from twisted.python.reflect import namedAny

import twistproxy.process.discovery_process
import twistproxy.process.worker  # noqa: F401
from twistproxy.process.settings import ProcessSettings
from twistproxy.transport.fork_server import ForkServer

#: What the terminal or a service manager sends to the whole group: the master decides what it means.
_NOT_FOR_US = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def template_main(sock: Any, settings: ProcessSettings) -> None:
    """What the forked template does, until the master is gone."""
    setproctitle("twistproxy: template")
    for number in _NOT_FOR_US:
        signal.signal(number, signal.SIG_IGN)
    for name in settings.preload:
        namedAny(name)
    mains = {"worker": settings.worker_main, "discovery": settings.discovery_main}

    def run(kind: str, control: Any) -> None:
        namedAny(mains[kind])(control, settings)

    # What is here now is here for good: the collector need not look at it, nor write to its pages, in any
    # child.
    gc.collect()
    gc.freeze()
    ForkServer(sock, run).serve()
