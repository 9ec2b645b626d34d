from __future__ import annotations

import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from twistproxy.errors import ConfigProblem
from twistproxy.ipc import messages
from twistproxy.ipc.frame import Message
from twistproxy.model.bootstrap import AdminSettings, Bootstrap, Node
from twistproxy.model.server_options import ServerOptions
from twistproxy.process.child import Child
from twistproxy.process.generation import Generation
from twistproxy.process.keeper import Keeper
from twistproxy.process.restart import RestartPolicy
from twistproxy.process.supervisor import DiscoveryKeeper

CONFIGURATION: Any = SimpleNamespace(bootstrap=Bootstrap(Node(), AdminSettings(), (), ()))
GENERATION: Any = Generation(1, CONFIGURATION, (), 0.0)
SECOND: Any = Generation(2, None, (), 0.0)  # type: ignore[arg-type]


class Template:
    """Forks nothing: the test plays the children."""

    def __init__(self) -> None:
        self.children: list[Child] = []

    def fork(self, kind: str, child: Child) -> None:
        self.children.append(child)


class Host:
    def __init__(self) -> None:
        self.said: list[Any] = []

    def generation(self) -> Generation:
        return GENERATION  # type: ignore[no-any-return]

    def config_message(self, generation: Generation) -> messages.ConfigMessage:
        return messages.ConfigMessage(generation.number, b"", "file", ServerOptions(), "/run")

    def column_of(self, child: Child) -> int:
        return 1

    def child_ready(self, keeper: Keeper) -> None:
        self.said.append("ready")

    def child_gone(self, keeper: Keeper, child: Child) -> None:
        self.said.append("gone")

    def child_refused(self, keeper: Keeper, problems: list[ConfigProblem]) -> None:
        self.said.append(problems)

    def child_logged(self, name: str, message: Message) -> None:
        self.said.append(message["text"])


class World:
    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.template = Template()
        self.host = Host()
        policy = RestartPolicy(lambda: 0.0, young=2.0, patience=1, base=1.0)
        self.keeper = Keeper(self.reactor, "it", self.template, policy, self.host)  # type: ignore[arg-type]
        self.keeper.start()

    @property
    def child(self) -> Child:
        return self.template.children[-1]

    def say(self, message: Message) -> None:
        self.child._message(message, [])

    def die(self) -> None:
        self.child.exited(signal.SIGKILL)


@pytest.fixture
def world() -> Iterator[World]:
    one = World()
    yield one
    one.keeper.stop()
    for child in one.template.children:
        child.exited(0)


def test_a_child_that_dies_is_replaced_at_once_and_later_ones_after_a_while(world: World) -> None:
    world.die()
    world.reactor.advance(0)
    assert len(world.template.children) == 2
    world.die()
    world.reactor.advance(0.9)
    assert len(world.template.children) == 2
    world.reactor.advance(0.2)
    assert len(world.template.children) == 3
    assert world.keeper.restarts == 2


def test_none_is_started_once_it_is_stopped(world: World) -> None:
    world.keeper.stop()
    world.die()
    world.reactor.advance(60)
    assert len(world.template.children) == 1


def test_ready_is_told_once_for_each_child(world: World) -> None:
    world.say(messages.ready(1))
    world.say(messages.ready(2))
    assert world.host.said == ["ready"]
    assert world.child.generation == 2


def test_silence_is_counted_in_ticks(world: World) -> None:
    killed: list[int] = []
    world.child.kill = lambda number=9: killed.append(number)  # type: ignore[method-assign, misc]
    world.keeper.tick(1.0, 3.0, 1)
    # The machine was stopped for an hour: that is one tick, not an hour of silence.
    world.reactor.advance(3600)
    for number in range(2, 5):
        world.keeper.tick(1.0, 3.0, number)
    assert killed == []
    world.say(messages.pong(1, 0.0))
    for number in range(5, 9):
        world.keeper.tick(1.0, 3.0, number)
    assert killed == []
    world.keeper.tick(1.0, 3.0, 9)
    assert killed == [9]


