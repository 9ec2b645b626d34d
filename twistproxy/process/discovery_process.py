"""The discovery process: finds endpoints, as the configuration says, and serves them to the workers."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.logger import Logger

from twistproxy.discovery.service import DiscoveryService
from twistproxy.errors import ConfigError
from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.ipc.messages import ConfigMessage
from twistproxy.process.child_process import MasterLink, make_reactor, prepare_process
from twistproxy.process.configuration import rebuild
from twistproxy.process.run_dir import DISCOVERY_SOCKET
from twistproxy.process.settings import ProcessSettings

_log = Logger(namespace="twistproxy.discovery")


def main(control: Any, settings: ProcessSettings) -> None:
    """What the forked discovery process does, until it is told to leave or the master is gone.

    It runs on Twisted's own reactor: it moves hardly any bytes, and treq is at home there.
    """
    prepare_process("discovery")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reactor = make_reactor("epoll")
    DiscoveryProcess(reactor, control, settings)
    reactor.run(installSignalHandlers=False)


class DiscoveryProcess:
    """The process around one `DiscoveryService`."""

    def __init__(self, reactor: Any, control: Any, settings: ProcessSettings) -> None:
        self._reactor = reactor
        self._service: DiscoveryService | None = None
        self._board = settings.board
        self._generation = 0
        self._link = MasterLink(reactor, control, settings.options.log_level, self._message, self._leave)

    def _message(self, message: Message, fds: list[int]) -> None:
        kind = message["t"]
        if kind == "config":
            self._configure(ConfigMessage.decode(message))
        elif kind == "stats":
            self._link.send(messages.snapshot(message["n"], self._snapshot()))
        elif kind == "stop":
            self._link.send(messages.snapshot(0, self._snapshot()))
            self._leave()

    def _configure(self, config: ConfigMessage) -> None:
        try:
            bootstrap = rebuild(config.bootstrap, config.source, config.options)
        except ConfigError as e:
            self._link.send(messages.refused(config.generation, e.problems))
            if self._service is None:
                self._leave()
            return
        sources = [cluster.source for cluster in bootstrap.clusters if cluster.source is not None]
        if self._service is None:
            path = os.path.join(config.run_dir, DISCOVERY_SOCKET)
            self._service = DiscoveryService(self._reactor, path, _log, board=self._board)
            self._service.configure(sources)
            self._service.startService()
        else:
            self._service.configure(sources)
        self._link.send(messages.ready(config.generation))

    def _snapshot(self) -> dict[str, Any]:
        return {} if self._service is None else self._service.snapshot_stats()

    def _leave(self) -> None:
        if self._reactor.running:
            self._reactor.stop()
