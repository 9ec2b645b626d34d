"""Keeps one child of a kind running: starts it, notices that it is gone, and starts the next one."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twistproxy.errors import ConfigProblem, StartError
from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.observe.stats import Scope
from twistproxy.process.child import Child, describe_status
from twistproxy.process.generation import Generation
from twistproxy.process.restart import Decision, RestartPolicy
from twistproxy.process.template_client import TemplateClient
from twistproxy.transport.clock import ReactorClock

_log = Logger(namespace="twistproxy.master")


class KeeperHost(Protocol):
    """What a keeper needs of the master."""

    def generation(self) -> Generation:
        """The configuration that a new child is to run."""

    def config_message(self, generation: Generation) -> messages.ConfigMessage:
        """That configuration, without what depends on the slot."""

    def column_of(self, child: Child) -> int:
        """The child's column of the board."""

    def child_ready(self, keeper: Keeper) -> None: ...

    def child_gone(self, keeper: Keeper, child: Child) -> None: ...

    def child_refused(self, keeper: Keeper, problems: list[ConfigProblem]) -> None:
        """A new child refuses the running configuration."""

    def child_logged(self, name: str, message: Message) -> None: ...


class Keeper:
    """One place for a child.  Subclasses say what it is told."""

    kind = ""

    def __init__(
        self, reactor: Any, name: str, template: TemplateClient, policy: RestartPolicy, host: KeeperHost
    ) -> None:
        self.name = name
        self.child: Child | None = None
        self.ready = False
        #: the sockets were given up because it kept dying
        self.gave_up = False
        #: how often a child died that was not told to leave
        self.restarts = 0
        self.stopping = False
        #: pings that were read later than the configuration's watchdog allows, and much later; those that killed it, too
        self.misses = 0
        self.mega_misses = 0
        self._reactor = reactor
        self._now = ReactorClock(reactor).monotonic
        self._template = template
        self._policy = policy
        self._host = host
        self._retry: Any = None
        self._offers: dict[int, Deferred[list[ConfigProblem]]] = {}
        self._asked: dict[int, Deferred[dict[str, Any]]] = {}

    def start(self) -> None:
        """Start a child.  What keeps it from starting is logged and tried again later."""
        self._retry = None
        if self.stopping:
            return
        try:
            self.prepare()
        except StartError as e:
            _log.error("{name}: {error}", name=self.name, error=e)
            self._schedule(self._policy.ended(0.0))
            return
        self.gave_up = False
        child = self.child = Child(self._reactor, self.name, self._message, self._gone)
        generation = self.wanted()
        self._template.fork(self.kind, child)
        self.configure(child, generation)

    def wanted(self) -> Generation:
        """What a child that starts now is to run."""
        return self._host.generation()

    def prepare(self) -> None:
        """Called before each start.  StartError if it is no use to start."""

    def give_up(self) -> None:
        """Called when the child keeps dying."""

    def configure(self, child: Child, generation: Generation) -> None:
        """Send the child its configuration."""
        child.send(self._host.config_message(generation).encode())

    def offer(self, generation: Generation, timeout: float) -> Deferred[list[ConfigProblem]]:
        """Have the running child take a new configuration.

        Fires with the problems for which it refuses, or with [] when it runs it, or is gone: its successor
        will start with whatever is then current.  A child that says nothing in time is killed.
        """
        if self.child is None or not self.ready:
            if self.child is not None:
                self.configure(self.child, generation)
            answer: Deferred[list[ConfigProblem]] = Deferred()
            answer.callback([])
            return answer
        self._offers[generation.number] = answer = Deferred()
        child = self.child
        self.configure(child, generation)
        timer = self._reactor.callLater(timeout, child.kill)

        def answered(problems: list[ConfigProblem]) -> list[ConfigProblem]:
            if timer.active():
                timer.cancel()
            return problems

        return answer.addCallback(answered)

    def runs(self, generation: Generation) -> bool:
        """Whether there is a child that runs this."""
        return self.child is not None and self.child.generation == generation.number

    def ask_statistics(self, number: int, scope: Scope) -> Deferred[dict[str, Any]] | None:
        """Fires with a snapshot, {} if the child dies first; None if there is no child to ask."""
        return self._ask(number, messages.stats(number, scope))

    def ask_explanation(self, number: int, question: dict[str, Any]) -> Deferred[dict[str, Any]] | None:
        """The same for an explanation."""
        return self._ask(number, messages.explain(number, question))

    def _ask(self, number: int, message: Message) -> Deferred[dict[str, Any]] | None:
        if self.child is None or not self.ready:
            return None
        answer: Deferred[dict[str, Any]] = Deferred()
        self._asked[number] = answer
        self.child.send(message)
        return answer

    def send(self, message: Message) -> None:
        """To the running child, if there is one."""
        if self.child is not None:
            self.child.send(message)

    def stop(self) -> None:
        """Start no more children; the running one is told to leave."""
        self.stopping = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self.send(messages.stop())

    def kill(self) -> None:
        """End the running child at once."""
        if self.child is not None:
            self.child.kill()

    def tick(self, seconds: float, limit: float, number: int) -> None:
        """`seconds` of the master's own time have passed: kill a child that has not answered for `limit`.

        Time is counted in ticks, not read from a clock, so that a machine that was stopped for a minute does
        not make every child look dead.
        """
        child = self.child
        if child is None:
            return
        if child.missed_pings * seconds > limit:
            _log.error("{name} (pid {pid}) does not answer, killing it", name=self.name, pid=child.pid)
            child.kill()
            self.misses += 1
            self.mega_misses += 1
        if child.missed_pings == 0:
            child.pinged_at = self._now()
            child.send(messages.ping(number))
        child.missed_pings += 1

    def message(self, child: Child, message: Message) -> None:
        """A message that only the subclass knows."""

    def _message(self, child: Child, message: Message) -> None:
        kind = message["t"]
        if kind == "pong":
            child.missed_pings = 0
            self._note_lag(message["at"] - child.pinged_at)
        elif kind == "log":
            self._host.child_logged(self.name, message)
        elif kind == "snapshot":
            child.report(message["value"])
            self._answered(message)
        elif kind == "explained":
            self._answered(message)
        elif kind == "ready":
            self._ready(child, message["generation"])
        elif kind == "refused":
            self._refused(child, message["generation"], messages.refused_problems(message))
        else:
            self.message(child, message)

    def _note_lag(self, seconds: float) -> None:
        """So long it took the child to read a ping, whenever we have read its answer."""
        limits = self._host.generation().configuration.bootstrap.watchdog
        self.misses += seconds > limits.miss
        self.mega_misses += seconds > limits.megamiss

    def _answered(self, message: Message) -> None:
        waiting = self._asked.pop(message["n"], None)
        if waiting is not None:
            waiting.callback(message["value"])

    def _ready(self, child: Child, generation: int) -> None:
        child.generation = generation
        offer = self._offers.pop(generation, None)
        if offer is not None:
            offer.callback([])
        if child is self.child and not self.ready:
            self.ready = True
            self._host.child_ready(self)

    def _refused(self, child: Child, generation: int, problems: list[ConfigProblem]) -> None:
        offer = self._offers.pop(generation, None)
        if offer is not None:
            offer.callback(problems)
        elif child is self.child and child.generation == 0:
            self._host.child_refused(self, problems)

    def _gone(self, child: Child) -> None:
        if child is not self.child:
            self._host.child_gone(self, child)
            return
        self.child = None
        self.ready = False
        self._answer_waiting()
        self._host.child_gone(self, child)
        if not self.stopping:
            self.restarts += 1
            decision = self._policy.ended(self._reactor.seconds() - child.started_at)
            _log.error(
                "{name} (pid {pid}) {how}; starting another in {delay:.1f} s",
                name=self.name,
                pid=child.pid,
                how=describe_status(child.status),
                delay=decision.delay,
            )
            self._schedule(decision)

    def _schedule(self, decision: Decision) -> None:
        if decision.give_up and not self.gave_up:
            self.gave_up = True
            self.give_up()
        self._retry = self._reactor.callLater(decision.delay, self.start)

    def succeed(self) -> Child | None:
        """Let the running child go its way, and start another in its place.  Returns the former."""
        former, self.child = self.child, None
        self.ready = False
        self._answer_waiting()
        self.start()
        return former

    def _answer_waiting(self) -> None:
        """Whoever waits for the child's answer waits no longer."""
        offers, self._offers = self._offers, {}
        asked, self._asked = self._asked, {}
        for offer in offers.values():
            offer.callback([])
        for answer in asked.values():
            answer.callback({})
