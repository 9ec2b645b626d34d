"""Reloading: a new configuration is loaded, tried by one worker, and then taken by all; or nothing
changes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.logger import Logger

from twistproxy.errors import ConfigError, ConfigProblem, StartError
from twistproxy.model.server_options import ServerOptions
from twistproxy.process.configuration import Configuration
from twistproxy.process.generation import Generation, bind_listeners, release
from twistproxy.process.supervisor import Supervisor

_log = Logger(namespace="twistproxy.master")


class ReloadHost(Protocol):
    """What a reload needs of the master."""

    supervisor: Supervisor
    options: ServerOptions

    @property
    def generation(self) -> Generation: ...

    def take(self, generation: Generation) -> None:
        """This generation is the running one from now on."""

    def wall(self) -> float: ...


class Reloader:
    """Does one reload at a time; one that is asked for meanwhile follows.

    load  reads the configuration; ConfigError if it is not good
    """

    def __init__(
        self, host: ReloadHost, load: Callable[[ServerOptions], Configuration], timeout: float
    ) -> None:
        self._host = host
        self._load = load
        self._timeout = timeout
        self._running = False
        self._again = False
        self._number = 1
        self.succeeded = 0
        self.refused = 0

    def request(self) -> None:
        """Reload now, or once more when the reload that runs is done."""
        if self._running:
            self._again = True
            return
        self._running = True
        self._reload().addErrback(lambda f: _log.failure("reload failed", f)).addCallback(self._done)

    def _done(self, _: object) -> None:
        self._running = False
        if self._again:
            self._again = False
            self.request()

    @inlineCallbacks
    def _reload(self) -> Generator[Deferred[Any], Any, None]:
        host = self._host
        former = host.generation
        try:
            configuration = self._load(host.options)
            sockets = bind_listeners(
                configuration.bootstrap.listeners, host.options.concurrency, former.sockets
            )
        except ConfigError as e:
            self._refuse(e.problems)
            return
        except StartError as e:
            self._refuse([ConfigProblem("", str(e))])
            return
        self._number += 1
        generation = Generation(self._number, configuration, sockets, host.wall())
        problems = yield self._try(generation)
        if problems:
            host.supervisor.discovery.offer(former, self._timeout)
            release(sockets, host.generation.sockets)
            self._refuse(problems)
            return
        host.take(generation)
        yield DeferredList([slot.offer(generation, self._timeout) for slot in host.supervisor.slots])
        release(former.sockets, sockets)
        yield host.supervisor.discovery.offer(generation, self._timeout)
        self.succeeded += 1
        for warning in configuration.warnings:
            _log.warn("{warning}", warning=warning)
        _log.info("generation {number} runs: {source}", number=generation.number, source=configuration.source)

    @inlineCallbacks
    def _try(self, generation: Generation) -> Generator[Deferred[Any], Any, list[ConfigProblem]]:
        """Let the discovery process, and then one worker, take it.  Returns what speaks against it.

        The discovery process comes first: the workers wait for what it finds for new clusters.  What only the running
        configuration needs it keeps until all workers have taken the new one.
        """
        supervisor = self._host.supervisor
        problems: list[ConfigProblem] = yield supervisor.discovery.try_out(generation, self._timeout)
        if problems:
            return problems
        ended = ""
        for slot in supervisor.slots:
            if slot.ready:
                problems = yield slot.offer(generation, self._timeout)
                if problems or slot.runs(generation):
                    return problems
                # Perhaps by chance: another one has to show that it is not the configuration.
                ended = slot.name
        return [ConfigProblem("", f"{ended} ended when it was to use it")] if ended else []

    def _refuse(self, problems: list[ConfigProblem]) -> None:
        self.refused += 1
        _log.error("the new configuration is refused; the running one stays:")
        for problem in problems:
            _log.error("{problem}", problem=problem)
