"""A worker: takes its configuration and its listening sockets from the master and lets the data plane work on
them."""

from __future__ import annotations

import gc
import os
import random
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from twisted.logger import Logger

from twistproxy.api.clock import Clock
from twistproxy.api.transport import ConnectionFactory, Connector
from twistproxy.errors import ConfigError, ConfigProblem
from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.ipc.messages import ConfigMessage
from twistproxy.model.bootstrap import Bootstrap
from twistproxy.model.endpoint import EndpointNews
from twistproxy.model.overload import STOP_CONNECTIONS
from twistproxy.model.server_options import ServerOptions
from twistproxy.observe.stats import Scope
from twistproxy.primitives.board import WorkerBoard
from twistproxy.primitives.runtime import Plain
from twistproxy.process.child_process import MasterLink, make_reactor, prepare_process, with_files
from twistproxy.process.configuration import rebuild
from twistproxy.process.drain import Drain
from twistproxy.process.run_dir import BOARD_LOCK, DISCOVERY_SOCKET
from twistproxy.process.settings import ProcessSettings
from twistproxy.process.shrink_heap import shrink_heap
from twistproxy.transport.clock import ReactorClock
from twistproxy.transport.connector import ReactorConnector
from twistproxy.transport.discovery_link import DiscoveryLink
from twistproxy.transport.listener import Listener
from twistproxy.transport.log_file import LogFiles

_log = Logger(namespace="twistproxy.worker")

#: Seconds that a new configuration waits for the endpoints of its clusters
#: (envoy.config.core.v3.ConfigSource.initial_fetch_timeout).
_WARMING = 15.0


class DataPlane(Protocol):
    """`process.wiring.Runtime`, as the worker uses it."""

    def apply(self, bootstrap: Bootstrap) -> None: ...

    def accept(self, listener_name: str) -> ConnectionFactory: ...

    def expects_redirected(self, listener_name: str) -> bool: ...

    def bypasses_overload(self, listener_name: str) -> bool: ...

    def set_runtime(self, values: Mapping[str, Plain]) -> None: ...

    def set_overload(self, values: Mapping[str, float]) -> None: ...

    def update_endpoints(self, news: EndpointNews) -> None: ...

    def use_discovery(self, say: Callable[[str, dict[str, Any]], bool]) -> None: ...

    def drain(self) -> None: ...

    def active_connections(self) -> int: ...

    def active_requests(self) -> int: ...

    def close_idle(self) -> None: ...

    def abort_all(self) -> None: ...

    def set_healthy(self, healthy: bool) -> None: ...

    def snapshot(self, scope: Scope, worker: int) -> dict[str, Any]: ...

    def explain(self, question: dict[str, Any]) -> dict[str, Any]: ...


#: Makes the data plane of a worker.
MakeDataPlane = Callable[[Clock, Connector, LogFiles, ServerOptions, WorkerBoard], DataPlane]


def main(control: Any, settings: ProcessSettings) -> None:
    """What a forked worker does, until it is told to leave."""
    from twistproxy.process.wiring import Runtime

    run(control, settings, Runtime)


def run(control: Any, settings: ProcessSettings, make_plane: MakeDataPlane) -> None:
    """The same with any data plane."""
    prepare_process("worker")
    # Before there is a worker to drain, a signal is not to kill the process without a word.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reactor = make_reactor(settings.options.worker_reactor)
    worker = Worker(reactor, control, settings, make_plane)
    reactor.callWhenRunning(worker.handle_signals)
    reactor.run(installSignalHandlers=False)
    worker.finish()


