"""getaddrinfo in threads: families, retries, names without addresses."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twistproxy.discovery.dns_lookup import Answer, Found, LookupFailed
from twistproxy.discovery.system_lookup import AGAIN, TTL, SystemLookup, of_family
from twistproxy.model.discovery import SystemResolver
from twistproxy.transport import system_resolver

FOUND = ["10.0.0.1", "fd00::1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("family", "wanted"),
    [
        ("ALL", FOUND),
        ("AUTO", ["fd00::1"]),
        ("V4_PREFERRED", ["10.0.0.1", "10.0.0.2"]),
        ("V4_ONLY", ["10.0.0.1", "10.0.0.2"]),
        ("V6_ONLY", ["fd00::1"]),
    ],
)
def test_families(family: Any, wanted: list[str]) -> None:
    assert of_family(FOUND, family) == wanted


def test_the_other_family() -> None:
    assert of_family(["10.0.0.1"], "AUTO") == ["10.0.0.1"]
    assert of_family(["fd00::1"], "V4_PREFERRED") == ["fd00::1"]
    assert of_family(["fd00::1"], "V4_ONLY") == []


class World:
    def __init__(self, retries: int | None = None) -> None:
        self.clock = Clock()
        self.waiting: list[Deferred[Any]] = []
        self.lookup = SystemLookup(self.clock, SystemResolver(retries), self._run)
        self.found: list[Any] = []

    def _run(self, work: Any, name: str) -> Deferred[Any]:
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def ask(self) -> None:
        self.lookup("app.test", "V4_ONLY").addCallbacks(
            self.found.append, lambda failure: self.found.append(failure.value)
        )

    def result(self) -> Any:
        [found] = self.found
        return str(found) if isinstance(found, LookupFailed) else found


def test_an_answer() -> None:
    world = World()
    world.ask()
    world.waiting.pop().callback(FOUND)
    assert world.result() == Answer((Found("10.0.0.1", TTL), Found("10.0.0.2", TTL)))


def test_a_failure() -> None:
    world = World()
    world.ask()
    world.waiting.pop().errback(OSError("no memory"))
    assert world.result() == "no memory"


@pytest.mark.parametrize("retries", [0, 2])
def test_temporary_failures_are_tried_again(retries: int) -> None:
    world = World(retries)
    world.ask()
    for _ in range(retries):
        world.waiting.pop().callback("again")
        assert not world.waiting
        world.clock.advance(AGAIN)
    world.waiting.pop().callback("again")
    assert "temporary failure" in world.result()


def test_without_a_number_of_retries_until_it_is_closed() -> None:
    world = World()
    world.ask()
    for _ in range(20):
        world.waiting.pop().callback("again")
        world.clock.advance(AGAIN)
    assert not world.found
    world.lookup.close()
    world.waiting.pop().callback("again")
    assert "temporary failure" in world.result()


@pytest.mark.parametrize(
    ("error", "found"), [(socket.EAI_NONAME, []), (socket.EAI_AGAIN, "again"), (socket.EAI_FAIL, OSError)]
)
def test_what_the_system_says(error: int, found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(error, "so it says")

    monkeypatch.setattr(system_resolver.socket, "getaddrinfo", failing)
    if found is OSError:
        with pytest.raises(OSError, match="so it says"):
            system_resolver.system_addresses("app.test")
    else:
        assert system_resolver.system_addresses("app.test") == found


def test_addresses_of_the_system() -> None:
    assert system_resolver.system_addresses("127.0.0.1") == ["127.0.0.1"]
    with pytest.raises(OSError, match="malformed name"):
        system_resolver.system_addresses("a" * 70 + ".test")
