"""The discovery process: finds endpoints, as the configuration says, and serves them to the workers."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.logger import Logger

from twistproxy.discovery.outliers import OutlierPlan
from twistproxy.discovery.service import DiscoveryService
from twistproxy.errors import ConfigError, ConfigProblem
from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.ipc.messages import ConfigMessage
from twistproxy.model.bootstrap import Bootstrap
from twistproxy.model.cluster import ClusterSettings
from twistproxy.process.child_process import MasterLink, make_reactor, prepare_process, with_files
from twistproxy.process.configuration import rebuild
from twistproxy.process.run_dir import DISCOVERY_SOCKET
from twistproxy.process.settings import ProcessSettings
from twistproxy.process.shrink_heap import shrink_heap
from twistproxy.process.time_slice import take_long_slices
from twistproxy.process.trial_clusters import clusters_on_trial
from twistproxy.transport.clock import ReactorClock
from twistproxy.transport.log_file import LogFiles

_log = Logger(namespace="twistproxy.discovery")


def main(control: Any, settings: ProcessSettings) -> None:
    """What the forked discovery process does, until it is told to leave or the master is gone.

    It runs on our own reactor as workers do: with many health checks it moves many small pieces.  Workers, for whose
    requests somebody waits, run before it.
    """
    prepare_process("discovery")
    take_long_slices()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reactor = make_reactor("twistproxy")
    DiscoveryProcess(reactor, control, settings)
    reactor.run(installSignalHandlers=False)


class DiscoveryProcess:
    """The process around one `DiscoveryService`."""

    def __init__(self, reactor: Any, control: Any, settings: ProcessSettings) -> None:
        self._reactor = reactor
        self._service: DiscoveryService | None = None
        self._board = settings.board
        #: the newest configuration that was taken, and its generation
        self._newest: tuple[int, Bootstrap] | None = None
        #: of the last one that is not to be tried only
        self._clusters: tuple[ClusterSettings, ...] = ()
        self._log_files = LogFiles(ReactorClock(reactor), settings.options.log_flush_interval)
        self._link = MasterLink(reactor, control, settings.options.log_level, self._message, self._leave)

    def _message(self, message: Message, fds: list[int]) -> None:
        kind = message["t"]
        if kind == "config":
            self._configure(ConfigMessage.decode(message))
        elif kind == "stats":
            self._link.send(messages.snapshot(message["n"], self._snapshot()))
        elif kind == "runtime" and self._service is not None:
            self._service.runtime.replace(message["values"])
        elif kind == "reopen":
            self._log_files.reopen()
        elif kind == "shrink_heap":
            shrink_heap()
        elif kind == "stop":
            self._link.send(messages.snapshot(0, self._snapshot()))
            self._leave()

    def _configure(self, config: ConfigMessage) -> None:
        try:
            bootstrap = self._built(config)
        except ConfigError as e:
            self._refuse(config, e.problems)
            return
        clusters = bootstrap.clusters
        if not config.settled:
            clusters = clusters_on_trial(clusters, self._clusters)
        checks = [one.health_checks for one in clusters if one.health_checks is not None]
        try:
            event_log = self._log_files.open(bootstrap.outlier_log) if bootstrap.outlier_log else None
            for path in [path for one in checks for path in one.settings.event_logs]:
                self._log_files.open(path)
        except OSError as e:
            problem = ConfigProblem("", f"cannot open {e.filename}: {e.strerror}", config.source)
            self._refuse(config, [problem])
            return
        service = self._service
        if service is None:
            path = os.path.join(config.run_dir, DISCOVERY_SOCKET)
            service = self._service = DiscoveryService(
                self._reactor, path, _log, board=self._board, log_files=self._log_files
            )
        service.runtime.replace(config.runtime)
        service.outliers.log.write = None if event_log is None else event_log.write
        service.outliers.configure(OutlierPlan.of(clusters))
        if self._board is not None and self._board.several:
            service.shared_load.configure(clusters)
        service.store.note_times(one.name for one in clusters if one.balancing.slow_start is not None)
        sources = [cluster.source for cluster in clusters if cluster.source is not None]
        service.configure(sources, checks)
        if not service.running:
            if config.successor:
                service.recall()
            service.startService()
        self._newest = (config.generation, bootstrap)
        if config.settled:
            self._clusters = bootstrap.clusters
        self._link.send(messages.ready(config.generation))

    def _built(self, config: ConfigMessage) -> Bootstrap:
        """A configuration comes twice: when it is tried, and when it is settled."""
        if self._newest is not None and self._newest[0] == config.generation:
            return self._newest[1]
        return rebuild(config.bootstrap, config.source, config.options)

    def _refuse(self, config: ConfigMessage, problems: list[ConfigProblem]) -> None:
        self._link.send(messages.refused(config.generation, problems))
        if self._service is None:
            self._leave()

    def _snapshot(self) -> dict[str, Any]:
        found = {} if self._service is None else self._service.snapshot_stats()
        return with_files(found, self._log_files, "figures")

    def _leave(self) -> None:
        self._log_files.flush()
        if self._reactor.running:
            self._reactor.stop()