class Worker:
    """One worker.  It says `ready` for each configuration as soon as it works with it."""

    def __init__(
        self, reactor: Any, control: Any, settings: ProcessSettings, make_plane: MakeDataPlane
    ) -> None:
        self._reactor = reactor
        self._clock = ReactorClock(reactor)
        self._log_files = LogFiles(self._clock, settings.options.log_flush_interval)
        options = settings.options
        self._board = WorkerBoard(settings.board)
        self._board.say = self._say
        connector = ReactorConnector(reactor)
        self._plane = make_plane(self._clock, connector, self._log_files, options, self._board)
        self._drain_time = options.drain_time
        self._discovery: DiscoveryLink | None = None
        self._generation = 0
        self._slot = 0
        self._runtime: Mapping[str, Plain] = {}
        self._overload: Mapping[str, float] = {}
        self._healthy = True
        self._sockets: dict[int, int] = {}
        self._listeners: dict[int, Listener] = {}
        self._warming: tuple[ConfigMessage, Bootstrap] | None = None
        self._warming_timer: Any = None
        self._drain: Drain | None = None
        self._leaving = False
        self._link = MasterLink(reactor, control, options.log_level, self._message, self._master_gone)

    def handle_signals(self) -> None:
        """SIGTERM sent to this very process: it drains, and the master starts another in its place."""
        signal.signal(
            signal.SIGTERM, lambda _number, _frame: self._reactor.callFromThread(self._told_to_leave)
        )

    def finish(self) -> None:
        """The reactor has stopped."""
        self._log_files.close()

    def _message(self, message: Message, fds: list[int]) -> None:
        kind = message["t"]
        if kind == "config":
            self._configure(ConfigMessage.decode(message), fds)
        elif kind == "stats":
            self._link.send(messages.snapshot(message["n"], self._snapshot(message["scope"])))
        elif kind == "explain":
            self._link.send(messages.explained(message["n"], self._explain(message["question"])))
        elif kind == "drain":
            self._start_drain(message["seconds"])
        elif kind == "announce_drain":
            self._plane.drain()
        elif kind == "stop":
            self._plane.abort_all()
            self._reactor.callLater(0.0, self._leave)  # once their requests are logged
        elif kind == "stop_listening":
            self._stop_listening(message["keys"])
        elif kind == "reopen":
            self._log_files.reopen()
        elif kind == "runtime":
            self._use_runtime(message["values"])
        elif kind == "overload":
            self._use_overload(message["values"])
        elif kind == "shrink_heap":
            shrink_heap()
        elif kind == "healthy":
            self._healthy = message["value"]
            self._plane.set_healthy(self._healthy)
        else:
            _log.error("unknown message {kind!r} from the master", kind=kind)

    def _configure(self, config: ConfigMessage, fds: list[int]) -> None:
        passed = [socket.key for socket in config.sockets if socket.passed]
        self._sockets.update(zip(passed, fds))
        if self._drain is not None:
            self._close(passed)  # whoever comes next accepts there
            return
        self._slot = config.slot
        self._overload = config.overload
        self._healthy = config.healthy
        if config.generation == self._generation:
            self._link.send(messages.ready(config.generation))
            return
        try:
            bootstrap = rebuild(config.bootstrap, config.source, config.options)
        except ConfigError as e:
            self._refuse(config, e.problems)
            return
        self._warming = (config, bootstrap)
        if self._warming_timer is None:
            self._warming_timer = self._reactor.callLater(_WARMING, self._warmed)
        if self._discovery is None:
            self._title(config)
            path = os.path.join(config.run_dir, DISCOVERY_SOCKET)
            self._discovery = link = DiscoveryLink(
                self._reactor,
                path,
                self._endpoints,
                _log,
                random.random,
                lambda: self._plane.use_discovery(link.say),
            )
            link.start()
        self._check_warm()

    def _use_runtime(self, values: Mapping[str, Plain]) -> None:
        if self._warming is not None:
            config, bootstrap = self._warming
            self._warming = (replace(config, runtime=values), bootstrap)
        if self._generation:
            self._set_runtime(values)

    def _use_overload(self, values: Mapping[str, float]) -> None:
        self._overload = values
        self._plane.set_overload(values)
        for listener in self._listeners.values():
            self._pause(listener)

    def _pause(self, listener: Listener) -> None:
        """Let it accept, or have connections wait, as the overload manager says."""
        if self._overload.get(STOP_CONNECTIONS, 0.0) >= 1 and not listener.never_waits:
            listener.pause()
        else:
            listener.resume()

    def _set_runtime(self, values: Mapping[str, Plain]) -> None:
        self._runtime = values
        self._plane.set_runtime(values)

    def _title(self, config: ConfigMessage) -> None:
        prepare_process(f"worker {config.slot}")

    def _endpoints(self, news: EndpointNews) -> None:
        if self._generation:
            self._plane.update_endpoints(news)
        self._check_warm()

    def _say(self, about: str, facts: Message) -> bool:
        """Tell the discovery process."""
        return self._discovery is not None and self._discovery.say(about, facts)

    def _check_warm(self) -> None:
        """Use the configuration that waits, if the endpoints of all of its clusters are known."""
        if self._warming is None or self._discovery is None:
            return
        known = self._discovery.clusters()
        # Not sooner than needed: with many clusters this is asked many times.
        if all(cluster.name in known for cluster in self._warming[1].clusters if cluster.source is not None):
            self._warmed()

    def _warmed(self) -> None:
        """Use the configuration that waits: its endpoints are here, or have had their time."""
        if self._warming_timer.active():
            self._warming_timer.cancel()
        self._warming_timer = None
        assert self._warming is not None
        assert self._discovery is not None
        config, bootstrap = self._warming
        self._warming = None
        self._board.use(config.column, config.rows, os.path.join(config.run_dir, BOARD_LOCK))
        former = self._runtime
        self._set_runtime(config.runtime)
        problems = self._apply(config, bootstrap)
        if problems:
            self._set_runtime(former)
            self._refuse(config, problems)
            return
        first = self._generation == 0
        self._generation = config.generation
        self._plane.set_healthy(self._healthy)
        self._plane.set_overload(self._overload)
        names = {cluster.name for cluster in bootstrap.clusters}
        for endpoints in self._discovery.known():
            if endpoints.cluster in names:
                self._plane.update_endpoints(endpoints)
        if first:
            # What there is now stays: with thousands of endpoints, each look of the collector at all of it would be
            # felt by requests.
            gc.collect()
            gc.freeze()
        self._listen(config)
        self._link.send(messages.ready(config.generation))

    def _apply(self, config: ConfigMessage, bootstrap: Bootstrap) -> list[ConfigProblem]:
        """Returns what speaks against it."""
        try:
            self._plane.apply(bootstrap)
        except ConfigError as e:
            return e.problems
        except OSError as e:
            problem = f"cannot open {e.filename}: {e.strerror}" if e.filename else str(e)
            return [ConfigProblem("", problem, config.source)]
        except Exception as e:
            _log.failure("cannot apply generation {number}", number=config.generation)
            return [ConfigProblem("", f"{type(e).__name__}: {e}", config.source)]
        return []

    def _refuse(self, config: ConfigMessage, problems: list[ConfigProblem]) -> None:
        self._close(list(self._sockets))
        self._link.send(messages.refused(config.generation, problems))
        if self._generation == 0:
            self._leave()

    def _listen(self, config: ConfigMessage) -> None:
        """Accept on the sockets of this configuration, and on no others."""
        wanted = {socket.key: socket for socket in config.sockets}
        self._close([key for key in self._listeners if key not in wanted])
        for key in [key for key in self._sockets if key not in wanted]:
            os.close(self._sockets.pop(key))
        for key in [key for key in self._sockets if key in wanted]:
            factory = self._plane.accept(wanted[key].listener)
            self._listeners[key] = Listener(self._reactor, self._sockets.pop(key), factory)
        for key, listener in self._listeners.items():
            listener.never_waits = self._plane.bypasses_overload(wanted[key].listener)
            self._pause(listener)
            listener.expect_redirected(self._plane.expects_redirected(wanted[key].listener))

    def _close(self, keys: list[int]) -> None:
        for key in keys:
            listener = self._listeners.pop(key, None)
            if listener is not None:
                listener.stop()
            elif key in self._sockets:
                os.close(self._sockets.pop(key))

    def _stop_listening(self, keys: list[int]) -> None:
        self._close(keys)
        self._link.send(messages.stopped_listening(keys))

    def _snapshot(self, scope: Scope) -> dict[str, Any]:
        found = with_files(self._plane.snapshot(scope, self._slot), self._log_files, scope)
        return {**found, "connections": self._plane.active_connections()}

    def _explain(self, question: dict[str, Any]) -> dict[str, Any]:
        """A mistake in here is not to end the worker."""
        try:
            return self._plane.explain(question)
        except Exception as e:
            _log.failure("cannot explain {question}", question=question)
            return {"error": f"{type(e).__name__}: {e}"}

    def _told_to_leave(self) -> None:
        if self._drain is None:
            self._link.send(messages.leaving())
            self._start_drain(self._drain_time)

    def _master_gone(self) -> None:
        """Finish what is here.  The addresses are free at once for whoever comes next."""
        if self._leaving:
            return
        _log.error("the master is gone; finishing what is in flight")
        self._start_drain(self._drain_time)

    def _start_drain(self, seconds: float) -> None:
        if self._drain is not None:
            self._drain.hurry(seconds)
            return
        if self._warming_timer is not None:
            self._warming_timer.cancel()
            self._warming = self._warming_timer = None
        self._plane.drain()
        self._stop_listening([*self._listeners, *self._sockets])
        self._drain = Drain(self._plane, self._clock, seconds, self._drained)

    def _drained(self) -> None:
        self._link.send(messages.drained())
        self._leave()

    def _leave(self) -> None:
        """The master keeps what we have counted."""
        if self._leaving:
            return
        self._leaving = True
        self._log_files.flush()
        self._link.send(messages.snapshot(0, self._snapshot("counts")))
        if self._discovery is not None:
            self._discovery.stop()
        if self._reactor.running:
            self._reactor.stop()
