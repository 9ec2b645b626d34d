"""All children together: the template, the worker slots and the discovery process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from twistproxy.admin.merge import Statistics
from twistproxy.errors import ConfigProblem
from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.model.bootstrap import Bootstrap
from twistproxy.model.guards import gradient_keys
from twistproxy.model.overload import GLOBAL_ROW, LIMITED, listener_row
from twistproxy.observe.stats import Scope
from twistproxy.primitives.board import Board
from twistproxy.process.board_keeper import BoardKeeper
from twistproxy.process.child import Child
from twistproxy.process.generation import Generation
from twistproxy.process.keeper import Keeper
from twistproxy.process.log_levels import LogLevels, level_constant
from twistproxy.process.restart import RestartPolicy
from twistproxy.process.runtime_layers import RuntimeLayers
from twistproxy.process.settings import ProcessSettings
from twistproxy.process.template_client import TemplateClient
from twistproxy.process.worker_slot import WorkerSlot
from twistproxy.transport.process_handle import adopt_orphans

_log = Logger(namespace="twistproxy.master")

#: Seconds between pings.
_TICK = 1.0
#: Seconds that a child may take to send its statistics.
_COLLECT_TIMEOUT = 2.0


class DiscoveryKeeper(Keeper):
    """Keeps the discovery process running.

    It is the first that is offered a configuration, and workers wait for what it finds for that: so one that takes the
    place of another begins with what was offered last.
    """

    kind = "discovery"
    _offered: Generation | None = None
    _settled = True

    def try_out(self, generation: Generation, timeout: float) -> Deferred[list[ConfigProblem]]:
        """As `offer`, of a configuration that workers may refuse yet."""
        return self._offer(generation, timeout, False)

    def offer(self, generation: Generation, timeout: float) -> Deferred[list[ConfigProblem]]:
        return self._offer(generation, timeout, True)

    def _offer(self, generation: Generation, timeout: float, settled: bool) -> Deferred[list[ConfigProblem]]:
        self._offered, self._settled = generation, settled
        return super().offer(generation, timeout)

    def wanted(self) -> Generation:
        return self._offered or super().wanted()

    def configure(self, child: Child, generation: Generation) -> None:
        message = replace(
            self._host.config_message(generation), settled=self._settled, successor=self.restarts > 0
        )
        child.send(message.encode())


@dataclass(frozen=True, slots=True)
class SupervisorEvents:
    """What the master wants to hear of: a child became ready, one is gone, a new one refuses its configuration, none can
    be started at all."""

    ready: Callable[[], None]
    gone: Callable[[], None]
    refused: Callable[[str, list[ConfigProblem]], None]
    failed: Callable[[str], None]


class Supervisor:
    """Starts, watches, asks and stops the children.  It is the `KeeperHost` of every keeper."""

    def __init__(
        self,
        reactor: Any,
        settings: ProcessSettings,
        random: Callable[[], float],
        levels: LogLevels,
        runtime: RuntimeLayers,
        overload: Callable[[], Mapping[str, float]],
        events: SupervisorEvents,
    ) -> None:
        self._reactor = reactor
        board = Board(settings.options.concurrency)
        self._board = BoardKeeper(board)
        self._settings = settings = replace(settings, board=board)
        self._levels = levels
        self._runtime = runtime
        self._overload = overload
        self._events = events
        self._generation: Generation | None = None
        self._run_dir = ""
        self._number = 0
        self._stopped: Deferred[None] | None = None
        self._all_gone = False
        self.healthy = True
        self.statistics = Statistics()
        self.template = TemplateClient(
            reactor, settings, RestartPolicy(random), self.child_logged, events.failed
        )
        # Endpoints are stale until it is back, and all it holds up is itself: it never waits long.
        policy = RestartPolicy(random, most=1.0)
        self.discovery = DiscoveryKeeper(reactor, "discovery", self.template, policy, self)
        self.slots = [
            WorkerSlot(reactor, number, self.template, RestartPolicy(random), self)
            for number in range(settings.options.concurrency)
        ]
        self._watch = LoopingCall(self._tick)
        self._watch.clock = reactor

    def start(self, generation: Generation, run_dir: str) -> None:
        """Start everything.  OSError if not even the template can be forked."""
        self._generation = generation
        self._run_dir = run_dir
        adopt_orphans()
        self.template.start()
        for keeper in self.keepers():
            keeper.start()
        self._watch.start(_TICK, now=False)

    def keepers(self) -> Iterator[Keeper]:
        """The discovery process's first: workers wait for it."""
        yield self.discovery
        yield from self.slots

    def use(self, generation: Generation) -> None:
        """Children that start from now on run this generation."""
        self._generation = generation

    def broadcast(self, message: Message) -> None:
        """To every child, also to workers that are on their way out."""
        for keeper in self.keepers():
            keeper.send(message)
        for slot in self.slots:
            for child in slot.leaving:
                child.send(message)

    def set_healthy(self, healthy: bool) -> None:
        self.healthy = healthy
        self.broadcast(messages.healthy(healthy))

    def collect(self, scope: Scope) -> Deferred[Statistics]:
        """Ask all children for so much of their statistics; fires when all have answered, or two seconds have passed."""
        self._number += 1
        asked = [a for a in (k.ask_statistics(self._number, scope) for k in self.keepers()) if a is not None]
        done: Deferred[Statistics] = Deferred()

        def finish(_: object) -> None:
            if not done.called:
                done.callback(self._report())
            if timer.active():
                timer.cancel()

        timer = self._reactor.callLater(_COLLECT_TIMEOUT, finish, None)
        DeferredList(asked).addCallback(finish)
        return done

    def explain(self, question: dict[str, Any]) -> Deferred[dict[str, Any]] | None:
        """Ask a worker what would happen to a request; {} if it dies first, None if there is none to ask."""
        self._number += 1
        for slot in self.slots:
            answer = slot.ask_explanation(self._number, question)
            if answer is not None:
                return answer
        return None

    def drain(self, seconds: float) -> None:
        """Have the workers finish what they have, and leave.  None is started again."""
        for slot in self.slots:
            slot.stopping = True
        self.broadcast(messages.drain(seconds))

    def stop(self) -> Deferred[None]:
        """Tell all to leave, kill who does not; fires when all children are gone."""
        if self._stopped is None:
            self._stopped = Deferred()
            if self._watch.running:
                self._watch.stop()
            for keeper in self.keepers():
                keeper.stop()
            for slot in self.slots:
                for child in slot.leaving:
                    child.send(messages.stop())
            self.template.abandon_waiting()
            self._reactor.callLater(self._settings.stop_timeout, self._kill_rest)
            self._check_stopped()
        return self._stopped

    @property
    def workers_running(self) -> bool:
        """Whether there is any worker process, in a slot or on its way out."""
        return any(slot.child is not None or slot.leaving for slot in self.slots)

    # What the keepers call.

    def generation(self) -> Generation:
        assert self._generation is not None
        return self._generation

    def config_message(self, generation: Generation) -> messages.ConfigMessage:
        configuration = generation.configuration
        return messages.ConfigMessage(
            generation=generation.number,
            bootstrap=configuration.serialized,
            source=configuration.source,
            options=self._settings.options,
            run_dir=self._run_dir,
            healthy=self.healthy,
            log_levels=self._levels.as_dict(),
            runtime=self._runtime.values_of(configuration.bootstrap.runtime),
            overload=self._overload(),
            rows={
                **self._board.rows(_row_names(configuration.bootstrap)),
                **self._board.blocks(gradient_keys(configuration.bootstrap.listeners)),
            },
        )

    def limited_connections(self) -> int:
        """Downstream connections that the overload manager limits."""
        return self._board.total(GLOBAL_ROW, LIMITED)

    def pids(self) -> list[int]:
        """Of all processes but ours."""
        children = [keeper.child for keeper in self.keepers()]
        leaving = [child for slot in self.slots for child in slot.leaving]
        found = [self.template.pid, *(child.pid for child in (*children, *leaving) if child is not None)]
        return [pid for pid in found if pid]

    def column_of(self, child: Child) -> int:
        return self._board.column(child.serial)

    def child_ready(self, keeper: Keeper) -> None:
        self._events.ready()

    def child_gone(self, keeper: Keeper, child: Child) -> None:
        self.statistics.report(_child_id(child), child.snapshot)
        self.statistics.worker_gone(_child_id(child))
        self._board.release(child.serial)
        self._check_stopped()
        self._events.gone()

    def child_refused(self, keeper: Keeper, problems: list[ConfigProblem]) -> None:
        self._events.refused(keeper.name, problems)

    def child_logged(self, name: str, message: Message) -> None:
        """A line of a child's log becomes one of ours."""
        Logger(namespace=message["namespace"]).emit(
            level_constant(message["level"]), "{text}", text=message["text"], log_system=name
        )

    def _tick(self) -> None:
        self._number += 1
        self.template.tick(_TICK)
        for keeper in self.keepers():
            keeper.tick(_TICK, self._settings.watchdog, self._number)

    def _report(self) -> Statistics:
        for keeper in self.keepers():
            if keeper.child is not None:
                self.statistics.report(_child_id(keeper.child), keeper.child.snapshot)
        return self.statistics

    def _kill_rest(self) -> None:
        for keeper in self.keepers():
            keeper.kill()
        for slot in self.slots:
            for child in tuple(slot.leaving):
                child.kill()
        self.template.kill()

    def _check_stopped(self) -> None:
        stopped = self._stopped
        if stopped is None or self._all_gone or self.workers_running or self.discovery.child is not None:
            return
        self._all_gone = True
        self.template.stop(lambda: stopped.callback(None))


def _row_names(bootstrap: Bootstrap) -> list[str]:
    """What has a row of its own on the board."""
    listeners = [listener_row(listener.name) for listener in bootstrap.listeners]
    return [*(cluster.name for cluster in bootstrap.clusters), GLOBAL_ROW, *listeners]


def _child_id(child: Child) -> str:
    """Never used again for another process, unlike a pid."""
    return f"{child.name} #{child.serial}"
