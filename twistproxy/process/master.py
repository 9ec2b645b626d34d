"""The master: the twistd process.  Binds the listeners, keeps the others running, reloads, drains, serves the
admin.

No traffic passes through it, and it imports nothing of the data plane.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any

from setproctitle import setproctitle
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twistproxy.admin.channel import AdminStats
from twistproxy.admin.server_stats import report_own
from twistproxy.api.clock import Clock
from twistproxy.errors import ConfigProblem, StartError
from twistproxy.ipc import messages
from twistproxy.model.address import Address
from twistproxy.model.bootstrap import AdminSettings
from twistproxy.model.server_options import ServerOptions
from twistproxy.observe.stats import Snapshot
from twistproxy.process.admin_port import AdminPort
from twistproxy.process.build import uncompiled
from twistproxy.process.config_files import ConfigFiles
from twistproxy.process.configuration import Configuration, load_configuration
from twistproxy.process.generation import Generation, bind_listeners, release
from twistproxy.process.log_levels import LogLevels, filter_existing_observers
from twistproxy.process.master_view import MasterView
from twistproxy.process.overload_manager import OverloadManager
from twistproxy.process.reload import Reloader
from twistproxy.process.run_dir import RunDir, open_run_dir
from twistproxy.process.runtime_layers import RuntimeLayers
from twistproxy.process.settings import ProcessSettings
from twistproxy.process.shrink_heap import shrink_heap
from twistproxy.process.stats_flush import StatsFlush
from twistproxy.process.supervisor import Supervisor, SupervisorEvents
from twistproxy.transport.clock import ReactorClock

_log = Logger(namespace="twistproxy.master")


class Master(Service):
    """The whole program as a Twisted service.

    configuration  what to start with, found good already
    fail           called with the lines to show when the program cannot go on after all; it ends the program
    load           how a reload reads the configuration
    """

    name = "twistproxy"

    def __init__(
        self,
        reactor: Any,
        settings: ProcessSettings,
        configuration: Configuration,
        fail: Callable[[list[str]], None],
        load: Callable[[ServerOptions], Configuration] = load_configuration,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._configuration = configuration
        self._fail = fail
        self._generation: Generation | None = None
        self._run_dir: RunDir | None = None
        self._admin: AdminPort | None = None
        self._previous_usr1: Any = None
        self.clock: Clock = ReactorClock(reactor)
        self.options = settings.options
        self.levels = LogLevels(settings.options.log_level)
        self.started_at = self.clock.monotonic()
        self.draining = False
        self._stopping = False
        #: monotonic time at which all workers were ready for the first time
        self.live_at: float | None = None
        events = SupervisorEvents(self._child_ready, self._child_gone, self._child_refused, self._failed)
        self.runtime = RuntimeLayers(reactor, self._runtime_changed)
        self.overload = OverloadManager(
            reactor,
            lambda: [os.getpid(), *self.supervisor.pids()],
            lambda: self.supervisor.limited_connections(),
            self._overload_changed,
            self._shrink_heap,
        )
        self.admin_stats = AdminStats(self.clock.monotonic)
        self.supervisor = Supervisor(
            reactor,
            settings,
            random.random,
            self.levels,
            self.runtime,
            lambda: self.overload.values,
            events,
        )
        self.files = ConfigFiles(reactor, self.reload)
        view = MasterView(self)
        self.flush = StatsFlush(reactor, self.supervisor.collect, partial(report_own, view))
        self.reloader = Reloader(self, load, settings.reload_timeout)

    def bind(self) -> None:
        """Bind all listeners and the admin address.  StartError, with nothing bound, if one cannot be had.

        Called before twistd leaves the terminal and gives up root, so that an error is seen and port 80 is
        possible.
        """
        if self._generation is not None:
            return
        bootstrap = self._configuration.bootstrap
        sockets = bind_listeners(bootstrap.listeners, self.options.concurrency, ())
        try:
            self._admin = self._bind_admin(bootstrap.admin)
        except StartError:
            release(sockets, ())
            raise
        self._generation = Generation(1, self._configuration, sockets, self.clock.wall())

    def _bind_admin(self, settings: AdminSettings) -> AdminPort | None:
        if settings.address is None:
            return None
        return AdminPort(self._reactor, self.clock, settings.address, settings, self.admin_stats)

    def privilegedStartService(self) -> None:
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self.bind()

    def open_run_dir(self) -> None:
        """Make the run directory, if that has not been done.  StartError if that is impossible."""
        if self._run_dir is None:
            self._run_dir = open_run_dir(self.options.run_dir)

    def unbind(self) -> None:
        """Give back what `bind` has taken, when the program does not start after all."""
        if self._admin is not None:
            self._admin.close()
        if self._generation is not None:
            release(self._generation.sockets, ())
            self._generation = None

    def startService(self) -> None:
        """Fork the template while this process is small and has no threads, then start everything else."""
        super().startService()  # type: ignore[no-untyped-call]
        setproctitle(f"twistproxy: master {self._configuration.source}")
        filter_existing_observers(self.levels)
        try:
            self.open_run_dir()
        except StartError as e:
            # With `twistd --uid` only.  twistd would print a traceback for any other exception.
            self.unbind()
            raise SystemExit(f"twistproxy: {e}") from e
        assert self._run_dir is not None
        for warning in self._configuration.warnings:
            _log.warn("{warning}", warning=warning)
        self.runtime.use(self._configuration.bootstrap.runtime)
        self.files.use(self._configuration.files)
        flags = self._configuration.bootstrap.flags_path
        self.supervisor.healthy = not (flags and os.path.exists(os.path.join(flags, "drain")))
        self.supervisor.start(self.generation, self._run_dir.path)
        self.overload.use(self._configuration.bootstrap.overload)
        self.flush.use(self._configuration.bootstrap)
        if self._admin is not None:
            self._admin.serve(MasterView(self))
        self._reactor.callWhenRunning(self._handle_signals)

    def stopService(self) -> Deferred[None]:
        """Stop at once; fires when no child is left."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.draining = True
        self.overload.stop()
        self.flush.stop()
        return self.supervisor.stop().addCallback(self._clean_up)

    def _clean_up(self, _: None) -> None:
        self.runtime.stop()
        self.files.stop()
        self.unbind()
        if self._run_dir is not None:
            self._run_dir.remove()
            self._run_dir = None

    @property
    def generation(self) -> Generation:
        assert self._generation is not None
        return self._generation

    @property
    def listening_on(self) -> list[tuple[str, Address]]:
        """Name and address of every open listener."""
        return [(sockets.spec.listener, sockets.address) for sockets in self.generation.sockets]

    def collect(self, out: Snapshot) -> None:
        """Write what the admin pages themselves count, and what workers had not read in time."""
        self.admin_stats.collect(out)
        if self._admin is not None:
            self._admin.collect(out)
        counters = out.counters
        counters.update(self.flush.counters)
        counters["workers.watchdog_miss"] = sum(slot.misses for slot in self.supervisor.slots)
        counters["workers.watchdog_mega_miss"] = sum(slot.mega_misses for slot in self.supervisor.slots)
        for slot in self.supervisor.slots:
            counters[f"server.worker_{slot.number}.watchdog_miss"] = slot.misses
            counters[f"server.worker_{slot.number}.watchdog_mega_miss"] = slot.mega_misses

    @property
    def admin_address(self) -> Address | None:
        return None if self._admin is None else self._admin.address

    def take(self, generation: Generation) -> None:
        """Part of `ReloadHost`."""
        self._generation = generation
        self.supervisor.use(generation)
        self.runtime.use(generation.configuration.bootstrap.runtime)
        self.overload.use(generation.configuration.bootstrap.overload)
        self.files.use(generation.configuration.files)
        self.flush.use(generation.configuration.bootstrap)
        self._move_admin(generation.configuration.bootstrap.admin)

    def _move_admin(self, settings: AdminSettings) -> None:
        """Serve the admin pages where the configuration now says; the old place stays if the new one cannot
        be had."""
        if settings == (AdminSettings() if self._admin is None else self._admin.settings):
            return
        former, self._admin = self._admin, None
        if former is not None:
            former.close()
        try:
            self._admin = self._bind_admin(settings)
        except StartError as e:
            _log.error("{error}", error=e)
            self._admin = None if former is None else self._bind_admin(former.settings)
        if self._admin is not None:
            self._admin.serve(MasterView(self))

    def wall(self) -> float:
        return self.clock.wall()

    # What signals and the admin pages ask for.

    def reload(self) -> None:
        """SIGHUP, and a file with resources that has become another one."""
        if not self.draining:
            _log.info("reloading {source}", source=self.generation.configuration.source)
            self.reloader.request()

    def drain(self) -> None:
        """SIGTERM: finish what is in flight, then stop.  A second time: stop at once."""
        if self.draining:
            self.quit()
            return
        self.draining = True
        _log.info("draining for at most {seconds:g} s", seconds=self.options.drain_time)
        self.supervisor.drain(self.options.drain_time)
        self._close_listeners({sockets.spec.listener for sockets in self.generation.sockets})
        # The workers keep the time themselves; this is for one that does not.
        self._reactor.callLater(self.options.drain_time + self._settings.stop_timeout, self.quit)
        self._child_gone()

    def quit(self) -> None:
        """SIGINT, /quitquitquit: stop at once."""
        self.draining = True
        if self._reactor.running and not self._stopping:
            self._stopping = True
            self._reactor.stop()

    def quit_after(self, seconds: float) -> None:
        self._reactor.callLater(seconds, self.quit)

    def reopen_logs(self) -> None:
        """SIGUSR1."""
        self.supervisor.broadcast(messages.reopen())
        if self._admin is not None:
            self._admin.reopen_logs()

    def drain_listeners(self, names: Collection[str], graceful: bool, keep_open: bool) -> None:
        """/drain_listeners: stop accepting, at once or, with `graceful`, when the drain was announced for the
        drain time; with `keep_open` too it is only announced."""
        if graceful:
            self.supervisor.broadcast(messages.announce_drain())
            if not keep_open:
                self._reactor.callLater(self.options.drain_time, self._close_listeners, names)
        else:
            self._close_listeners(names)

    def set_log_levels(self, levels: dict[str, str]) -> None:
        """/logging: for all processes.  ValueError for an unknown logger or level."""
        self.levels.update(levels)
        self.supervisor.broadcast(messages.log_levels(self.levels.as_dict()))

    def _runtime_changed(self) -> None:
        self.supervisor.broadcast(messages.runtime(self.runtime.values))

    def _overload_changed(self) -> None:
        self.supervisor.broadcast(messages.overload(self.overload.values))

    def _shrink_heap(self) -> None:
        self.supervisor.broadcast(messages.shrink_heap())
        shrink_heap()

    def _close_listeners(self, names: Collection[str]) -> None:
        """Have all workers close these; our own descriptors follow when no worker accepts any more."""
        running = self.generation
        closing = [sockets for sockets in running.sockets if sockets.spec.listener in names]
        self.take(replace(running, sockets=tuple(s for s in running.sockets if s not in closing)))
        slots = self.supervisor.slots
        waiting = [len(slots)]

        def stopped() -> None:
            waiting[0] -= 1
            if waiting[0] == 0:
                release(closing, ())

        for slot in slots:
            slot.stop_listening({sockets.key(slot.number) for sockets in closing}, stopped)

    # Signals.

    def _handle_signals(self) -> None:
        """Replace the handlers that Twisted has installed: ours drain."""
        self._previous_usr1 = signal.getsignal(signal.SIGUSR1)
        for number, call in (
            (signal.SIGHUP, self.reload),
            (signal.SIGTERM, self.drain),
            (signal.SIGINT, self.quit),
            (signal.SIGUSR1, self._usr1),
        ):
            signal.signal(number, partial(self._signalled, call))

    def _signalled(self, call: Callable[[], None], _number: int, _frame: object) -> None:
        self._reactor.callFromThread(call)

    def _usr1(self) -> None:
        """Besides our own logs, twistd's: it rotates on this signal."""
        self.reopen_logs()
        if callable(self._previous_usr1):
            self._previous_usr1(signal.SIGUSR1, None)

    # What the supervisor tells.

    def _child_ready(self) -> None:
        slots = self.supervisor.slots
        if self.live_at is None and all(slot.ready or slot.gave_up for slot in slots):
            self.live_at = self.clock.monotonic()
            for name, address in self.listening_on:
                _log.info("listener {name} on {address}", name=name, address=address)
            _log.info(
                "all {count} workers are ready after {seconds:.2f} s",
                count=len(slots),
                seconds=self.live_at - self.started_at,
            )
            plain = uncompiled()
            if plain:
                _log.warn(
                    "not compiled, and so slower: {modules} (a C compiler is needed when twistproxy is installed)",
                    modules=", ".join(plain),
                )

    def _child_gone(self) -> None:
        if self.draining and self.running and not self.supervisor.workers_running:
            self.quit()

    def _child_refused(self, name: str, problems: list[ConfigProblem]) -> None:
        if self._stopping:
            return  # all workers say the same
        if self.live_at is None:
            self._stopping = True
            self._fail([str(problem) for problem in problems])
        _log.error("{name} refuses the running configuration:", name=name)
        for problem in problems:
            _log.error("{problem}", problem=problem)

    def _failed(self, how: str) -> None:
        """No child can be started."""
        if not self._stopping:
            self._stopping = True
            self._fail([f"the processes cannot be started: the template {how} before it was ready"])