def test_late_answers_are_counted_by_when_the_ping_was_read(world: World) -> None:
    keeper = world.keeper
    for number, lag in enumerate((0.1, 0.3, 1.5)):
        keeper.tick(1.0, 30.0, number)
        read_at = world.reactor.seconds() + lag
        # The master itself was busy: that is not the child's fault.
        world.reactor.advance(20)
        world.say(messages.pong(number, read_at))
    assert (keeper.misses, keeper.mega_misses) == (2, 1)


def test_an_offer_is_answered_by_ready_refused_or_death(world: World) -> None:
    answers: list[list[ConfigProblem]] = []
    problem = ConfigProblem("a", "no")
    world.say(messages.ready(1))
    for answer in (messages.ready(2), messages.refused(2, [problem]), None):
        world.keeper.offer(SECOND, 5.0).addCallback(answers.append)
        if answer is None:
            world.die()
        else:
            world.say(answer)
    assert answers == [[], [problem], []]
    assert [call for call in world.reactor.getDelayedCalls() if call.func == world.child.kill] == []


def test_one_that_does_not_answer_an_offer_is_killed(world: World) -> None:
    killed: list[int] = []
    world.say(messages.ready(1))
    world.child.kill = lambda number=9: killed.append(number)  # type: ignore[method-assign, misc]
    world.keeper.offer(SECOND, 5.0)
    world.reactor.advance(5)
    assert killed == [9]


def test_a_new_child_that_refuses_is_told_of(world: World) -> None:
    problem = ConfigProblem("a", "no")
    world.say(messages.refused(1, [problem]))
    assert world.host.said == [[problem]]


def test_statistics_of_a_child_that_dies_are_its_last(world: World) -> None:
    assert world.keeper.ask_statistics(1, "counts") is None
    world.say(messages.ready(1))
    got: list[dict[str, Any]] = []
    for number in (1, 2):
        asked = world.keeper.ask_statistics(number, "counts")
        assert asked is not None
        asked.addCallback(got.append)
    world.say(messages.snapshot(1, {"counters": {"a": 1}}))
    world.die()
    assert got == [{"counters": {"a": 1}}, {}]


def test_statistics_of_what_is_not_zero_leave_the_rest_as_it_was(world: World) -> None:
    def say(scope: str, counters: dict[str, int], gauges: dict[str, int]) -> None:
        value = {"scope": scope, "counters": counters, "gauges": gauges, "histograms": {}, "hosts": {}}
        world.say(messages.snapshot(1, value))

    child = world.keeper.child
    assert child is not None
    say("figures", {"a": 0, "b": 1}, {"c": 5, "d": 0})
    say("counts", {"b": 2}, {"d": 1})
    assert child.snapshot["counters"] == {"a": 0, "b": 2}
    assert child.snapshot["gauges"] == {"c": 5, "d": 1}
    say("figures", {"a": 1}, {})
    assert child.snapshot["counters"] == {"a": 1}


def test_a_successor_starts_while_the_former_child_finishes(world: World) -> None:
    former = world.keeper.succeed()
    assert former is world.template.children[0]
    assert world.keeper.child is world.template.children[1]
    assert former is not None
    former.exited(0)
    assert world.host.said == ["gone"]
    assert len(world.template.children) == 2


def test_discovery_begins_again_with_what_was_offered_last(world: World) -> None:
    policy = RestartPolicy(lambda: 0.0)
    keeper = DiscoveryKeeper(world.reactor, "discovery", world.template, policy, world.host)  # type: ignore[arg-type]
    sent: list[Any] = []

    def start() -> None:
        fork = world.template.fork

        def forked(kind: str, child: Child) -> None:
            fork(kind, child)
            child.send = lambda message, fds=(): sent.append(message)  # type: ignore[method-assign]

        world.template.fork = forked  # type: ignore[method-assign]
        keeper.start()
        world.template.fork = fork  # type: ignore[method-assign]

    def taken() -> list[tuple[int, bool]]:
        found = [(one["generation"], one["settled"]) for one in sent if one["t"] == "config"]
        sent.clear()
        return found

    start()
    assert taken() == [(1, True)]
    world.say(messages.ready(1))
    keeper.try_out(SECOND, 5.0)
    assert taken() == [(2, False)]
    keeper.child = None  # it has died
    keeper.ready = False
    start()
    assert taken() == [(2, False)]
    keeper.offer(GENERATION, 5.0)  # a worker has refused it
    assert taken() == [(1, True)]
    keeper.stop()
