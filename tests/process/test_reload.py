from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from twistproxy.errors import ConfigError, ConfigProblem
from twistproxy.model.server_options import ServerOptions
from twistproxy.process.configuration import Configuration
from twistproxy.process.generation import Generation
from twistproxy.process.reload import Reloader


@dataclass
class Keeper:
    """Answers offers when the test says so."""

    ready: bool = True
    offers: list[int] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)
    answers: list[Deferred[list[ConfigProblem]]] = field(default_factory=list)
    name: str = "worker"
    running: int = 1

    def offer(self, generation: Generation, timeout: float) -> Deferred[list[ConfigProblem]]:
        self.offers.append(generation.number)
        self.answers.append(Deferred())
        return self.answers[-1]

    def try_out(self, generation: Generation, timeout: float) -> Deferred[list[ConfigProblem]]:
        self.trials.append(generation.number)
        self.answers.append(Deferred())
        return self.answers[-1]

    def runs(self, generation: Generation) -> bool:
        return self.running == generation.number

    def die(self) -> None:
        self.answers.pop(0).callback([])

    def answer(self, *problems: str) -> None:
        if self.offers and not problems:
            self.running = self.offers[-1]
        self.answers.pop(0).callback([ConfigProblem("", text) for text in problems])


class Supervisor:
    def __init__(self) -> None:
        self.discovery = Keeper()
        self.slots = [Keeper(ready=False), Keeper(), Keeper()]


class Nothing:
    listeners = ()


class Host:
    def __init__(self) -> None:
        self.supervisor: Any = Supervisor()
        self.options = ServerOptions()
        self.generation = Generation(1, self.configuration(), (), 0.0)
        self.broken = False
        self.loads = 0

    def configuration(self) -> Configuration:
        return Configuration("file", None, Nothing(), b"")  # type: ignore[arg-type]

    def load(self, options: ServerOptions) -> Configuration:
        self.loads += 1
        if self.broken:
            raise ConfigError([ConfigProblem("a", "wrong")])
        return self.configuration()

    def take(self, generation: Generation) -> None:
        self.generation = generation

    def wall(self) -> float:
        return 1.0


def start() -> tuple[Host, Reloader]:
    host = Host()
    reloader = Reloader(host, host.load, 10.0)
    reloader.request()
    return host, reloader


def finish(host: Host) -> None:
    host.supervisor.discovery.answer()
    host.supervisor.slots[1].answer()
    for slot in host.supervisor.slots:
        slot.answer()
    host.supervisor.discovery.answer()


def test_discovery_takes_it_first_then_one_worker_then_all() -> None:
    host, reloader = start()
    discovery, slots = host.supervisor.discovery, host.supervisor.slots
    assert (discovery.trials, [slot.offers for slot in slots]) == ([2], [[], [], []])
    discovery.answer()
    assert [slot.offers for slot in slots] == [[], [2], []]
    assert host.generation.number == 1
    slots[1].answer()
    assert host.generation.number == 2
    assert [slot.offers for slot in slots] == [[2], [2, 2], [2]]
    assert reloader.succeeded == 0
    assert discovery.offers == []
    for slot in slots:
        slot.answer()
    # Nothing of the former configuration is needed any more.
    assert (discovery.trials, discovery.offers) == ([2], [2])
    assert reloader.succeeded == 0
    discovery.answer()
    assert (reloader.succeeded, reloader.refused) == (1, 0)


def test_a_worker_that_refuses_ends_it_and_discovery_goes_back() -> None:
    host, reloader = start()
    host.supervisor.discovery.answer()
    host.supervisor.slots[1].answer("no")
    assert (host.supervisor.discovery.trials, host.supervisor.discovery.offers) == ([2], [1])
    assert [slot.offers for slot in host.supervisor.slots] == [[], [2], []]
    assert host.generation.number == 1
    assert (reloader.succeeded, reloader.refused) == (0, 1)


def test_a_worker_that_dies_of_it_is_not_enough_to_go_on() -> None:
    host, reloader = start()
    slots = host.supervisor.slots
    host.supervisor.discovery.answer()
    slots[1].die()
    assert ([slot.offers for slot in slots], host.generation.number) == ([[], [2], [2]], 1)
    slots[2].die()
    assert host.generation.number == 1
    assert (reloader.succeeded, reloader.refused) == (0, 1)
    assert host.supervisor.discovery.offers == [1]


def test_a_worker_that_dies_by_chance_is_not_enough_to_end_it() -> None:
    host, reloader = start()
    slots = host.supervisor.slots
    host.supervisor.discovery.answer()
    slots[1].die()
    slots[2].answer()
    assert host.generation.number == 2
    for slot in slots:
        slot.answer()
    host.supervisor.discovery.answer()
    assert (reloader.succeeded, reloader.refused) == (1, 0)


def test_what_cannot_be_loaded_reaches_nobody() -> None:
    host = Host()
    host.broken = True
    reloader = Reloader(host, host.load, 10.0)
    reloader.request()
    assert (host.supervisor.discovery.trials, host.supervisor.discovery.offers) == ([], [])
    assert reloader.refused == 1
    host.broken = False
    reloader.request()
    assert host.supervisor.discovery.trials == [2]


def test_what_is_asked_for_meanwhile_follows_once() -> None:
    host, reloader = start()
    for _ in range(5):
        reloader.request()
    assert host.loads == 1
    finish(host)
    assert host.loads == 2
    finish(host)
    assert host.loads == 2
    assert reloader.succeeded == 2
    assert host.generation.number == 3
