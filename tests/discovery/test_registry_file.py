from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from twistproxy.discovery.file_watch import POLL_INTERVAL, FileWatcher
from twistproxy.discovery.registration import RegistrationError
from twistproxy.discovery.registry_file import FileRegistry, parse_services
from twistproxy.errors import StartError
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint, Locality

from .fakes import Log, addresses

TEXT = """
services:
  app:
  - 127.0.0.1:8081
  - "[::1]:8082"
  - {ip_address: 127.0.0.1, port: 8083, tags: {az: a, canary: true, load_balancing_weight: 50}}
  idle: []
  none:
"""


def test_every_form() -> None:
    assert parse_services(TEXT) == {
        "app": (
            Endpoint(TcpAddress("127.0.0.1", 8081)),
            Endpoint(TcpAddress("::1", 8082)),
            Endpoint(TcpAddress("127.0.0.1", 8083), weight=50, locality=Locality(zone="a"), canary=True),
        ),
        "idle": (),
        "none": (),
    }
    assert parse_services("services:") == {}
    assert parse_services('{"services": {"a": ["10.0.0.1:1"]}}') == {
        "a": (Endpoint(TcpAddress("10.0.0.1", 1)),)
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "one key `services`"),
        ("[", "not YAML"),
        ("services: {}\nmore: 1", "one key `services`"),
        ("services: []\nx", "not YAML"),
        ("services: [a]", "services: a mapping"),
        ("services: {1: []}", "services[1]: a name"),
        ("services: {a: 3}", "services['a']: a list"),
        ("services: {a: [b:80]}", "services['a'][0].ip_address"),
        ("services: {a: ['10.0.0.1:1', '10.0.0.1']}", "services['a'][1]: address:port"),
        ("services: {a: [{port: 1}]}", "services['a'][0].ip_address"),
        ("services: {a: ['10.0.0.1:99999']}", "services['a'][0].port"),
    ],
)
def test_says_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        parse_services(text)
    assert problem in str(caught.value)


class World:
    def __init__(self, tmp_path: Path, text: str | bytes) -> None:
        self.clock = Clock()
        self.log = Log()
        self.path = tmp_path / "services.yaml"
        self.replace(text)
        watcher = FileWatcher(self.clock, self.log.logger, lambda reactor: None)
        self.registry = FileRegistry(str(self.path), watcher, self.log.logger)

    def replace(self, text: str | bytes) -> None:
        temporary = self.path.with_suffix(".new")
        temporary.write_bytes(text if isinstance(text, bytes) else text.encode())
        temporary.rename(self.path)
        self.clock.advance(POLL_INTERVAL)

    def hosts(self) -> list[str]:
        return addresses(self.registry.hosts("app"))


def test_follows_the_file(tmp_path: Path) -> None:
    world = World(tmp_path, "services: {app: ['10.0.0.1:1']}")
    world.registry.startService()
    assert world.registry.ready
    assert world.hosts() == ["10.0.0.1:1"]
    assert world.registry.hosts("any name at all") == ()
    world.replace("services: {app: ['10.0.0.1:2']}")
    assert world.hosts() == ["10.0.0.1:2"]
    world.registry.stopService()
    assert not world.clock.getDelayedCalls()


@pytest.mark.parametrize("bad", ["services: 3", b"\xff\xfe\xfa"])
def test_a_bad_file_later_changes_nothing(tmp_path: Path, bad: str | bytes) -> None:
    world = World(tmp_path, "services: {app: ['10.0.0.1:1']}")
    world.registry.startService()
    world.replace(bad)
    assert world.hosts() == ["10.0.0.1:1"]
    assert "stay as they are" in world.log.lines[-1]
    world.path.unlink()
    world.clock.advance(POLL_INTERVAL)
    assert world.hosts() == ["10.0.0.1:1"]
    assert "No such file" in world.log.lines[-1]


def test_a_bad_file_at_the_start_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, "services: 3")
    with pytest.raises(StartError) as caught:
        world.registry.startService()
    assert str(caught.value) == f"{world.path}: services: a mapping of names to lists of hosts is required"
    world.path.unlink()
    with pytest.raises(StartError, match="No such file"):
        FileRegistry(
            str(world.path), FileWatcher(Clock(), world.log.logger, lambda reactor: None), world.log.logger
        ).startService()
